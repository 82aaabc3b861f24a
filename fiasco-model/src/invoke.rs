//! The system call: which object is meant, and what it does.

use l4_sys::syscall::{OPEN_WAIT, RECV, REPLY, SEND};
use l4_sys::{CapIdx, Errno, IpcError, MsgTag, Timeouts, UtcbRef, proto};

use crate::object::{Kind, ObjId};
use crate::reply::Dest;
use crate::state::State;
use crate::thread::{Frame, From, Purpose};
use crate::trace::What;

/// What a kernel object's own operation came to.
pub(crate) enum Reply {
    /// A result; the call is over.
    Tag(MsgTag),
    /// The object does not answer: a call goes on to wait, like a receive from it.
    Silent,
    /// An IPC error, already in the UTCB.
    Failed,
    /// The thread waits; it gets its result when it is woken.
    Waits,
}

fn receive_from(flags: u64, partner: ObjId) -> From {
    match (flags & RECV != 0, flags & OPEN_WAIT != 0) {
        (false, _) => From::Nobody,
        (true, true) => From::Anybody,
        (true, false) => From::One(partner),
    }
}

/// The parts of a call that operations need.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub obj: ObjId,
    /// W 1, S 2, D 8.
    pub rights: u8,
    pub extra: u8,
    pub flags: u64,
    pub tag: MsgTag,
    pub utcb: UtcbRef,
}

impl Call {
    pub fn receives(&self) -> bool {
        self.flags & RECV != 0
    }
}

/// A negative result.
pub(crate) fn err(e: Errno) -> Reply {
    Reply::Tag(MsgTag::plain(e.label(), 0, 0))
}

/// A successful result.
pub(crate) fn ok(words: usize) -> Reply {
    Reply::Tag(MsgTag::plain(0, words, 0))
}

impl State {
    /// The running thread's system call. Afterwards the thread has a result or waits.
    pub fn syscall(
        &mut self,
        dest: CapIdx,
        flags: u64,
        label: u64,
        tag: MsgTag,
        timeouts: Timeouts,
    ) {
        self.charge(self.cost.syscall);
        self.count().syscalls += 1;
        let me = self.me;
        let dest = Dest::new(dest, flags);
        let frame = |from: From, label: u64, rights: u8| Frame {
            tag,
            label,
            rights,
            from,
            timeouts,
            purpose: Purpose::Call,
            flags,
            reply: dest.reply(),
        };
        if let Some(t) = self.objs.thread_mut(me) {
            t.frame = frame(From::Nobody, label, 0);
        }
        if flags & REPLY != 0 {
            // Without anybody to answer the whole call fails: it does not go on to wait.
            let Some((caller, rights)) = self.take_reply(dest.reply()) else {
                return self.fail(me, IpcError::NotExistent.number());
            };
            let to = (flags & SEND != 0).then_some(caller);
            return self.do_ipc(to, frame(receive_from(flags, caller), label, rights));
        }
        let Some(utcb) = self.utcb(me) else { return };
        let mut call = Call {
            obj: me,
            rights: 3,
            extra: 0,
            flags,
            tag,
            utcb,
        };
        if let Dest::Cap(slot) = dest {
            let Some(cap) = self.cap(slot) else {
                return self.fail(me, IpcError::NotExistent.number());
            };
            call.obj = cap.obj;
            call.rights = cap.rights;
            call.extra = cap.extra;
        }
        let sends = flags & SEND != 0;
        let frame = |from: From| frame(from, label, call.rights & 3);
        let is_thread = self.objs.thread(call.obj).is_some();
        if is_thread && (!sends || tag.label() != proto::THREAD) {
            let to = sends.then_some(call.obj);
            return self.do_ipc(to, frame(receive_from(flags, call.obj)));
        }
        if let Some(Kind::Gate(g)) = self.objs.get(call.obj).map(|o| &o.kind) {
            let own = call.extra & crate::space::GATE_SERVER != 0;
            if !(own && sends && tag.label() == proto::KOBJECT) {
                let gate = (g.thread, g.label);
                return self.gate_ipc(call.obj, gate, frame(From::Nobody));
            }
        }
        self.object_call(call, frame(From::Nobody));
    }

    /// IPC through a gate, or waiting until it has a thread. `frame` has the call's flags; its
    /// label and partner are the gate's.
    pub fn gate_ipc(
        &mut self,
        gate: ObjId,
        (thread, label): (Option<ObjId>, u64),
        mut frame: Frame,
    ) {
        if let Some(thread) = thread {
            let to = (frame.flags & SEND != 0).then_some(thread);
            frame.from = receive_from(frame.flags, thread);
            frame.label = label | u64::from(frame.rights);
            return self.do_ipc(to, frame);
        }
        let me = self.me;
        frame.from = From::Nobody;
        if let Some(t) = self.objs.thread_mut(me) {
            t.frame = frame;
        }
        self.wait_at(gate);
    }

    fn object_call(&mut self, call: Call, frame: Frame) {
        let me = self.me;
        let proto = call.tag.label();
        let op = call.utcb.mr(0);
        if call.flags & SEND != 0 {
            self.note(What::Called {
                thread: me,
                obj: call.obj,
                proto,
                op,
            });
        }
        let reply = if call.flags & SEND == 0 {
            Reply::Silent
        } else {
            match self.objs.get(call.obj).map(|o| &o.kind) {
                Some(Kind::Task(_)) => self.sys_task(call),
                Some(Kind::Thread(_)) => self.sys_thread(call),
                Some(Kind::Factory(_)) => self.sys_factory(call),
                Some(Kind::Gate(_)) => self.sys_gate(call),
                Some(Kind::Irq(_)) => self.sys_irq(call),
                Some(Kind::Semaphore(_)) => self.sys_semaphore(call, frame.timeouts),
                Some(Kind::Scheduler) => self.sys_scheduler(call),
                Some(Kind::Log) => self.sys_log(call),
                Some(Kind::Icu) => self.sys_icu(call),
                Some(Kind::Debugger) => self.sys_debugger(call),
                None => return self.fail(me, IpcError::NotExistent.number()),
            }
        };
        if self.objs.thread(me).is_none() {
            // The thread deleted itself.
            return;
        }
        match reply {
            Reply::Waits => {}
            Reply::Failed => {
                if let Some(t) = self.objs.thread_mut(me) {
                    t.result = (crate::state::FAILED, 0);
                }
            }
            Reply::Tag(tag) => {
                self.note(What::Object {
                    thread: me,
                    obj: call.obj,
                    proto,
                    op,
                    result: tag.label(),
                });
                let tag = if call.receives() { tag } else { call.tag };
                self.end(me, tag);
            }
            Reply::Silent if !call.receives() => self.end(me, call.tag),
            Reply::Silent => {
                // Interrupt objects are senders; any other object is not, and the thread sleeps.
                let is_irq = matches!(self.objs.get(call.obj).map(|o| &o.kind), Some(Kind::Irq(_)));
                let from = receive_from(call.flags, if is_irq { call.obj } else { me });
                self.do_ipc(
                    None,
                    Frame {
                        from,
                        label: 0,
                        ..frame
                    },
                );
            }
        }
    }

    /// Fails an object's operation with an IPC error.
    pub fn ipc_error(&mut self, utcb: UtcbRef, code: u8) -> Reply {
        self.set_error(utcb, code);
        self.note(What::Failed {
            thread: self.me,
            code,
        });
        Reply::Failed
    }

    /// The capability that the first item of a request names: object, rights, attributes.
    pub fn item_cap(&mut self, call: &Call) -> Result<crate::space::Cap, Reply> {
        let at = call.tag.words();
        if call.tag.items() == 0
            || at + 1 >= l4_sys::utcb::MESSAGE_REGISTERS
            || call.utcb.mr(at) == 0
        {
            return Err(err(Errno::Inval));
        }
        let fp = l4_sys::Fpage(call.utcb.mr(at + 1));
        if fp.kind() != l4_sys::FpageType::Obj {
            return Err(self.ipc_error(call.utcb, IpcError::SendMsgCut.number()));
        }
        self.cap(fp.number()).ok_or(err(Errno::Inval))
    }
}
