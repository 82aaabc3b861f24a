//! The world of a pager thread: system calls and accesses to its frames.
//!
//! Frame numbers are addresses of the program divided by 4096 (see [`Places`](super::place::Places)), so
//! there is nothing to translate. Frames that clients have mapped are only touched by the functions of
//! this file, with raw pointers: no Rust reference ever points into one.

use core::fmt;

use l4_sys::item::SendItem;
use l4_sys::ops::endpoint;
use l4_sys::{CapIdx, CapRights, Errno, Fpage, MemRights, Timeout, Timeouts, UtcbRef, mem, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::log::LineLog;
use l4re_rs::msg::Writer;

use crate::engine::Kernel;
use crate::engine::kernel::{Block, Foreign, Place, Revoke};
use crate::engine::objects::Label;
use crate::frames::{FrameNo, Run};
use crate::server::{Client, World};

use super::fetch::{Fetch, Line, Question};
use super::place::FOREIGN_ORDER;
use super::place::{Places, Slots};
use super::windows::{Blocks, Open, Window, Windows};

/// Receive buffers of a wait: single capabilities.
pub const BUFFERS: usize = 2;
/// Slots of the thread's own for received capabilities, from this one on.
const RECEIVED: u64 = 32;
/// How many: as many as a word has bits. More than calls can be under way, with the buffers.
pub const FOREIGN: usize = u64::BITS as usize;

/// How long a line for people waits for the log that takes it, in microseconds; then it is lost.
const LOG_PATIENCE_US: u64 = 10_000;

/// Where the number of a table entry is in a label's low half.
const NUMBER_SHIFT: u32 = 4;

/// See the [module](self).
#[derive(Debug)]
pub struct Effects {
    worker: u32,
    slots: Slots,
    thread: Cap<kind::Thread>,
    factory: Cap<kind::Factory>,
    task: Cap<kind::Task>,
    log: Cap<kind::Log>,
    /// Slots for received capabilities that are in use, buffers included.
    used: u64,
    /// Which of them the buffers are.
    buffers: [u32; BUFFERS],
    /// Whose request each came with.
    clients: [Client; FOREIGN],
    /// Questions to other servers.
    pub fetch: Fetch,
    windows: Windows,
}

/// What [`Effects::new`] is told.
#[derive(Clone, Copy, Debug)]
pub struct Handles {
    /// The thread, to bind gates to.
    pub thread: Cap<kind::Thread>,
    /// Makes kernel objects.
    pub factory: Cap<kind::Factory>,
    /// The program's task.
    pub task: Cap<kind::Task>,
    /// Where text goes.
    pub log: Cap<kind::Log>,
    /// Where things go in the address space.
    pub places: Places,
}

/// Memory of the thread's for other servers' dataspaces.
#[derive(Debug)]
pub struct Desk {
    /// Address of a page that the fetching thread writes to.
    pub buffer: u64,
    /// Places for questions, [`FOREIGN`] of them.
    pub lines: &'static mut [Line],
    /// Places for what is shown, [`SHOWN`](super::place::SHOWN) of them.
    pub windows: &'static mut [Window],
}

impl Effects {
    /// The world of thread number `worker`.
    pub fn new(worker: u32, slots: Slots, handles: Handles, desk: Desk) -> Self {
        Effects {
            worker,
            slots,
            thread: handles.thread,
            factory: handles.factory,
            task: handles.task,
            log: handles.log,
            used: (1 << BUFFERS) - 1,
            buffers: core::array::from_fn(|n| n as u32),
            clients: [Client::NOBODY; FOREIGN],
            fetch: Fetch::new(desk.buffer, desk.lines),
            windows: Windows::new(worker, handles.places, desk.windows),
        }
    }

    fn received(&self, n: u32) -> CapIdx {
        self.slots.own(self.worker, RECEIVED + u64::from(n))
    }

    fn gate(&self, entry: u32) -> Cap<kind::Gate> {
        Cap::new(self.slots.gate(self.worker, entry))
    }

    fn held(&self, entry: u32) -> Cap<kind::Gate> {
        Cap::new(self.slots.held(self.worker, entry))
    }

    /// Takes what is shown away from this task and everybody who got it from here.
    fn empty(&self, blocks: Blocks) {
        let mut room = [Fpage(0); Blocks::MOST];
        // SAFETY: the blocks hold other servers' memory, and no reference points there.
        let _ = unsafe { self.task.unmap(blocks.pages(&mut room)) };
    }

    /// The number of a foreign capability that is in use.
    fn number(&self, foreign: Foreign) -> Option<usize> {
        let first = self.received(0).slot();
        let n = CapIdx::from_raw(foreign.0).slot().wrapping_sub(first);
        (n < FOREIGN as u64 && self.used & 1 << n != 0).then_some(n as usize)
    }

    fn client(&self, foreign: Foreign) -> Client {
        let client = self.number(foreign).and_then(|n| self.clients.get(n));
        client.copied().unwrap_or(Client::NOBODY)
    }

    /// A slot for a foreign capability of this client's is in use from now on.
    fn use_slot(&mut self, n: u32, client: Client) {
        self.used |= 1 << n;
        if let Some(place) = self.clients.get_mut(n as usize) {
            *place = client;
        }
    }

    /// Sets the receive buffers; to be called before each wait.
    #[inline(always)]
    pub fn prepare(&self, utcb: UtcbRef) {
        utcb.set_bdr(0);
        for (n, buffer) in self.buffers.iter().enumerate() {
            utcb.set_br(n, l4_sys::item::single_cap_or_label(self.received(*buffer)));
        }
        utcb.set_br(BUFFERS, 0);
    }

    /// Empties the buffers that hold a capability which nobody took.
    pub fn drop_received(&mut self) {
        for buffer in self.buffers {
            let cap: Cap<kind::Any> = Cap::new(self.received(buffer));
            // An empty slot stays empty.
            let _ = self.task.release(cap);
        }
    }
}

/// The label of a gate of this task, as the kernel knows it; `None` when the slot holds none.
fn label_of(gate: Cap<kind::Gate>) -> Option<u64> {
    let utcb = UtcbRef::current();
    let ask = Writer::new(utcb).u64(endpoint::GATE_INFO);
    let tag = ask.finish(proto::KOBJECT).ok()?;
    ipc::call(gate, tag).ok().map(|_| utcb.mr(0))
}

/// The address of a place in a frame.
fn address(at: Place) -> u64 {
    (at.frame.0 << FrameNo::SHIFT) + u64::from(at.offset)
}

impl Kernel for Effects {
    fn unmap(&mut self, blocks: &[Block], what: Revoke) {
        let rights = match what {
            Revoke::All => MemRights::RWX,
            Revoke::Write => MemRights::W,
        };
        let pages = blocks.iter().map(|block| {
            let start = block.start.0 << FrameNo::SHIFT;
            Fpage::mem(start, FrameNo::SHIFT + block.order.get(), rights)
        });
        let done = self.task.unmap_each_from_others(pages);
        debug_assert!(
            done.is_ok(),
            "unmapping the task's own memory cannot be refused"
        );
        // The call took the receive buffers away, and after a short way the thread waits without a look at them.
        self.prepare(UtcbRef::current());
    }

    #[inline]
    fn zero(&mut self, run: Run) {
        let start = run.start().0 << FrameNo::SHIFT;
        // SAFETY: frames of the pool are mapped writable in this task, and no reference points there.
        unsafe { mem::zero(start, run.frames() << FrameNo::SHIFT) };
    }

    fn zero_bytes(&mut self, at: Place, bytes: u32) {
        // SAFETY: as in `zero`; the caller's ranges never leave their frame.
        unsafe { mem::at(address(at)).write_bytes(0, bytes as usize) };
    }

    fn copy(&mut self, to: Place, from: Place, bytes: u32) {
        let (to, from) = (mem::at(address(to)), mem::at(address(from)));
        // SAFETY: as in `zero_bytes`.
        unsafe { core::ptr::copy(from, to, bytes as usize) };
    }

    fn copy_foreign(
        &mut self,
        to: Place,
        from: Foreign,
        offset: u64,
        bytes: u32,
    ) -> Result<u32, Errno> {
        let question = Question::Bytes {
            from,
            offset,
            bytes,
        };
        let got = self.fetch.answer(question, self.client(from))?;
        let got = (got as u32).min(bytes);
        let from = mem::at(self.fetch.buffer());
        // SAFETY: the buffer is a page of this thread's, filled by its fetching thread, which rests since
        // it answered; the destination as in `zero_bytes`.
        unsafe { core::ptr::copy_nonoverlapping(from, mem::at(address(to)), got as usize) };
        Ok(got)
    }

    fn drop_gate(&mut self, entry: u32) {
        // Deleting takes the object away from everybody, the copy included; gone is gone.
        let _ = self.task.delete(self.gate(entry));
    }

    fn ended(&mut self, entry: u32) {
        if let Some(blocks) = self.windows.close(entry) {
            self.empty(blocks);
            // See `keep_shown`.
            let _ = self.task.release(self.held(entry));
        }
    }

    fn unhold(&mut self, entry: u32) {
        let _ = self.task.release(self.held(entry));
    }
}

impl World for Effects {
    fn make_gate(&mut self, entry: u32, label: Label) -> Result<(), Errno> {
        if entry >= self.slots.entries() {
            return Err(Errno::NoMem);
        }
        let made = self
            .factory
            .create_gate(label.word(), self.thread, self.gate(entry));
        made.map_err(|error| error.errno())
    }

    fn gate_item(&self, entry: u32) -> SendItem {
        SendItem::plain(self.gate(entry).fpage(CapRights::RWSD))
    }

    fn count_clients(&mut self, entry: u32) {
        // Should the kernel refuse, the gate only lives longer than it must.
        let _ = self.gate(entry).forget_references(1);
    }

    fn has_gate(&mut self, entry: u32) -> bool {
        self.task.is_valid(self.gate(entry))
    }

    fn hold(&mut self, entry: u32) -> Result<(), Errno> {
        let (gate, held) = (self.gate(entry), self.held(entry));
        let copied = self.task.copy(gate, held, CapRights::RWSD);
        copied.map_err(|error| error.errno())
    }

    fn take_received(&mut self, index: usize, client: Client) -> Result<Foreign, Errno> {
        let free = self.used.trailing_ones();
        let Some(buffer) = self.buffers.get_mut(index) else {
            return Err(Errno::NoMem);
        };
        let slot = *buffer;
        if free as usize >= FOREIGN {
            let cap: Cap<kind::Any> = Cap::new(self.received(slot));
            let _ = self.task.release(cap);
            return Err(Errno::NoMem);
        }
        *buffer = free;
        self.use_slot(free, Client::NOBODY);
        self.use_slot(slot, client);
        Ok(Foreign(self.received(slot).raw()))
    }

    fn drop_foreign(&mut self, foreign: Foreign) {
        self.fetch.forget(foreign);
        // What was being mapped through it goes, too.
        if let Some(blocks) = self.windows.give_up(foreign) {
            self.empty(blocks);
        }
        if let Some(n) = self.number(foreign) {
            let cap: Cap<kind::Any> = Cap::new(CapIdx::from_raw(foreign.0));
            let _ = self.task.release(cap);
            self.used &= !(1 << n);
        }
    }

    fn foreign_size(&mut self, foreign: Foreign) -> Result<u64, Errno> {
        let client = self.client(foreign);
        self.fetch.answer(Question::Size { from: foreign }, client)
    }

    fn show_foreign(
        &mut self,
        from: Foreign,
        (offset, bytes): (u64, u64),
        execute: bool,
    ) -> Result<FrameNo, Errno> {
        let client = self.client(from);
        let spot = offset % (1 << FOREIGN_ORDER);
        loop {
            let open = self.windows.open(from, client, (spot, bytes));
            let Open { blocks, filled } = open.ok_or(Errno::NoMem)?;
            let start = blocks.start + spot;
            if filled >= bytes {
                return Ok(FrameNo(start >> FrameNo::SHIFT));
            }
            let question = Question::Show {
                from,
                offset: offset.wrapping_add(filled),
                bytes: bytes - filled,
                execute,
                at: start + filled,
                clear: if filled == 0 { blocks.count } else { 0 },
            };
            match self.fetch.answer(question, client) {
                // Should it be 0, which it is not, there would be no end of it.
                Ok(more) => self.windows.fill(from, more.max(l4_sys::PAGE_SIZE)),
                Err(Errno::Again) => return Err(Errno::Again),
                Err(_) => return Err(Errno::NoEnt),
            }
        }
    }

    fn keep_shown(&mut self, foreign: Foreign, entry: u32) -> Result<(), Errno> {
        // What is shown has no gate of its own, so the slot for a copy of that is free.
        let from: Cap<kind::Any> = Cap::new(CapIdx::from_raw(foreign.0));
        let to = self.held(entry);
        let copied = self.task.copy(from, to.cast(), CapRights::R);
        copied.map_err(|error| error.errno())
    }

    fn shown(&mut self, foreign: Foreign, entry: u32) {
        self.windows.shown(foreign, entry);
        self.drop_foreign(foreign);
    }

    fn peer(&mut self, label: u64, client: Client) -> Option<Foreign> {
        Label::from_word(label)?;
        let entries = self.slots.entries();
        let number = label as u32 >> NUMBER_SHIFT;
        let (worker, entry) = (number / entries, number % entries);
        if worker == self.worker {
            return None;
        }
        // A thread's gates are in slots of the task, so its dataspace is asked as any other server's. But
        // its thread may end it at any moment and make another client's object there: so a copy of the
        // capability, and only then a look whether the slot has the gate of this label. If it has, it
        // had it before, too.
        let free = self.used.trailing_ones();
        if free as usize >= FOREIGN {
            return None;
        }
        let gate: Cap<kind::Gate> = Cap::new(self.slots.gate(worker, entry));
        let copy: Cap<kind::Gate> = Cap::new(self.received(free));
        self.task.copy(gate, copy, CapRights::R).ok()?;
        if label_of(gate) != Some(label) {
            let _ = self.task.release(copy);
            return None;
        }
        self.use_slot(free, client);
        Some(Foreign(copy.idx().raw()))
    }

    fn print(&mut self, text: fmt::Arguments<'_>) {
        // The log may be a client's, which may wait for this very thread.
        let patience = Timeouts::new(Timeout::from_us(LOG_PATIENCE_US), Timeout::NEVER);
        let mut log = LineLog::new(self.log).within(patience);
        let _ = fmt::Write::write_fmt(&mut log, text);
        log.flush();
    }
}
