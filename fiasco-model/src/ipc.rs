//! IPC: sending, queueing, receiving, replying.
//!
//! Order of a call: the send phase ends first (delivered, failed, or the sender waits in the
//! receiver's queue), then the receive phase begins. A failed send skips the receive.

use l4_sys::{IpcError, MsgTag, TagFlags, Timeout};

use crate::object::{Kind, ObjId};
use crate::sched::Due;
use crate::state::State;
use crate::thread::{Frame, From, Run};
use crate::trace::What;

impl State {
    /// The kernel's one IPC operation for the running thread, to `to` and as `frame` says; the
    /// result is in the thread.
    pub fn do_ipc(&mut self, to: Option<ObjId>, mut frame: Frame) {
        let me = self.me;
        if to.is_none() && frame.from == From::Nobody {
            return self.fail(me, IpcError::NotExistent.number());
        }
        match frame.reply {
            Some(n) if frame.from == From::Anybody => {
                if !self.provide_reply_slot(n) {
                    return self.fail(me, IpcError::NoReplyCap.number());
                }
            }
            // Who receives no call has no use for a reply slot.
            _ => frame.reply = None,
        }
        if let Some(t) = self.objs.thread_mut(me) {
            t.frame = frame;
            t.partner = match frame.from {
                From::One(p) => From::One(p),
                _ => From::Nobody,
            };
        }
        match to {
            Some(partner) => self.send_phase(me, partner),
            None => self.to_receive.push(me),
        }
        self.receive_phases();
    }

    fn send_phase(&mut self, me: ObjId, partner: ObjId) {
        let Some(frame) = self.objs.thread(me).map(|t| t.frame) else {
            return;
        };
        let Some(p) = self.objs.thread(partner) else {
            return self.fail(me, IpcError::NotExistent.number());
        };
        if !p.is_bound() {
            return self.fail(me, IpcError::NotExistent.number());
        }
        let there = p.cpu.map_or(self.cpu, |c| c.0);
        let remote = there != self.cpu;
        // An answer by another way than the reply capability uses that up, too.
        if p.partner == From::One(me) {
            self.drop_reply_to(partner);
        }
        if self.accepts(partner, me) {
            let at = if remote {
                self.charge(self.cost.ipc_remote);
                let at = self.remote_request(there);
                if frame.tag.items() == 0 { at } else { 0 }
            } else {
                self.charge(self.cost.ipc_local);
                0
            };
            let ok = self.deliver(me, partner);
            // With items the sender maps itself and then wakes the receiver: one interrupt more.
            let at = if remote && frame.tag.items() != 0 {
                self.ipi(there)
            } else {
                at
            };
            // Without items the other CPU did the transfer: its thread runs on before the sender
            // has heard of it.
            let at = if remote && frame.tag.items() == 0 {
                at
            } else {
                at.max(self.now())
            };
            self.finish_receive(partner, at);
            if !ok {
                return self.end(me, crate::state::FAILED);
            }
            if !remote && matches!(frame.from, From::One(_)) {
                self.cpus[self.cpu as usize].direct = Some(partner);
            }
            self.sent(me);
        } else if self.due(me, frame.timeouts.send()) == Due::Passed {
            if remote {
                self.remote_request(there);
            }
            self.fail(me, IpcError::SendTimeout.number());
        } else {
            if remote {
                self.charge(self.cost.ipc_remote);
                self.remote_request(there);
            }
            self.note(What::Queued {
                from: me,
                to: partner,
            });
            let number = self.next_number();
            let Some(prio) = self.objs.thread(me).map(|t| t.prio) else {
                return;
            };
            if let Some(p) = self.objs.thread_mut(partner) {
                p.senders.enqueue(prio, number, me);
            }
            self.wait(me, Run::Sending(partner), frame.timeouts.send());
        }
    }

    /// Whether `receiver` takes a message from `sender` this moment.
    pub fn accepts(&self, receiver: ObjId, sender: ObjId) -> bool {
        let Some(r) = self.objs.thread(receiver) else {
            return false;
        };
        r.run == Run::Receiving
            && match r.frame.from {
                From::Anybody => r.senders.is_empty(),
                From::One(s) => s == sender,
                From::Nobody => false,
            }
    }

    /// The send is done: go on to receive, or to the end.
    fn sent(&mut self, sender: ObjId) {
        let Some(f) = self.objs.thread(sender).map(|t| t.frame) else {
            return;
        };
        if f.from == From::Nobody {
            self.end(sender, MsgTag(f.tag.0 & !TagFlags::all().bits()));
        } else {
            self.to_receive.push(sender);
        }
    }

    /// Ends a thread's system call with `tag`.
    pub fn end(&mut self, thread: ObjId, tag: MsgTag) {
        let (me, now) = (self.me, self.now());
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        t.result = (tag, 0);
        t.frame.from = From::Nobody;
        if thread == me {
            t.run = Run::Ready;
            t.timer = 0;
        } else {
            self.make_ready(thread, now);
        }
    }

    /// The thread waits from now on, in the state `run`.
    pub fn wait(&mut self, thread: ObjId, run: Run, timeout: Timeout) {
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        t.run = run;
        t.timer = 0;
        if t.cancel {
            t.cancel = false;
            return self.abort(thread, run, IpcError::SendCancelled);
        }
        if let Due::At(when) = self.due(thread, timeout) {
            self.set_timer(thread, when);
        }
    }

    /// Begins the receive phases that are due; receiving from a waiting caller lets that one begin
    /// its own.
    pub fn receive_phases(&mut self) {
        while let Some(r) = self.to_receive.pop() {
            let Some(t) = self.objs.thread(r) else {
                continue;
            };
            let frame = t.frame;
            if let Some(next) = t.next_sender(frame.from) {
                if let Some(t) = self.objs.thread_mut(r) {
                    t.run = Run::Receiving;
                    t.senders.dequeue(next);
                }
                self.receive_queued(r, next);
            } else if self.due(r, frame.timeouts.receive()) == Due::Passed {
                self.drop_reply_to(r);
                self.fail(r, IpcError::ReceiveTimeout.number());
            } else {
                self.wait(r, Run::Receiving, frame.timeouts.receive());
            }
        }
    }

    /// `receiver` takes the message of `sender`, who was first in its queue.
    fn receive_queued(&mut self, receiver: ObjId, sender: ObjId) {
        if matches!(self.objs.get(sender).map(|o| &o.kind), Some(Kind::Irq(_))) {
            self.irq_message(sender, receiver);
            self.finish_receive(receiver, self.now());
            return;
        }
        let there = self
            .objs
            .thread(sender)
            .and_then(|t| t.cpu)
            .map_or(self.cpu, |c| c.0);
        let remote = there != self.cpu;
        self.charge(if remote {
            self.cost.ipc_remote
        } else {
            self.cost.ipc_local
        });
        let ok = self.deliver(sender, receiver);
        let at = if remote { self.ipi(there) } else { self.now() };
        self.finish_receive(receiver, self.now());
        if ok {
            self.sent(sender);
        } else {
            self.end(sender, crate::state::FAILED);
        }
        // Whoever was sent on its way runs no earlier than its CPU heard of it.
        if let Some(t) = self.objs.thread(sender)
            && t.run == Run::Ready
            && let Some(r) = self.cpus[there as usize]
                .ready
                .iter_mut()
                .find(|r| r.thread == sender)
        {
            r.at = r.at.max(at);
        }
    }

    /// Transfers a message; both sides' results are set, neither is woken.
    fn deliver(&mut self, sender: ObjId, receiver: ObjId) -> bool {
        let Some(f) = self.objs.thread(sender).map(|t| t.frame) else {
            return false;
        };
        let same = self.objs.thread(sender).and_then(|t| t.cpu)
            == self.objs.thread(receiver).and_then(|t| t.cpu);
        if same {
            self.count().ipc_local += 1;
        } else {
            self.count().ipc_remote += 1;
        }
        self.note(What::Message {
            from: sender,
            to: receiver,
            label: f.label,
            proto: f.tag.label(),
            words: f.tag.words() as u8,
            items: f.tag.items() as u8,
        });
        let ok = self.transfer(sender, receiver, f.tag, f.rights);
        let open = self
            .objs
            .thread(receiver)
            .is_some_and(|r| r.frame.from == From::Anybody);
        let calls = f.from == From::One(receiver);
        if let Some(r) = self.objs.thread_mut(receiver) {
            let tag = if ok {
                f.tag.0 & !TagFlags::ERROR.bits()
            } else {
                f.tag.0 | TagFlags::ERROR.bits()
            };
            r.result = (MsgTag(tag), f.label);
        }
        if ok && open && calls {
            self.set_reply(receiver, sender, f.rights);
        } else if open {
            self.no_reply_due(receiver);
        }
        ok
    }

    /// The receive of `thread` is over: it runs on.
    pub fn finish_receive(&mut self, thread: ObjId, at: u64) {
        let me = self.me;
        self.drop_reply_to(thread);
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        t.frame.from = From::Nobody;
        t.timer = 0;
        if thread == me {
            t.run = Run::Ready;
        } else {
            self.make_ready(thread, at);
        }
    }

    /// Waits at an object that is no thread (a gate without thread).
    pub fn wait_at(&mut self, obj: ObjId) {
        let me = self.me;
        let Some(timeout) = self.objs.thread(me).map(|t| t.frame.timeouts.send()) else {
            return;
        };
        if self.due(me, timeout) == Due::Passed {
            return self.fail(me, IpcError::SendTimeout.number());
        }
        let (number, prio) = (
            self.next_number(),
            self.objs.thread(me).map_or(0, |t| t.prio),
        );
        match self.objs.get_mut(obj).map(|o| &mut o.kind) {
            Some(Kind::Gate(g)) => g.waiting.enqueue(prio, number, me),
            _ => return self.fail(me, IpcError::NotExistent.number()),
        }
        self.wait(me, Run::Sending(obj), timeout);
    }
}
