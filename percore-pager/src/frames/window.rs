//! The stretch of frame numbers in which an allocator works.
//!
//! A window is cut into 2 MiB blocks, so its ends are moved outwards to block boundaries. It says
//! nothing about which of its frames exist: those are added and removed as regions.

use super::units::{FrameIx, FrameNo, Run, Span};

/// Frame numbers from a block boundary on, at most [`Window::MAX_FRAMES`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    base: FrameNo,
    frames: u32,
}

impl Window {
    /// Frames in a 2 MiB block.
    pub const BLOCK: u32 = 512;
    /// Frames in a 1 GiB group of blocks.
    pub const GROUP: u32 = 512 * 512;
    /// Largest window: 512 GiB. It keeps frame indices well inside 32 bits.
    pub const MAX_FRAMES: u32 = 1 << 27;

    /// The window that covers `run`; `None` when that takes more than [`Self::MAX_FRAMES`].
    pub const fn covering(run: Run) -> Option<Self> {
        let block = Self::BLOCK as u64;
        let base = run.start().0 / block * block;
        // The limit of the address space is a block boundary, so this cannot pass it.
        let end = run.end().0.div_ceil(block) * block;
        let frames = end - base;
        if frames > Self::MAX_FRAMES as u64 {
            return None;
        }
        Some(Window {
            base: FrameNo(base),
            frames: frames as u32,
        })
    }

    /// First frame, a multiple of 512.
    #[inline]
    pub const fn base(&self) -> FrameNo {
        self.base
    }

    /// Number of frames, a multiple of 512, at least 512.
    #[inline]
    pub const fn frames(&self) -> u32 {
        self.frames
    }

    /// Number of 2 MiB blocks.
    pub const fn blocks(&self) -> u32 {
        self.frames / Self::BLOCK
    }

    /// How many frames the base lies above a 1 GiB boundary: added to an index, this gives a
    /// number that is aligned as the frame number is, for every order.
    pub const fn skew(&self) -> u32 {
        (self.base.0 % Self::GROUP as u64) as u32
    }

    /// All frames.
    pub const fn span(&self) -> Span {
        Span {
            start: FrameIx(0),
            end: FrameIx(self.frames),
        }
    }

    /// The frame with index `ix`, which must be inside the window.
    #[inline]
    pub const fn frame(&self, ix: FrameIx) -> FrameNo {
        FrameNo(self.base.0 + ix.0 as u64)
    }

    /// The run of a span that is not empty.
    pub fn run(&self, span: Span) -> Option<Run> {
        Run::new(self.frame(span.start), span.frames() as u64)
    }

    /// Index of `frame`, `None` outside the window.
    #[inline]
    pub const fn index(&self, frame: FrameNo) -> Option<FrameIx> {
        let ix = frame.0.wrapping_sub(self.base.0);
        if ix < self.frames as u64 {
            Some(FrameIx(ix as u32))
        } else {
            None
        }
    }

    /// The span of `run`, `None` when not all of it is inside the window.
    pub fn span_of(&self, run: Run) -> Option<Span> {
        let start = self.index(run.start())?;
        if run.frames() > (self.frames - start.0) as u64 {
            return None;
        }
        Some(Span::at(start, run.frames() as u32))
    }

    /// The part of `run` that is inside the window; may be empty.
    pub fn clip(&self, run: Run) -> Span {
        let end = self.base.0 + self.frames as u64;
        let start = run.start().0.clamp(self.base.0, end);
        let stop = run.end().0.clamp(start, end);
        Span {
            start: FrameIx((start - self.base.0) as u32),
            end: FrameIx((stop - self.base.0) as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, frames: u64) -> Run {
        Run::new(FrameNo(start), frames).expect("a valid run")
    }

    #[test]
    fn a_window_is_whole_blocks() {
        let w = Window::covering(run(1000, 1)).expect("small");
        assert_eq!((w.base(), w.frames(), w.skew()), (FrameNo(512), 512, 512));
        assert_eq!(w.index(FrameNo(511)), None);
        assert_eq!(w.index(FrameNo(512)), Some(FrameIx(0)));
        assert_eq!(w.index(FrameNo(1024)), None);
        assert_eq!(w.span_of(run(1023, 2)), None);
    }

    #[test]
    fn a_window_may_end_at_the_top_of_the_address_space() {
        let w = Window::covering(run(FrameNo::LIMIT.0 - 3, 3)).expect("small");
        assert_eq!(w.frames(), 512);
        assert_eq!(w.index(FrameNo(FrameNo::LIMIT.0 - 1)), Some(FrameIx(511)));
        assert_eq!(w.index(FrameNo::LIMIT), None);
        assert!(w.span_of(run(FrameNo::LIMIT.0 - 3, 3)).is_some());
    }

    #[test]
    fn clipping_takes_what_is_inside() {
        let w = Window::covering(run(1024, 1024)).expect("small");
        assert_eq!(w.clip(run(0, 1 << 40)), w.span());
        assert!(w.clip(run(0, 10)).is_empty());
        assert!(w.clip(run(4096, 10)).is_empty());
        assert_eq!(w.clip(run(1000, 100)).frames(), 76);
    }

    #[test]
    fn too_large_a_window_is_refused() {
        assert!(Window::covering(run(0, 1 << 27)).is_some());
        assert!(Window::covering(run(1, 1 << 27)).is_none());
    }
}
