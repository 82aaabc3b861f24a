//! Random maps and unmaps between tasks, against a naive model of small pages, and with large
//! pages against the tables' own oracle.

mod common;

use std::collections::BTreeMap;

use common::{Report, options, run};
use fiasco_model::kit;
use l4_sys::item::Caching;
use l4_sys::ops::task::{ALL_SPACES, MAP, OTHER_SPACES};
use l4_sys::{CapIdx, CapRights, Fpage, MemRights, proto};
use proptest::prelude::*;

const RAM: u64 = 0x200_0000;
const TASKS: usize = 3;
/// Pages of each task that the operations use, from 4 MiB on.
const PAGES: u64 = 8;

#[derive(Debug, Clone, Copy)]
enum Op {
    /// The root task gives frame `frame` to a task.
    Give {
        frame: u64,
        to: usize,
        page: u64,
        write: bool,
    },
    /// One task's page goes to another task.
    Pass {
        from: usize,
        src: u64,
        to: usize,
        page: u64,
        write: bool,
    },
    /// Taken back from a task's page.
    Unmap {
        task: usize,
        page: u64,
        own: bool,
        write_only: bool,
    },
    /// The root task takes a frame back from everybody else.
    Revoke { frame: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let page = 0..PAGES;
    let task = 0..TASKS;
    prop_oneof![
        (page.clone(), task.clone(), page.clone(), any::<bool>()).prop_map(
            |(frame, to, page, write)| Op::Give {
                frame,
                to,
                page,
                write
            }
        ),
        (
            task.clone(),
            page.clone(),
            task.clone(),
            page.clone(),
            any::<bool>()
        )
            .prop_map(|(from, src, to, page, write)| Op::Pass {
                from,
                src,
                to,
                page,
                write
            }),
        (task, page.clone(), any::<bool>(), any::<bool>()).prop_map(
            |(task, page, own, write_only)| Op::Unmap {
                task,
                page,
                own,
                write_only
            }
        ),
        page.prop_map(|frame| Op::Revoke { frame }),
    ]
}

fn slot(task: usize) -> CapIdx {
    CapIdx::from_slot(0x30 + 2 * task as u64)
}

fn addr(page: u64) -> u64 {
    0x40_0000 + page * 4096
}

fn rights(write: bool) -> MemRights {
    if write { MemRights::RW } else { MemRights::R }
}

/// Performs an operation on the model's kernel, `order` bytes at once.
fn perform(op: Op, order: u32) {
    let at = |a: u64, r| Fpage::mem(a, order, r);
    let scale = 1 << (order - 12);
    let a = |page: u64| 0x40_0000 * scale + (page << order);
    match op {
        Op::Give {
            frame,
            to,
            page,
            write,
        } => {
            kit::map_into(slot(to), a(page), at(RAM + (frame << order), rights(write)));
        }
        Op::Pass {
            from,
            src,
            to,
            page,
            write,
        } => {
            let words = [
                MAP,
                a(page) | Caching::AsSender as u64,
                at(a(src), rights(write)).0,
            ];
            let item = kit::cap_item(slot(from), CapRights::RWS);
            kit::call(slot(to), proto::TASK, &words, &[item]);
        }
        Op::Unmap {
            task,
            page,
            own,
            write_only,
        } => {
            let r = if write_only {
                MemRights::W
            } else {
                MemRights::RWX
            };
            kit::unmap(
                slot(task),
                if own { ALL_SPACES } else { OTHER_SPACES },
                &[at(a(page), r)],
            );
        }
        Op::Revoke { frame } => {
            let f = at(RAM + (frame << order), MemRights::RWX);
            kit::unmap(CapIdx::TASK, OTHER_SPACES, &[f]);
        }
    }
}

fn start_tasks() {
    for t in 0..TASKS {
        let p = kit::Program {
            slot: slot(t),
            cpu: 0,
            prio: 1,
            pager: None,
        };
        p.start(&[], kit::sleep).unwrap();
    }
}

/// Where a page came from: a frame of the root task, or another page.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Parent {
    Frame(u64),
    Page(usize, u64),
}

/// The naive model: what each page holds.
#[derive(Default)]
struct Naive(BTreeMap<(usize, u64), (u64, bool, Parent)>);

impl Naive {
    fn remove_below(&mut self, parent: Parent) {
        let kids: Vec<_> = self
            .0
            .iter()
            .filter(|(_, v)| v.2 == parent)
            .map(|(k, _)| *k)
            .collect();
        for (t, p) in kids {
            self.remove_below(Parent::Page(t, p));
            self.0.remove(&(t, p));
        }
    }

    fn readonly_below(&mut self, parent: Parent) {
        let kids: Vec<_> = self
            .0
            .iter()
            .filter(|(_, v)| v.2 == parent)
            .map(|(k, _)| *k)
            .collect();
        for (t, p) in kids {
            if let Some(v) = self.0.get_mut(&(t, p)) {
                v.1 = false;
            }
            self.readonly_below(Parent::Page(t, p));
        }
    }

    fn map(&mut self, parent: Parent, frame: u64, write: bool, to: usize, page: u64) {
        if let Some(old) = self.0.get(&(to, page)).copied() {
            if old.2 == parent && old.0 == frame {
                self.0.insert((to, page), (frame, write || old.1, parent));
                return;
            }
            self.remove_below(Parent::Page(to, page));
            self.0.remove(&(to, page));
        }
        // What was sent may have been below what it replaced.
        if let Parent::Page(t, p) = parent
            && !self.0.contains_key(&(t, p))
        {
            return;
        }
        self.0.insert((to, page), (frame, write, parent));
    }

    fn perform(&mut self, op: Op) {
        match op {
            Op::Give {
                frame,
                to,
                page,
                write,
            } => {
                self.map(Parent::Frame(frame), frame, write, to, page);
            }
            Op::Pass {
                from,
                src,
                to,
                page,
                write,
            } => {
                if let Some((frame, has, _)) = self.0.get(&(from, src)).copied() {
                    self.map(Parent::Page(from, src), frame, write && has, to, page);
                }
            }
            Op::Unmap {
                task,
                page,
                own,
                write_only,
            } => {
                if !self.0.contains_key(&(task, page)) {
                    return;
                }
                if write_only {
                    self.readonly_below(Parent::Page(task, page));
                    if let Some(v) = self.0.get_mut(&(task, page)).filter(|_| own) {
                        v.1 = false;
                    }
                } else {
                    self.remove_below(Parent::Page(task, page));
                    if own {
                        self.0.remove(&(task, page));
                    }
                }
            }
            Op::Revoke { frame } => self.remove_below(Parent::Frame(frame)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn small_pages_agree_with_the_naive_model(ops in prop::collection::vec(op(), 1..60)) {
        let script = ops.clone();
        let (m, _) = run(&options(1), move |_: Report<()>| {
            start_tasks();
            for frame in 0..PAGES {
                common::grab(RAM + frame * 4096, 12);
            }
            for op in script {
                perform(op, 12);
            }
        });
        let mut naive = Naive::default();
        for op in ops {
            naive.perform(op);
        }
        let tasks: Vec<_> = m.objects("task").into_iter().filter(|t| t.1.is_empty()).collect();
        let mut found = BTreeMap::new();
        for (task, at, phys, order, r) in m.pages() {
            if let Some(t) = tasks.iter().position(|x| x.0 == task) {
                prop_assert_eq!(order, 12);
                found.insert((t, at), ((phys - RAM) / 4096, r & 2 != 0));
            }
        }
        let expect: BTreeMap<_, _> =
            naive.0.iter().map(|((t, p), v)| ((*t, addr(*p)), (v.0, v.1))).collect();
        prop_assert_eq!(found, expect);
    }

    #[test]
    fn mixed_sizes_keep_the_tables_whole(
        ops in prop::collection::vec((op(), prop::sample::select(vec![12u32, 14, 21])), 1..40)
    ) {
        // `run` compares page tables, mappings and capability lists at the end.
        let (m, _) = run(&options(1), move |_: Report<()>| {
            start_tasks();
            for frame in 0..PAGES {
                common::grab(RAM + (frame << 21), 21);
            }
            for (op, order) in ops {
                perform(op, order);
            }
        });
        prop_assert!(m.totals().unmap_calls < 100);
    }
}
