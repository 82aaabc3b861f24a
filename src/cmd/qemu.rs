//! `percore qemu`: boots one entry and shows its log.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstream::adapter::StripBytes;

use super::{say, trees};
use crate::boot::{DEFAULT_TIMEOUT, Image, Judge, Request, Run, Server, Verdict};
use crate::machine::{Machine, MemSize};
use crate::modlist::{Entry, ModList};
use crate::project::Project;
use crate::{Error, Exit};

/// Boots an entry in QEMU and shows its serial log.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Entry of the modules list; without one the entries are listed.
    entry: Option<String>,
    #[command(flatten)]
    guest: Guest,
    /// Log text that means success, instead of the entry's.
    #[arg(long, value_name = "TEXT")]
    expect: Option<String>,
    /// Further log text that means failure; may be repeated.
    #[arg(long, value_name = "TEXT")]
    fail: Vec<String>,
    /// Seconds until the boot is given up.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Also write the log, byte for byte, to this file.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print the boot files and QEMU's command line instead of running it.
    #[arg(long)]
    dry_run: bool,
}

/// What the guest is: shared by all subcommands that boot one.
#[derive(clap::Args, Clone, Default)]
pub struct Guest {
    /// Root pager: `ours`, `upstream` or a file. Default: the entry's.
    #[arg(long, value_name = "WHICH")]
    pub sigma0: Option<String>,
    /// Root task: `ours`, `upstream` or a file. Default: the entry's.
    #[arg(long, value_name = "WHICH")]
    pub moe: Option<String>,
    /// Machine by name (conf/machines) or file. Default: one package without NUMA nodes.
    #[arg(long, value_name = "NAME|FILE")]
    pub machine: Option<String>,
    /// Number of CPUs [default: the machine's, or 1].
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Memory, for example 512M or 8G [default: the machine's, or 1G].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<MemSize>,
    /// Kernel file instead of the one in FIASCO_BUILD.
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// Arguments to add to the kernel's command line; may be repeated.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub append: Vec<String>,
    /// Arguments to add to sigma0's command line; may be repeated.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub sigma0_args: Vec<String>,
    /// Memory server of an entry marked `pagers`: `ours` (percore-pager, the default) or `upstream`
    /// (the root task).
    #[arg(long, value_name = "WHICH")]
    pub memory_server: Option<String>,
    /// Arguments to add to the root task's command line; may be repeated.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub roottask_args: Vec<String>,
    /// One argument to add to QEMU's command line; may be repeated.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub qemu_arg: Vec<OsString>,
    /// Modules list instead of conf/modules.list.
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
}

impl Guest {
    /// The list that entries come from.
    ///
    /// # Errors
    /// It cannot be read, or a line is wrong.
    pub fn modlist(&self, project: &Project) -> Result<ModList, Error> {
        ModList::read(&self.list.clone().unwrap_or_else(|| project.modules_list()))
    }

    /// The machine, checked.
    ///
    /// # Errors
    /// There is no such machine, its file is wrong, or CPUs or memory do not fit it.
    pub fn machine(&self, project: &Project) -> Result<Machine, Error> {
        let Some(name) = &self.machine else {
            let memory = self.memory.unwrap_or(MemSize::from_mib(1024));
            return Machine::uniform(self.cpus.unwrap_or(1), memory);
        };
        let mut machine = Machine::read(name, project)?;
        if let Some(cpus) = self.cpus {
            machine = machine.with_cpus(cpus)?;
        }
        if let Some(memory) = self.memory {
            machine = machine.with_memory(memory)?;
        }
        Ok(machine)
    }

    /// The boot of an entry with everything that the command line changes.
    ///
    /// # Errors
    /// As [`Guest::machine`].
    pub fn request(
        &self,
        entry: &Entry,
        list: &ModList,
        project: &Project,
    ) -> Result<Request, Error> {
        let mut request = Request::new(entry.clone(), self.machine(project)?);
        request.sigma0 = self.sigma0.as_deref().map(Server::from);
        request.moe = self.moe.as_deref().map(Server::from);
        request.kernel = self.kernel.clone();
        request.kernel_args = self.append.clone();
        request.sigma0_args = self.sigma0_args.clone();
        request.memory_server = self.memory_server.clone();
        request.roottask_args = self.roottask_args.clone();
        request.qemu_args = self.qemu_arg.clone();
        request.search_dirs = list.search_dirs.clone();
        // A user keeps boot scripts beside the list that names them.
        request
            .search_dirs
            .extend(list.file.parent().map(Path::to_owned));
        Ok(request)
    }
}

pub(super) fn run(args: &Args) -> Result<Exit, Error> {
    let project = Project::find()?;
    let list = args.guest.modlist(&project)?;
    let Some(name) = &args.entry else {
        for entry in list.entries() {
            say(format_args!("{}", entry.name))?;
        }
        return Ok(Exit::Success);
    };
    let entry = list.entry(name)?;
    let request = args.guest.request(entry, &list, &project)?;
    let image = Image::gather(&request, &project, &trees()?)?;
    if args.dry_run {
        return dry_run(&image);
    }
    let judge = Judge {
        expect: args.expect.clone().or_else(|| entry.expect.clone()),
        fail: args.fail.clone(),
    };
    let seconds = args.timeout.or(entry.timeout).unwrap_or(DEFAULT_TIMEOUT);
    let mut log = args
        .log
        .as_ref()
        .map(|path| {
            File::create(path).map_err(Error::io(format!("cannot write {}", path.display())))
        })
        .transpose()?;
    let mut screen = Screen::default();
    let report = Run::start(&image)?.watch(
        &judge,
        Duration::from_secs(seconds),
        |bytes| {
            if let Some(log) = &mut log {
                log.write_all(bytes)?;
            }
            screen.write(bytes)
        },
        |_| {},
    )?;
    let exit = match (&report.verdict, &judge.expect) {
        // Nothing was awaited and the guest switched off by itself.
        (Verdict::Ended, None) => Exit::Success,
        (verdict, _) => verdict.exit(),
    };
    eprintln!(
        "\npercore: {} after {:.1} s",
        describe(&report.verdict, &judge),
        report.elapsed.as_secs_f32()
    );
    Ok(exit)
}

/// One line for the user.
fn describe(verdict: &Verdict, judge: &Judge) -> String {
    let awaited = match &judge.expect {
        Some(text) => format!("without '{text}'"),
        None => "with no sentinel given (--expect)".to_owned(),
    };
    match verdict {
        Verdict::Sentinel(line) => format!("success: '{}'", line.trim()),
        Verdict::Failure(line) => format!("the guest failed: '{}'", line.trim()),
        Verdict::Panic(line) => format!("the guest stopped: '{line}'"),
        Verdict::Timeout => format!("timeout {awaited}"),
        Verdict::Ended => format!("the guest switched off {awaited}"),
        Verdict::Interrupted => "interrupted".to_owned(),
    }
}

/// Standard output: colours only on a terminal.
#[derive(Default)]
struct Screen {
    strip: StripBytes,
}

impl Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut out = stdout().lock();
        if out.is_terminal() {
            out.write_all(bytes)?;
        } else {
            for piece in self.strip.strip_next(bytes) {
                out.write_all(piece)?;
            }
        }
        out.flush()
    }
}

fn dry_run(image: &Image) -> Result<Exit, Error> {
    say(format_args!("# {}", image.bootstrap.path.display()))?;
    for module in &image.modules {
        say(format_args!(
            "# {}: {} {}",
            module.path.display(),
            module.name,
            module.args
        ))?;
    }
    let words = std::iter::once(image.qemu.clone().into_os_string()).chain(image.arguments(false));
    let words: Vec<_> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = shlex::try_join(words.iter().map(String::as_str))
        .map_err(|error| Error::Usage(format!("an argument cannot be quoted: {error}")))?;
    say(format_args!("{line}"))?;
    Ok(Exit::Success)
}
