//! Any bytes as messages of the pager API: of two factories, one of them sealed, and of the service.
//!
//! Numbers are mostly small, or handles that an answer named, so that requests mean something; the rest is
//! as the bytes say. After each answer that maps memory, and at the end, nobody has what is another's.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use l4_sys::{CapRights, Fpage, MsgTag, PAGE_SIZE};
use l4re_rs::server::Incoming;
use percore_pager::api::{self, Op, flag};
use percore_pager::server::{Ticket, Verdict};

use crate::api_support::{conserved, list, own, rig, say};
use crate::server_support::{Cap, Outcome, Reply, Rig};

/// Messages of a trace at most.
const MESSAGES: usize = 300;

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

struct Trace {
    rig: Rig,
    factories: [Cap; 2],
    /// Handles that answers named, of either factory.
    handles: Vec<u32>,
    /// Who waits for an answer to what, by ticket.
    waiting: BTreeMap<u32, (usize, u64)>,
    /// Answers that mapped something.
    mapped: u32,
}

/// Runs the messages that `bytes` stand for and gives the number of answers that mapped something; panics when
/// something is wrong.
pub fn run(bytes: &[u8]) -> u32 {
    let mut rig = rig();
    let root = rig.root;
    let factories = [rig.factory(root, 300), rig.factory(root, 200)];
    let sealed = say(&mut rig, factories[1], flag::SEALED, 0);
    assert_eq!(sealed, Ok(flag::SEALED));
    let mut trace = Trace {
        rig,
        factories,
        handles: vec![],
        waiting: BTreeMap::new(),
        mapped: 0,
    };
    let mut input = Unstructured::new(bytes);
    for _ in 0..MESSAGES {
        if input.is_empty() || trace.message(&mut input).is_err() {
            break;
        }
    }
    trace.end()
}

impl Trace {
    fn message(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let how: u8 = input.arbitrary()?;
        let op = match how & 0x40 {
            0 => u64::from(input.int_in_range(0..=Op::ALL.len() as u8)?),
            _ => *input.choose(&[Op::Alloc, Op::Free, Op::Map, Op::Reserve])? as u64,
        };
        let core = match input.int_in_range(0..=7u8)? {
            0 => 0,
            1 => 1,
            2 => input.arbitrary()?,
            _ => api::OWN_CORE,
        };
        let mut words = vec![op | u64::from(core) << 32];
        if how & 0x80 != 0 {
            self.sensible(op, input, &mut words)?;
        } else {
            for _ in 0..input.int_in_range(0..=8)? {
                words.push(pair(self.number(input)?, self.number(input)?));
            }
        }
        if input.ratio(1, 16)? {
            // As short as it likes.
            words.truncate(input.int_in_range(0..=words.len())?);
        }
        let turns = usize::from(how >> 4 & 3);
        let who = [0, 1, 0, 2][usize::from(how & 3)];
        // Mostly with S.
        let rights = [0, 3, 3, 3][usize::from(how >> 2 & 3)];
        let Some(cap) = self.factories.get(who).copied() else {
            self.service(&words, rights);
            return Ok(());
        };
        let tag = MsgTag::plain(api::PROTOCOL, words.len(), 0);
        match self.rig.deliver(cap.label | rights, tag, &words, &[]) {
            Outcome::Answer(reply) => self.look(who, op, &reply),
            Outcome::Parked(ticket) => {
                self.waiting.insert(ticket.0, (who, op));
            }
            other => panic!("no answer: {other:?}"),
        }
        for _ in 0..turns {
            self.rig.turn();
        }
        self.collect();
        Ok(())
    }

    /// Answers that came later.
    fn collect(&mut self) {
        let answers = std::mem::take(&mut self.rig.answers);
        for (ticket, reply) in answers {
            if let Some((who, op)) = self.waiting.remove(&ticket) {
                self.look(who, op, &reply);
            }
        }
    }

    /// The rest of a request that may well be granted.
    fn sensible(&self, op: u64, input: &mut Unstructured<'_>, words: &mut Vec<u64>) -> Result<()> {
        let mut small = |most: u32| input.int_in_range(0..=most);
        if op == Op::Alloc as u64 {
            let (order, count) = (small(6)?, 1 + small(16)?);
            let (flags, rights) = (small(8)?, small(7)?);
            let spot = u64::from(small(9)?) << (12 + order);
            words.extend([pair(order, count), pair(flags, rights), spot]);
        } else if op == Op::Reserve as u64 {
            words.push(pair(small(6)?, small(40)?));
        } else if op == Op::Policy as u64 {
            words.push(pair(small(4)?, small(1)?));
        } else if op == Op::Set as u64 {
            words.extend([pair(small(7)?, 0), small(16)?.into()]);
        } else if op == Op::State as u64 {
            words.push(pair(2 * small(1)?, 2 * small(1)?));
        } else if let (false, true) = (self.handles.is_empty(), op == Op::Free as u64) {
            let count = 1 + small(3)?;
            words.push(pair(count, small(1)?));
            for _ in 0..count.div_ceil(2) {
                let (low, high) = (input.choose(&self.handles)?, input.choose(&self.handles)?);
                words.push(pair(*low, *high));
            }
        } else if let (false, true) = (self.handles.is_empty(), op == Op::Map as u64) {
            let (rights, order) = (small(7)?, 12 + small(4)?);
            let (offset, spot) = (small(16)? << 12, small(16)? << 12);
            let handle = *input.choose(&self.handles)?;
            words.extend([
                pair(handle, rights),
                order.into(),
                offset.into(),
                spot.into(),
            ]);
        } else {
            words.push(pair(self.number(input)?, self.number(input)?));
        }
        Ok(())
    }

    /// A number as requests have them.
    fn number(&self, input: &mut Unstructured<'_>) -> Result<u32> {
        Ok(match input.int_in_range(0..=7u8)? {
            0 => input.arbitrary()?,
            1 => 1 << input.int_in_range(0..=31u32)?,
            2 => 4096 * u32::from(input.arbitrary::<u8>()?),
            3 | 4 if !self.handles.is_empty() => *input.choose(&self.handles)?,
            _ => input.int_in_range(0..=19)?,
        })
    }

    fn service(&mut self, words: &[u64], rights: u64) {
        let utcb = self.rig.utcb();
        for (n, word) in words.iter().enumerate() {
            utcb.set_mr(n, *word);
        }
        let ticket = Ticket(self.rig.next_ticket);
        self.rig.next_ticket += 1;
        let tag = MsgTag::plain(api::PROTOCOL, words.len(), 0);
        let msg = Incoming {
            label: rights,
            tag,
            utcb,
        };
        match self.rig.core.handle_service(msg, ticket) {
            // Nobody takes what BIND made: it ends.
            Verdict::Answer(tag) if tag.items() > 0 => {
                self.rig.deaf = true;
                self.rig.take(tag);
            }
            Verdict::Answer(tag) => drop(self.rig.take(tag)),
            Verdict::Parked => {}
            Verdict::Nothing => panic!("no answer"),
        }
    }

    /// What an answer maps is the asker's.
    fn look(&mut self, who: usize, op: u64, reply: &Reply) {
        if op == Op::Alloc as u64 && reply.label > 0 {
            let words = reply
                .words
                .iter()
                .flat_map(|w| [*w as u32, (*w >> 32) as u32]);
            self.handles.extend(words.take(reply.label as usize));
        }
        if reply.items.is_empty() {
            return;
        }
        assert!(op == Op::Alloc as u64 || op == Op::Map as u64, "op {op}");
        self.mapped += 1;
        let mine = self.frames(who);
        for (_, page) in &reply.items {
            let page = Fpage(*page);
            let first = page.address() / PAGE_SIZE;
            let frames = first..first + (1 << (page.order() - 12));
            assert!(
                frames.clone().all(|frame| mine.contains(&frame)),
                "{frames:?}"
            );
        }
    }

    /// Frames of a factory's runs, as RUNS tells them. The figures have those, too, that are being zeroed for
    /// somebody who waits.
    fn frames(&mut self, who: usize) -> BTreeSet<u64> {
        let cap = Cap {
            rights: CapRights::RWSD,
            ..self.factories[who]
        };
        let runs = list(&mut self.rig, cap);
        let mut frames = BTreeSet::new();
        for run in &runs {
            let first = run.address / PAGE_SIZE;
            for frame in first..first + (1 << run.order) {
                assert!(frames.insert(frame), "{frame:#x} is in two runs");
            }
        }
        let figures = own(&mut self.rig, cap);
        let known = (runs.len() as u64, frames.len() as u64);
        let all = (
            figures.runs + figures.kept_runs,
            figures.run_frames + figures.kept_frames,
        );
        if self.waiting.is_empty() {
            assert_eq!(all, known, "{figures:?}");
        } else {
            assert!(all.0 >= known.0 && all.1 >= known.1, "{figures:?}");
        }
        frames
    }

    fn end(mut self) -> u32 {
        self.rig.run();
        self.collect();
        let [ours, theirs] = [self.frames(0), self.frames(1)];
        assert!(ours.is_disjoint(&theirs), "a frame is two factories'");
        let root = self.rig.root;
        conserved(&mut self.rig, root);
        for factory in self.factories {
            self.rig.drop_cap(factory);
        }
        self.rig.run();
        while self.rig.core.idle() {}
        let uses = self.rig.core.pool.uses();
        assert_eq!((uses.data, uses.waiting), (0, 0), "frames are lost");
        self.mapped
    }
}
