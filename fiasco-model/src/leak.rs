//! Capabilities that a program leaves behind.
//!
//! Looked at by itself in two places. A program *exits* when the last thread of its task returns:
//! what its task holds then and was not given by whoever started it should have been given back.
//! A server does not exit: it says once that it is at rest ([`crate::user::settled`]), and when a
//! run ends with nothing left to do it should hold what it held then.
//!
//! Every capability remembers the operation or message that made it, so a report names it however
//! long ago that was. What somebody else maps into a task with the task's capability is that
//! one's business and no leak.

use std::collections::BTreeSet;

use crate::object::{Kind, ObjId};
use crate::space::{CAP_END, Cap};
use crate::state::State;
use crate::thread::Run;
use crate::trace::{Event, Misuse, What};

/// Slots with what they held.
pub(crate) type Held = BTreeSet<(u64, ObjId)>;

/// Events that a report shows besides the origin.
const LATER: usize = 16;

/// How a capability came to its slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The operation or message; none for what is there at boot.
    pub call: Option<Event>,
    /// Its arrival.
    pub arrived: Event,
}

impl State {
    /// What a task holds.
    pub fn held(&self, task: ObjId) -> Held {
        let caps = self.objs.task(task).map(|t| t.caps_between(0, CAP_END));
        caps.unwrap_or_default()
            .into_iter()
            .map(|(slot, cap)| (slot, cap.obj))
            .collect()
    }

    /// A program's first thread begins: what its task holds now was given.
    pub fn begins(&mut self, thread: ObjId) {
        let Some(task) = self.objs.thread(thread).and_then(|t| t.task) else {
            return;
        };
        if self.objs.task(task).is_some_and(|t| t.given.is_none()) {
            let held = self.held(task);
            if let Some(t) = self.objs.task_mut(task) {
                t.given = Some(held);
            }
        }
    }

    /// The running thread's task is at rest: what it holds now is what it holds between requests.
    pub fn settled(&mut self) {
        let task = self.my_task();
        let held = self.held(task);
        if let Some(t) = self.objs.task_mut(task) {
            t.rest = Some(held);
        }
    }

    /// A thread's program returned. When it was the last one of its task the program has exited.
    pub fn exits(&mut self, thread: ObjId) {
        let Some(task) = self.objs.thread(thread).and_then(|t| t.task) else {
            return;
        };
        let lives = |o: &Kind| {
            matches!(o, Kind::Thread(t) if t.task == Some(task)
                && !matches!(t.run, Run::Done | Run::Dormant))
        };
        if self.objs.iter().any(|(_, o)| lives(&o.kind)) {
            return;
        }
        let given = self.objs.task(task).and_then(|t| t.given.clone());
        self.report(task, &given.unwrap_or_default());
    }

    /// A run ended with nothing left to do: servers that said that they are at rest should be.
    pub fn ends(&mut self) {
        let resting: Vec<(ObjId, Held)> = self
            .objs
            .iter()
            .filter_map(|(id, o)| match &o.kind {
                Kind::Task(t) => Some((id, t.rest.clone()?)),
                _ => None,
            })
            .collect();
        for (task, rest) in resting {
            self.report(task, &rest);
        }
    }

    /// Reports what `task` holds beyond `expected`, each capability once in a run.
    fn report(&mut self, task: ObjId, expected: &Held) {
        for (slot, obj) in self.held(task) {
            let mine = self.objs.task(task).and_then(|t| t.origins.get(&slot));
            let mine = mine.copied().is_some_and(|o| self.made_by(task, &o));
            if expected.contains(&(slot, obj)) || !mine || !self.leaked.insert((task, slot, obj)) {
                continue;
            }
            let found = self.leak(task, slot, obj);
            self.violations.extend(found);
        }
    }

    /// Whether a capability came by the task's own doing: an operation of one of its threads, or a
    /// message that one received.
    fn made_by(&self, task: ObjId, origin: &Origin) -> bool {
        let of_task = |t: ObjId| self.objs.thread(t).and_then(|t| t.task) == Some(task);
        match origin.call.map(|e| e.what) {
            Some(What::Message { to, .. }) => of_task(to),
            Some(What::Called { thread, .. }) => of_task(thread),
            _ => false,
        }
    }

    /// A leak with its history: how the capability came, then what happened to the object since.
    pub fn leak(&self, task: ObjId, slot: u64, obj: ObjId) -> Option<crate::trace::Violation> {
        let kind = self.objs.get(obj)?.kind.name();
        let mut v = self.described(task, Misuse::CapabilityLeak { slot, kind, obj });
        let origin = self.objs.task(task).and_then(|t| t.origins.get(&slot));
        v.history = Vec::new();
        if let Some(o) = origin {
            v.history.extend(o.call);
            v.history.push(o.arrived);
        }
        let later = self.ring.about(&[obj], LATER);
        v.history.extend(
            later
                .into_iter()
                .filter(|e| origin.is_none_or(|o| *e != o.arrived)),
        );
        Some(v)
    }

    /// Remembers how a capability came to its slot.
    pub fn remember_origin(&mut self, task: ObjId, slot: u64, cap: Cap) {
        let arrived = self.note(What::Cap {
            task,
            slot,
            obj: cap.obj,
        });
        let call = self.ring.last_call;
        if let Some(t) = self.objs.task_mut(task) {
            t.origins.insert(slot, Origin { call, arrived });
        }
    }
}
