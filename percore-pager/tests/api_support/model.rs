//! Clients with runs, and a list of who has which frames.

use std::collections::BTreeMap;

use l4_sys::{Errno, PAGE_SIZE};
use percore_pager::api::{Op, flag, reply, request};
use percore_pager::frames::FrameNo;

use crate::api_support::*;
use crate::machine::Mapping;
use crate::server_support::{Cap, Outcome, Reply, Rig, Shape};

/// A run that a client knows of.
#[derive(Clone, Debug)]
pub struct Known {
    pub order: u32,
    pub frame: u64,
    pub kept: bool,
    /// It may have been given back.
    pub unsure: bool,
    /// What the client wrote to it; `None` when it may be anything of its own.
    pub fill: Option<u8>,
}

pub struct Client {
    pub cap: Cap,
    /// Its address space's number.
    pub space: u64,
    pub runs: BTreeMap<u32, Known>,
    pub ds: Option<Cap>,
}

pub enum Wait {
    Alloc { space: u64, order: u32, flags: u32 },
    Reserve { space: u64 },
    Policy { kind: u32 },
    Other,
}

pub struct World {
    pub rig: Rig,
    pub clients: Vec<Client>,
    pub waits: BTreeMap<u32, Wait>,
    pub next_space: u64,
    pub changes: u32,
}

impl World {
    pub fn new() -> Self {
        let shape = Shape {
            places: 200,
            ..Shape::USUAL
        };
        World {
            rig: shaped(shape),
            clients: vec![],
            waits: BTreeMap::new(),
            next_space: 1,
            changes: 0,
        }
    }

    pub fn pick(&self, which: u8) -> Option<usize> {
        (!self.clients.is_empty()).then(|| usize::from(which) % self.clients.len())
    }

    pub fn find(&self, space: u64) -> Option<usize> {
        self.clients.iter().position(|client| client.space == space)
    }

    /// Sends; an answer that comes at once is looked at at once.
    pub fn send(&mut self, cap: Cap, words: &[u64], wait: Wait) {
        match begin(&mut self.rig, cap, words) {
            Outcome::Answer(reply) => self.answered(wait, &reply),
            Outcome::Parked(ticket) => {
                self.waits.insert(ticket.0, wait);
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn collect(&mut self) {
        let answers = std::mem::take(&mut self.rig.answers);
        let mut answers: Vec<(Wait, Reply)> = answers
            .into_iter()
            .filter_map(|(ticket, reply)| Some((self.waits.remove(&ticket)?, reply)))
            .collect();
        // What a reserve has is listed when all runs that were handed out are known.
        answers.sort_by_key(|(wait, _)| matches!(wait, Wait::Reserve { .. }));
        for (wait, reply) in answers {
            self.answered(wait, &reply);
        }
    }

    fn answered(&mut self, wait: Wait, reply: &Reply) {
        match wait {
            Wait::Alloc {
                space,
                order,
                flags,
            } => self.allocated(space, order, flags, reply),
            Wait::Reserve { space } => {
                // What is in the reserve now is found by listing.
                if let Some(at) = self.find(space) {
                    self.relist(at);
                }
            }
            Wait::Policy { kind } => {
                if let Ok(done) = parse::<reply::Policy>(reply) {
                    assert_eq!(done.now, kind);
                    self.changes += 1;
                } else {
                    let refusals = [Errno::Inval, Errno::Busy, Errno::NoMem, Errno::Again];
                    assert!(
                        reply.error().is_some_and(|e| refusals.contains(&e)),
                        "{reply:?}"
                    );
                }
            }
            Wait::Other => {}
        }
    }

    fn allocated(&mut self, space: u64, order: u32, flags: u32, reply: &Reply) {
        let Ok(got) = got(reply, order) else {
            return;
        };
        // The client has dropped its factory, and the pager has not noticed yet.
        let Some(at) = self.find(space) else {
            return;
        };
        let cap = self.clients[at].cap;
        let frames: Vec<u64> = match got.mapped.is_empty() {
            false => got.mapped.iter().map(|(_, frame, _)| *frame).collect(),
            true => {
                let listed = self.list(cap);
                let frame = |handle: &u32| listed.iter().find(|run| run.handle == *handle);
                let frames = got.handles.iter().map(frame);
                frames
                    .map(|run| run.expect("it is listed").address / PAGE_SIZE)
                    .collect()
            }
        };
        for (handle, frame) in got.handles.iter().zip(frames) {
            let old = self.clients[at].runs.remove(handle);
            let recycled = flags & flag::FROM_RESERVE != 0;
            // What is not known comes from a reserve that is being filled.
            if let Some(old) = &old {
                assert!(old.kept && recycled && old.frame == frame);
            }
            for page in frame..frame + (1 << order) {
                for ((owner, _), mapping) in &self.rig.core.pool.kernel.fake.maps {
                    assert!(
                        *owner == space || mapping.frame != page,
                        "frame {page} is {owner}'s"
                    );
                }
                let bytes = self.rig.core.pool.kernel.fake.page(FrameNo(page));
                let first = bytes[0];
                assert!(bytes.iter().all(|byte| *byte == first));
                let want = match old.as_ref() {
                    _ if !recycled || flags & flag::CLEAR != 0 => Some(0),
                    Some(old) => old.fill,
                    None => None,
                };
                assert!(want.is_none_or(|want| want == first), "{want:?} is {first}");
                let fill = space as u8 | 0x80;
                bytes.fill(fill);
                let mapping = Mapping {
                    frame: page,
                    write: true,
                };
                self.rig
                    .core
                    .pool
                    .kernel
                    .fake
                    .maps
                    .insert((space, page), mapping);
            }
            let fill = Some(space as u8 | 0x80);
            let known = Known {
                order,
                frame,
                kept: false,
                unsure: false,
                fill,
            };
            self.clients[at].runs.insert(*handle, known);
        }
        self.disjoint();
    }

    /// No two runs have a frame in common.
    pub fn disjoint(&self) {
        let mut all: Vec<(u64, u64)> = self
            .clients
            .iter()
            .flat_map(|client| client.runs.values())
            .filter(|run| !run.unsure)
            .map(|run| (run.frame, run.frame + (1 << run.order)))
            .collect();
        all.sort_unstable();
        for pair in all.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "two runs share a frame: {pair:?}");
        }
    }

    pub fn list(&mut self, cap: Cap) -> Vec<reply::Run> {
        let mut all = vec![];
        let mut from = 0;
        loop {
            let request = request::Runs {
                head: head(Op::Runs),
                from,
                zero: 0,
            };
            let Outcome::Answer(mut reply) = begin(&mut self.rig, cap, &words(&request)) else {
                panic!("a list is answered at once");
            };
            let count = reply.label as usize;
            reply.words.resize(61, 0);
            let part: reply::Runs = parse(&reply).expect("S");
            all.extend_from_slice(&part.runs[..count]);
            from = part.next;
            if from == 0 {
                return all;
            }
        }
    }

    /// Compares what a client knows with what the pager lists; the reserve is learned from it.
    pub fn relist(&mut self, at: usize) {
        let listed = self.list(self.clients[at].cap);
        let client = &mut self.clients[at];
        for run in &listed {
            let known = client
                .runs
                .get(&run.handle)
                .map(|known| (known.order, known.kept));
            let is = (u32::from(run.order), run.kept == 1);
            if run.kept == 1 && known.is_none() {
                let known = Known {
                    order: is.0,
                    frame: run.address / PAGE_SIZE,
                    kept: true,
                    unsure: false,
                    fill: Some(0),
                };
                client.runs.insert(run.handle, known);
            } else {
                assert_eq!(known, Some(is), "{run:?}");
            }
        }
        client.runs.retain(|handle, known| {
            let there = listed.iter().any(|run| run.handle == *handle);
            known.unsure = false;
            assert!(there || known.kept, "a run in use is gone");
            there
        });
        self.disjoint();
    }

    pub fn finish(mut self) -> (u32, usize) {
        self.rig.run();
        self.collect();
        assert!(self.waits.is_empty(), "somebody was never answered");
        for at in 0..self.clients.len() {
            self.relist(at);
            let own = own(&mut self.rig, self.clients[at].cap);
            let runs = self.clients[at].runs.values();
            let kept = runs.clone().filter(|run| run.kept).count();
            let frames: u64 = runs.clone().map(|run| 1 << run.order).sum();
            assert_eq!(
                (own.runs + own.kept_runs, own.kept_runs),
                (runs.len() as u64, kept as u64)
            );
            assert_eq!(own.run_frames + own.kept_frames, frames);
        }
        let live: usize = self.clients.iter().map(|client| client.runs.len()).sum();
        for client in std::mem::take(&mut self.clients) {
            if let Some(ds) = client.ds {
                self.rig.drop_cap(ds);
            }
            self.rig.drop_cap(client.cap);
        }
        self.rig.run();
        while self.rig.core.idle() {}
        let uses = self.rig.core.pool.uses();
        assert_eq!(
            (uses.data, uses.kept, uses.waiting),
            (0, 0, 0),
            "frames are lost"
        );
        assert!(
            self.rig.core.pool.kernel.fake.maps.is_empty(),
            "a mapping is left"
        );
        self.rig.core.pool.frames().policy();
        (self.changes, live)
    }
}
