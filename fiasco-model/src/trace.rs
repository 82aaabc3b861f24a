//! The last events before now, and what was found wrong.
//!
//! The model is stricter than the kernel: what the kernel lets pass, but no correct server does,
//! is a violation and comes with the events that led there.

use std::collections::VecDeque;

use crate::object::{CpuId, ObjId};

/// Events about the memory concerned that a history shows besides the last ones.
const MEMORY_EVENTS: usize = 4;

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
    /// An operation on a kernel object begins.
    Called {
        thread: ObjId,
        obj: ObjId,
        proto: i64,
        op: u64,
    },
    /// An operation on a kernel object has a result.
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
    /// A capability was left: when the program exited, at the end of a run of a server that was at
    /// rest before, or when [`crate::Model::leaks`] was asked.
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

impl Misuse {
    /// Others that it is about.
    pub(crate) fn concerns(&self) -> Option<ObjId> {
        match self {
            Misuse::CallerForgotten { caller } | Misuse::ForeignReply { caller } => Some(*caller),
            _ => None,
        }
    }

    /// The memory that it is about: address and order.
    pub(crate) fn memory(&self) -> Option<(u64, u8)> {
        match self {
            Misuse::MappedNothing { addr, order } => Some((*addr, *order)),
            Misuse::UnhandledFault { addr } => Some((*addr, 0)),
            _ => None,
        }
    }
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
    /// The last operation or message.
    pub last_call: Option<Event>,
}

impl Ring {
    pub fn new(capacity: usize) -> Self {
        Ring {
            events: VecDeque::with_capacity(capacity),
            capacity,
            keep_all: false,
            last_call: None,
        }
    }

    #[inline]
    pub fn add(&mut self, e: Event) {
        if self.events.len() >= self.capacity && !self.keep_all {
            self.events.pop_front();
        }
        if matches!(e.what, What::Called { .. } | What::Message { .. }) {
            self.last_call = Some(e);
        }
        self.events.push_back(e);
    }

    pub fn all(&self) -> Vec<Event> {
        self.events.iter().copied().collect()
    }

    /// The last `n` events that name `who`.
    pub fn about(&self, who: &[ObjId], n: usize) -> Vec<Event> {
        self.history(who, None, n)
    }

    /// The last `n` events that name `who`, and the last of what became of some memory of a task:
    /// task, address, order.
    pub fn history(&self, who: &[ObjId], memory: Option<(ObjId, u64, u8)>, n: usize) -> Vec<Event> {
        let (mut named, mut touching) = (0, 0);
        let mut chosen = |e: &Event| {
            let names = e.what.objects().iter().any(|o| who.contains(o));
            let touches = memory.is_some_and(|(t, addr, order)| e.what.touches(t, addr, order));
            named += usize::from(names);
            touching += usize::from(touches);
            (names && named <= n) || (touches && touching <= MEMORY_EVENTS)
        };
        let mut found: Vec<Event> = self
            .events
            .iter()
            .rev()
            .filter(|e| chosen(e))
            .copied()
            .collect();
        found.reverse();
        found
    }
}

impl What {
    /// Whether it maps or unmaps some of `2^order` bytes at `addr` of `task`.
    fn touches(&self, task: ObjId, addr: u64, order: u8) -> bool {
        let (t, at, size) = match *self {
            What::Map {
                to, addr, order, ..
            } => (to, addr, order),
            What::Unmap { task, addr, order } => (task, addr, order),
            _ => return false,
        };
        let end = |start: u64, order: u8| start.saturating_add(1 << order.min(62));
        t == task && at < end(addr, order) && addr < end(at, size)
    }

    fn objects(&self) -> [ObjId; 2] {
        match *self {
            What::Message { from, to, .. } | What::Queued { from, to } => [from, to],
            What::Map { from, to, .. } => [from, to],
            What::Failed { thread, .. } | What::Fault { thread, .. } => [thread, thread],
            What::Called { thread, obj, .. } | What::Object { thread, obj, .. } => [thread, obj],
            What::Unmap { task, .. } => [task, task],
            What::Cap { task, obj, .. } => [task, obj],
            What::Deleted { obj } => [obj, obj],
            What::Irq { irq } => [irq, irq],
        }
    }
}
