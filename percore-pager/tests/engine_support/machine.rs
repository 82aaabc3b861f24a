//! A pool on real memory with a fake kernel that knows every mapping of every client.

#![allow(dead_code)] // Each test program uses a part of it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use l4_sys::Errno;
use percore_pager::engine::ds::{Ask, Ds, Mapped, flag};
use percore_pager::engine::kernel::{BATCH, Block, Foreign, Kernel, Place, Revoke};
use percore_pager::engine::{Account, Arena, Pool, Ref, ds, slabs};
use percore_pager::frames::{FrameNo, Frames, Kind, Live, Memory, Run, Window, ZeroShape};

pub const PAGE: u64 = 4096;
pub type Machine = Pool<'static, Live<'static>, Fake>;

/// What a client's page shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mapping {
    pub frame: u64,
    pub write: bool,
}

/// Memory that is lent for as long as a machine lives. A fuzzer makes thousands of them a minute.
#[derive(Debug, Default)]
pub struct Loans(Vec<(NonNull<u8>, Layout)>);

impl Loans {
    /// So many times `value`.
    pub fn lend<T: Copy>(&mut self, value: T, count: usize) -> &'static mut [T] {
        if count == 0 {
            return &mut [];
        }
        let layout = Layout::array::<T>(count).expect("small");
        let start = self.bytes(layout).cast::<T>();
        for n in 0..count {
            // SAFETY: inside what was just allocated for so many values.
            unsafe { start.add(n).write(value) };
        }
        // SAFETY: written just now, aligned, and lent once.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), count) }
    }

    /// So many words that several may change, all zero.
    pub fn shared(&mut self, count: usize) -> &'static [AtomicU64] {
        let words = self.lend(0u64, count);
        // SAFETY: an atomic word is laid out like a word, and these are lent as such only.
        unsafe { std::slice::from_raw_parts(words.as_mut_ptr().cast(), count) }
    }

    fn bytes(&mut self, layout: Layout) -> NonNull<u8> {
        // SAFETY: no layout here is of no bytes.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        self.0.push((start, layout));
        start
    }

    /// Gives all of it back.
    ///
    /// # Safety
    ///
    /// Nothing of it is used any more.
    unsafe fn release(&mut self) {
        for (start, layout) in self.0.drain(..) {
            // SAFETY: allocated with this layout, and not used any more.
            unsafe { dealloc(start.as_ptr(), layout) }
        }
    }
}

/// Memory, mappings and counters.
#[derive(Debug)]
pub struct Fake {
    memory: NonNull<u8>,
    pub loans: Loans,
    base: u64,
    frames: u64,
    /// By client and page of its address space.
    pub maps: BTreeMap<(u64, u64), Mapping>,
    /// Bytes zeroed or copied since this was last set to 0.
    pub work: u64,
    pub unmaps: u64,
    pub blocks: u64,
    /// What a foreign server answers.
    pub foreign: Result<(), Errno>,
}

/// Byte `at` of every foreign dataspace.
pub fn foreign_byte(at: u64) -> u8 {
    (at * 7 + (at >> 8) + 1) as u8
}

impl Fake {
    fn bytes(&mut self, frame: FrameNo, offset: u64, length: u64) -> &mut [u8] {
        let at = frame
            .0
            .checked_sub(self.base)
            .expect("a frame of the machine");
        assert!(at < self.frames && offset + length <= (self.frames - at) * PAGE);
        // SAFETY: inside the memory, which lives for ever; the pool's arena is not accessed while
        // the borrow lasts, and never frames that dataspaces have.
        unsafe {
            let start = self.memory.add((at * PAGE + offset) as usize);
            std::slice::from_raw_parts_mut(start.as_ptr(), length as usize)
        }
    }

    pub fn page(&mut self, frame: FrameNo) -> &mut [u8] {
        self.bytes(frame, 0, PAGE)
    }

    /// Gives the memory back.
    ///
    /// # Safety
    ///
    /// Neither the fake nor a pool on it is used any more.
    pub unsafe fn release(&mut self) {
        self.maps = BTreeMap::new();
        // SAFETY: the caller's promise; all of it was lent to the pool or its core.
        unsafe { self.loans.release() }
    }

    /// A client receives a flexpage whose middle is at its page `base`.
    pub fn receive(&mut self, client: u64, mapped: &Mapped, window: (u64, u64)) {
        let pages = u64::from(mapped.order.frames());
        assert_eq!(mapped.start.0 % pages, 0, "a flexpage is aligned");
        let first = (mapped.base / PAGE) & !(pages - 1);
        for n in 0..pages {
            let page = first + n;
            if mapped.rights & 7 != 0 && page >= window.0 && page <= window.1 {
                let write = mapped.rights & flag::W != 0;
                let frame = mapped.start.0 + n;
                let old = self.maps.insert((client, page), Mapping { frame, write });
                // A mapping of the same frame keeps the rights it had.
                if let Some(old) = old.filter(|old| old.frame == frame && old.write) {
                    self.maps.insert((client, page), old);
                }
            }
        }
    }
}

impl Kernel for Fake {
    fn unmap(&mut self, blocks: &[Block], what: Revoke) {
        assert!(!blocks.is_empty() && blocks.len() <= BATCH);
        self.unmaps += 1;
        self.blocks += blocks.len() as u64;
        for block in blocks {
            assert_eq!(block.start.0 % u64::from(block.order.frames()), 0);
        }
        let hit = |frame: u64| {
            blocks
                .iter()
                .any(|b| frame >= b.start.0 && frame - b.start.0 < u64::from(b.order.frames()))
        };
        match what {
            Revoke::All => self.maps.retain(|_, m| !hit(m.frame)),
            Revoke::Write => {
                for mapping in self.maps.values_mut().filter(|m| hit(m.frame)) {
                    mapping.write = false;
                }
            }
        }
    }

    fn zero(&mut self, run: Run) {
        self.work += run.frames() * PAGE;
        self.bytes(run.start(), 0, run.frames() * PAGE).fill(0);
    }

    fn zero_bytes(&mut self, at: Place, bytes: u32) {
        assert!(u64::from(at.offset) + u64::from(bytes) <= PAGE);
        self.work += u64::from(bytes);
        self.bytes(at.frame, at.offset.into(), bytes.into()).fill(0);
    }

    fn copy(&mut self, to: Place, from: Place, bytes: u32) {
        assert!(u64::from(to.offset.max(from.offset)) + u64::from(bytes) <= PAGE);
        self.work += u64::from(bytes);
        let data = self
            .bytes(from.frame, from.offset.into(), bytes.into())
            .to_vec();
        self.bytes(to.frame, to.offset.into(), bytes.into())
            .copy_from_slice(&data);
    }

    fn copy_foreign(
        &mut self,
        to: Place,
        _from: Foreign,
        offset: u64,
        bytes: u32,
    ) -> Result<u32, Errno> {
        self.foreign?;
        self.work += u64::from(bytes);
        let target = self.bytes(to.frame, to.offset.into(), bytes.into());
        for (n, byte) in target.iter_mut().enumerate() {
            *byte = foreign_byte(offset + n as u64);
        }
        Ok(bytes)
    }
}

/// Frames of a machine that are never the engine's, at its end: for static dataspaces.
pub const STATIC_FRAMES: u64 = 64;
/// A machine's first frame.
pub const BASE: u64 = 512;

/// A machine with so many frames, by a policy.
pub fn machine(frames: u64, kind: Kind) -> Machine {
    machine_in(frames, kind, |fake| fake)
}

/// The same with a kernel that is more than the fake.
pub fn machine_in<K: Kernel>(
    frames: u64,
    kind: Kind,
    world: impl FnOnce(Fake) -> K,
) -> Pool<'static, Live<'static>, K> {
    let blocks = u32::try_from(frames / 1024).expect("small");
    let all = frames + 1 + STATIC_FRAMES;
    let size = (all * PAGE) as usize;
    let layout = Layout::from_size_align(size, 4096).expect("a layout");
    let mut loans = Loans::default();
    let memory = loans.bytes(layout);
    let run = Run::new(FrameNo(BASE), all).expect("a run");
    let window = Window::covering(run).expect("a small window");
    let need = kind.need(&window);
    let mut memory_of = |shared, private| Memory {
        shared: loans.shared(shared),
        private: loans.lend(0, private),
    };
    let policy = Live::new(kind, window, memory_of(need.shared, need.private)).expect("memory");
    let zero = ZeroShape::of(8, 4, blocks);
    let need = Frames::<Live<'_>>::need(&window, &zero);
    let mut allocator =
        Frames::new(policy, zero, memory_of(need.shared, need.private)).expect("memory");
    let usable = Run::new(FrameNo(BASE + 1), frames).expect("a run");
    allocator.add_region(usable).expect("inside the window");
    // SAFETY: the memory is ours for ever; the fake touches no frame that is book-keeping.
    let arena = unsafe { Arena::new(memory, all as usize) }.expect("aligned");
    let mut fake = Fake {
        memory,
        loans,
        base: BASE,
        frames: all,
        maps: BTreeMap::new(),
        work: 0,
        unmaps: 0,
        blocks: 0,
        foreign: Ok(()),
    };
    // What was not zeroed by the engine is not zero.
    for frame in 0..all {
        fake.page(FrameNo(BASE + frame)).fill(0xee);
    }
    Pool::new(allocator, arena, FrameNo(BASE), world(fake)).expect("small frames")
}

/// The server's own account and one below it.
pub fn accounts(machine: &mut Machine, limit: u64) -> (Ref<Account>, Ref<Account>) {
    let own = slabs::root(machine, 0).expect("a page");
    let account = slabs::open(machine, own, limit).expect("room");
    (own, account)
}

/// Maps a page for a client that shows the dataspace at page 0 of its address space.
pub fn touch(
    machine: &mut Machine,
    client: u64,
    object: Ref<Ds>,
    page: u64,
    flags: u32,
) -> Result<Mapped, Errno> {
    let ask = Ask {
        offset: page * PAGE,
        spot: page * PAGE,
        window: None,
        flags,
        writable: true,
    };
    let mapped = ds::map(machine, object, ask)?;
    machine.kernel.receive(client, &mapped, (0, u64::MAX));
    Ok(mapped)
}
