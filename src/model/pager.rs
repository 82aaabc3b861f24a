//! A pager thread that stands directly on the frame allocators of `percore-pager`.
//!
//! It answers page faults with single frames and takes single pages back, which is what the
//! paper's experiment asks of a pager. It stands in for the pager server of the project, which has
//! dataspaces, region maps and quotas, until the model runs that.

use std::sync::atomic::AtomicU64;

use fiasco_model::{kit, user};
use l4_sys::item::{Caching, SendItem};
use l4_sys::ops::task::OTHER_SPACES;
use l4_sys::{CapIdx, Errno, Fpage, MemRights, proto};
use percore_pager::frames::{
    CacheShape, Cached, FrameNo, Frames, Kind, Memory, OfKind, OwnerTag, Run, Window, ZeroShape,
};

/// Label of a request to take a page back: word 0 is its address in the client.
pub const FREE: i64 = 0x6001;
/// First address of the memory that clients fault in.
pub const BASE: u64 = 0x4000_0000;

/// A policy as it is chosen on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Hierarchical bitmap.
    Bitmap,
    /// Binary buddies.
    Buddy,
    /// Best fit from a balanced tree, as the paper's.
    Avl,
    /// Size classes of runs.
    Slab,
    /// The bitmap behind a LIFO cache of single frames.
    Cache,
}

impl Policy {
    fn parts(self) -> (Kind, CacheShape) {
        match self {
            Policy::Bitmap => (Kind::Bitmap, CacheShape::OFF),
            Policy::Buddy => (Kind::Buddy, CacheShape::OFF),
            Policy::Avl => (Kind::Avl, CacheShape::OFF),
            Policy::Slab => (Kind::Slab, CacheShape::OFF),
            Policy::Cache => (Kind::Bitmap, CacheShape::DEFAULT),
        }
    }
}

/// What a pager thread is started with.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Policy of its allocator.
    pub policy: Policy,
    /// Its memory: addresses of 2 MiB blocks, mapped one to one in the pager's task.
    pub blocks: Vec<u64>,
    /// Clients, by the number in their gate's label from 1.
    pub clients: u32,
    /// Pages that each of them can have.
    pub pages: u32,
    /// Cycles of its own work for a request.
    pub work: u64,
}

/// Frames of one client's pages, 0 for none.
type Pages = Vec<u64>;

/// Runs the pager until the end.
///
/// # Panics
/// When the allocator refuses its memory: an error of this set-up, which a run then shows.
pub fn run(spec: &Spec) {
    let (first, last) = match (spec.blocks.iter().min(), spec.blocks.iter().max()) {
        (Some(a), Some(b)) => (*a, *b),
        _ => return kit::sleep(),
    };
    let all = Run::new(FrameNo::containing(first), (last - first) / 4096 + 512);
    let window = all
        .and_then(Window::covering)
        .expect("blocks lie below 512 GiB");
    let (kind, cache) = spec.policy.parts();
    let need = kind
        .need(&window)
        .and(Frames::<Cached<OfKind>>::need(&window, &ZeroShape::OFF));
    let shared: Vec<AtomicU64> = (0..need.shared).map(|_| AtomicU64::new(0)).collect();
    let mut private = vec![0u64; need.private];
    let mut memory = Memory {
        shared: &shared,
        private: &mut private,
    };
    let own = memory
        .split_off(kind.need(&window))
        .expect("the memory is what was asked for");
    let policy = OfKind::new(kind, window, own).expect("the memory is what was asked for");
    let mut frames = Frames::new(Cached::new(policy, cache), ZeroShape::OFF, memory)
        .expect("the memory is what was asked for");
    for b in &spec.blocks {
        let run =
            Run::new(FrameNo::containing(*b), 512).expect("a block lies in the address space");
        frames
            .add_region(run)
            .expect("sigma0 gives each block once");
    }
    let mut given = vec![false; window.frames() as usize];
    let mut clients: Vec<Pages> = (0..spec.clients)
        .map(|_| vec![0; spec.pages as usize + 1])
        .collect();
    let mut got = kit::wait();
    loop {
        let (tag, label) = got;
        if tag.has_error() {
            got = kit::wait();
            continue;
        }
        user::compute(spec.work);
        let client = (label >> 4).wrapping_sub(1);
        let word = kit::utcb().mr(0);
        let page = (word >> 12).wrapping_sub(BASE >> 12) as usize;
        let slot = clients
            .get_mut(client as usize)
            .and_then(|c| c.get_mut(page));
        let owner = OwnerTag::new(client as u8 + 1);
        got = match (tag.label(), slot, owner) {
            (proto::PAGE_FAULT, Some(slot), Some(owner)) => {
                let frame = match *slot {
                    0 => frames
                        .alloc_one(owner)
                        .ok()
                        .map(|f| fresh(f, &window, &mut given)),
                    there => Some(there),
                };
                match frame {
                    Some(addr) => {
                        *slot = addr;
                        let f = Fpage::mem(addr, 12, MemRights::RW);
                        let item = SendItem::mem(word, Caching::Cached, f);
                        kit::reply_and_wait(0, &[], &[item])
                    }
                    None => kit::reply_and_wait(Errno::NoMem.label(), &[], &[]),
                }
            }
            (FREE, Some(slot), Some(owner)) if *slot != 0 => {
                let addr = core::mem::take(slot);
                // No reuse before the client has lost it.
                kit::unmap(
                    CapIdx::TASK,
                    OTHER_SPACES,
                    &[Fpage::mem(addr, 12, MemRights::RWX)],
                );
                let freed = frames.free_one(FrameNo::containing(addr), owner);
                kit::reply_and_wait(
                    if freed.is_ok() {
                        0
                    } else {
                        Errno::Inval.label()
                    },
                    &[],
                    &[],
                )
            }
            (proto::PAGE_FAULT | FREE, ..) => kit::reply_and_wait(Errno::Inval.label(), &[], &[]),
            // A client whose fault was refused stays where it is: the run ends and says so.
            (proto::EXCEPTION, ..) => kit::wait(),
            _ => kit::reply_and_wait(Errno::BadProto.label(), &[], &[]),
        };
    }
}

/// The frame's address; zeroes what somebody had before.
fn fresh(frame: FrameNo, window: &Window, given: &mut [bool]) -> u64 {
    let addr = frame.address();
    if let Some(before) = window
        .index(frame)
        .and_then(|i| given.get_mut(i.0 as usize))
    {
        if *before {
            // SAFETY: the frame is this pager's and nobody's else (it was free), and no Rust
            // reference points into simulated memory.
            unsafe { l4_sys::mem::zero(addr, 4096) };
        }
        *before = true;
    }
    addr
}
