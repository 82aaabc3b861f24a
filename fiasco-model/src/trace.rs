//! The last events before now, and what was found wrong.
//!
//! The model is stricter than the kernel: what the kernel lets pass, but no correct server does,
//! is a violation and comes with the events that led there.

use std::collections::VecDeque;

use crate::object::{CpuId, ObjId};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are what their names say.
pub enum What {
    /// A message went from thread to thread; `words` and `items` as in its tag.
    Message {
        from: ObjId,
        to: ObjId,
        label: u64,
        proto: i64,
        words: u8,
        items: u8,
    },
    /// A sender waits.
    Queued { from: ObjId, to: ObjId },
    /// An IPC failed with this code.
    Failed { thread: ObjId, code: u8 },
    /// A thread faulted.
    Fault {
        thread: ObjId,
        addr: u64,
        write: bool,
    },
    /// An operation on a kernel object.
    Object {
        thread: ObjId,
        obj: ObjId,
        proto: i64,
        op: u64,
        result: i64,
    },
    /// Memory was mapped.
    Map {
        from: ObjId,
        to: ObjId,
        addr: u64,
        order: u8,
    },
    /// Memory was taken back.
    Unmap { task: ObjId, addr: u64, order: u8 },
    /// A capability was entered.
    Cap { task: ObjId, slot: u64, obj: ObjId },
    /// An object went.
    Deleted { obj: ObjId },
    /// An interrupt object was triggered.
    Irq { irq: ObjId },
}

/// An event with place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Cycles since the start, on the CPU's own clock.
    pub time: u64,
    /// Where.
    pub cpu: CpuId,
    /// What.
    pub what: What,
}

/// A misuse of the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// A server sent memory that it does not have.
    MappedNothing {
        /// Address in the server that it meant.
        addr: u64,
        /// log2 of the size.
        order: u8,
    },
    /// A server answered a call that it had answered before.
    RepliedTwice,
    /// A call took the place of one that had no answer yet: that caller waits for ever.
    CallerForgotten {
        /// Who waits.
        caller: ObjId,
    },
    /// A thread replied to a call that another thread of its task had received: the caller takes
    /// no answer from it, and waits for ever.
    ForeignReply {
        /// Who waits.
        caller: ObjId,
    },
    /// A capability was left when the task was checked.
    CapabilityLeak {
        /// Where.
        slot: u64,
        /// What kind of object.
        kind: &'static str,
        /// Which.
        obj: ObjId,
    },
    /// A thread touched memory that nobody mapped for it, and nobody handled the exception.
    UnhandledFault {
        /// Where.
        addr: u64,
    },
    /// A thread was started at an address that is no entry.
    NoEntry {
        /// The instruction pointer.
        ip: u64,
    },
}

/// A misuse, who did it, and the events before it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The thread (or task, for leaks) at fault.
    pub who: ObjId,
    /// Its name, when the debugger was told one.
    pub name: String,
    /// When.
    pub time: u64,
    /// What.
    pub misuse: Misuse,
    /// The last events that concern it, oldest first.
    pub history: Vec<Event>,
}

impl core::fmt::Display for Violation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(
            f,
            "{} ({}) at {}: {:?}",
            self.who, self.name, self.time, self.misuse
        )?;
        for e in &self.history {
            writeln!(f, "  {:>12} {}: {:?}", e.time, e.cpu, e.what)?;
        }
        Ok(())
    }
}

/// A ring of the last events.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<Event>,
    capacity: usize,
    /// Everything is kept, not only the last events.
    pub keep_all: bool,
}

impl Ring {
    pub fn new(capacity: usize) -> Self {
        Ring {
            events: VecDeque::with_capacity(capacity),
            capacity,
            keep_all: false,
        }
    }

    #[inline]
    pub fn add(&mut self, e: Event) {
        if self.events.len() >= self.capacity && !self.keep_all {
            self.events.pop_front();
        }
        self.events.push_back(e);
    }

    pub fn all(&self) -> Vec<Event> {
        self.events.iter().copied().collect()
    }

    /// The last `n` events that name `who`.
    pub fn about(&self, who: &[ObjId], n: usize) -> Vec<Event> {
        let mut found: Vec<Event> = self
            .events
            .iter()
            .rev()
            .filter(|e| e.what.objects().iter().any(|o| who.contains(o)))
            .take(n)
            .copied()
            .collect();
        found.reverse();
        found
    }
}

impl What {
    fn objects(&self) -> [ObjId; 2] {
        match *self {
            What::Message { from, to, .. } | What::Queued { from, to } => [from, to],
            What::Map { from, to, .. } => [from, to],
            What::Failed { thread, .. } | What::Fault { thread, .. } => [thread, thread],
            What::Object { thread, obj, .. } => [thread, obj],
            What::Unmap { task, .. } => [task, task],
            What::Cap { task, obj, .. } => [task, obj],
            What::Deleted { obj } => [obj, obj],
            What::Irq { irq } => [irq, irq],
        }
    }
}
