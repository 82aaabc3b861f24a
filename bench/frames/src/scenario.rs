//! What is counted. Each scenario prepares the memory and then runs a number of operations in
//! one function whose name callgrind knows; the rest is not counted.

use crate::arms::Arm;

/// Frames of memory in most scenarios: 4 GiB.
pub const MEMORY: u32 = 1 << 20;

/// Small fixed random numbers, so that every run does the same.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (((self.0 >> 32) * u64::from(limit)) >> 32) as u32
    }
}

fn shuffle<T>(values: &mut [T], random: &mut Random) {
    for at in (1..values.len()).rev() {
        values.swap(at, random.below(at as u32 + 1) as usize);
    }
}

/// Allocates 2 n frames and frees every second, the last first: `n` frames are outstanding and
/// `n` separate holes are between them.
fn fragment<A: Arm>(arm: &mut A, n: u32) -> Vec<u64> {
    let all: Vec<u64> = (0..2 * n)
        .map(|_| arm.alloc_one().expect("enough memory"))
        .collect();
    for pair in all.chunks(2).rev() {
        arm.free_one(pair[1]);
    }
    all.chunks(2).map(|pair| pair[0]).collect()
}

/// Pairs: one frame is allocated and freed again, with `n` outstanding and `n` holes.
pub fn pair<A: Arm>(n: u32, pairs: u32) {
    let mut arm = A::new(MEMORY);
    let outstanding = fragment(&mut arm, n);
    pair_counted_region(&mut arm, 16);
    callgrind_counted_region(|| pair_counted_region(&mut arm, pairs));
    std::hint::black_box(outstanding);
}

#[inline(never)]
fn pair_counted_region<A: Arm>(arm: &mut A, pairs: u32) {
    for _ in 0..pairs {
        let frame = arm.alloc_one().expect("enough memory");
        arm.free_one(frame);
    }
}

/// Replacements: a random outstanding frame is freed and one is allocated.
pub fn replace<A: Arm>(n: u32, pairs: u32) {
    let mut arm = A::new(MEMORY);
    let mut outstanding = fragment(&mut arm, n);
    let mut random = Random::new(11);
    let places: Vec<u32> = (0..pairs).map(|_| random.below(n)).collect();
    callgrind_counted_region(|| {
        for place in &places {
            let slot = &mut outstanding[*place as usize];
            arm.free_one(*slot);
            *slot = arm.alloc_one().expect("enough memory");
        }
    });
}

/// Batches: 256 frames are allocated and freed in random order, with `n` outstanding in one
/// piece: allocate memory, use it, free it, with a history before.
pub fn batch<A: Arm>(n: u32, pairs: u32) {
    let batches = pairs / 256;
    let mut arm = A::new(MEMORY);
    let outstanding: Vec<u64> = (0..n)
        .map(|_| arm.alloc_one().expect("enough memory"))
        .collect();
    let mut order: Vec<u32> = (0..256).collect();
    shuffle(&mut order, &mut Random::new(3));
    let mut frames = [0u64; 256];
    callgrind_counted_region(|| {
        for _ in 0..batches {
            for place in &order {
                frames[*place as usize] = arm.alloc_one().expect("enough memory");
            }
            for frame in &frames {
                arm.free_one(*frame);
            }
        }
    });
    std::hint::black_box(outstanding);
}

/// Pairs of 2 MiB, with 1000 frames outstanding and 1000 holes.
pub fn pair_2m<A: Arm>(pairs: u32) {
    let mut arm = A::new(MEMORY);
    let outstanding = fragment(&mut arm, 1000);
    callgrind_counted_region(|| {
        for _ in 0..pairs {
            let frame = arm.alloc(9).expect("enough memory");
            arm.free(frame, 9);
        }
    });
    std::hint::black_box(outstanding);
}

/// Look-ups of the owner of frames inside runs of many sizes.
pub fn owner<A: Arm>(lookups: u32) {
    let mut arm = A::new(MEMORY);
    let mut random = Random::new(5);
    let runs: Vec<(u64, u32)> = (0..1000)
        .map(|_| {
            let order = random.below(11);
            (arm.alloc(order).expect("enough memory"), order)
        })
        .collect();
    let frames: Vec<u64> = (0..lookups)
        .map(|_| {
            let (start, order) = runs[random.below(1000) as usize];
            start + u64::from(random.below(1 << order))
        })
        .collect();
    let mut found = 0;
    callgrind_counted_region(|| {
        for frame in &frames {
            found += u32::from(arm.owner(*frame) == Some(7));
        }
    });
    assert_eq!(found, lookups, "a frame inside a run has the run's owner");
}

/// The function that callgrind counts in.
#[inline(never)]
fn callgrind_counted_region(mut body: impl FnMut()) {
    body();
}

/// Whole free 2 MiB blocks in percent of all, at most 50: memory is filled with single frames, a
/// random half of them is freed, and then in 100 rounds a random tenth of those left is freed
/// and as many are allocated.
pub fn whole_blocks<A: Arm>() -> f64 {
    const BLOCKS: u32 = 256;
    let mut arm = A::new(BLOCKS * 512);
    let mut random = Random::new(8);
    let mut frames: Vec<u64> = (0..BLOCKS * 512)
        .map(|_| arm.alloc_one().expect("enough memory"))
        .collect();
    shuffle(&mut frames, &mut random);
    for frame in frames.drain(BLOCKS as usize * 256..) {
        arm.free_one(frame);
    }
    for _ in 0..100 {
        let tenth = frames.len() / 10;
        shuffle(&mut frames, &mut random);
        for frame in &frames[..tenth] {
            arm.free_one(*frame);
        }
        for frame in &mut frames[..tenth] {
            *frame = arm.alloc_one().expect("enough memory");
        }
    }
    let mut touched = [false; BLOCKS as usize];
    for frame in &frames {
        touched[(*frame / 512) as usize] = true;
    }
    let whole = touched.iter().filter(|touched| !**touched).count();
    whole as f64 * 100.0 / f64::from(BLOCKS)
}

/// Bytes of book-keeping for a frame: the allocator's, and all. Arms that do not say are measured
/// on the heap with 200 000 holes.
pub fn bytes<A: Arm>() -> (f64, f64) {
    let before = crate::heap::bytes();
    let mut arm = A::new(MEMORY);
    let (state, all) = arm.bytes().unwrap_or_else(|| {
        let outstanding = fragment(&mut arm, 200_000);
        let used = crate::heap::bytes() - before - outstanding.capacity() * 8;
        (used, used)
    });
    (
        state as f64 / f64::from(MEMORY),
        all as f64 / f64::from(MEMORY),
    )
}
