//! IPC: sending, queueing, receiving, replying.
//!
//! Order of a call: the send phase ends first (delivered, failed, or the sender waits in the
//! receiver's queue), then the receive phase begins. A failed send skips the receive. Reply
//! capabilities: an open wait that receives a call holds the right to answer it once; it goes when
//! it is used, when the caller gives up, or when the callee answers by another way.

use l4_sys::{IpcError, MsgTag, TagFlags, Timeouts};

use crate::object::{Kind, ObjId};
use crate::state::State;
use crate::thread::{Frame, From, Purpose, Run};
use crate::trace::What;

impl State {
    /// The kernel's one IPC operation for the running thread; the result is in the thread.
    #[allow(clippy::too_many_arguments)]
    pub fn do_ipc(
        &mut self,
        tag: MsgTag,
        label: u64,
        to: Option<ObjId>,
        from: From,
        timeouts: Timeouts,
        rights: u8,
        purpose: Purpose,
    ) {
        let me = self.me;
        if let Some(t) = self.objs.thread_mut(me) {
            t.frame = Frame {
                tag,
                label,
                rights,
                from,
                timeouts,
                purpose,
                flags: 0,
            };
            t.partner = match from {
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
        } else if frame.timeouts.send().us() == Some(0) {
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
                p.enqueue(prio, number, me);
            }
            self.wait(me, Run::Sending(partner), frame.timeouts.send().us());
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

    fn wait(&mut self, thread: ObjId, run: Run, us: Option<u64>) {
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        t.run = run;
        t.timer = 0;
        if t.cancel {
            t.cancel = false;
            return self.abort(thread, run, IpcError::SendCancelled);
        }
        if let Some(us) = us {
            self.set_timer(thread, us);
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
                    t.dequeue(next);
                }
                self.receive_queued(r, next);
            } else if frame.timeouts.receive().us() == Some(0) {
                self.drop_reply_to(r);
                self.fail(r, IpcError::ReceiveTimeout.number());
            } else {
                self.wait(r, Run::Receiving, frame.timeouts.receive().us());
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
            if open {
                r.replied = false;
            }
        }
        if ok && open && calls {
            self.set_reply(receiver, sender, f.rights);
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

    /// Gives `callee` the right to answer `caller` once.
    fn set_reply(&mut self, callee: ObjId, caller: ObjId, rights: u8) {
        if let Some((old, _)) = self.objs.thread(callee).and_then(|t| t.reply)
            && let Some(o) = self.objs.thread_mut(old)
        {
            o.reply_holder = None;
        }
        if let Some(c) = self.objs.thread_mut(callee) {
            c.reply = Some((caller, rights & 3));
        }
        if let Some(c) = self.objs.thread_mut(caller) {
            c.reply_holder = Some(callee);
        }
    }

    /// Uses the running thread's reply capability.
    pub fn take_reply(&mut self) -> Option<(ObjId, u8)> {
        let me = self.me;
        let t = self.objs.thread_mut(me)?;
        let reply = t.reply.take();
        match reply {
            Some((caller, _)) => {
                t.replied = true;
                if let Some(c) = self.objs.thread_mut(caller) {
                    c.reply_holder = None;
                }
            }
            None if t.replied => self.violation(me, crate::trace::Misuse::RepliedTwice),
            None => {}
        }
        reply
    }

    /// Nobody answers `caller` any more.
    pub fn drop_reply_to(&mut self, caller: ObjId) {
        let Some(holder) = self
            .objs
            .thread_mut(caller)
            .and_then(|t| t.reply_holder.take())
        else {
            return;
        };
        if let Some(h) = self.objs.thread_mut(holder)
            && h.reply.is_some_and(|r| r.0 == caller)
        {
            h.reply = None;
        }
    }

    /// Waits at an object that is no thread (a gate without thread).
    pub fn wait_at(&mut self, obj: ObjId) {
        let me = self.me;
        let us = self
            .objs
            .thread(me)
            .and_then(|t| t.frame.timeouts.send().us());
        if us == Some(0) {
            return self.fail(me, IpcError::SendTimeout.number());
        }
        match self.objs.get_mut(obj).map(|o| &mut o.kind) {
            Some(Kind::Gate(g)) => g.waiting.push(me),
            _ => return self.fail(me, IpcError::NotExistent.number()),
        }
        self.wait(me, Run::Sending(obj), us);
    }
}
