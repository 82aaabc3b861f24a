//! What small tests of the frame allocators share.

#![allow(dead_code)] // Each test program uses a part of it.

use std::sync::atomic::AtomicU64;

use percore_pager::frames::{Chosen, FrameNo, Frames, Memory, Need, OwnerTag, PageOrder, Run};

pub const ME: OwnerTag = OwnerTag::new(1).unwrap();
pub const YOU: OwnerTag = OwnerTag::new(253).unwrap();

pub type Any = Frames<'static, Chosen<'static>>;

/// `frames` frames from number `start` on.
pub fn run(start: u64, frames: u64) -> Run {
    Run::new(FrameNo(start), frames).expect("a valid run")
}

/// An order.
pub fn order(order: u32) -> PageOrder {
    PageOrder::new(order).expect("at most 18")
}

/// Words that several may change, all zero.
pub fn shared(words: usize) -> &'static [AtomicU64] {
    (0..words)
        .map(|_| AtomicU64::new(0))
        .collect::<Vec<_>>()
        .leak()
}

/// Memory for an allocator.
pub fn memory(need: Need) -> Memory<'static> {
    Memory {
        shared: shared(need.shared),
        private: vec![0; need.private].leak(),
    }
}
