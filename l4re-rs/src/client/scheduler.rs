//! Schedulers: which CPUs there are, and where threads run.

use l4_sys::item::SendItem;
use l4_sys::ops::scheduler;
use l4_sys::{CapRights, UtcbRef, proto};

use super::ipc;
use crate::cap::{Cap, kind};
use crate::error::{Error, Result};
use crate::msg::{Reader, Writer};

/// A set of CPUs: bit `i` of `map` stands for the `2^granularity` CPUs from
/// `offset + i * 2^granularity` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuSet {
    /// log2 of the CPUs per bit.
    pub granularity: u8,
    /// First CPU, below 2^24.
    pub offset: u32,
    /// One bit a group.
    pub map: u64,
}

impl CpuSet {
    /// Just one CPU.
    #[must_use]
    pub const fn one(cpu: u32) -> Self {
        CpuSet {
            granularity: 0,
            offset: cpu,
            map: 1,
        }
    }

    fn word(self) -> u64 {
        u64::from(self.granularity) << 24 | u64::from(self.offset & 0xff_ffff)
    }
}

/// Answer of [`Cap::cpus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuInfo {
    /// CPUs that are online, in the asked window.
    pub online: u64,
    /// Highest CPU number plus one.
    pub max: u64,
}

impl Cap<kind::Scheduler> {
    /// Which CPUs of the window that begins at `offset` are online.
    ///
    /// # Errors
    /// `Refused(Range)` when `offset` is beyond the last CPU.
    pub fn cpus(self, granularity: u8, offset: u32) -> Result<CpuInfo> {
        let u = UtcbRef::current();
        let set = CpuSet {
            granularity,
            offset,
            map: 0,
        };
        let tag = Writer::new(u)
            .u64(scheduler::INFO)
            .u64(set.word())
            .finish(proto::SCHEDULER)
            .map_err(|_| Error::NoRoom)?;
        let tag = ipc::call(self, tag)?;
        let mut r = Reader::new(u, tag);
        match (r.u64(), r.u64()) {
            (Ok(online), Ok(max)) => Ok(CpuInfo { online, max }),
            _ => Err(Error::BadReply),
        }
    }

    /// Runs `thread` at priority `prio` (1 to 255) on `cpus`; `quantum` in microseconds, 0 for the
    /// default.
    ///
    /// # Errors
    /// The scheduler's.
    pub fn run(
        self,
        thread: Cap<kind::Thread>,
        prio: u8,
        cpus: CpuSet,
        quantum: u64,
    ) -> Result<()> {
        let tag = Writer::new(UtcbRef::current())
            .u64(scheduler::RUN_THREAD)
            .u64(cpus.word())
            .u64(cpus.map)
            .u64(u64::from(prio))
            .u64(quantum)
            .item(SendItem::plain(thread.fpage(CapRights::RWS)))
            .finish(proto::SCHEDULER)
            .map_err(|_| Error::NoRoom)?;
        ipc::call(self, tag).map(|_| ())
    }

    /// Sets a thread's priority and leaves it on the CPUs it may use.
    ///
    /// # Errors
    /// The scheduler's.
    pub fn set_priority(self, thread: Cap<kind::Thread>, prio: u8) -> Result<()> {
        // Granularity 255 covers all CPUs with one bit, as upstream's client asks it.
        self.run(
            thread,
            prio,
            CpuSet {
                granularity: 255,
                offset: 0,
                map: 1,
            },
            0,
        )
    }
}
