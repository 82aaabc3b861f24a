//! Counts what a boot does, with the plugin of `bench/qemu-count`.
//!
//! [`Plan`] turns the files of a boot into the plugin's arguments: every module is an image to
//! recognise, and the symbols of kernel and programs say where page faults enter, where idle loops
//! are and which functions only clear memory. What a stripped file does not tell is named in
//! [`Plan::missing`] and left out of the output, never guessed. [`table`] prints a report, [`facts`]
//! adds where it comes from, [`spread`] compares runs. The figures themselves are explained in
//! `docs/counting.md`.

pub mod events;
pub mod facts;
pub mod notes;
pub mod spread;
pub mod stalls;
mod symbols;
pub mod table;
pub mod windows;

use std::ops::Range;
use std::path::{Path, PathBuf};

use qemu_count::args::{Apart, Arm, Config, Entry, ImageArg, Receive};
use qemu_count::counters::Metric;

use crate::Error;
use crate::boot::{BootFile, Image};
pub use events::{Event, Events};
use symbols::Symbols;

/// Name of the kernel in `--apart`.
const KERNEL: &str = "kernel";
/// The kernel's entry for vector 14.
const PAGE_FAULT_ENTRY: &str = "entry_vec0e_page_fault";
/// The kernel's entry for its timer interrupt.
const TIMER_ENTRY: &str = "entry_int_timer";
/// The kernel functions that hold the idle loops: of the boot CPU, and of the others.
const IDLE: [&str; 2] = ["_ZN13Kernel_thread3runEv", "call_ap_bootstrap"];
/// The kernel functions that measure clocks while it boots: they spin until real time has passed, so
/// their counts do not repeat.
const CALIBRATE: [&str; 3] = [
    "_ZN5Delay7measureEv",
    "_ZN3Cpu13calibrate_tscEv",
    "_ZN4Apic15calibrate_timerEP3Cpu",
];
/// The function that clears memory, in the kernel as in programs.
const CLEAR: &str = "memset";
/// The function in which this project's benchmarks wait for each other.
const SPIN: &str = "barrier_wait";

/// Servers whose stalls are measured, and the functions of each whose system calls receive.
const SERVERS: [(&str, &str); 2] = [
    ("percore-pager", "*::pager::Loop::serve*"),
    // Upstream's loop is in its main function; the other system calls there are made once, at its start.
    ("moe", "main"),
];

/// A function to report apart: `PART=MODULE:SYMBOL`. With `*` in it SYMBOL is a pattern of the name that a
/// debugger shows, and fits one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    part: String,
    module: String,
    symbol: String,
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields = text.split_once('=').and_then(|(part, rest)| {
            let (module, symbol) = rest.split_once(':')?;
            Some((part, module, symbol))
        });
        match fields {
            Some((part, module, symbol)) if ![part, module, symbol].contains(&"") => Ok(Choice {
                part: part.to_owned(),
                module: module.to_owned(),
                symbol: symbol.to_owned(),
            }),
            _ => Err("expected PART=MODULE:SYMBOL, MODULE being `kernel` for the kernel".into()),
        }
    }
}

impl Choice {
    fn find(&self, symbols: &Symbols) -> Result<Range<u64>, Error> {
        let Choice { module, symbol, .. } = self;
        let found = if symbol.contains('*') {
            match &symbols.fitting(symbol)[..] {
                [] => None,
                [(_, range)] => Some(range.clone()),
                several => {
                    return Err(Error::Usage(format!(
                        "--apart: '{symbol}' fits {} functions of {module}, for example {}",
                        several.len(),
                        several[0].0
                    )));
                }
            }
        } else {
            symbols.function(symbol)
        };
        found.ok_or_else(|| {
            Error::Usage(format!(
                "--apart: no function '{symbol}' in {module} or its .debug file"
            ))
        })
    }
}

/// The plugin's arguments for one boot.
#[derive(Debug)]
pub struct Plan {
    /// The arguments.
    pub config: Config,
    /// What could not be set up, one sentence each.
    pub missing: Vec<String>,
}

impl Plan {
    /// Looks into the files of `image`. The plugin will write to `out`, which must be an absolute
    /// path: QEMU runs in a directory of its own.
    ///
    /// # Errors
    /// A choice names a module or symbol that is not there, or one of `events` that was asked for
    /// on the command line is no function of the kernel.
    pub fn new(
        image: &Image,
        choices: &[Choice],
        events: &Events,
        arm: Arm,
        out: PathBuf,
    ) -> Result<Self, Error> {
        let mut plan = Plan {
            config: Config {
                out,
                arm,
                ..Config::default()
            },
            missing: Vec::new(),
        };
        let mut modules = image.modules.iter();
        let kernel = modules
            .next()
            .map(|kernel| Symbols::of(&kernel.path))
            .unwrap_or_default();
        plan.kernel(&kernel, events)?;
        let mut programs = Vec::new();
        for module in modules.filter(|module| symbols::is_program(&module.path)) {
            let symbols = Symbols::of(&module.path);
            plan.program(module, &symbols);
            programs.push((module.name.as_str(), symbols));
        }
        for choice in choices {
            let (symbols, owner) = if choice.module == KERNEL {
                (&kernel, None)
            } else {
                let found = programs.iter().find(|(name, _)| *name == choice.module);
                let (name, symbols) = found.ok_or_else(|| {
                    Error::Usage(format!("--apart: no program module '{}'", choice.module))
                })?;
                (symbols, Some((*name).to_owned()))
            };
            let range = choice.find(symbols)?;
            plan.apart(&choice.part, range, owner);
        }
        Ok(plan)
    }

    fn kernel(&mut self, symbols: &Symbols, events: &Events) -> Result<(), Error> {
        match symbols.function(PAGE_FAULT_ENTRY) {
            Some(entry) => self.config.entries.push(Entry {
                metric: Metric::PageFaults,
                addr: entry.start,
            }),
            None => self
                .missing
                .push(format!("page faults: the kernel has no {PAGE_FAULT_ENTRY}")),
        }
        match symbols.function(TIMER_ENTRY) {
            Some(entry) => self.config.ticks.push(entry.start),
            None => self
                .missing
                .push(format!("part tick: the kernel has no {TIMER_ENTRY}")),
        }
        let (entries, missing) = events.entries(symbols)?;
        self.config.entries.extend(entries);
        self.missing.extend(missing);
        let parts = IDLE.map(|name| ("idle", name)).into_iter();
        let parts = parts.chain(CALIBRATE.map(|name| ("calibrate", name)));
        let parts = parts.chain([("zero", CLEAR)]);
        for (part, name) in parts {
            match symbols.function(name) {
                Some(range) => self.apart(part, range, None),
                None => self
                    .missing
                    .push(format!("part {part}: the kernel has no {name}")),
            }
        }
        Ok(())
    }

    fn program(&mut self, module: &BootFile, symbols: &Symbols) {
        self.config.images.push(ImageArg {
            name: module.name.clone(),
            path: module.path.clone(),
        });
        if symbols.is_empty() {
            self.missing
                .push(format!("part zero: {} has no symbols", module.name));
        } else if let Some(range) = symbols.function(CLEAR) {
            self.apart("zero", range, Some(module.name.clone()));
        }
        if let Some(range) = symbols.function(SPIN) {
            self.apart("spin", range, Some(module.name.clone()));
        }
        if let Some((_, function)) = SERVERS.iter().find(|(name, _)| *name == module.name) {
            let found = symbols.fitting(function);
            for (_, range) in &found {
                self.config.receives.push(Receive {
                    image: module.name.clone(),
                    lo: range.start,
                    hi: range.end,
                });
            }
            if found.is_empty() {
                self.missing.push(format!(
                    "stalls of {}: no function '{function}'",
                    module.name
                ));
            }
        }
    }

    fn apart(&mut self, part: &str, range: Range<u64>, image: Option<String>) {
        let Some((lo, hi)) = (!range.is_empty()).then_some((range.start, range.end)) else {
            return;
        };
        self.config.apart.push(Apart {
            part: part.to_owned(),
            lo,
            hi,
            image,
        });
    }
}

/// The plugin, which cargo builds together with this program.
///
/// # Errors
/// It is not beside the running program.
pub fn find_plugin() -> Result<PathBuf, Error> {
    const NAME: &str = "libqemu_count.so";
    let exe = std::env::current_exe().map_err(Error::io("cannot tell where percore is"))?;
    let dir = exe.parent().unwrap_or(Path::new("."));
    // Cargo leaves the dependency in `deps`, and an explicit build of it beside us too: the newer.
    [dir.join("deps").join(NAME), dir.join(NAME)]
        .into_iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
        .ok_or_else(|| Error::Missing {
            what: format!("{NAME} is not beside {}", exe.display()),
            remedy: "build it with the same profile: cargo build -p qemu-count".into(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_have_three_fields() {
        let choice: Choice = "spin=bench:barrier_wait".parse().unwrap();
        assert_eq!(
            (choice.module.as_str(), choice.symbol.as_str()),
            ("bench", "barrier_wait")
        );
        for text in ["", "spin", "spin=bench", "=a:b", "a=:b", "a=b:"] {
            assert!(text.parse::<Choice>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_function_is_chosen_by_its_name_or_a_pattern() {
        let symbols = Symbols::of(&std::env::current_exe().unwrap());
        let find = |text: &str| text.parse::<Choice>().unwrap().find(&symbols);
        let main = symbols.function("main").unwrap();
        assert_eq!(find("p=me:main").unwrap(), main);
        let here = "p=me:*a_function_is_chosen_by_its_name_or_a_pattern::h*";
        assert!(!find(here).unwrap().is_empty());
        for (text, what) in [
            ("p=me:no such", "no function"),
            ("p=me:no such*", "no function"),
            ("p=me:*", "functions of me, for example"),
        ] {
            let e = find(text).unwrap_err().to_string();
            assert!(e.contains(what), "{e}");
        }
    }

    #[test]
    fn a_server_whose_loop_is_not_found_is_named() {
        let mut plan = Plan {
            config: Config::default(),
            missing: Vec::new(),
        };
        // This test program itself: it has a main function.
        let module = |name: &str| BootFile {
            path: std::env::current_exe().unwrap(),
            name: name.into(),
            args: String::new(),
        };
        let symbols = Symbols::of(&module("").path);
        plan.program(&module("moe"), &symbols);
        plan.program(&module("ned"), &symbols);
        plan.program(&module("percore-pager"), &Symbols::default());
        assert_eq!(plan.config.receives.len(), 1);
        assert_eq!(plan.config.receives[0].image, "moe");
        let named = |m: &String| m.starts_with("stalls of percore-pager: no function");
        assert!(plan.missing.iter().any(named), "{:?}", plan.missing);
    }

    #[test]
    fn a_kernel_without_symbols_is_said_to_lack_them() {
        let mut plan = Plan {
            config: Config::default(),
            missing: Vec::new(),
        };
        let events = Events::parse("x.toml".as_ref(), events::BUILT_IN).unwrap();
        plan.kernel(&Symbols::default(), &events).unwrap();
        assert_eq!(plan.config, Config::default());
        assert_eq!(plan.missing.len(), 8 + 6, "{:?}", plan.missing);
    }
}
