//! What the tests share: a small machine, a root pager, and a way to bring results out.
#![allow(dead_code)] // Each test file uses a part.

use std::sync::{Arc, Mutex};

use fiasco_model::{Costs, End, Machine, Model, Options, kit};
use l4_sys::item::{Caching, SendItem};
use l4_sys::{Fpage, MemRights, proto};

/// A machine with `cores` CPUs and 256 MiB.
pub fn options(cores: u32) -> Options {
    Options {
        costs: Costs::unit(),
        ..Options::new(Machine::uniform(1, cores, 256))
    }
}

/// A root pager: answers faults and requests for given RAM one to one, refuses what is not RAM.
pub fn sigma0(_kip: u64) {
    let mut got = kit::wait();
    loop {
        let (tag, _) = got;
        if tag.has_error() {
            got = kit::wait();
            continue;
        }
        let w = kit::utcb().mr(0);
        let (addr, order) = match tag.label() {
            proto::PAGE_FAULT => (w >> 12 << 12, 12),
            _ => (
                Fpage(kit::utcb().mr(1)).address(),
                Fpage(kit::utcb().mr(1)).order(),
            ),
        };
        got = if addr >= 256 << 20 {
            kit::reply_and_wait(-12, &[], &[])
        } else {
            let page = Fpage::mem(addr, order, MemRights::RWX);
            kit::reply_and_wait(0, &[], &[SendItem::mem(addr, Caching::Cached, page)])
        };
    }
}

/// Asks the pager for `2^order` bytes at `addr`, one to one.
pub fn grab(addr: u64, order: u32) {
    kit::receive_memory(Fpage::whole_space());
    let f = Fpage::mem(addr, order, MemRights::empty());
    let t = kit::call(
        l4_sys::CapIdx::PAGER,
        proto::SIGMA0,
        &[l4_sys::ops::sigma0::RAM, f.0],
        &[],
    );
    assert_eq!((t.label(), t.items()), (0, 1), "grab {t:?}");
}

/// Boots with the pager and `root`, runs to quiet, checks the tables; returns the model and what
/// programs reported.
pub fn run<R: Send + 'static>(
    o: &Options,
    root: impl FnOnce(Report<R>) + Send + 'static,
) -> (Model, Vec<R>) {
    let report = Report::new();
    let mut m = Model::new(o).expect("a model");
    let r = report.clone();
    m.boot(sigma0, move |_| {
        root(r);
        // It has not exited: what it made stays in use.
        kit::sleep();
    });
    assert_eq!(m.run(1_000_000), End::Quiet, "log: {}", m.log());
    m.check().expect("tables agree");
    (m, report.take())
}

/// Results of programs, in the order they came.
pub struct Report<R>(Arc<Mutex<Vec<R>>>);

impl<R> Clone for Report<R> {
    fn clone(&self) -> Self {
        Report(self.0.clone())
    }
}

impl<R> Report<R> {
    fn new() -> Self {
        Report(Arc::new(Mutex::new(Vec::new())))
    }

    pub fn add(&self, r: R) {
        self.0.lock().unwrap().push(r);
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn take(&self) -> Vec<R> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
