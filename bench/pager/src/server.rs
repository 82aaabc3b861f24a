//! What the bench knows of its memory server: whether it speaks the pager API, and when it rests.

use l4_sys::{Timeout, UtcbRef, proto};
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use l4re_rs::msg::Writer;
use l4re_rs::start::aux::Process;
use l4re_rs::{Cap, Result};
use percore_pager::api::{Counters, Op, PROTOCOL, reply, request, words_of, write};
use percore_pager::client::Pager;
use zerocopy::IntoBytes;

use crate::memory::{Memory, PAGE};

/// Microseconds between two looks at a server that has something to finish ...
const LOOK: u64 = 1_000;
/// ... and more for each other program: QEMU lets a busy CPU run for so long before the next one, and a
/// sleep must not be over before the server's CPU has run at all.
const EACH: u64 = 10_000;
/// Looks that must agree.
const AGREE: u32 = 3;
/// Messages after which the server has seen what is to be zeroed ahead.
const MESSAGES: u32 = 16;
/// Looks at most.
const LOOKS: u32 = 10_000;
/// The kernel's debugger: print how its memory is used.
const KERNEL_MEMORY: u64 = 0x500;

/// The server of this program's memory.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// The pager API, where the server has it.
    pub pager: Option<Pager>,
    debugger: Option<Cap<kind::Debugger>>,
    /// Microseconds between two looks.
    pace: u64,
}

impl Server {
    /// Finds out; so many programs take part.
    #[must_use]
    pub fn find(process: &Process, programs: u64) -> Self {
        let pager = Pager::new(process.env.mem_alloc());
        Server {
            pager: pager.info().is_ok().then_some(pager),
            debugger: process.env.get("jdb"),
            pace: LOOK + EACH * (programs.max(1) - 1),
        }
    }

    /// Waits until all that was given up is unmapped and free. A server with one thread and no work put
    /// off has done it when it answers at all.
    ///
    /// # Errors
    /// The server's; `NoRoom` when it does not come to rest in ten seconds.
    pub fn settle(self, memory: &mut Memory) -> Result<()> {
        self.look(memory, |m| (m.waiting == 0).then_some([m.used, m.kept, 0]))
    }

    /// The same, and until nothing more is zeroed ahead: what the server has ready then depends on its memory
    /// alone, not on what was done before.
    ///
    /// # Errors
    /// As [`Server::settle`].
    pub fn rest(self, memory: &mut Memory) -> Result<()> {
        if let Some(pager) = self.pager {
            // It looks whether its idle thread has work after so many messages.
            (0..MESSAGES).try_for_each(|_| pager.memory().map(|_| ()))?;
        }
        self.look(memory, |m| {
            let done = m.waiting == 0 && m.held == 0;
            done.then_some([m.used, m.kept, m.zeroed])
        })
    }

    /// Looks at the server's memory until `settled` gives the same several times.
    fn look(
        self,
        memory: &mut Memory,
        settled: impl Fn(&reply::Memory) -> Option<[u64; 3]>,
    ) -> Result<()> {
        let Some(pager) = self.pager else {
            let ds = memory.create(PAGE, 0)?;
            memory.delete(ds);
            return Ok(());
        };
        let (mut last, mut same) = (settled(&pager.memory()?), 0);
        for _ in 0..LOOKS {
            ipc::sleep(Timeout::from_us(self.pace));
            let now = settled(&pager.memory()?);
            same = if now.is_some() && now == last {
                same + 1
            } else {
                0
            };
            if same == AGREE {
                return Ok(());
            }
            last = now;
        }
        Err(l4re_rs::Error::NoRoom)
    }

    /// The server's counters and frames; zeros where it has none.
    ///
    /// # Errors
    /// The server's.
    pub fn figures(self) -> Result<(Counters, Option<reply::Memory>)> {
        match self.pager {
            Some(pager) => Ok((pager.counters()?, Some(pager.memory()?))),
            None => Ok((Counters::default(), None)),
        }
    }

    /// Has the kernel print how its own memory is used, which `percore count` reads.
    pub fn print_kernel_memory(self) {
        let w = Writer::new(UtcbRef::current()).u64(KERNEL_MEMORY);
        if let (Some(debugger), Ok(tag)) = (self.debugger, w.finish(proto::DEBUGGER)) {
            let _ = ipc::call(debugger, tag);
        }
    }
}

/// Says how much a fault brings in dataspaces that the factory makes from now on: log2 of frames.
///
/// # Errors
/// The server's.
pub fn reach(factory: Cap<kind::Factory>, order: u32) -> Result<()> {
    let request = request::Reach {
        head: request::Head::new(Op::Reach),
        first: order,
        least: order,
        most: order,
        zero: 0,
    };
    let words = write(UtcbRef::current(), &request, request.as_bytes().len());
    debug_assert!(words == words_of(size_of::<request::Reach>()));
    ipc::call(factory, l4_sys::MsgTag::plain(PROTOCOL, words, 0)).map(|_| ())
}

/// An operation that there is not: what a refused message costs the server.
pub fn nonsense(factory: Cap<kind::Factory>) {
    let utcb = UtcbRef::current();
    utcb.set_mr(0, u64::from(u32::MAX) << 32 | 0xffff);
    let _ = ipc::call(factory, l4_sys::MsgTag::plain(PROTOCOL, 1, 0));
}
