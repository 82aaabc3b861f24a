//! How large a cache is.

/// Size of a cache. A depth of 0 turns it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// Most frames held. Bounds the work of a request that has to empty the cache.
    pub depth: u8,
    /// Frames moved from or to the policy at a time, at least 1 and at most the depth.
    pub batch: u8,
    /// Most 2 MiB blocks held, at most 4.
    pub blocks: u8,
}

impl CacheShape {
    /// No cache.
    pub const OFF: CacheShape = CacheShape {
        depth: 0,
        batch: 1,
        blocks: 0,
    };
    /// Two blocks, and 64 KiB worth of frames, a quarter of them moved at a time.
    pub const DEFAULT: CacheShape = CacheShape {
        depth: 16,
        batch: 4,
        blocks: 2,
    };
}
