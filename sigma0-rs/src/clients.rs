//! Clients of their own: gates that the factory request makes (S0-FAC).
//!
//! A gate whose answer reached nobody is kept for the next request. Deleting it instead would make
//! the kernel wait for all CPUs, and sigma0 with it, each time a client asks without a receive buffer.

use l4_sys::{CapIdx, CapRights, Errno};
use l4re_rs::cap::{Cap, kind};

use crate::server::OWN_TASK;

/// Highest slot number that fits an owner number.
const LAST_SLOT: u64 = 0xfff;

/// Makes the gates. Slot, owner number and label of a client are one number; none is used twice.
#[derive(Debug)]
pub struct Clients {
    next: u64,
    /// The gate with the number `next` is there already, and nobody has it.
    spare: bool,
}

impl Clients {
    /// The first client gets slot 12.
    #[must_use]
    pub const fn new() -> Self {
        Clients {
            next: CapIdx::FIRST_FREE.slot(),
            spare: false,
        }
    }

    /// How many have been made.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next - CapIdx::FIRST_FREE.slot()
    }

    /// A gate for a new client, in a slot of ours.
    ///
    /// # Errors
    /// `NoMem` when numbers or the kernel's memory have run out. The number is then still free:
    /// the client hears of it and no empty capability is sent (BUG-18).
    pub fn create(&mut self) -> Result<Cap<kind::Gate>, Errno> {
        if self.next > LAST_SLOT {
            return Err(Errno::NoMem);
        }
        let gate = Cap::new(CapIdx::from_slot(self.next));
        if !self.spare {
            let factory = Cap::<kind::Factory>::new(CapIdx::FACTORY);
            factory
                .create_gate(self.next << 4, Cap::new(CapIdx::THREAD), gate)
                .map_err(|_| Errno::NoMem)?;
        }
        self.spare = false;
        self.next += 1;
        Ok(gate)
    }

    /// Takes the last gate back: its answer reached nobody. Without this a client that never opens
    /// a receive buffer could use up the numbers of all others.
    pub fn take_back(&mut self) {
        if self.next > CapIdx::FIRST_FREE.slot() {
            let gate = Cap::<kind::Gate>::new(CapIdx::from_slot(self.next - 1));
            // The kernel maps an item whole or not at all, so this finds nothing; but a gate that
            // somebody did have must never be given to another client.
            let only_ours = OWN_TASK.unmap_from_others(&[gate.fpage(CapRights::RWSD)]);
            if only_ours.is_ok() {
                self.next -= 1;
                self.spare = true;
            }
        }
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self::new()
    }
}
