//! A world of tables: gates with counted references, foreign dataspaces, text; any call can fail.
//!
//! Each call that the real world makes by IPC or system call overwrites the UTCB, so a core that trusts
//! its contents over such a call fails its tests.

use std::collections::{BTreeMap, BTreeSet};

use l4_sys::item::SendItem;
use l4_sys::{CapIdx, CapRights, Errno, Fpage, UtcbRef};
use percore_pager::engine::Kernel;
use percore_pager::engine::kernel::{Block, Foreign, Place, Revoke};
use percore_pager::engine::objects::Label;
use percore_pager::frames::{FrameNo, Run};
use percore_pager::server::shell::fetch::{Fetch, Line, Question};
use percore_pager::server::{Client, World};

use crate::machine::Fake;

/// Slot of the gate of entry 0.
pub const GATES: u64 = 0x1000;

/// A gate of the core's.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    pub id: u64,
    pub label: u64,
    /// Whether it goes with its last reference outside the server.
    counted: bool,
    /// References of clients.
    pub refs: u32,
}

/// How a foreign server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Answers at once.
    Prompt,
    /// Lets every question wait, until [`Tables::answer_foreign`].
    Slow,
    /// Answers this error to every question.
    Refuses(Errno),
    /// Gives its size, then this error.
    Breaks(Errno),
    /// Is asked through the server's own [`Fetch`], one question after the other: see
    /// [`Tables::fetch_once`].
    Queued,
    /// The same, and every byte of its memory is this one.
    Filled(u8),
}

#[derive(Debug)]
pub struct Tables {
    pub fake: Fake,
    utcb: UtcbRef,
    pub gates: BTreeMap<u32, Gate>,
    pub held: BTreeSet<u32>,
    next_id: u64,
    /// A gate has gone since this was last false.
    pub deleted: bool,
    pub lines: Vec<String>,
    /// So many fallible calls succeed; all of them when `None`.
    pub fuse: Option<u32>,
    /// What sits in the receive buffer.
    pub received: Option<(u64, Manner)>,
    /// Foreign capabilities that were taken: bytes, manner, whether the last question was answered.
    pub foreign: BTreeMap<u64, (u64, Manner, bool)>,
    pub fetch: Fetch,
    /// Labels of siblings' dataspaces, and their bytes.
    pub peers: BTreeMap<u64, u64>,
    pub foreign_calls: u64,
    /// Where foreign dataspaces appear, if they do.
    pub window: Option<FrameNo>,
    /// Entries of what is shown there.
    pub shown: Vec<u32>,
    /// Foreign capabilities whose memory appears there already.
    pub open: BTreeSet<u64>,
    /// Entries for whose sake a foreign dataspace is kept.
    pub kept: BTreeSet<u32>,
    /// Whose request each foreign capability came with.
    pub clients: BTreeMap<u64, Client>,
}

impl Tables {
    pub fn new(mut fake: Fake, utcb: UtcbRef) -> Self {
        let lines = fake.loans.lend(Line::EMPTY, 64);
        Tables {
            fake,
            utcb,
            gates: BTreeMap::new(),
            held: BTreeSet::new(),
            next_id: 1,
            deleted: false,
            lines: vec![],
            fuse: None,
            received: None,
            foreign: BTreeMap::new(),
            fetch: Fetch::new(0, lines),
            peers: BTreeMap::new(),
            foreign_calls: 0,
            window: None,
            shown: vec![],
            open: BTreeSet::new(),
            kept: BTreeSet::new(),
            clients: BTreeMap::new(),
        }
    }

    /// Gives back what is on the heap.
    ///
    /// # Safety
    ///
    /// Nobody uses the machine any more.
    pub unsafe fn release(&mut self) {
        self.gates = BTreeMap::new();
        self.held = BTreeSet::new();
        self.foreign = BTreeMap::new();
        self.peers = BTreeMap::new();
        self.clients = BTreeMap::new();
        (self.open, self.kept) = (BTreeSet::new(), BTreeSet::new());
        (self.lines, self.shown) = (vec![], vec![]);
        // SAFETY: the caller's promise.
        unsafe { self.fake.release() }
    }

    fn clobber(&mut self) {
        for n in 0..63 {
            self.utcb.set_mr(n, 0xbad0_0bad_0000 + n as u64);
        }
    }

    fn may_fail(&mut self) -> Result<(), Errno> {
        self.clobber();
        match &mut self.fuse {
            Some(0) => Err(Errno::NoMem),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The gate with this identity, if it still exists.
    pub fn gate(&self, id: u64) -> Option<(u32, Gate)> {
        let found = self.gates.iter().find(|(_, gate)| gate.id == id);
        found.map(|(entry, gate)| (*entry, *gate))
    }

    /// A client has one capability more, or less, for a gate.
    pub fn refer(&mut self, id: u64, more: bool) {
        let Some((entry, _)) = self.gate(id) else {
            return;
        };
        let gate = self.gates.get_mut(&entry).expect("it was found");
        gate.refs = if more { gate.refs + 1 } else { gate.refs - 1 };
        self.reap(entry);
    }

    /// A client deletes a gate for everybody (MOE-OBJ-07).
    pub fn delete(&mut self, id: u64) {
        if let Some((entry, _)) = self.gate(id) {
            self.gates.remove(&entry);
            self.deleted = true;
        }
    }

    fn reap(&mut self, entry: u32) {
        let gate = self.gates[&entry];
        if gate.counted && gate.refs == 0 && !self.held.contains(&entry) {
            self.gates.remove(&entry);
            self.deleted = true;
        }
    }

    /// The slow foreign servers answer what they were asked.
    pub fn answer_foreign(&mut self) {
        for foreign in self.foreign.values_mut() {
            foreign.2 = true;
        }
    }

    /// What the fetching thread does with one question, of one of these servers, that all answer.
    /// `false` when there was none.
    pub fn fetch_once(&mut self) -> bool {
        if self.fetch.ask(self.utcb).is_none() {
            return false;
        }
        let (from, bytes) = (self.utcb.mr(0), self.utcb.mr(2));
        let size = self.foreign.get(&from).map_or(0, |it| it.0);
        self.utcb.set_mr(0, 0);
        self.utcb.set_mr(1, if bytes == 0 { size } else { bytes });
        self.utcb.set_mr(2, 1);
        assert_eq!(self.fetch.answered(self.utcb), Some(Foreign(from)));
        true
    }

    fn ask(&mut self, foreign: Foreign, question: Question) -> Result<(u64, Manner), Errno> {
        self.foreign_calls += 1;
        self.may_fail()?;
        let it = self.foreign.get_mut(&foreign.0).expect("taken before");
        match it.1 {
            Manner::Slow if !it.2 => Err(Errno::Again),
            Manner::Refuses(error) => Err(error),
            Manner::Queued | Manner::Filled(_) => {
                let client = self.clients[&foreign.0];
                self.fetch.answer(question, client).map(|_| (it.0, it.1))
            }
            manner => {
                it.2 = false;
                Ok((it.0, manner))
            }
        }
    }
}

impl Kernel for Tables {
    fn unmap(&mut self, blocks: &[Block], what: Revoke) {
        self.fake.unmap(blocks, what);
        self.clobber();
    }

    fn zero(&mut self, run: Run) {
        self.fake.zero(run);
    }

    fn zero_bytes(&mut self, at: Place, bytes: u32) {
        self.fake.zero_bytes(at, bytes);
    }

    fn copy(&mut self, to: Place, from: Place, bytes: u32) {
        self.fake.copy(to, from, bytes);
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
        let manner = self.ask(from, question)?.1;
        if let Manner::Breaks(error) = manner {
            return Err(error);
        }
        let size = self.foreign[&from.0].0;
        let bytes = u64::from(bytes).min(size.saturating_sub(offset)) as u32;
        let got = self.fake.copy_foreign(to, from, offset, bytes)?;
        if let Manner::Filled(byte) = manner {
            let start = to.offset as usize;
            self.fake.page(to.frame)[start..start + got as usize].fill(byte);
        }
        Ok(got)
    }

    fn drop_gate(&mut self, entry: u32) {
        self.clobber();
        self.held.remove(&entry);
        self.gates.remove(&entry);
    }

    fn ended(&mut self, entry: u32) {
        self.clobber();
        if self.shown.contains(&entry) {
            self.kept.remove(&entry);
        }
        self.shown.retain(|shown| *shown != entry);
    }

    fn unhold(&mut self, entry: u32) {
        self.clobber();
        self.kept.remove(&entry);
        if self.held.remove(&entry) && self.gates.contains_key(&entry) {
            self.reap(entry);
        }
    }
}

impl World for Tables {
    fn make_gate(&mut self, entry: u32, label: Label) -> Result<(), Errno> {
        self.may_fail()?;
        let gate = Gate {
            id: self.next_id,
            label: label.word(),
            counted: false,
            refs: 0,
        };
        self.next_id += 1;
        let old = self.gates.insert(entry, gate);
        assert!(old.is_none(), "a gate's slot is taken");
        assert!(!self.held.contains(&entry), "a gone object is held");
        Ok(())
    }

    fn gate_item(&self, entry: u32) -> SendItem {
        let slot = CapIdx::from_slot(GATES + u64::from(entry));
        SendItem::plain(Fpage::obj(slot, 0, CapRights::all()))
    }

    fn count_clients(&mut self, entry: u32) {
        self.clobber();
        self.gates.get_mut(&entry).expect("a gate").counted = true;
    }

    fn has_gate(&mut self, entry: u32) -> bool {
        self.clobber();
        self.gates.contains_key(&entry)
    }

    fn hold(&mut self, entry: u32) -> Result<(), Errno> {
        self.may_fail()?;
        assert!(self.held.insert(entry), "held twice");
        Ok(())
    }

    fn take_received(&mut self, index: usize, client: Client) -> Result<Foreign, Errno> {
        assert_eq!(index, 0);
        let taken = self.received.take();
        self.may_fail()?;
        let (size, manner) = taken.ok_or(Errno::NoEnt)?;
        let id = 1 + self.foreign.keys().max().copied().unwrap_or(0);
        self.foreign.insert(id, (size, manner, false));
        self.clients.insert(id, client);
        Ok(Foreign(id))
    }

    fn drop_foreign(&mut self, foreign: Foreign) {
        self.clobber();
        let known = self.foreign.remove(&foreign.0);
        self.open.remove(&foreign.0);
        assert!(known.is_some(), "a foreign capability was dropped twice");
        self.fetch.forget(foreign);
    }

    fn foreign_size(&mut self, foreign: Foreign) -> Result<u64, Errno> {
        let question = Question::Size { from: foreign };
        self.ask(foreign, question).map(|(size, _)| size)
    }

    fn show_foreign(
        &mut self,
        foreign: Foreign,
        (offset, size): (u64, u64),
        execute: bool,
    ) -> Result<FrameNo, Errno> {
        assert!(offset.is_multiple_of(4096) && size.is_multiple_of(4096) && size > 0);
        let question = Question::Show {
            from: foreign,
            offset,
            bytes: size,
            execute,
            at: 0,
            clear: 0,
        };
        // Once it is there it stays there.
        if !self.open.contains(&foreign.0) {
            match self.ask(foreign, question) {
                Ok(_) => self.open.insert(foreign.0),
                Err(error) => {
                    let refused = matches!(self.foreign[&foreign.0].1, Manner::Refuses(_));
                    return Err(if refused { Errno::NoEnt } else { error });
                }
            };
        }
        self.window.ok_or(Errno::NoMem)
    }

    fn keep_shown(&mut self, foreign: Foreign, entry: u32) -> Result<(), Errno> {
        assert!(self.open.contains(&foreign.0));
        self.may_fail()?;
        self.kept.insert(entry);
        Ok(())
    }

    fn shown(&mut self, foreign: Foreign, entry: u32) {
        assert!(self.kept.contains(&entry), "it was kept");
        self.drop_foreign(foreign);
        self.shown.push(entry);
    }

    fn peer(&mut self, label: u64, client: Client) -> Option<Foreign> {
        self.clobber();
        let size = *self.peers.get(&label)?;
        let id = 1 + self.foreign.keys().max().copied().unwrap_or(0);
        self.foreign.insert(id, (size, Manner::Slow, false));
        self.clients.insert(id, client);
        Some(Foreign(id))
    }

    fn print(&mut self, text: std::fmt::Arguments<'_>) {
        self.clobber();
        self.lines.push(text.to_string());
    }
}
