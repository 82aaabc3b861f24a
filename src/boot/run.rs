//! Starts QEMU and watches it. Whatever happens, QEMU is gone when [`Run::watch`] returns: it is
//! asked to end, killed if it does not, and reaped by `Drop`; and the kernel kills it should percore
//! itself be killed.

use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Image, Judge, LineSplitter, Verdict};
use crate::Error;

/// How often the watcher looks for Ctrl-C while the guest is silent.
const POLL: Duration = Duration::from_millis(100);
/// How long the log is read on after a verdict, for the rest of a panic's text.
const TAIL: Duration = Duration::from_millis(300);

/// How long QEMU may take to end by itself: its plugins write their results then.
const GRACE: Duration = Duration::from_secs(5);

/// Set by the handler of the termination signals.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// A running guest.
pub struct Run {
    child: Guard,
    output: mpsc::Receiver<Vec<u8>>,
    errors: thread::JoinHandle<String>,
    // Holds the directory with QEMU's links until the run is over.
    _scratch: tempfile::TempDir,
    started: Instant,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it ended.
    pub verdict: Verdict,
    /// From start to verdict.
    pub elapsed: Duration,
}

/// Ends and reaps its process when dropped.
struct Guard(Child);

impl Guard {
    /// Asks the process to end and waits a little.
    fn ask_to_end(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let pid = i32::try_from(self.0.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let asked =
            pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        let end = Instant::now() + GRACE;
        while matches!(asked, Some(Ok(()))) && Instant::now() < end {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.ask_to_end();
        // Both fail only when the process has ended and was reaped, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Run {
    /// Starts QEMU.
    ///
    /// # Errors
    /// The directory for the links or the process cannot be made.
    pub fn start(image: &Image) -> Result<Self, Error> {
        catch_signals()?;
        let scratch = tempfile::Builder::new()
            .prefix("percore-")
            .tempdir()
            .map_err(Error::io("cannot make a temporary directory"))?;
        for module in &image.modules {
            let link = scratch.path().join(&module.name);
            symlink(&module.path, &link).map_err(Error::io(format!(
                "cannot make the link {}",
                link.display()
            )))?;
        }
        let mut command = Command::new(&image.qemu);
        command
            .args(image.arguments(true))
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: the terminal's Ctrl-C comes to us alone, and we end QEMU.
            .process_group(0);
        die_with_parent(&mut command);
        let started = Instant::now();
        let mut child = command
            .spawn()
            .map_err(Error::io(format!("cannot start {}", image.qemu.display())))?;
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let child = Guard(child);
        let (sender, output) = mpsc::channel();
        thread::spawn(move || forward(stdout, &sender));
        let errors = thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = stderr {
                // A broken pipe ends the text, no more.
                let _ = pipe.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).trim().to_owned()
        });
        Ok(Self {
            child,
            output,
            errors,
            _scratch: scratch,
            started,
        })
    }

    /// Reads the log until a verdict. `raw` gets every byte, `each` every whole line of plain text.
    ///
    /// # Errors
    /// QEMU ended with an error before the guest printed anything, or `raw` failed.
    pub fn watch(
        mut self,
        judge: &Judge,
        timeout: Duration,
        mut raw: impl FnMut(&[u8]) -> io::Result<()>,
        mut each: impl FnMut(&str),
    ) -> Result<Report, Error> {
        let mut splitter = LineSplitter::default();
        let mut silent = true;
        let mut verdict = None;
        let mut end = self.started + timeout;
        let verdict = loop {
            let now = Instant::now();
            if INTERRUPTED.load(Ordering::Relaxed) {
                break Verdict::Interrupted;
            }
            if now >= end {
                break verdict.unwrap_or(Verdict::Timeout);
            }
            match self.output.recv_timeout(POLL.min(end - now)) {
                Ok(bytes) => {
                    silent = false;
                    raw(&bytes).map_err(Error::io("cannot write the log"))?;
                    splitter.push(&bytes, |line| {
                        each(line);
                        if verdict.is_none() {
                            verdict = judge.line(line);
                        }
                    });
                    match &verdict {
                        // What follows a sentinel is of no interest; a panic explains itself.
                        Some(Verdict::Sentinel(_)) => break verdict.expect("just matched"),
                        Some(_) => end = end.min(Instant::now() + TAIL),
                        None => {}
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break verdict.unwrap_or(Verdict::Ended),
            }
        };
        let elapsed = self.started.elapsed();
        if verdict == Verdict::Ended {
            let status = self
                .child
                .0
                .wait()
                .map_err(Error::io("cannot wait for QEMU"))?;
            self.ended_well(status, silent)?;
        }
        Ok(Report { verdict, elapsed })
    }

    /// Tells a guest that switched off from a QEMU that did not start.
    fn ended_well(self, status: ExitStatus, silent: bool) -> Result<(), Error> {
        let stderr = self.errors.join().unwrap_or_default();
        if silent || !status.success() {
            return Err(Error::Qemu {
                status: status.to_string(),
                stderr,
            });
        }
        Ok(())
    }
}

/// Sends what comes out of the pipe until it ends.
fn forward(pipe: Option<impl Read>, sender: &mpsc::Sender<Vec<u8>>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            // The watcher has its verdict when it no longer receives.
            Ok(count) => match sender.send(buffer[..count].to_vec()) {
                Ok(()) => {}
                Err(_) => return,
            },
        }
    }
}

/// Makes Ctrl-C, termination and hang-up set a flag, once for the process.
fn catch_signals() -> Result<(), Error> {
    static RESULT: OnceLock<Option<String>> = OnceLock::new();
    let failure = RESULT.get_or_init(|| {
        ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
            .err()
            .map(|error| error.to_string())
    });
    match failure {
        None => Ok(()),
        Some(text) => Err(Error::Io {
            what: "cannot catch Ctrl-C".into(),
            cause: io::Error::other(text.clone()),
        }),
    }
}

/// Asks the kernel to kill the child when the thread that starts it ends, however it ends.
fn die_with_parent(command: &mut Command) {
    let ask = || {
        let kill = rustix::process::Signal::KILL;
        rustix::process::set_parent_process_death_signal(Some(kill)).map_err(io::Error::from)
    };
    // SAFETY: between fork and exec the closure makes one system call and no more: it neither
    // allocates nor takes a lock.
    unsafe { command.pre_exec(ask) };
}
