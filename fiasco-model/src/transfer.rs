//! Message transfer: words, then items into the receiver's windows.
//!
//! Each item leaves a return item in the receiver's message registers. The first item that finds
//! no window, or fails, ends the transfer with an error on both sides; what was mapped before
//! stays mapped, as on the kernel.

use l4_sys::item::{ITEM_CONT, ITEM_MAP, RCV_FORWARD_MAPPINGS, RCV_LOCAL_ID};
use l4_sys::utcb::{BUFFER_REGISTERS, MESSAGE_REGISTERS};
use l4_sys::{Fpage, FpageType, IpcError, MsgTag, UtcbRef};

use crate::map::MapError;
use crate::object::{Kind, ObjId};
use crate::state::State;
use crate::trace::Misuse;

/// Return-item bits: nothing was mapped.
const RET_NOTHING: u64 = 2;
/// Return-item bits: label of an own gate.
const RET_LABEL: u64 = 4;
/// Return-item bits: flexpage of the own task.
const RET_FPAGE: u64 = 6;
/// Rights of a capability that a restricted gate does not take away: R, W and D.
const NOT_DIMINISHED: u8 = 4 | 1 | 8;

/// One receive buffer.
#[derive(Clone, Copy)]
struct Buffer {
    control: u64,
    window: Fpage,
    task: u64,
}

/// Walks over the buffers of one kind.
struct Buffers {
    utcb: UtcbRef,
    at: usize,
    current: Buffer,
}

const VOID: Buffer = Buffer {
    control: 0,
    window: Fpage(0),
    task: 0,
};

impl Buffers {
    fn new(utcb: UtcbRef, start: usize) -> Self {
        let mut b = Buffers {
            utcb,
            at: start,
            current: VOID,
        };
        b.next();
        b
    }

    fn word(&mut self) -> Option<u64> {
        let w = (self.at < BUFFER_REGISTERS).then(|| self.utcb.br(self.at));
        self.at += 1;
        w
    }

    fn next(&mut self) {
        self.current = self.read().unwrap_or(VOID);
    }

    fn read(&mut self) -> Option<Buffer> {
        let control = self.word()?;
        if control == 0 {
            // A void buffer ends the list: the iterator stays on it.
            self.at -= 1;
            return None;
        }
        let window = if control & ITEM_MAP != 0 && control & 2 != 0 {
            Fpage::generic(control, FpageType::Obj, 0, 0)
        } else {
            Fpage(self.word()?)
        };
        let task = if control & RCV_FORWARD_MAPPINGS != 0 {
            self.word()?
        } else {
            0
        };
        Some(Buffer {
            control,
            window,
            task,
        })
    }
}

/// First object buffer of a UTCB, for the kernel's own replies with a capability.
pub(crate) fn object_window(utcb: UtcbRef) -> Option<Fpage> {
    let b = Buffers::new(utcb, (utcb.bdr() >> 10 & 31) as usize).current;
    (b.control & ITEM_MAP != 0 && b.window.kind() == FpageType::Obj).then_some(b.window)
}

impl State {
    /// Copies the message of `from` to `to`; `false` when it failed (the errors are set).
    pub fn transfer(&mut self, from: ObjId, to: ObjId, tag: MsgTag, rights: u8) -> bool {
        let (Some(s), Some(r)) = (self.utcb(from), self.utcb(to)) else {
            return true;
        };
        let words = tag.words().min(MESSAGE_REGISTERS);
        if s.as_ptr() != r.as_ptr() {
            // SAFETY: both are whole UTCBs (see `State::utcb`), different ones, and `words` is at
            // most the number of message registers.
            unsafe {
                core::ptr::copy_nonoverlapping(
                    s.as_ptr().cast::<u64>(),
                    r.as_ptr().cast::<u64>(),
                    words,
                );
            }
        }
        if tag.items() == 0 {
            return true;
        }
        match self.transfer_items(from, to, tag, rights, s, r) {
            Ok(()) => true,
            Err(e) => {
                self.set_error(s, e.number());
                self.set_error(r, e.number() | 1);
                self.note(crate::trace::What::Failed {
                    thread: from,
                    code: e.number(),
                });
                false
            }
        }
    }

    fn transfer_items(
        &mut self,
        from: ObjId,
        to: ObjId,
        tag: MsgTag,
        rights: u8,
        s: UtcbRef,
        r: UtcbRef,
    ) -> Result<(), IpcError> {
        let bdr = r.bdr();
        let mut windows = [
            Buffers::new(r, (bdr & 31) as usize),
            Buffers::new(r, (bdr >> 5 & 31) as usize),
            Buffers::new(r, (bdr >> 10 & 31) as usize),
        ];
        let mut at = tag.words();
        for _ in 0..tag.items() {
            if at + 1 >= MESSAGE_REGISTERS {
                return Err(IpcError::SendMsgCut);
            }
            let (control, data) = (s.mr(at), Fpage(s.mr(at + 1)));
            let ret = at;
            at += 2;
            self.charge(self.cost.ipc_item);
            if control == 0 {
                r.set_mr(ret, 0);
                continue;
            }
            if control & ITEM_MAP == 0 {
                return Err(IpcError::SendMsgCut);
            }
            let window = match data.kind() {
                FpageType::Special => return Err(IpcError::SendMsgCut),
                FpageType::Memory => &mut windows[0],
                FpageType::Io => &mut windows[1],
                FpageType::Obj => &mut windows[2],
            };
            let buffer = window.current;
            if control & ITEM_CONT == 0 {
                window.next();
            }
            if buffer.control & ITEM_MAP == 0 {
                return Err(IpcError::SendMsgCut);
            }
            r.set_mr(ret, (control & !0xff6) | (data.0 & 0xff0));
            let mut sent = data;
            if sent.kind() == FpageType::Obj {
                sent = sent.with_rights(sent.rights() & (rights | NOT_DIMINISHED));
            }
            if buffer.control & RCV_LOCAL_ID != 0
                && let Some((bits, word)) = self.local_id(from, to, sent)
            {
                r.set_mr(ret, r.mr(ret) | bits);
                r.set_mr(ret + 1, word);
                continue;
            }
            let target = self.window_task(to, buffer).ok_or(IpcError::SendMsgCut)?;
            let Some(source) = self.objs.thread(from).and_then(|t| t.task) else {
                return Err(IpcError::SendMsgCut);
            };
            match self.fpage_map(source, sent, target, buffer.window, control) {
                Ok(true) => {}
                Ok(false) => {
                    r.set_mr(ret, r.mr(ret) | RET_NOTHING);
                    if source != target {
                        self.mapped_nothing(from, source, sent);
                    }
                }
                Err(MapError::NoMem) => return Err(IpcError::SendMapFailed),
            }
        }
        Ok(())
    }

    /// A thread sent memory of the task `source`, and nothing was mapped. A window out of reach is
    /// the receiver's matter; having nothing there is not.
    pub fn mapped_nothing(&mut self, thread: ObjId, source: ObjId, sent: Fpage) {
        let (addr, order) = (sent.address(), sent.order());
        if sent.kind() == FpageType::Memory && !self.has_memory(source, addr, order, sent.rights())
        {
            let order = order as u8;
            self.violation(thread, Misuse::MappedNothing { addr, order });
        }
    }

    /// What a receiver gets that asked for labels instead of capabilities for its own things.
    fn local_id(&self, from: ObjId, to: ObjId, sent: Fpage) -> Option<(u64, u64)> {
        let from_task = self.objs.thread(from)?.task?;
        let to_task = self.objs.thread(to)?.task?;
        if from_task == to_task {
            return Some((RET_FPAGE, sent.0));
        }
        if sent.kind() != FpageType::Obj {
            return None;
        }
        let cap = self.objs.task(from_task)?.cap(sent.number())?;
        match &self.objs.get(cap.obj)?.kind {
            Kind::Gate(g) if self.objs.thread(g.thread?)?.task == Some(to_task) => {
                let rights = cap.rights & sent.rights() & 3;
                Some((RET_LABEL, g.label | u64::from(rights)))
            }
            _ => None,
        }
    }

    /// The task that a buffer receives for: the receiver's own, or one it names with W.
    fn window_task(&self, to: ObjId, buffer: Buffer) -> Option<ObjId> {
        let own = self.objs.thread(to)?.task?;
        if buffer.control & RCV_FORWARD_MAPPINGS == 0 {
            return Some(own);
        }
        let cap = self.objs.task(own)?.cap(buffer.task >> 12)?;
        (cap.rights & 1 != 0 && self.objs.task(cap.obj).is_some()).then_some(cap.obj)
    }
}
