//! A pager thread and its helpers: what is cut from their memory, made and started.

use l4_sys::{PAGE_SIZE, mem};
use l4re_rs::Cap;
use l4re_rs::cap::kind;

use crate::server::api::{CoreAt, Where};

use super::args::Args;
use super::carve::Carver;
use super::cpus::Cpus;
use super::effects::Handles;
use super::fetcher::Fetcher;
use super::front::{self, Peer};
use super::mailbox::Mailbox;
use super::pager::{self, PagerJob, own};
use super::place::{FAMILY, Slots};
use super::space::AddressSpace;
use super::spawn::{self, Job, Makers, Thread};
use super::start::{PAGER_PRIO, Refusal, Start};
use super::supply::Regions;

/// Priority of fetching threads: programs do not hold them up, they do not hold up pager threads.
const FETCH_PRIO: u8 = 0xdf;
/// Priority of idle threads: below every program.
const IDLE_PRIO: u8 = 1;
/// Priority of working threads: that which loaders give programs.
const WORK_PRIO: u8 = 2;
/// Stack bytes of its helpers.
const HELPER_STACK: u64 = 16 << 10;
/// Bytes of a place for a job.
const JOB: u64 = (size_of::<Job>() as u64).next_multiple_of(64);
/// What a thread gets that has too little memory.
const SHORT: Refusal<'static> = Refusal::Missing("a pager thread's memory is too small");

/// What the families have in common.
pub(super) struct Families<'a> {
    pub start: &'a Start,
    pub slots: Slots,
    pub cpus: &'a Cpus,
    pub args: &'a Args,
    pub space: AddressSpace,
}

/// What is cut from a thread's memory before it runs.
struct Pieces {
    mailbox: &'static Mailbox,
    processors: &'static [CoreAt],
    jobs: u64,
    buffer: u64,
    stack_tops: [u64; FAMILY as usize],
}

impl Pieces {
    fn cut(carver: &mut Carver, cpus: &Cpus) -> Option<Self> {
        Some(Pieces {
            // SAFETY: all zero is an empty mailbox.
            mailbox: unsafe { carver.zeroed::<Mailbox>() }?,
            processors: carver.processors(cpus.processors())?,
            jobs: carver.pages(FAMILY * JOB)?,
            buffer: carver.pages(PAGE_SIZE)?,
            stack_tops: [
                carver.pages(pager::STACK)? + pager::STACK,
                carver.pages(HELPER_STACK)? + HELPER_STACK,
                carver.pages(HELPER_STACK)? + HELPER_STACK,
                carver.pages(HELPER_STACK)? + HELPER_STACK,
            ],
        })
    }
}

impl Families<'_> {
    /// Makes and starts the threads of number `worker` on its memory.
    pub(super) fn start(
        &self,
        worker: u32,
        regions: Regions,
        front: Cap<kind::Irq>,
    ) -> Result<Peer, Refusal<'static>> {
        let at = self.cpus.home(worker).ok_or(SHORT)?;
        let none = "there is no memory for a pager thread (--memory, or sigma0's --reserve)";
        let first = regions.iter().next().ok_or(Refusal::Missing(none))?;
        // SAFETY: the run was just got and is used for this thread alone.
        let mut carver = unsafe { Carver::new(first) };
        let pieces = Pieces::cut(&mut carver, self.cpus).ok_or(SHORT)?;
        let threads = self.make(worker, at.cpu, pieces.stack_tops)?;
        let Start {
            factory,
            task,
            places,
            ..
        } = *self.start;
        let own = |n| self.slots.own(worker, n);
        let handles = Handles {
            thread: Cap::new(own(own::THREAD)),
            factory,
            task,
            log: self.start.log,
            places,
        };
        let fetcher = Fetcher {
            gate: Cap::new(own(own::FETCH_GATE)),
            task,
            window: places.foreign_window(worker),
            buffer: pieces.buffer,
        };
        let first_reply = self.start.first_reply + front::REPLY_SLOTS;
        let pager = PagerJob {
            worker,
            cpu: at.cpu,
            slots: self.slots,
            first_reply: first_reply + worker * pager::REPLY_SLOTS,
            handles,
            regions,
            carver,
            buffer: pieces.buffer,
            policy: self.args.policy,
            mailbox: pieces.mailbox,
            front,
            space: self.space,
            place: Where {
                core: worker,
                node: at.node,
                cores: self.cpus.workers(),
                base: places.ram,
                processors: pieces.processors,
            },
        };
        let jobs = [
            Job::Pager(pager),
            Job::Fetch(fetcher),
            Job::Lend(Cap::new(own(own::IDLE_GATE))),
            Job::Lend(Cap::new(own(own::WORK_GATE))),
        ];
        for (n, (thread, job)) in threads.into_iter().zip(jobs).enumerate() {
            let place = pieces.jobs + n as u64 * JOB;
            // SAFETY: the place is a piece of the family's memory, large enough and aligned for a job,
            // and the thread is the only one that takes it. The stack is a piece as well.
            let started = unsafe {
                mem::at(place).cast::<Job>().write(job);
                spawn::start(self.makers(), thread, place)
            };
            started.map_err(|error| Refusal::Call("start the threads of", worker, error))?;
        }
        Ok(Peer {
            mailbox: pieces.mailbox,
            irq: Cap::new(own(own::MAIL_IRQ)),
            processors: pieces.processors,
        })
    }

    fn makers(&self) -> Makers {
        Makers {
            factory: self.start.factory,
            scheduler: self.start.scheduler,
            task: self.start.task,
        }
    }

    /// Makes the threads, and what they wait on.
    fn make(
        &self,
        worker: u32,
        cpu: u32,
        stack_tops: [u64; FAMILY as usize],
    ) -> Result<[Thread; FAMILY as usize], Refusal<'static>> {
        let failed = |what| move |error| Refusal::Call(what, worker, error);
        let (factory, places) = (self.start.factory, self.start.places);
        // SAFETY: the page is this family's, and nothing lies there.
        unsafe { self.start.task.add_ku_mem(places.utcb_page(worker)) }
            .map_err(failed("get a page of UTCBs for thread"))?;
        let own = |n| self.slots.own(worker, n);
        let thread = |member: u64, slot, prio, handler, stack_top| Thread {
            slot: Cap::new(own(slot)),
            utcb: places.utcb(worker, member),
            stack_top,
            prio,
            cpu,
            handler,
        };
        let (handler, fault) = (self.start.handler, own(own::FAULT_GATE));
        let [pager_top, fetch_top, idle_top, work_top] = stack_tops;
        let threads = [
            thread(0, own::THREAD, PAGER_PRIO, handler, pager_top),
            thread(1, own::FETCH_THREAD, FETCH_PRIO, fault, fetch_top),
            thread(2, own::IDLE_THREAD, IDLE_PRIO, handler, idle_top),
            thread(3, own::WORK_THREAD, WORK_PRIO, handler, work_top),
        ];
        let [pager, fetching, idle, work] = threads;
        // SAFETY: each UTCB is one thread's.
        unsafe { spawn::make(self.makers(), pager) }.map_err(failed("make pager thread"))?;
        for (n, label) in [
            (own::IDLE_GATE, pager::label::IDLE),
            (own::WORK_GATE, pager::label::WORK),
            (own::FETCH_GATE, pager::label::FETCH),
            (own::FAULT_GATE, pager::label::FETCH_FAULT),
        ] {
            let made = factory.create_gate(label, pager.slot, Cap::new(own(n)));
            made.map_err(failed("make the gates of thread"))?;
        }
        for n in [own::DELETE_IRQ, own::MAIL_IRQ] {
            let made = factory.create_irq(Cap::new(own(n)));
            made.map_err(failed("make the interrupts of thread"))?;
        }
        for helper in [fetching, idle, work] {
            // SAFETY: each UTCB is one thread's.
            let made = unsafe { spawn::make(self.makers(), helper) };
            made.map_err(failed("make the helpers of thread"))?;
        }
        Ok(threads)
    }
}
