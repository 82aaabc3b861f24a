//! The allocators that are counted, behind one small interface, and our own arms.
//!
//! All arms work in the same memory: frames numbered from 0, all free at first.

use std::sync::atomic::AtomicU64;

use percore_pager::frames::{
    Avl, Bitmap, Buddy, CacheShape, Cached, FrameNo, Frames, Kind, Live, Memory, Need, Owner,
    OwnerTag, PageOrder, Policy, Run, Slab, Window, ZeroShape,
};

/// An allocator of aligned runs of frames.
pub trait Arm {
    /// An allocator of `frames` frames, a power of two of at least 512.
    fn new(frames: u32) -> Self;
    /// A single frame.
    fn alloc_one(&mut self) -> Option<u64>;
    /// Gives a single frame back.
    fn free_one(&mut self, frame: u64);
    /// A run of `1 << order` frames.
    fn alloc(&mut self, order: u32) -> Option<u64>;
    /// Gives a run back.
    fn free(&mut self, frame: u64, order: u32);
    /// Who has the frame, if the arm knows.
    fn owner(&self, _frame: u64) -> Option<u8> {
        None
    }
    /// Bytes of book-keeping: of the allocator, and of all; `None` to take what it has on the
    /// heap for both.
    fn bytes(&self) -> Option<(usize, usize)> {
        None
    }
}

const OWNER: OwnerTag = match OwnerTag::new(7) {
    Some(tag) => tag,
    None => panic!("7 is a tag"),
};

fn window(frames: u32) -> Window {
    let run = Run::new(FrameNo(0), u64::from(frames)).expect("not empty");
    Window::covering(run).expect("below the limit")
}

/// Memory that lives as long as the process: every arm is made once in a process.
fn leak(need: Need) -> Memory<'static> {
    let shared: Vec<AtomicU64> = (0..need.shared).map(|_| AtomicU64::new(0)).collect();
    Memory {
        shared: shared.leak(),
        private: vec![0; need.private].leak(),
    }
}

/// One of our allocators.
pub struct Ours<P> {
    frames: Frames<'static, P>,
    bytes: (usize, usize),
}

impl<P: Policy> Ours<P> {
    fn over(policy: P, need: Need, frames: u32) -> Self {
        let window = window(frames);
        let zeroed = ZeroShape::DEFAULT;
        let rest = Frames::<P>::need(&window, &zeroed);
        let mut all = Frames::new(policy, zeroed, leak(rest)).expect("enough memory");
        all.add_region(Run::new(FrameNo(0), u64::from(frames)).expect("not empty"))
            .expect("new");
        let fixed = size_of::<Frames<'static, P>>();
        Ours {
            frames: all,
            bytes: (need.bytes() + fixed, need.and(rest).bytes() + fixed),
        }
    }
}

/// How an arm's policy is made.
pub trait Make: Policy + Sized {
    /// The policy, and what it needs.
    fn make(window: Window) -> (Self, Need);
}

macro_rules! make {
    ($policy:ident) => {
        impl Make for $policy<'static> {
            fn make(window: Window) -> (Self, Need) {
                let need = $policy::need(&window);
                (
                    $policy::new(window, leak(need)).expect("enough memory"),
                    need,
                )
            }
        }
    };
}
make!(Bitmap);
make!(Buddy);
make!(Avl);
make!(Slab);

impl Make for Live<'static> {
    fn make(window: Window) -> (Self, Need) {
        let need = Kind::Bitmap.need(&window);
        (
            Live::new(Kind::Bitmap, window, leak(need)).expect("enough memory"),
            need,
        )
    }
}

impl<P: Make> Make for Cached<P> {
    fn make(window: Window) -> (Self, Need) {
        let (policy, need) = P::make(window);
        (Cached::new(policy, CacheShape::DEFAULT), need)
    }
}

impl<P: Make> Arm for Ours<P> {
    fn new(frames: u32) -> Self {
        let (policy, need) = P::make(window(frames));
        Ours::over(policy, need, frames)
    }

    #[inline(always)]
    fn alloc_one(&mut self) -> Option<u64> {
        self.frames.alloc_one(OWNER).ok().map(|frame| frame.0)
    }

    #[inline(always)]
    fn free_one(&mut self, frame: u64) {
        let freed = self.frames.free_one(FrameNo(frame), OWNER);
        assert!(freed.is_ok());
    }

    #[inline(always)]
    fn alloc(&mut self, order: u32) -> Option<u64> {
        let order = PageOrder::new(order)?;
        self.frames
            .alloc_order(order, OWNER)
            .ok()
            .map(|frame| frame.0)
    }

    #[inline(always)]
    fn free(&mut self, frame: u64, order: u32) {
        let order = PageOrder::new(order).expect("an order");
        let freed = self.frames.free_order(FrameNo(frame), order, OWNER);
        assert!(freed.is_ok());
    }

    #[inline(always)]
    fn owner(&self, frame: u64) -> Option<u8> {
        match self.frames.owner(FrameNo(frame)) {
            Owner::Tag(tag) => Some(tag.get()),
            _ => None,
        }
    }

    fn bytes(&self) -> Option<(usize, usize)> {
        Some(self.bytes)
    }
}

/// Does nothing: what it counts is the harness.
pub struct Nothing;

/// Keeps the compiler from leaving a loop out, without an instruction.
#[inline(always)]
fn keep() {
    // SAFETY: there is no instruction in it.
    unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
}

impl Arm for Nothing {
    fn new(_: u32) -> Self {
        Nothing
    }
    #[inline(always)]
    fn alloc_one(&mut self) -> Option<u64> {
        keep();
        Some(0)
    }
    #[inline(always)]
    fn free_one(&mut self, _: u64) {
        keep();
    }
    #[inline(always)]
    fn alloc(&mut self, _: u32) -> Option<u64> {
        self.alloc_one()
    }
    #[inline(always)]
    fn free(&mut self, frame: u64, _: u32) {
        self.free_one(frame);
    }
    #[inline(always)]
    fn owner(&self, _: u64) -> Option<u8> {
        keep();
        Some(7)
    }
    fn bytes(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }
}
