//! The bare kernel: single pages of the program's own memory into its own empty task and out again.
//! No server takes part; it is what M1 is compared with.

use l4_sys::{CapIdx, Fpage, MemRights};
use l4re_rs::cap::kind;
use l4re_rs::start::aux::Process;
use l4re_rs::{Cap, Result};

use crate::memory::{Memory, PAGE};

/// Pages.
pub const PAGES: u64 = 256;

/// The empty task.
#[derive(Debug)]
pub struct Bare {
    task: Cap<kind::Task>,
    at: u64,
}

impl Bare {
    /// Makes the task; `at` are [`PAGES`] pages of mapped memory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(process: &Process, memory: &mut Memory, at: u64) -> Result<Self> {
        let task = memory.slot()?;
        process.env.factory().create_task(Fpage(0), task)?;
        Ok(Bare { task, at })
    }

    /// Maps each page and takes it back.
    ///
    /// # Errors
    /// The kernel's.
    pub fn run(&self) -> Result<()> {
        let own = Cap::<kind::Task>::new(CapIdx::TASK);
        for i in 0..PAGES {
            let page = Fpage::mem(self.at + i * PAGE, 12, MemRights::RW);
            // SAFETY: the destination is a task without threads.
            unsafe { self.task.map(own, page, page.address())? };
            own.unmap_from_others(&[page])?;
        }
        Ok(())
    }

    /// Ends the task.
    pub fn end(self, memory: &mut Memory) {
        memory.delete(self.task);
    }
}
