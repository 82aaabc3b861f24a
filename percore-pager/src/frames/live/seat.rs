//! A policy and the memory it was made on, which comes back when it is dropped.

use core::sync::atomic::AtomicU64;

use super::super::memory::Memory;
use super::super::policies::{Chosen, Policies};
use super::super::window::Window;

/// Where a policy's memory came from, so that it can be given back.
#[derive(Debug)]
struct Origin<'a> {
    shared: &'a [AtomicU64],
    private: *mut u64,
    words: usize,
}

// SAFETY: the pointer stands for the exclusive borrow it was made from, which could be sent.
unsafe impl Send for Origin<'_> {}

#[derive(Debug)]
pub(super) struct Seat<'a> {
    pub(super) policy: Chosen<'a>,
    origin: Origin<'a>,
}

impl<'a> Seat<'a> {
    /// `policies` on `memory`; `None` when that is too little.
    pub(super) fn new(policies: Policies, window: Window, memory: Memory<'a>) -> Option<Self> {
        let Memory { shared, private } = memory;
        let origin = Origin {
            shared,
            private: private.as_mut_ptr(),
            words: private.len(),
        };
        // SAFETY: this is `private`, from the very pointer that `origin` keeps, which is not
        // used before the policy made of it is gone.
        let private = unsafe { core::slice::from_raw_parts_mut(origin.private, origin.words) };
        let policy = Chosen::new(policies, window, Memory { shared, private })?;
        Some(Seat { policy, origin })
    }

    /// Drops the policy.
    pub(super) fn into_memory(self) -> Memory<'a> {
        let Seat { policy, origin } = self;
        drop(policy);
        // SAFETY: the words were borrowed exclusively for 'a to make the policy, nothing but the
        // policy had references to them (policies hand none out), and it was just dropped.
        let private = unsafe { core::slice::from_raw_parts_mut(origin.private, origin.words) };
        Memory {
            shared: origin.shared,
            private,
        }
    }
}
