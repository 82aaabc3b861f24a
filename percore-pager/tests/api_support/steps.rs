//! What the clients of the model do.

use std::collections::BTreeMap;

use l4_sys::{Errno, PAGE_SIZE, proto};
use l4re_rs::varg::Arg;
use percore_pager::api::{Op, flag, reply, request};
use percore_pager::frames::FrameNo;
use proptest::prelude::*;

use crate::api_support::*;
use crate::model::{Client, Wait, World};
use crate::server_support::Outcome;

#[derive(Clone, Debug)]
pub enum Step {
    Factory {
        pages: u64,
    },
    Drop {
        which: u8,
    },
    Alloc {
        which: u8,
        order: u32,
        count: u32,
        flags: u32,
    },
    Free {
        which: u8,
        from: u8,
        count: u8,
        keep: bool,
        twice: bool,
    },
    Reserve {
        which: u8,
        order: u32,
        count: u32,
    },
    Touch {
        which: u8,
        page: u8,
    },
    Policy {
        kind: u32,
    },
    Abandon,
    Set {
        parameter: u32,
        value: u64,
    },
    State {
        which: u8,
        set: u32,
        clear: u32,
    },
    Garbage {
        which: u8,
        words: Vec<u64>,
    },
    Turns {
        count: u8,
    },
    Idle,
}

pub fn step() -> impl Strategy<Value = Step> {
    let n = any::<u8>;
    prop_oneof![
        3 => (20u64..300).prop_map(|pages| Step::Factory { pages }),
        1 => n().prop_map(|which| Step::Drop { which }),
        12 => (n(), 0u32..6, 1u32..17, prop_oneof![6 => Just(0), 3 => 0u32..8])
            .prop_map(|(which, order, count, flags)| Step::Alloc { which, order, count, flags }),
        8 => (n(), n(), 1u8..20, any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(which, from, count, keep, twice)| Step::Free { which, from, count, keep, twice }),
        4 => (n(), 0u32..5, 0u32..30).prop_map(|(which, order, count)| Step::Reserve { which, order, count }),
        10 => (n(), n()).prop_map(|(which, page)| Step::Touch { which, page }),
        6 => (0u32..5).prop_map(|kind| Step::Policy { kind }),
        2 => Just(Step::Abandon),
        2 => (0u32..9, prop_oneof![0u64..12, 0u64..700]).prop_map(|(parameter, value)| Step::Set { parameter, value }),
        1 => (n(), 0u32..6, 0u32..3).prop_map(|(which, set, clear)| Step::State { which, set, clear }),
        3 => (n(), prop::collection::vec(any::<u64>(), 0..63)).prop_map(|(which, words)| Step::Garbage { which, words }),
        8 => (1u8..12).prop_map(|count| Step::Turns { count }),
        2 => Just(Step::Idle),
    ]
}

impl World {
    pub fn run(&mut self, step: Step) {
        match step {
            Step::Factory { pages } if self.clients.len() < 5 => {
                let root = self.rig.root;
                let made = {
                    let words = self
                        .rig
                        .create_words(proto::FACTORY, &[Arg::Uint(pages * PAGE_SIZE)]);
                    match self.rig.send(root, proto::FACTORY, &words, &[]) {
                        Outcome::Answer(reply) => self.rig.receive(&reply),
                        _ => Err(Errno::Again),
                    }
                };
                if let Ok(cap) = made {
                    let space = self.next_space;
                    self.next_space += 1;
                    self.clients.push(Client {
                        cap,
                        space,
                        runs: BTreeMap::new(),
                        ds: None,
                    });
                }
            }
            Step::Factory { .. } => {}
            Step::Drop { which } => {
                if let Some(at) = self.pick(which) {
                    let client = self.clients.swap_remove(at);
                    if let Some(ds) = client.ds {
                        self.rig.drop_cap(ds);
                    }
                    self.rig.drop_cap(client.cap);
                }
            }
            Step::Alloc {
                which,
                order,
                count,
                flags,
            } => {
                if let Some(at) = self.pick(which) {
                    let (cap, space) = (self.clients[at].cap, self.clients[at].space);
                    let request = words(&alloc_request(order, count, flags, 0));
                    self.send(
                        cap,
                        &request,
                        Wait::Alloc {
                            space,
                            order,
                            flags,
                        },
                    );
                }
            }
            Step::Free {
                which,
                from,
                count,
                keep,
                twice,
            } => self.free(which, from, count, keep, twice),
            Step::Reserve {
                which,
                order,
                count,
            } => {
                if let Some(at) = self.pick(which) {
                    let (cap, space) = (self.clients[at].cap, self.clients[at].space);
                    // What the reserve has of this order may be anybody's until the answer is there.
                    let runs = self.clients[at].runs.values_mut();
                    for run in runs.filter(|run| run.kept && run.order == order) {
                        run.unsure = true;
                    }
                    let request = request::Reserve {
                        head: head(Op::Reserve),
                        order,
                        count,
                    };
                    self.send(cap, &words(&request), Wait::Reserve { space });
                }
            }
            Step::Touch { which, page } => self.touch(which, page),
            Step::Policy { kind } => {
                let root = self.rig.root;
                let request = words(&policy_request(kind, 0));
                self.send(root, &request, Wait::Policy { kind });
            }
            Step::Abandon => {
                let root = self.rig.root;
                self.send(root, &words(&head(Op::Abandon)), Wait::Other);
            }
            Step::Set { parameter, value } => {
                let root = self.rig.root;
                let request = request::Set {
                    head: head(Op::Set),
                    parameter,
                    zero: 0,
                    value,
                };
                self.send(root, &words(&request), Wait::Other);
            }
            Step::State { which, set, clear } => {
                if let Some(at) = self.pick(which) {
                    let cap = self.clients[at].cap;
                    // Sharing nothing would keep mappings that this test takes for lost.
                    let set = set & !flag::SHARES_NOTHING;
                    let request = request::State {
                        head: head(Op::State),
                        set,
                        clear,
                    };
                    self.send(cap, &words(&request), Wait::Other);
                }
            }
            Step::Garbage { which, mut words } => {
                if let (Some(at), Some(first)) = (self.pick(which), words.first_mut()) {
                    // An operation that is none, or that changes nothing that is looked at here.
                    let harmless = [
                        Op::Info,
                        Op::Memory,
                        Op::Orders,
                        Op::Counters,
                        Op::Own,
                        Op::Map,
                        Op::Owner,
                        Op::Bind,
                        Op::CoreOf,
                    ];
                    let op = harmless
                        .get(*first as usize % 16)
                        .map_or(19 + *first as u32 % 1000, |op| *op as u32);
                    *first = u64::from(op)
                        | if *first & 1 << 40 == 0 {
                            0xffff_ffff << 32
                        } else {
                            1 << 32
                        };
                    let cap = self.clients[at].cap;
                    self.send(cap, &words, Wait::Other);
                }
            }
            Step::Turns { count } => {
                for _ in 0..count {
                    self.rig.turn();
                }
            }
            Step::Idle => {
                self.rig.core.idle();
            }
        }
        self.collect();
        let root = self.rig.root;
        let Outcome::Answer(reply) = begin(&mut self.rig, root, &words(&head(Op::Memory))) else {
            panic!("figures are answered at once");
        };
        let it: reply::Memory = parse(&reply).expect("S");
        let sum = it.free + it.held + it.used + it.kept + it.waiting + it.meta;
        assert_eq!((sum, it.present), (1024, 1024), "{it:?}");
    }

    fn free(&mut self, which: u8, from: u8, count: u8, keep: bool, twice: bool) {
        let Some(at) = self.pick(which) else {
            return;
        };
        let live: Vec<u32> = self.clients[at]
            .runs
            .iter()
            .filter(|(_, run)| !run.kept)
            .map(|(handle, _)| *handle)
            .collect();
        if live.is_empty() {
            return;
        }
        let from = usize::from(from) % live.len();
        let mut handles: Vec<u32> = live[from..].iter().copied().take(count.into()).collect();
        // The contents are still the client's.
        for handle in &handles {
            let run = self.clients[at].runs[handle].clone();
            for page in run.frame..run.frame + (1 << run.order) {
                let bytes = self.rig.core.pool.kernel.fake.page(FrameNo(page));
                assert!(
                    bytes.iter().all(|byte| Some(*byte) == run.fill),
                    "somebody wrote to it"
                );
            }
        }
        if twice {
            handles.push(handles[0]);
        }
        let cap = self.clients[at].cap;
        let flags = if keep { flag::TO_RESERVE } else { 0 };
        let Outcome::Answer(reply) = begin(&mut self.rig, cap, &free_request(&handles, flags))
        else {
            panic!("freeing is answered at once");
        };
        if twice {
            assert_eq!(reply.error(), Some(Errno::NoEnt));
            return;
        }
        assert_eq!(reply.error(), None);
        for handle in handles {
            let client = &mut self.clients[at];
            if keep {
                client.runs.get_mut(&handle).expect("it is known").kept = true;
            } else {
                client.runs.remove(&handle);
            }
        }
    }

    /// Map traffic: a page of the client's dataspace.
    fn touch(&mut self, which: u8, page: u8) {
        let Some(at) = self.pick(which) else {
            return;
        };
        let ds = match self.clients[at].ds {
            Some(ds) => ds,
            None => {
                let cap = self.clients[at].cap;
                let words = self
                    .rig
                    .create_words(proto::DATASPACE, &[Arg::Uint(256 * PAGE_SIZE)]);
                let Outcome::Answer(reply) = self.rig.send(cap, proto::FACTORY, &words, &[]) else {
                    return;
                };
                let Ok(ds) = self.rig.receive(&reply) else {
                    return;
                };
                self.clients[at].ds = Some(ds);
                ds
            }
        };
        let page = u64::from(page);
        let words = [0, page * PAGE_SIZE, page * PAGE_SIZE, 7];
        let Outcome::Answer(reply) = self.rig.send(ds, proto::DATASPACE, &words, &[]) else {
            return;
        };
        if reply.error().is_some() {
            return;
        }
        let (base, address, order, _) = reply.memory();
        let frame = (address + (base & ((1 << order) - 1))) / PAGE_SIZE;
        let theirs = self.clients.iter().flat_map(|client| client.runs.values());
        for run in theirs.filter(|run| !run.unsure) {
            let inside = (run.frame..run.frame + (1 << run.order)).contains(&frame);
            assert!(!inside, "a dataspace shows a frame of a run");
        }
    }
}
