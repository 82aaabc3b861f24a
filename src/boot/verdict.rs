//! How a boot ended, and the log lines that say so.

use crate::Exit;

/// Lines with one of these mean that the guest cannot go on: ned's script error, the last words of
/// moe, of sigma0 and of sigma0-rs, and the panic line of Rust programs.
const FATAL: &[&str] = &[
    "lua error:",
    "FATAL exception in MOE",
    "FATAL: Sigma0 terminated",
    "SIGMA0: stopped:",
    "panicked at",
];

/// Lines with one of these stand before a stop that waits for a key: bootstrap's and the kernel's.
const PANIC: &[&str] = &[
    "Key press reboots",
    "Return reboots",
    "Press any key to reboot",
];

/// How a boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The sentinel line.
    Sentinel(String),
    /// A line that says that the guest failed.
    Failure(String),
    /// The kernel debugger or a panic, with its line.
    Panic(String),
    /// Time ran out.
    Timeout,
    /// QEMU ended by itself: the guest switched off or reset.
    Ended,
    /// The user stopped it.
    Interrupted,
}

impl Verdict {
    /// The exit code for it. A guest that ends by itself is a success only when no sentinel was
    /// awaited; [`Judge`] cannot know, so the caller decides that case.
    pub fn exit(&self) -> Exit {
        match self {
            Verdict::Sentinel(_) => Exit::Success,
            Verdict::Failure(_) => Exit::Failure,
            Verdict::Panic(_) => Exit::Panic,
            Verdict::Timeout => Exit::Timeout,
            Verdict::Ended => Exit::Ended,
            Verdict::Interrupted => Exit::Interrupted,
        }
    }
}

/// Knows which lines end a boot.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    /// Text of the line that means success.
    pub expect: Option<String>,
    /// Texts of further lines that mean failure.
    pub fail: Vec<String>,
}

impl Judge {
    /// The verdict of one line of the log, if it ends the boot.
    pub fn line(&self, line: &str) -> Option<Verdict> {
        let has = |text: &str| line.contains(text);
        // Success first: a test's own sentinel may quote a failure.
        if self.expect.as_deref().is_some_and(has) {
            return Some(Verdict::Sentinel(line.to_owned()));
        }
        if PANIC.iter().copied().any(has) || is_debugger_entry(line) {
            return Some(Verdict::Panic(line.trim().to_owned()));
        }
        let fatal = FATAL.iter().copied().any(has) || self.fail.iter().any(|text| has(text));
        if fatal || is_init_failure(line) {
            return Some(Verdict::Failure(line.to_owned()));
        }
        None
    }
}

/// The kernel debugger names the CPU, the address and the reason: `    CPU 0 [fff...]: Wait`.
fn is_debugger_entry(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix("CPU ") else {
        return false;
    };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let Some((address, _)) = rest
        .strip_prefix(" [")
        .and_then(|rest| rest.split_once("]: "))
    else {
        return false;
    };
    !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// moe says how the first program ended: `MOE: task 3500 exited with 70`.
fn is_init_failure(line: &str) -> bool {
    line.strip_prefix("MOE: task ")
        .and_then(|rest| rest.split_once(" exited with "))
        .is_some_and(|(_, status)| status.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as the kernel and upstream's servers print them (revision 245fce53, L4Re r-2026-W24).
    #[test]
    fn lines_that_end_a_boot() {
        let judge = Judge {
            expect: Some("Hello World!".into()),
            fail: vec!["MY-FAIL".into()],
        };
        for (line, exit) in [
            ("hello-1 | Hello World!", Exit::Success),
            ("    CPU 0 [fffffffff0023548]: Wait", Exit::Panic),
            (
                "Return reboots, \"k\" enters L4 kernel debugger...",
                Exit::Panic,
            ),
            ("Key press reboots...", Exit::Panic),
            (
                "lua error: cannot open rom/nope.cfg: No such file or directory.",
                Exit::Failure,
            ),
            ("MOE: task 3500 exited with 70", Exit::Failure),
            ("FATAL: Sigma0 terminated!", Exit::Failure),
            ("MOE: FATAL exception in MOE:", Exit::Failure),
            ("test    | MY-FAIL here", Exit::Failure),
        ] {
            assert_eq!(
                judge.line(line).map(|verdict| verdict.exit()),
                Some(exit),
                "{line}"
            );
        }
    }

    #[test]
    fn ordinary_lines_do_not() {
        let judge = Judge::default();
        for line in [
            "CPU[0]: AuthenticAMD (F:6B:1:0)[00060fb1] Model: QEMU Virtual CPU version 2.5+",
            "CPU0: SVM enabled, nested paging not supported, NASID: 16.",
            "[4:RWX:1000;1fff]",
            "MOE: task 3500 exited with 0",
            "hello-1 | Hello World!",
            "",
        ] {
            assert_eq!(judge.line(line), None, "{line}");
        }
    }
}
