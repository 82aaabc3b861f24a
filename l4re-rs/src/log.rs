//! Text on a log: buffered by line, and without a trace in the message registers.
//!
//! A server prints while a request lies in its UTCB, so every write saves the registers that it
//! uses and puts them back (S0-BOOT-05).

use core::fmt;

use l4_sys::ops::vcon;
use l4_sys::syscall::{self, SEND};
use l4_sys::{MsgTag, Timeouts, UtcbRef, proto};

use crate::cap::{Cap, kind};

/// Bytes that one write to a log can carry.
pub const WRITE_SIZE: usize = vcon::WRITE_SIZE;

/// Sends up to [`WRITE_SIZE`] bytes to a log; more are cut. Message registers and buffer
/// descriptor are as before afterwards. Blocks until the log has taken the text.
pub fn write_raw(log: Cap<kind::Log>, text: &[u8]) {
    write_within(log, text, Timeouts::NEVER);
}

/// [`write_raw`] that gives the text up when the log does not take it in time.
fn write_within(log: Cap<kind::Log>, text: &[u8], timeouts: Timeouts) {
    let text = text.get(..WRITE_SIZE).unwrap_or(text);
    let utcb = UtcbRef::current();
    let words = 2 + text.len().div_ceil(8);
    let mut saved = [0u64; l4_sys::utcb::MESSAGE_REGISTERS];
    for (i, s) in saved.iter_mut().enumerate().take(words) {
        *s = utcb.mr(i);
    }
    utcb.set_mr(0, vcon::WRITE);
    utcb.set_mr(1, text.len() as u64);
    // SAFETY: `text` is at most WRITE_SIZE bytes, which fit behind word 2; it is not in the UTCB.
    unsafe {
        core::ptr::copy_nonoverlapping(text.as_ptr(), utcb.message_bytes().add(16), text.len());
        let tag = MsgTag::plain(proto::LOG, words, 0);
        // SAFETY: a send receives nothing and a log maps nothing. A log that is not there is no
        // reason to stop, so the result is not looked at.
        let _ = syscall::invoke(log.idx(), SEND, 0, tag, timeouts);
    }
    for (i, s) in saved.iter().enumerate().take(words) {
        utcb.set_mr(i, *s);
    }
}

/// A log with a line buffer: text goes out at each newline and when the buffer is full.
///
/// Use it as a [`fmt::Write`]. Without a log (see [`LineLog::disabled`]) text is dropped.
#[derive(Debug)]
pub struct LineLog {
    log: Option<Cap<kind::Log>>,
    timeouts: Timeouts,
    buffer: [u8; WRITE_SIZE],
    used: usize,
}

impl LineLog {
    /// Writes to `log`.
    #[must_use]
    pub const fn new(log: Cap<kind::Log>) -> Self {
        LineLog {
            log: Some(log),
            timeouts: Timeouts::NEVER,
            buffer: [0; WRITE_SIZE],
            used: 0,
        }
    }

    /// Drops everything: for a task whose log slot is empty (S0-BOOT-04).
    #[must_use]
    pub const fn disabled() -> Self {
        LineLog {
            log: None,
            timeouts: Timeouts::NEVER,
            buffer: [0; WRITE_SIZE],
            used: 0,
        }
    }

    /// Gives a piece of text up that the log does not take within the send timeout: for servers whose
    /// log may be a client of theirs.
    #[must_use]
    pub const fn within(self, timeouts: Timeouts) -> Self {
        LineLog { timeouts, ..self }
    }

    /// Sends what is buffered.
    pub fn flush(&mut self) {
        if let (Some(log), Some(text)) = (self.log, self.buffer.get(..self.used))
            && !text.is_empty()
        {
            write_within(log, text, self.timeouts);
        }
        self.used = 0;
    }
}

impl fmt::Write for LineLog {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for &b in s.as_bytes() {
            if self.used == self.buffer.len() {
                self.flush();
            }
            if let Some(place) = self.buffer.get_mut(self.used) {
                *place = b;
                self.used += 1;
            }
            if b == b'\n' {
                self.flush();
            }
        }
        Ok(())
    }
}

/// Formats a line straight to the log in slot 5, for programs without a [`LineLog`] of their own.
/// One write for each line; a line of more than [`WRITE_SIZE`] bytes is several.
pub fn print(args: fmt::Arguments<'_>) {
    let mut log = LineLog::new(Cap::new(l4_sys::CapIdx::LOG));
    let _ = fmt::Write::write_fmt(&mut log, args);
    log.flush();
}

/// Prints a line to the log in slot 5.
#[macro_export]
macro_rules! println {
    () => { $crate::log::print(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::log::print(format_args!("{}\n", format_args!($($arg)*))) };
}
