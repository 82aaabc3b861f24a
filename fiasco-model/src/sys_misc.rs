//! Scheduler, log, interrupt controller, debugger.

use l4_sys::ops::{debugger, irq, scheduler, vcon};
use l4_sys::{Errno, proto};

use crate::invoke::{Call, Reply, err, ok};
use crate::object::{CpuId, ObjId};
use crate::state::State;
use crate::thread::Run;

/// CPUs that the kernel is built for.
const MAX_CPUS: u64 = 1024;
/// Bit of the scheduling class for fixed priorities.
const CLASSES: u64 = 1;

/// A CPU set: granularity and offset in one word, one bit for 2^granularity CPUs.
#[derive(Clone, Copy)]
struct CpuSet {
    offset: u64,
    granularity: u32,
    map: u64,
}

impl CpuSet {
    fn new(descriptor: u64, map: u64) -> Self {
        CpuSet {
            offset: descriptor & 0xff_ffff,
            granularity: (descriptor >> 24 & 63) as u32,
            map,
        }
    }

    fn contains(self, cpu: u32) -> bool {
        u64::from(cpu)
            .checked_sub(self.offset)
            .map(|c| c >> self.granularity)
            .is_some_and(|bit| bit < 64 && self.map >> bit & 1 != 0)
    }
}

impl State {
    pub fn sys_scheduler(&mut self, call: Call) -> Reply {
        let u = call.utcb;
        if call.tag.label() == proto::IRQ {
            return self.icu_op(call);
        }
        if call.tag.label() != proto::SCHEDULER {
            return err(Errno::BadProto);
        }
        if call.tag.words() < 1 {
            return err(Errno::MsgTooShort);
        }
        match u.mr(0) {
            scheduler::INFO => {
                if call.tag.words() < 2 {
                    return err(Errno::MsgTooShort);
                }
                let set = CpuSet::new(u.mr(1), u64::MAX);
                if set.offset >= MAX_CPUS {
                    return err(Errno::Range);
                }
                let mut map = 0;
                for cpu in 0..self.cpus.len() as u32 {
                    if set.contains(cpu) {
                        map |= 1 << ((u64::from(cpu) - set.offset) >> set.granularity);
                    }
                }
                u.set_mr(0, map);
                u.set_mr(1, MAX_CPUS);
                u.set_mr(2, CLASSES);
                ok(3)
            }
            scheduler::RUN_THREAD => self.run_thread(call),
            scheduler::IDLE_TIME => {
                let set = CpuSet::new(u.mr(1), u.mr(2));
                let Some(c) = (0..self.cpus.len() as u32).find(|c| set.contains(*c)) else {
                    return err(Errno::Inval);
                };
                let cpu = &self.cpus[c as usize];
                u.set_mr(0, cpu.clock.saturating_sub(cpu.busy) / self.cost.mhz.max(1));
                ok(1)
            }
            _ => err(Errno::NoSys),
        }
    }

    fn run_thread(&mut self, call: Call) -> Reply {
        let u = call.utcb;
        if call.tag.words() < 5 {
            return err(Errno::Inval);
        }
        let cap = match self.item_cap(&call) {
            Ok(c) => c,
            Err(e) => return e,
        };
        let Some(t) = self.objs.thread(cap.obj) else {
            return err(Errno::Inval);
        };
        let set = CpuSet::new(u.mr(1), u.mr(2));
        // A class below zero is a number of a scheduling class, -1 the one of fixed priorities
        // whose priority is in the fifth parameter word.
        let class = u.mr(3) as i64;
        let prio = if class >= 0 { class } else { u.mr(6) as i64 };
        if class < -1 {
            return err(Errno::Range);
        }
        if prio <= 0 {
            return err(Errno::Inval);
        }
        let home = t.cpu.map(|c| c.0);
        let cpu = match home {
            Some(c) if set.contains(c) => Some(c),
            _ if set.contains(self.cpu) => Some(self.cpu),
            _ => (0..self.cpus.len() as u32).find(|c| set.contains(*c)),
        };
        let Some(cpu) = cpu else {
            // No such CPU: the kernel parks the thread.
            self.park(cap.obj);
            return ok(0);
        };
        self.place(cap.obj, cpu, prio.min(255) as u8);
        ok(0)
    }

    fn park(&mut self, thread: ObjId) {
        self.unready(thread);
        if let Some(t) = self.objs.thread_mut(thread) {
            t.cpu = None;
        }
    }

    /// Gives a thread CPU and priority.
    pub fn place(&mut self, thread: ObjId, cpu: u32, prio: u8) {
        let me = self.me;
        let Some(t) = self.objs.thread_mut(thread) else {
            return;
        };
        let moved = t.cpu != Some(CpuId(cpu));
        t.cpu = Some(CpuId(cpu));
        t.prio = prio;
        let started = t.run == Run::Ready;
        if !moved {
            for c in &mut self.cpus {
                for r in c.ready.iter_mut().filter(|r| r.thread == thread) {
                    r.prio = prio;
                }
            }
            return;
        }
        if thread == me {
            // The running thread goes on over there when its call ends.
            let at = if cpu == self.cpu {
                self.now()
            } else {
                self.ipi(cpu)
            };
            let old = self.cpu as usize;
            self.cpus[old].running = None;
            self.make_ready(thread, at);
            return;
        }
        self.unready(thread);
        if started {
            let at = if cpu == self.cpu {
                self.now()
            } else {
                self.ipi(cpu)
            };
            self.make_ready(thread, at);
        }
    }

    pub fn sys_log(&mut self, call: Call) -> Reply {
        let u = call.utcb;
        if call.tag.label() == proto::IRQ {
            return self.icu_op(call);
        }
        if call.tag.label() != proto::LOG {
            return err(Errno::BadProto);
        }
        if call.tag.words() < 1 {
            return err(Errno::MsgTooShort);
        }
        match u.mr(0) & 0xffff {
            vcon::WRITE => {
                let len = u.mr(1) as usize;
                // Longer texts are dropped whole, as the kernel does.
                if len <= vcon::WRITE_SIZE {
                    let mut text: Vec<u8> = (2..2 + len.div_ceil(8))
                        .flat_map(|i| u.mr(i).to_le_bytes())
                        .collect();
                    text.truncate(len);
                    self.log.extend(text);
                }
                Reply::Silent
            }
            vcon::READ => {
                // No input: count 0, and the bit that says there is no more.
                u.set_mr(0, 1 << 31);
                ok(0)
            }
            _ => err(Errno::NoSys),
        }
    }

    pub fn sys_icu(&mut self, call: Call) -> Reply {
        if call.tag.label() != proto::IRQ {
            return err(Errno::BadProto);
        }
        self.icu_op(call)
    }

    /// The interrupt-controller part of an object: no line of the model ever fires.
    fn icu_op(&mut self, call: Call) -> Reply {
        if call.tag.words() < 1 {
            return err(Errno::MsgTooShort);
        }
        match call.utcb.mr(0) {
            irq::ICU_BIND | irq::ICU_UNBIND => match self.item_cap(&call) {
                Ok(c) if self.objs.deletion_of(c.obj).is_some() => ok(0),
                Ok(_) => err(Errno::Inval),
                Err(e) => e,
            },
            irq::ICU_INFO => {
                for i in 0..3 {
                    call.utcb.set_mr(i, u64::from(i == 1));
                }
                ok(3)
            }
            irq::ICU_MASK | irq::ICU_UNMASK => Reply::Silent,
            irq::ICU_SET_MODE => ok(0),
            _ => err(Errno::NoSys),
        }
    }

    pub fn sys_debugger(&mut self, call: Call) -> Reply {
        if call.tag.label() != proto::DEBUGGER {
            return err(Errno::BadProto);
        }
        let u = call.utcb;
        if u.mr(0) == debugger::NAME_SET {
            // Word 1 is the capability of the named object, or the object is an item; the name
            // follows as bytes.
            let target = match self.item_cap(&call) {
                Ok(c) => Some(c.obj),
                Err(_) => self.cap(u.mr(1) >> 12).map(|c| c.obj),
            };
            let first = if call.tag.items() > 0 { 1 } else { 2 };
            let bytes: Vec<u8> = (first..call.tag.words())
                .flat_map(|i| u.mr(i).to_le_bytes())
                .take_while(|b| *b != 0)
                .collect();
            if let Some(o) = target.and_then(|t| self.objs.get_mut(t)) {
                o.name = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        ok(0)
    }
}
