//! Arms that are not ours: an address-ordered free list, as upstream's, and three allocators of
//! the registry.
//!
//! `llfree`, the best published allocator of this kind, is not on the registry.

use bitmap_allocator::{BitAlloc, BitAlloc1M};

use crate::arms::Arm;

/// Address-ordered first-fit list of free runs whose nodes lie in the free memory itself;
/// neighbours merge. Own code after the description of upstream's page allocator; the
/// first bytes of a frame are modelled by an array element.
pub struct List {
    head: u32,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy)]
struct Node {
    next: u32,
    frames: u32,
}

const END: u32 = u32::MAX;

impl List {
    fn set_next(&mut self, before: u32, next: u32) {
        if before == END {
            self.head = next;
        } else {
            self.nodes[before as usize].next = next;
        }
    }
}

impl Arm for List {
    fn new(frames: u32) -> Self {
        let mut list = List {
            head: 0,
            nodes: vec![
                Node {
                    next: END,
                    frames: 0
                };
                frames as usize
            ],
        };
        list.nodes[0].frames = frames;
        list
    }

    #[inline(always)]
    fn alloc_one(&mut self) -> Option<u64> {
        self.alloc(0)
    }

    #[inline(always)]
    fn free_one(&mut self, frame: u64) {
        self.free(frame, 0);
    }

    fn alloc(&mut self, order: u32) -> Option<u64> {
        let size = 1 << order;
        let (mut before, mut at) = (END, self.head);
        while at != END {
            let Node { next, frames } = self.nodes[at as usize];
            let start = (at + size - 1) & !(size - 1);
            let end = at + frames;
            if start + size <= end {
                let mut rest = next;
                if start + size < end {
                    rest = start + size;
                    self.nodes[rest as usize] = Node {
                        next,
                        frames: end - rest,
                    };
                }
                if start > at {
                    self.nodes[at as usize] = Node {
                        next: rest,
                        frames: start - at,
                    };
                } else {
                    self.set_next(before, rest);
                }
                return Some(u64::from(start));
            }
            (before, at) = (at, next);
        }
        None
    }

    fn free(&mut self, frame: u64, order: u32) {
        let frame = frame as u32;
        let (mut before, mut at) = (END, self.head);
        while at < frame {
            (before, at) = (at, self.nodes[at as usize].next);
        }
        let mut node = Node {
            next: at,
            frames: 1 << order,
        };
        if at != END && frame + node.frames == at {
            node.frames += self.nodes[at as usize].frames;
            node.next = self.nodes[at as usize].next;
        }
        if before != END && before + self.nodes[before as usize].frames == frame {
            self.nodes[before as usize].frames += node.frames;
            self.nodes[before as usize].next = node.next;
        } else {
            self.nodes[frame as usize] = node;
            self.set_next(before, frame);
        }
    }

    /// The list lies in free memory; upstream's own state is a word.
    fn bytes(&self) -> Option<(usize, usize)> {
        Some((8, 8))
    }
}

/// `buddy_system_allocator::FrameAllocator`: buddies in B-trees.
pub struct BuddyCrate(buddy_system_allocator::FrameAllocator<21>);

impl Arm for BuddyCrate {
    fn new(frames: u32) -> Self {
        let mut inner = buddy_system_allocator::FrameAllocator::new();
        inner.add_frame(0, frames as usize);
        BuddyCrate(inner)
    }
    #[inline(always)]
    fn alloc_one(&mut self) -> Option<u64> {
        self.alloc(0)
    }
    #[inline(always)]
    fn free_one(&mut self, frame: u64) {
        self.free(frame, 0);
    }
    #[inline(always)]
    fn alloc(&mut self, order: u32) -> Option<u64> {
        self.0.alloc(1 << order).map(|frame| frame as u64)
    }
    #[inline(always)]
    fn free(&mut self, frame: u64, order: u32) {
        self.0.dealloc(frame as usize, 1 << order);
    }
}

/// `bitmap_allocator::BitAlloc1M`: a tree of 16-bit bitmaps.
pub struct BitmapCrate(Box<BitAlloc1M>);

impl Arm for BitmapCrate {
    fn new(frames: u32) -> Self {
        assert!(frames as usize <= BitAlloc1M::CAP);
        let mut inner = Box::new(BitAlloc1M::DEFAULT);
        inner.insert(0..frames as usize);
        BitmapCrate(inner)
    }
    #[inline(always)]
    fn alloc_one(&mut self) -> Option<u64> {
        self.0.alloc().map(|frame| frame as u64)
    }
    #[inline(always)]
    fn free_one(&mut self, frame: u64) {
        assert!(self.0.dealloc(frame as usize));
    }
    #[inline(always)]
    fn alloc(&mut self, order: u32) -> Option<u64> {
        let size = 1 << order;
        self.0
            .alloc_contiguous(None, size, order as usize)
            .map(|frame| frame as u64)
    }
    #[inline(always)]
    fn free(&mut self, frame: u64, order: u32) {
        assert!(self.0.dealloc_contiguous(frame as usize, 1 << order));
    }
    fn bytes(&self) -> Option<(usize, usize)> {
        Some((size_of::<BitAlloc1M>(), size_of::<BitAlloc1M>()))
    }
}

/// `offset_allocator::Allocator`: two-level segregated fit. It aligns nothing, and it wants its
/// own record of an allocation back, which is kept here by frame.
pub struct OffsetCrate {
    inner: offset_allocator::Allocator<u32>,
    records: Vec<Option<offset_allocator::Allocation<u32>>>,
}

impl Arm for OffsetCrate {
    fn new(frames: u32) -> Self {
        // When all is given out there is still a node for what is left, and one in use.
        let inner = offset_allocator::Allocator::with_max_allocs(frames, frames + 2);
        OffsetCrate {
            inner,
            records: vec![None; frames as usize],
        }
    }
    #[inline(always)]
    fn alloc_one(&mut self) -> Option<u64> {
        self.alloc(0)
    }
    #[inline(always)]
    fn free_one(&mut self, frame: u64) {
        self.free(frame, 0);
    }
    #[inline(always)]
    fn alloc(&mut self, order: u32) -> Option<u64> {
        let got = self.inner.allocate(1 << order)?;
        self.records[got.offset as usize] = Some(got);
        Some(u64::from(got.offset))
    }
    #[inline(always)]
    fn free(&mut self, frame: u64, _: u32) {
        if let Some(record) = self.records[frame as usize].take() {
            self.inner.free(record);
        }
    }
}
