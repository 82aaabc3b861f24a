//! The L4Re environment: the capabilities that a program starts with.

use l4_sys::{CapIdx, Fpage};

use crate::cap::{Cap, kind};

/// Longest name of an initial capability in bytes.
pub const NAME_LEN: usize = 16;

/// One entry of the table of named capabilities.
#[derive(Debug)]
#[repr(C)]
pub struct Entry {
    /// The slot, in kernel form.
    pub cap: u64,
    /// All ones ends the table.
    pub flags: u64,
    /// Name, NUL-padded, without NUL at full length.
    pub name: [u8; NAME_LEN],
}

/// The record as loaders lay it out.
#[derive(Debug)]
#[repr(C)]
pub struct Environment {
    parent: u64,
    rm: u64,
    mem_alloc: u64,
    log: u64,
    main_thread: u64,
    factory: u64,
    scheduler: u64,
    itas: u64,
    dbg_events: u64,
    first_free_cap: u64,
    first_free_reply_cap: u64,
    utcb_area: u64,
    first_free_utcb: u64,
    caps: *const Entry,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Entry>() == 32);
    assert!(offset_of!(Environment, first_free_cap) == 72);
    assert!(offset_of!(Environment, caps) == 104);
    assert!(size_of::<Environment>() == 112);
};

macro_rules! caps {
    ($($(#[$d:meta])* $name:ident: $kind:ident,)*) => {
        $($(#[$d])* #[must_use] pub fn $name(&self) -> Cap<kind::$kind> {
            Cap::new(CapIdx::from_raw(self.$name))
        })*
    };
}

impl Environment {
    caps! {
        /// Who is told when the program ends.
        parent: Parent,
        /// The program's region map.
        rm: Rm,
        /// Where the program gets memory and objects of the memory server.
        mem_alloc: Factory,
        /// The program's log.
        log: Log,
        /// The first thread.
        main_thread: Thread,
        /// Where the program gets kernel objects.
        factory: Factory,
        /// The program's scheduler.
        scheduler: Scheduler,
    }

    /// First slot that the program may use. The loader counts slots here, not kernel-form indices.
    #[must_use]
    pub fn first_free(&self) -> CapIdx {
        CapIdx::from_slot(self.first_free_cap)
    }

    /// First reply slot that the program may use; slots up to 2^18 exist.
    #[must_use]
    pub fn first_free_reply(&self) -> u32 {
        self.first_free_reply_cap as u32
    }

    /// The memory that holds the UTCBs of the task.
    #[must_use]
    pub fn utcb_area(&self) -> Fpage {
        Fpage(self.utcb_area)
    }

    /// Address of the first UTCB that no thread has yet.
    #[must_use]
    pub fn first_free_utcb(&self) -> u64 {
        self.first_free_utcb
    }

    /// The named capabilities.
    pub fn named(&self) -> impl Iterator<Item = &'static Entry> {
        let mut next = self.caps;
        core::iter::from_fn(move || {
            if next.is_null() {
                return None;
            }
            // SAFETY: the loader ends the table with an entry whose flags are all ones, and it
            // stays mapped for the program's life.
            let entry = unsafe { &*next };
            if entry.flags == u64::MAX {
                return None;
            }
            // SAFETY: this was not the last entry.
            next = unsafe { next.add(1) };
            Some(entry)
        })
    }

    /// The capability with this name, if the program was given one.
    #[must_use]
    pub fn get<K>(&self, name: &str) -> Option<Cap<K>> {
        let name = name.as_bytes().get(..NAME_LEN).unwrap_or(name.as_bytes());
        self.named()
            .find(|e| e.name.split(|b| *b == 0).next() == Some(name))
            .map(|e| Cap::new(CapIdx::from_raw(e.cap)))
    }
}
