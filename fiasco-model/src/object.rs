//! Kernel objects and the table that holds them.
//!
//! Identifiers are never used twice in one run, so a stale one finds nothing instead of a
//! stranger. Every object remembers which capability slots name it, because that list, not the
//! number of users, decides when it goes: with its last counted capability.

use crate::queue::Queue;
use crate::quota::QuotaId;
use crate::space::Task;
use crate::sys_semaphore::Semaphore;
use crate::thread::Thread;

/// Identifier of a kernel object, unique within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjId(pub(crate) u32);

/// Number of a simulated CPU, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u32);

impl core::fmt::Display for ObjId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "obj:{}", self.0)
    }
}

impl core::fmt::Display for CpuId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "cpu{}", self.0)
    }
}

/// An IPC gate: a label in front of a thread.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Receiver; senders wait while there is none.
    pub thread: Option<ObjId>,
    /// Label, low two bits clear.
    pub label: u64,
    /// Senders that wait for a thread to be bound.
    pub waiting: Queue,
}

/// An interrupt object: a one-message sender without items.
#[derive(Debug, Default)]
pub(crate) struct Irq {
    /// Receiver.
    pub thread: Option<ObjId>,
    /// Label of its messages.
    pub label: u64,
    /// Is in its receiver's sender queue.
    pub queued: bool,
    /// Was triggered while unbound.
    pub pending: bool,
    /// The thread whose gate deletions it reports.
    pub deletion_of: Option<ObjId>,
}

/// What an object is.
#[derive(Debug)]
pub(crate) enum Kind {
    Task(Box<Task>),
    Thread(Box<Thread>),
    Gate(Box<Gate>),
    Irq(Box<Irq>),
    Semaphore(Box<Semaphore>),
    Factory(QuotaId),
    Scheduler,
    Log,
    Icu,
    Debugger,
}

impl Kind {
    /// Name for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Task(_) => "task",
            Kind::Thread(_) => "thread",
            Kind::Gate(_) => "gate",
            Kind::Irq(_) => "irq",
            Kind::Semaphore(_) => "semaphore",
            Kind::Factory(_) => "factory",
            Kind::Scheduler => "scheduler",
            Kind::Log => "log",
            Kind::Icu => "icu",
            Kind::Debugger => "debugger",
        }
    }
}

/// A kernel object with what every object has.
#[derive(Debug)]
pub(crate) struct Object {
    pub kind: Kind,
    /// Slots that name it: task and slot number.
    pub caps: Vec<(ObjId, u64)>,
    /// How many of them count, less [`Self::dropped`].
    pub counted: i64,
    /// By how much the maker lowered the count.
    pub dropped: i64,
    /// Who paid for it, and how much.
    pub paid: (QuotaId, u64),
    /// Set through the kernel debugger, for reports.
    pub name: String,
}

/// All objects of a run.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    slots: Vec<Option<Box<Object>>>,
}

impl Objects {
    pub fn add(&mut self, kind: Kind, paid: (QuotaId, u64)) -> ObjId {
        let id = ObjId(u32::try_from(self.slots.len()).expect("fewer than 2^32 objects in a run"));
        self.slots.push(Some(Box::new(Object {
            kind,
            caps: Vec::new(),
            counted: 0,
            dropped: 0,
            paid,
            name: String::new(),
        })));
        id
    }

    #[inline]
    pub fn get(&self, id: ObjId) -> Option<&Object> {
        self.slots.get(id.0 as usize)?.as_deref()
    }

    #[inline]
    pub fn get_mut(&mut self, id: ObjId) -> Option<&mut Object> {
        self.slots.get_mut(id.0 as usize)?.as_deref_mut()
    }

    pub fn remove(&mut self, id: ObjId) -> Option<Box<Object>> {
        self.slots.get_mut(id.0 as usize)?.take()
    }

    pub fn iter(&self) -> impl Iterator<Item = (ObjId, &Object)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(i, o)| Some((ObjId(i as u32), o.as_deref()?)))
    }

    /// Identifiers and names of all objects of a kind.
    pub fn named(&self, kind: &str) -> Vec<(ObjId, String)> {
        self.iter()
            .filter(|(_, o)| o.kind.name() == kind)
            .map(|(id, o)| (id, o.name.clone()))
            .collect()
    }

    #[inline]
    pub fn thread(&self, id: ObjId) -> Option<&Thread> {
        match &self.get(id)?.kind {
            Kind::Thread(t) => Some(t),
            _ => None,
        }
    }

    #[inline]
    pub fn thread_mut(&mut self, id: ObjId) -> Option<&mut Thread> {
        match &mut self.get_mut(id)?.kind {
            Kind::Thread(t) => Some(t),
            _ => None,
        }
    }

    #[inline]
    pub fn task(&self, id: ObjId) -> Option<&Task> {
        match &self.get(id)?.kind {
            Kind::Task(t) => Some(t),
            _ => None,
        }
    }

    #[inline]
    pub fn task_mut(&mut self, id: ObjId) -> Option<&mut Task> {
        match &mut self.get_mut(id)?.kind {
            Kind::Task(t) => Some(t),
            _ => None,
        }
    }

    #[inline]
    pub fn gate_mut(&mut self, id: ObjId) -> Option<&mut Gate> {
        match &mut self.get_mut(id)?.kind {
            Kind::Gate(g) => Some(g),
            _ => None,
        }
    }

    #[inline]
    pub fn irq_mut(&mut self, id: ObjId) -> Option<&mut Irq> {
        match &mut self.get_mut(id)?.kind {
            Kind::Irq(i) => Some(i),
            _ => None,
        }
    }

    /// The thread whose gate deletions an interrupt object or semaphore reports; `None` when it is
    /// neither.
    #[inline]
    pub fn deletion_of(&mut self, id: ObjId) -> Option<&mut Option<ObjId>> {
        match &mut self.get_mut(id)?.kind {
            Kind::Irq(i) => Some(&mut i.deletion_of),
            Kind::Semaphore(s) => Some(&mut s.deletion_of),
            _ => None,
        }
    }
}
