//! Book-keeping memory for the engine's tests, and seeded property runs.

#![allow(dead_code)] // Each test program uses a part of it.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use percore_pager::engine::{Arena, PageIx, Store};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A store of a fixed number of pages that knows which are out.
pub struct Pages {
    arena: Arena,
    memory: NonNull<u8>,
    layout: Layout,
    free: Vec<u32>,
    out: Vec<bool>,
    /// After so many more pages there is no memory; endless when `None`.
    pub fuse: Option<u32>,
    /// Steps of searches so far, and how many more there may be.
    pub steps: u64,
    pub steps_left: Option<u32>,
}

impl Pages {
    /// `count` pages that can be handed out.
    pub fn new(count: u32) -> Self {
        let pages = count as usize + 2;
        let layout = Layout::from_size_align(pages * 4096, 4096).expect("a layout");
        // SAFETY: the size is not 0.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).expect("memory");
        // SAFETY: the memory is ours until `drop`, and only the arena accesses it.
        let arena = unsafe { Arena::new(memory, pages) }.expect("aligned");
        Pages {
            arena,
            memory,
            layout,
            free: (1..=count).rev().collect(),
            out: vec![false; pages],
            fuse: None,
            steps: 0,
            steps_left: None,
        }
    }

    /// Pages that are out.
    pub fn used(&self) -> u64 {
        self.out.iter().filter(|out| **out).count() as u64
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; the arena dies with us.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

impl Store for Pages {
    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    fn take_page(&mut self) -> Option<PageIx> {
        if let Some(fuse) = &mut self.fuse {
            *fuse = fuse.checked_sub(1)?;
        }
        let page = self.free.pop()?;
        self.out[page as usize] = true;
        // Rubbish, as a real page would have.
        for word in 0..512 {
            let at = percore_pager::engine::Ref::<[u64; 1]>::from_raw((page << 8) + word / 2);
            let _ = at.map(|at| {
                self.arena
                    .set(at, [0xa5a5_5a5a_dead_0000 | u64::from(word)])
            });
        }
        Some(PageIx(page))
    }

    fn may_go_on(&mut self) -> bool {
        match &mut self.steps_left {
            Some(0) => return false,
            Some(left) => *left -= 1,
            None => {}
        }
        self.steps += 1;
        true
    }

    fn give_page(&mut self, page: PageIx) {
        assert!(
            std::mem::take(&mut self.out[page.0 as usize]),
            "page {page:?} came back twice"
        );
        self.free.push(page.0);
    }
}

/// A runner with a fixed seed (`ENGINE_SEED` sets another) and so many cases, times
/// `ENGINE_FACTOR`.
pub fn runner(cases: u32) -> TestRunner {
    let number = |name, default| {
        std::env::var(name)
            .ok()
            .map_or(default, |v| v.parse::<u32>().expect("a number"))
    };
    let (seed, factor) = (number("ENGINE_SEED", 1), number("ENGINE_FACTOR", 1));
    println!("ENGINE_SEED={seed} ENGINE_FACTOR={factor}");
    let config = Config {
        cases: cases * factor,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
