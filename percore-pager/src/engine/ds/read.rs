//! Reading a dataspace from inside the server.

use l4_sys::{PAGE_SHIFT, PAGE_SIZE};

use crate::engine::arena::{Ref, Store};
use crate::engine::kernel::{Kernel, Place};
use crate::engine::pool::Pool;
use crate::frames::{FrameNo, Policy};

use super::object::{Ds, Kind};
use super::page;
use super::share;
use super::word::Page;

/// The frame of the page at `at`; `None` when there is no memory for it.
pub(super) fn frame<P: Policy, K: Kernel>(
    pool: &Pool<'_, P, K>,
    ds: Ref<Ds>,
    at: u64,
) -> Option<FrameNo> {
    let it = pool.arena().get(ds);
    let page = at >> PAGE_SHIFT;
    if it.kind() != Kind::OnDemand {
        return Some(FrameNo(it.root + page));
    }
    match page::look(pool.arena(), ds, page) {
        Page::Empty => None,
        Page::Own(frame) | Page::Static(frame) => Some(frame),
        Page::Shared(record) => Some(share::frame(pool.arena(), record)),
    }
}

/// Copies up to `bytes` bytes at `offset` to `to`, not beyond the page that `offset` is in, nor the last page's
/// end. Pages without memory read as zero and get none. Gives how many bytes that were.
pub fn read<P: Policy, K: Kernel>(
    pool: &mut Pool<'_, P, K>,
    ds: Ref<Ds>,
    offset: u64,
    to: Place,
    bytes: u32,
) -> u32 {
    let rest = pool.arena().get(ds).rounded_size().saturating_sub(offset);
    let within = offset % PAGE_SIZE;
    let bytes = rest.min(PAGE_SIZE - within).min(u64::from(bytes)) as u32;
    if bytes == 0 {
        return 0;
    }
    match frame(pool, ds, offset) {
        Some(frame) => {
            let offset = within as u32;
            pool.kernel.copy(to, Place { frame, offset }, bytes);
        }
        None => pool.kernel.zero_bytes(to, bytes),
    }
    bytes
}
