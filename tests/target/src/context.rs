//! What the tests have to work with: clients of sigma0, slots, and how the program was started.

use l4_sys::item::SendItem;
use l4_sys::kip::Kip;
use l4_sys::ops::{sigma0, task};
use l4_sys::{CapIdx, CapRights, Fpage, MemRights, PAGE_SIZE, UtcbRef, proto};
use l4re_rs::Cap;
use l4re_rs::cap::{Slots, kind};
use l4re_rs::client::sigma0_ext;
use l4re_rs::msg::Writer;
use l4re_rs::start::env::Environment;

use crate::ask::{self, Message, Reply, WINDOW};

/// How the test was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// In place of the root task.
    RootTask,
    /// By a loader, below a root task.
    Program,
}

/// Everything that tests share.
pub struct Context {
    /// How the test was started.
    pub start: Start,
    /// Our client of sigma0, with all rights: "A" in the tests.
    pub a: Cap<kind::Sigma0>,
    /// The kernel's factory.
    pub factory: Cap<kind::Factory>,
    /// Scheduler for our threads.
    pub scheduler: Cap<kind::Scheduler>,
    /// The thread that runs the tests.
    pub main_thread: Cap<kind::Thread>,
    /// Address of a UTCB that no thread has.
    pub free_utcb: u64,
    slots: Slots<2>,
    /// Clients made so far.
    pub made: u64,
}

/// Our own task.
pub const OWN_TASK: Cap<kind::Task> = Cap::new(CapIdx::TASK);

impl Context {
    /// For a root task: sigma0 is in the pager's slot.
    #[must_use]
    pub fn for_root_task() -> Self {
        Context {
            start: Start::RootTask,
            a: Cap::new(CapIdx::PAGER),
            factory: Cap::new(CapIdx::FACTORY),
            scheduler: Cap::new(CapIdx::SCHEDULER),
            main_thread: Cap::new(CapIdx::THREAD),
            // The kernel gives the root task one page of UTCBs and uses the first.
            free_utcb: UtcbRef::current().as_ptr() as u64 + l4_sys::utcb::UTCB_SIZE,
            slots: Slots::new(CapIdx::from_slot(0x100)),
            made: 0,
        }
    }

    /// For an ordinary program: needs an initial capability `sigma0`.
    #[must_use]
    pub fn for_program(env: &Environment) -> Option<Self> {
        Some(Context {
            start: Start::Program,
            a: env.get("sigma0")?,
            factory: env.factory(),
            scheduler: env.scheduler(),
            main_thread: env.main_thread(),
            free_utcb: env.first_free_utcb(),
            slots: Slots::new(env.first_free()),
            made: 0,
        })
    }

    /// Whether this is the root task.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.start == Start::RootTask
    }

    /// Whether the server is sigma0-rs: it says that it speaks a protocol of its own.
    #[must_use]
    pub fn is_sigma0_rs(&self) -> bool {
        let words = [2, sigma0_ext::PROTOCOL.cast_unsigned()];
        Message::new(proto::META, &words).ask(self.a) == Reply::Done(1)
    }

    /// An empty slot. The tests need fewer than there are.
    ///
    /// # Panics
    /// When the slots are used up: a mistake of the tests.
    pub fn slot<K>(&mut self) -> Cap<K> {
        self.slots.alloc().expect("128 slots are enough")
    }

    /// Empties a slot and gives it back.
    pub fn drop_slot<K>(&mut self, cap: Cap<K>) {
        let _ = OWN_TASK.release(cap);
        let _ = self.slots.free(cap);
    }

    /// Makes a new client of sigma0.
    ///
    /// # Panics
    /// When sigma0 refuses: S0-FAC-01 has tested before that it does not.
    pub fn client(&mut self) -> Cap<kind::Sigma0> {
        let slot = self.slot();
        let reply = create_client(self.a, slot);
        assert!(reply == Reply::capability(), "no further client: {reply:?}");
        self.made += 1;
        slot
    }

    /// A copy of a capability with fewer rights.
    ///
    /// # Panics
    /// When the kernel refuses: a mistake of the tests.
    pub fn weaker<K>(&mut self, cap: Cap<K>, rights: CapRights) -> Cap<K> {
        let slot: Cap<K> = self.slot();
        let from = cap.fpage(rights);
        // For a capability the send base is the slot, with the map bit.
        let base = slot.idx().raw() | l4_sys::item::ITEM_MAP;
        let tag = Writer::new(UtcbRef::current())
            .u64(task::MAP)
            .u64(base)
            .u64(from.0)
            .item(SendItem::plain(OWN_TASK.fpage(CapRights::RWS)))
            .finish(proto::TASK)
            .expect("fits");
        l4re_rs::client::ipc::call(OWN_TASK, tag).expect("own capability can be copied");
        slot
    }

    /// The kernel information page, mapped through sigma0.
    #[must_use]
    pub fn kip(&self) -> Option<&'static Kip> {
        let base = ask::sigma0(self.a, sigma0::KIP, 0).address()?;
        // SAFETY: sigma0 has just mapped the page there (or it lies), and it is never unmapped.
        Some(unsafe { Kip::from_addr(WINDOW + base) })
    }

    /// Takes the window's view of a block away from us, and nothing else.
    pub fn unmap(&self, address: u64, order: u32) {
        let page = Fpage::mem(WINDOW + address, order, MemRights::RWX);
        // SAFETY: in the window there are no Rust objects; the KIP stays out of it.
        let _ = unsafe { OWN_TASK.unmap(&[page]) };
    }
}

/// Asks `with` for a new client into `slot`.
pub fn create_client(with: Cap<kind::Sigma0>, slot: Cap<kind::Sigma0>) -> Reply {
    Message::new(proto::FACTORY, &[proto::SIGMA0.cast_unsigned()])
        .into_slot(slot)
        .ask(with)
}

/// Writes a word to physical memory that is mapped in the window.
pub fn poke(address: u64, value: u64) {
    debug_assert!(address.is_multiple_of(8) && address % PAGE_SIZE <= PAGE_SIZE - 8);
    // SAFETY: the caller got this page mapped writable; no Rust object is there.
    unsafe { core::ptr::write_volatile(l4_sys::mem::at(WINDOW + address).cast(), value) }
}

/// Reads a word of physical memory that is mapped in the window.
#[must_use]
pub fn peek(address: u64) -> u64 {
    // SAFETY: the caller got this page mapped; any bytes are a number.
    unsafe { core::ptr::read_volatile(l4_sys::mem::at(WINDOW + address).cast()) }
}
