//! A pager thread's state with memory of its own, and a client's messages to it.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use l4_sys::utcb::Utcb;
use l4_sys::{Errno, UtcbRef};
use percore_pager::engine::ds::{self, Ds};
use percore_pager::engine::kernel::{Block, Foreign, Place as Bytes, Revoke};
use percore_pager::engine::objects::{Entry, Label, Object, Objects};
use percore_pager::engine::rm::{self, AttachFlags, Contents, Name, Place, Range};
use percore_pager::engine::{Account, Arena, Kernel, Pool, Reach, Ref, Store, slabs};
use percore_pager::frames::{
    CacheShape, Cached, FrameNo, Frames, Kind, Live, Memory, Run, Window, ZeroShape,
};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Frames of the machine: 2 GiB.
const FRAMES: u64 = 1 << 19;
/// The first frame's number, as in the server: memory is mapped from 1 TiB on, so that frame numbers
/// have bits above the 28th.
const BASE: u64 = 1 << 28;

/// As in the server: the policy can be changed, and a cache is in front of it.
type Policy = Cached<Live<'static>>;

/// Does nothing but to count: what it would do is not the engine's.
#[derive(Debug, Default)]
pub struct World {
    /// Frames zeroed.
    pub zeroed: u64,
    /// Unmap system calls.
    pub unmaps: u64,
}

impl Kernel for World {
    fn unmap(&mut self, _: &[Block], _: Revoke) {
        self.unmaps += 1;
    }

    fn zero(&mut self, run: Run) {
        self.zeroed += run.frames();
    }

    fn zero_bytes(&mut self, _: Bytes, _: u32) {}

    fn copy(&mut self, _: Bytes, _: Bytes, _: u32) {}

    fn copy_foreign(&mut self, _: Bytes, _: Foreign, _: u64, _: u32) -> Result<u32, Errno> {
        Err(Errno::Inval)
    }
}

/// A thread's objects and memory.
#[derive(Debug)]
pub struct Machine {
    pub pool: Pool<'static, Policy, World>,
    pub objects: Objects<'static>,
    pub utcb: UtcbRef,
    /// The factory that everything is made by.
    pub factory: Label,
    pub account: Ref<Account>,
}

fn leak(words: usize) -> &'static mut [u64] {
    vec![0; words].leak()
}

/// A machine on which a client's factory has a limit of 1 GiB, below one without a limit.
pub fn machine() -> Machine {
    machine_of(FRAMES, 1 << 30)
}

/// A machine of so many frames and a factory with a limit in bytes.
fn machine_of(frame_count: u64, limit: u64) -> Machine {
    let run = Run::new(FrameNo(BASE), frame_count).expect("a run");
    let window = Window::covering(run).expect("a small window");
    let shared = |n: usize| -> &'static [AtomicU64] {
        let words: Vec<AtomicU64> = (0..n).map(|_| AtomicU64::new(0)).collect();
        words.leak()
    };
    let need = Kind::Bitmap.need(&window);
    let memory = Memory {
        shared: shared(need.shared),
        private: leak(need.private),
    };
    let policy = Live::new(Kind::Bitmap, window, memory).expect("enough memory");
    let policy = Cached::new(policy, CacheShape::DEFAULT);
    let zero = ZeroShape::DEFAULT;
    let need = Frames::<Policy>::need(&window, &zero);
    let memory = Memory {
        shared: shared(need.shared),
        private: leak(need.private),
    };
    let mut frames = Frames::new(policy, zero, memory).expect("enough memory");
    frames
        .add_region(Run::new(FrameNo(BASE + 1), frame_count - 1).expect("a run"))
        .expect("inside");
    // A larger alignment would have every page written to; so one page more is asked for.
    let layout = Layout::from_size_align(((frame_count + 1) * PAGE) as usize, 16);
    // SAFETY: the size is not 0. It lives as long as the process, and only book-keeping touches it.
    let start = unsafe { alloc_zeroed(layout.expect("a layout")) };
    // SAFETY: at most a page further, where as much as is used is left.
    let start = NonNull::new(unsafe { start.add(start.align_offset(PAGE as usize)) });
    // SAFETY: as above; frames are never accessed otherwise.
    let arena = unsafe { Arena::new(start.expect("memory"), frame_count as usize) };
    let world = World::default();
    let pool = Pool::new(frames, arena.expect("aligned"), FrameNo(BASE), world);
    let mut pool = pool.expect("frame numbers fit");
    let own = slabs::root(&mut pool, 0).expect("a page");
    let account = slabs::open(&mut pool, own, limit).expect("room");
    let mut objects = Objects::new(vec![Entry::EMPTY; 4096].leak());
    let factory = objects.insert(None, Object::Factory(account), true);
    let block = Box::leak(Box::new([0u64; 128]));
    // SAFETY: a block of a UTCB's size that nothing else uses.
    let utcb = unsafe { UtcbRef::from_ptr(block.as_mut_ptr().cast::<Utcb>()) };
    Machine {
        pool,
        objects,
        utcb,
        factory: factory.expect("room"),
        account,
    }
}

impl Machine {
    /// Makes an on-demand dataspace of so many bytes.
    pub fn dataspace(&mut self, bytes: u64) -> (Label, Ref<Ds>) {
        let ds = ds::create_on_demand(&mut self.pool, self.account, bytes).expect("memory");
        let object = Object::Dataspace(ds);
        let label = self.objects.insert(Some(self.factory), object, true);
        (label.expect("room"), ds)
    }

    /// Says how much faults bring in dataspaces that are made from now on.
    pub fn set_reach(&mut self, reach: Option<Reach>) {
        self.pool.arena_mut().get_mut(self.account).set_reach(reach);
    }

    /// Ends an object, to the last frame; clients' mappings are gone, too.
    pub fn end(&mut self, label: Label) {
        assert!(self.objects.condemn(&mut self.pool, label));
        while self.objects.turn(&mut self.pool) {}
    }

    /// A region map with `regions` regions, 1 GiB apart, that all show the dataspace.
    pub fn map(&mut self, object: Label, regions: u64, bytes: u64) -> Label {
        let limits = Range::new(0, (1 << 46) - 1).expect("a range");
        let map = rm::create(&mut self.pool, self.account, limits, []).expect("memory");
        for n in 0..regions {
            let flags = AttachFlags::new(7).expect("known");
            let place = Place::new((n + 1) << 30, bytes, flags, 12).expect("pages");
            let contents = Contents {
                backing: self.objects.add_user(&mut self.pool, object),
                offset: 0,
                client_cap: 0,
                backing_offset: 0,
                flags: 0,
                name: Name::new(b""),
            };
            rm::attach(&mut self.pool, map, place, contents).expect("a free place");
        }
        let label = self
            .objects
            .insert(Some(self.factory), Object::RegionMap(map), true);
        label.expect("room")
    }

    /// Zeroes ahead until nothing is left to be zeroed.
    pub fn idle(&mut self) {
        while self.pool.idle() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percore_pager::engine::ds::{ContiguousAlign, Death};

    /// Contiguous memory of more than 1 GiB: where there is as much in one run, in bounded turns, and all
    /// comes back.
    #[test]
    fn contiguous_memory_above_a_gib() {
        let align = ContiguousAlign::new(21, false).expect("2 MiB");
        let mut m = machine_of(5 << 18, 8 << 30);
        let before = m.pool.uses();
        // The first GiB has book-keeping in it: four are whole, less what the last one lacks.
        let most = (4 << 30) - (2 << 20);
        for size in [(1 << 30) + 1, 3 << 30, most] {
            let ds = ds::create_contiguous(&mut m.pool, m.account, size, align);
            let ds = ds.expect("there is room");
            let pages = size.next_multiple_of(2 << 20) / PAGE;
            m.pool.kernel.zeroed = 0;
            let mut turns = 1;
            while !ds::zero_some(&mut m.pool, ds) {
                turns += 1;
            }
            assert_eq!((m.pool.kernel.zeroed, turns), (pages, pages / 16));
            let second = ds::create_contiguous(&mut m.pool, m.account, 4 << 30, align);
            assert_eq!(second, Err(Errno::NoMem));
            let mut death = Death::begin(&mut m.pool, ds);
            while !death.step(&mut m.pool) {}
            while m.pool.unmap_waiting() {}
            assert_eq!(m.pool.uses(), before);
        }
        let more = ds::create_contiguous(&mut m.pool, m.account, 5 << 30, align);
        assert_eq!((more, m.pool.uses()), (Err(Errno::NoMem), before));
    }
}
