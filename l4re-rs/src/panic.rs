//! The last message of a program that has found one of its own invariants broken.
//!
//! Client input never leads here (STYLE rule 10). What happened stays in [`RECORD`], where a
//! debugger finds it by symbol, and goes to the log once.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::cap::{Cap, kind};
use crate::log::LineLog;

/// Post-mortem record: how often the program has panicked, and the source line of the first time.
#[derive(Debug)]
pub struct Record {
    /// Number of panics, nested ones included.
    pub count: AtomicU32,
    /// Source line of the first panic; 0 when unknown.
    pub line: AtomicU32,
}

/// The record of this program.
#[unsafe(no_mangle)]
pub static RECORD: Record = Record {
    count: AtomicU32::new(0),
    line: AtomicU32::new(0),
};

/// Reports a panic on the log in slot 5 and stops the thread for good. A panic while reporting one
/// stops at once.
pub fn report(info: &core::panic::PanicInfo<'_>) -> ! {
    if RECORD.count.fetch_add(1, Ordering::Relaxed) == 0 {
        let line = info.location().map_or(0, core::panic::Location::line);
        RECORD.line.store(line, Ordering::Relaxed);
        let mut log = LineLog::new(Cap::<kind::Log>::new(l4_sys::CapIdx::LOG));
        let _ = core::fmt::Write::write_fmt(&mut log, format_args!("PANIC: {info}\n"));
        log.flush();
    }
    stop()
}

/// Sleeps for ever.
pub fn stop() -> ! {
    loop {
        // A receive from nobody without a timeout never returns; the loop is for a cancelled one.
        crate::client::ipc::sleep(l4_sys::Timeout::NEVER);
    }
}
