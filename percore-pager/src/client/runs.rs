//! Runs of frames without a dataspace around them.

use l4_sys::{Fpage, MemRights, PAGE_SHIFT, UtcbRef};
use l4re_rs::client::ipc;
use l4re_rs::{Error, Result};

use super::{Pager, answer};
use crate::api::{HANDLES_PER_CALL, Op, RUNS_PER_CALL, flag, reply, request};

/// Names a run within its factory.
pub type Handle = u32;

/// What runs are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// log2 of the frames of each run, 0 to 18.
    pub order: u32,
    /// From the factory's reserve only: never fails while there is one, and zeroes nothing.
    pub from_reserve: bool,
    /// Zero runs that were used before.
    pub clear: bool,
    /// Rights to map with.
    pub rights: MemRights,
}

impl Shape {
    /// Fresh zeroed runs, readable and writable.
    #[must_use]
    pub const fn order(order: u32) -> Self {
        Shape {
            order,
            from_reserve: false,
            clear: false,
            rights: MemRights::RW,
        }
    }

    /// The same from the reserve.
    #[must_use]
    pub const fn from_reserve(self) -> Self {
        Shape {
            from_reserve: true,
            ..self
        }
    }

    fn flags(self) -> u32 {
        let flags = if self.from_reserve {
            flag::FROM_RESERVE
        } else {
            0
        };
        flags | if self.clear { flag::CLEAR } else { 0 }
    }
}

impl Pager {
    fn alloc_request(self, shape: Shape, count: usize, flags: u32, spot: u64) -> request::Alloc {
        request::Alloc {
            head: self.head(Op::Alloc),
            order: shape.order,
            count: count as u32,
            flags: shape.flags() | flags,
            rights: u32::from(shape.rights.bits()),
            spot,
        }
    }

    /// Allocates up to `out.len()` runs (at most [`RUNS_PER_CALL`]) and maps them one behind the other
    /// at `spot` in `window`; gives how many there were, at least one. Needs S.
    ///
    /// # Errors
    /// `Refused(NoMem)` not a single one; `Refused(NoEnt)` the reserve has none of this order;
    /// `Refused(Inval)` order, count, or `spot` not a multiple of a run's bytes; `Refused(Perm)`.
    ///
    /// # Safety
    /// Nothing that Rust uses lies where the runs are mapped.
    pub unsafe fn alloc(
        self,
        shape: Shape,
        window: Fpage,
        spot: u64,
        out: &mut [Handle],
    ) -> Result<usize> {
        let request = self.alloc_request(shape, out.len().min(RUNS_PER_CALL), 0, spot);
        let tag = Self::seal(&request, size_of_val(&request))?;
        // SAFETY: the caller's promise.
        let tag = unsafe { ipc::call_for_memory(self.cap, tag, window) }?;
        handles(tag, out)
    }

    /// The same without mapping anything.
    ///
    /// # Errors
    /// As [`Pager::alloc`].
    pub fn alloc_unmapped(self, shape: Shape, out: &mut [Handle]) -> Result<usize> {
        let count = out.len().min(RUNS_PER_CALL);
        let request = self.alloc_request(shape, count, flag::NO_MAP, 0);
        let tag = ipc::call(self.cap, Self::seal(&request, size_of_val(&request))?)?;
        handles(tag, out)
    }

    /// Frees runs: all, or none when one of them is not the factory's. They are taken from everybody
    /// who has them mapped before anybody else gets them. With `to_reserve` they stay the factory's,
    /// mapped where they are. Needs S.
    ///
    /// # Errors
    /// `Refused(NoEnt)` one is not the factory's, or is named twice; `Refused(Inval)` none, or more
    /// than [`HANDLES_PER_CALL`]; `Refused(Perm)`.
    ///
    /// # Safety
    /// Rust uses nothing in their mappings any more.
    pub unsafe fn free(self, runs: &[Handle], to_reserve: bool) -> Result<()> {
        if runs.len() > HANDLES_PER_CALL {
            return Err(Error::NoRoom);
        }
        let mut request = request::Free {
            head: self.head(Op::Free),
            count: runs.len() as u32,
            flags: if to_reserve { flag::TO_RESERVE } else { 0 },
            handles: [0; HANDLES_PER_CALL],
        };
        for (to, from) in request.handles.iter_mut().zip(runs) {
            *to = *from;
        }
        let bytes = request::Free::bytes(runs.len());
        ipc::call(self.cap, Self::seal(&request, bytes)?).map(|_| ())
    }

    /// Maps `2^order` bytes at `offset` of a run to `spot` in `window`. Needs S.
    ///
    /// # Errors
    /// `Refused(NoEnt)` not a run of the factory; `Refused(Range)` not inside it; `Refused(Inval)`
    /// misaligned or no rights; `Refused(Perm)`.
    ///
    /// # Safety
    /// As [`Pager::alloc`].
    pub unsafe fn map(
        self,
        run: Handle,
        (offset, order): (u64, u32),
        rights: MemRights,
        window: Fpage,
        spot: u64,
    ) -> Result<()> {
        let request = request::Map {
            head: self.head(Op::Map),
            handle: run,
            rights: u32::from(rights.bits()),
            order,
            zero: 0,
            offset,
            spot,
        };
        let tag = Self::seal(&request, size_of_val(&request))?;
        // SAFETY: the caller's promise.
        unsafe { ipc::call_for_memory(self.cap, tag, window) }.map(|_| ())
    }

    /// The factory's runs, a part of them a call: begin with `from` 0, and stop when the second value
    /// is 0. Needs S.
    ///
    /// # Errors
    /// `Refused(Perm)`.
    pub fn runs(self, from: u32, mut visit: impl FnMut(reply::Run)) -> Result<u32> {
        let head = self.head(Op::Runs);
        let request = request::Runs {
            head,
            from,
            zero: 0,
        };
        let tag = ipc::call(self.cap, Self::seal(&request, size_of_val(&request))?)?;
        let list: reply::Runs = answer(tag, core::mem::offset_of!(reply::Runs, runs))?;
        let count = usize::try_from(tag.label()).unwrap_or(0);
        list.runs.into_iter().take(count).for_each(&mut visit);
        Ok(list.next)
    }

    /// Has the reserve hold `count` runs of `order`: takes more from the pager, zeroed, or gives runs
    /// back. Gives how many there are then: fewer when memory or quota ends. Needs S.
    ///
    /// # Errors
    /// `Refused(Inval)` order; `Refused(Perm)`.
    pub fn reserve(self, order: u32, count: u32) -> Result<u32> {
        let answer: reply::Reserve = self.ask(&request::Reserve {
            head: self.head(Op::Reserve),
            order,
            count,
        })?;
        Ok(answer.have)
    }
}

/// Bytes of a run of this order.
#[must_use]
pub const fn bytes(order: u32) -> u64 {
    1 << (PAGE_SHIFT + order)
}

/// The handles of an answer to ALLOC.
fn handles(tag: l4_sys::MsgTag, out: &mut [Handle]) -> Result<usize> {
    let utcb = UtcbRef::current();
    let count = usize::try_from(tag.label()).unwrap_or(0).min(out.len());
    if count == 0 || tag.words() * 2 < count {
        return Err(Error::BadReply);
    }
    for (index, handle) in out.iter_mut().enumerate().take(count) {
        *handle = (utcb.mr(index / 2) >> (index % 2 * 32)) as u32;
    }
    Ok(count)
}
