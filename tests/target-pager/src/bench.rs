//! What the tests have to work with: the factory under test, slots, a child task, the window.

use l4_sys::item::SendItem;
use l4_sys::ops::task;
use l4_sys::{CapIdx, CapRights, Errno, UtcbRef, proto};
use l4re_rs::Cap;
use l4re_rs::cap::{Slots, kind};
use l4re_rs::client::ipc;
use l4re_rs::msg::Writer;
use l4re_rs::start::aux::Process;
use l4re_rs::varg::Arg;

use crate::ask::{Got, WINDOW};
use crate::child::Child;
use crate::ops;

/// Our own task.
pub const OWN_TASK: Cap<kind::Task> = Cap::new(CapIdx::TASK);

/// Everything that tests share.
#[derive(Debug)]
pub struct Bench {
    /// The factory under test, with all rights.
    pub f: Cap<kind::Factory>,
    /// The kernel's factory.
    pub kernel: Cap<kind::Factory>,
    /// Our own memory's factory: another server's, when percore-pager is under test.
    pub own: Cap<kind::Factory>,
    /// Scheduler for our threads.
    pub scheduler: Cap<kind::Scheduler>,
    /// The thread that runs the tests.
    pub main_thread: Cap<kind::Thread>,
    /// Address of a UTCB of our task that no thread has.
    pub free_utcb: u64,
    /// Whether the server is percore-pager: the boot script says so, by the argument `ours`.
    pub ours: bool,
    /// Next spot of the window that no test has used.
    next_spot: u64,
    /// Four slots, aligned, for the one child there is at a time.
    pub(crate) child_slots: CapIdx,
    slots: Slots<16>,
}

impl Bench {
    /// For a program that was given a capability `factory`.
    #[must_use]
    pub fn new(process: &Process) -> Option<Self> {
        let env = process.env;
        let f = env.get("factory")?;
        let ours = process.args().nth(1) == Some(b"ours");
        let child_slots = CapIdx::from_slot(env.first_free().slot().next_multiple_of(4));
        Some(Bench {
            f,
            kernel: env.factory(),
            own: env.mem_alloc(),
            scheduler: env.scheduler(),
            main_thread: env.main_thread(),
            free_utcb: env.first_free_utcb(),
            ours,
            next_spot: 0,
            child_slots,
            slots: Slots::new(child_slots.offset(4)),
        })
    }

    /// An empty slot.
    ///
    /// # Panics
    /// When the slots are used up: a mistake of the tests.
    pub fn slot<K>(&mut self) -> Cap<K> {
        self.slots.alloc().expect("1024 slots are enough")
    }

    /// Empties a slot and gives it back. The object ends with its last capability.
    pub fn drop<K>(&mut self, cap: Cap<K>) {
        let _ = OWN_TASK.release(cap);
        let _ = self.slots.free(cap);
    }

    /// Deletes the object and gives the slot back.
    pub fn delete<K>(&mut self, cap: Cap<K>) {
        let _ = OWN_TASK.delete(cap);
        let _ = self.slots.free(cap);
    }

    /// A part of the window that nobody used: its spot, a multiple of 4 MiB. Parts are 4 MiB apart.
    pub fn spot(&mut self) -> u64 {
        let spot = self.next_spot;
        self.next_spot += 4 << 20;
        spot
    }

    /// Makes an object of factory `f`.
    ///
    /// # Errors
    /// The server's answer; the slot is given back then.
    pub fn create<K>(
        &mut self,
        f: Cap<kind::Factory>,
        object: i64,
        args: &[Arg<'_>],
    ) -> Result<Cap<K>, Got> {
        let slot = self.slot();
        match ops::create(f, object, args, slot) {
            Got::OK => Ok(slot),
            other => {
                self.drop(slot);
                Err(other)
            }
        }
    }

    /// What an attempt to make an object comes to; the object, if any, is deleted at once.
    pub fn try_create(&mut self, f: Cap<kind::Factory>, object: i64, args: &[Arg<'_>]) -> Got {
        match self.create::<kind::Any>(f, object, args) {
            Ok(cap) => {
                self.delete(cap);
                Got::OK
            }
            Err(got) => got,
        }
    }

    /// An on-demand dataspace.
    ///
    /// # Errors
    /// The server's.
    pub fn ds(&mut self, f: Cap<kind::Factory>, size: u64) -> Result<Cap<kind::Dataspace>, Got> {
        self.create(f, proto::DATASPACE, &[Arg::Int(size.cast_signed())])
    }

    /// A contiguous dataspace, aligned to `2^align`.
    ///
    /// # Errors
    /// The server's.
    pub fn contiguous(
        &mut self,
        f: Cap<kind::Factory>,
        size: i64,
        align: u64,
    ) -> Result<Cap<kind::Dataspace>, Got> {
        let args = [Arg::Int(size), Arg::Uint(1), Arg::Uint(align)];
        self.create(f, proto::DATASPACE, &args)
    }

    /// A region map.
    ///
    /// # Errors
    /// The server's.
    pub fn region_map(&mut self, f: Cap<kind::Factory>) -> Result<Cap<kind::Rm>, Got> {
        self.create(f, proto::RM, &[])
    }

    /// A factory with a limit.
    ///
    /// # Errors
    /// The server's.
    pub fn factory(
        &mut self,
        f: Cap<kind::Factory>,
        quota: u64,
    ) -> Result<Cap<kind::Factory>, Got> {
        self.create(f, proto::FACTORY, &[Arg::Int(quota.cast_signed())])
    }

    /// A copy of a capability with fewer rights.
    ///
    /// # Errors
    /// `NoMem` of the kernel.
    pub fn weaker<K>(&mut self, cap: Cap<K>, rights: CapRights) -> Result<Cap<K>, Got> {
        let slot: Cap<K> = self.slot();
        // For a capability the send base is the slot, with the map bit.
        let base = slot.idx().raw() | l4_sys::item::ITEM_MAP;
        let done = give(OWN_TASK, cap.fpage(rights), base);
        done.then_some(slot).ok_or(Got::err(Errno::NoMem))
    }

    /// A child task.
    ///
    /// # Errors
    /// The kernel's, as `NoMem`.
    pub fn child(&mut self) -> Result<Child, Got> {
        Child::new(self).ok_or(Got::err(Errno::NoMem))
    }

    /// Waits until the factory's figures are what they were, at most two seconds: ends of objects
    /// are worked off in turns.
    #[must_use]
    pub fn settles(&self, f: Cap<kind::Factory>, before: ops::Info) -> bool {
        (0..200).any(|_| {
            let now = ops::info(f);
            let same = now.is_some_and(|i| (i.reserved, i.free) == (before.reserved, before.free));
            if !same {
                ipc::sleep(l4_sys::Timeout::from_us(10_000));
            }
            same
        })
    }
}

/// Maps one of our own flexpages into a task.
pub fn give(to: Cap<kind::Task>, what: l4_sys::Fpage, base: u64) -> bool {
    let tag = Writer::new(UtcbRef::current())
        .u64(task::MAP)
        .u64(base)
        .u64(what.0)
        .item(SendItem::plain(OWN_TASK.fpage(CapRights::RWS)))
        .finish(proto::TASK);
    tag.is_ok_and(|tag| ipc::call(to, tag).is_ok())
}

/// Takes a part of the window away from us.
pub fn unmap(spot: u64, order: u32) {
    // SAFETY: in the window there are no Rust objects.
    let _ = unsafe { OWN_TASK.unmap(&[ops::page(WINDOW + spot, order)]) };
}

/// Writes a word of the window; the caller has mapped it writable.
pub fn poke(spot: u64, value: u64) {
    // SAFETY: the caller got this page mapped writable; no Rust object is there.
    unsafe { core::ptr::write_volatile(l4_sys::mem::at(WINDOW + spot).cast(), value) }
}

/// Reads a word of the window; the caller has mapped it.
#[must_use]
pub fn peek(spot: u64) -> u64 {
    // SAFETY: the caller got this page mapped; any bytes are a number.
    unsafe { core::ptr::read_volatile(l4_sys::mem::at(WINDOW + spot).cast()) }
}
