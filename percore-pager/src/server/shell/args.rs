//! The command line.
//!
//! ```text
//! --layout=core|node|central   a thread for each CPU, for each NUMA node, or one (default core)
//! --cores=all|N|LIST           CPUs to serve: all, the first N, or a list such as 0,2,4-7 (default all)
//! --memory=AMOUNT              for all threads together: bytes with K, M or G, or N% of what there is
//! --policy=NAME                bitmap, buddy, avl or slab (default bitmap), with a cache in front
//! ```
//!
//! A wrong option ends the program with its name in the message: a boot script with a mistake in it
//! shall not boot into something else.

use crate::frames::Policies;

use super::cpus::{CpuMask, MAX_CPUS};

/// Which threads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One for each served CPU.
    Core,
    /// One for each NUMA node that has a served CPU.
    Node,
    /// One.
    Central,
}

/// Which CPUs are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// All that are online.
    All,
    /// So many, from the lowest number on.
    First(u32),
    /// These.
    List(CpuMask),
}

/// How much memory to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// What the source has for pagers: see [`supply`](super::supply).
    Default,
    /// So many bytes, for all threads together.
    Bytes(u64),
    /// A part of what the source has, 1 to 100.
    Percent(u32),
}

/// What the command line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Args {
    /// `--layout`.
    pub layout: Layout,
    /// `--cores`.
    pub cores: Cores,
    /// `--memory`.
    pub memory: Amount,
    /// `--policy`.
    pub policy: Policies,
}

/// Why a command line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgError {
    /// There is no such option.
    Unknown,
    /// The option exists, its value does not.
    Value {
        /// The option.
        option: &'static str,
        /// What would be right.
        wanted: &'static str,
    },
}

impl Args {
    /// Reads arguments, the program's name not among them.
    ///
    /// # Errors
    /// The argument and what is wrong with it.
    pub fn parse<'b>(words: impl Iterator<Item = &'b [u8]>) -> Result<Self, (&'b [u8], ArgError)> {
        let mut args = Args {
            layout: Layout::Core,
            cores: Cores::All,
            memory: Amount::Default,
            policy: Policies::DEFAULT,
        };
        for word in words {
            args.take(word).map_err(|error| (word, error))?;
        }
        Ok(args)
    }

    fn take(&mut self, word: &[u8]) -> Result<(), ArgError> {
        let wrong = |option, wanted| ArgError::Value { option, wanted };
        if let Some(value) = word.strip_prefix(b"--layout=") {
            self.layout = match value {
                b"core" => Layout::Core,
                b"node" => Layout::Node,
                b"central" => Layout::Central,
                _ => return Err(wrong("--layout", "core, node or central")),
            };
        } else if let Some(value) = word.strip_prefix(b"--cores=") {
            self.cores =
                cores(value).ok_or(wrong("--cores", "all, a number, or a list as 0,2-5"))?;
        } else if let Some(value) = word.strip_prefix(b"--memory=") {
            self.memory = amount(value).ok_or(wrong("--memory", "a number with K, M, G or %"))?;
        } else if let Some(value) = word.strip_prefix(b"--policy=") {
            self.policy = Policies::named(value).ok_or(wrong(
                "--policy",
                "bitmap, buddy, avl or slab, or two of them as slab+avl",
            ))?;
        } else {
            return Err(ArgError::Unknown);
        }
        Ok(())
    }
}

/// A decimal number; `None` without digits, with anything else, or when it is too large.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|d| *d < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn cpu(text: &[u8]) -> Option<u32> {
    number(text)
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n < MAX_CPUS)
}

fn cores(text: &[u8]) -> Option<Cores> {
    if text == b"all" {
        return Some(Cores::All);
    }
    if let Some(count) = number(text) {
        let count = u32::try_from(count).ok()?;
        return (1..=MAX_CPUS)
            .contains(&count)
            .then_some(Cores::First(count));
    }
    let mut set = CpuMask::EMPTY;
    for part in text.split(|b| *b == b',') {
        let mut ends = part.splitn(2, |b| *b == b'-');
        let first = cpu(ends.next()?)?;
        let last = match ends.next() {
            Some(last) => cpu(last)?,
            None => first,
        };
        if last < first {
            return None;
        }
        (first..=last).for_each(|n| set.add(n));
    }
    Some(Cores::List(set))
}

fn amount(text: &[u8]) -> Option<Amount> {
    let (unit, digits) = text.split_last()?;
    let shift = match unit {
        b'%' => {
            let part = number(digits).and_then(|n| u32::try_from(n).ok())?;
            return (1..=100).contains(&part).then_some(Amount::Percent(part));
        }
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { digits };
    let bytes = number(digits)?.checked_mul(1 << shift)?;
    (bytes > 0).then_some(Amount::Bytes(bytes))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::frames::Kind;

    fn parse(words: &[&'static str]) -> Result<Args, ArgError> {
        Args::parse(words.iter().map(|w| w.as_bytes())).map_err(|(_, error)| error)
    }

    #[test]
    fn defaults_and_all_options() {
        let args = parse(&[]).expect("nothing is wrong with nothing");
        assert_eq!(
            (args.layout, args.cores, args.memory, args.policy),
            (
                Layout::Core,
                Cores::All,
                Amount::Default,
                Kind::Bitmap.into()
            )
        );
        let args = parse(&["--layout=node", "--cores=4", "--memory=64M", "--policy=avl"]);
        let args = args.expect("all known");
        assert_eq!(
            (args.layout, args.cores, args.memory, args.policy),
            (
                Layout::Node,
                Cores::First(4),
                Amount::Bytes(64 << 20),
                Kind::Avl.into()
            )
        );
        let args = parse(&["--policy=slab+avl"]).expect("two in an order");
        assert_eq!(args.policy, Policies::new(Kind::Slab, Kind::Avl));
    }

    #[test]
    fn lists() {
        let Ok(Args {
            cores: Cores::List(set),
            ..
        }) = parse(&["--cores=0,2,4-6"])
        else {
            panic!("a list")
        };
        let found: std::vec::Vec<u32> = (0..MAX_CPUS).filter(|n| set.has(*n)).collect();
        assert_eq!(found, [0, 2, 4, 5, 6]);
        for bad in [
            "--cores=",
            "--cores=0",
            "--cores=3-1",
            "--cores=1,",
            "--cores=x",
            "--cores=999",
        ] {
            assert!(
                matches!(
                    parse(&[bad]),
                    Err(ArgError::Value {
                        option: "--cores",
                        ..
                    })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn amounts() {
        let memory = |text| parse(&[text]).map(|args| args.memory);
        assert_eq!(memory("--memory=4096"), Ok(Amount::Bytes(4096)));
        assert_eq!(memory("--memory=50%"), Ok(Amount::Percent(50)));
        for bad in [
            "--memory=",
            "--memory=0",
            "--memory=101%",
            "--memory=K",
            "--memory=99999999999G",
        ] {
            assert!(
                matches!(
                    memory(bad),
                    Err(ArgError::Value {
                        option: "--memory",
                        ..
                    })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for bad in ["--memry=1M", "core", "", "--layout", "-h"] {
            assert_eq!(parse(&[bad]), Err(ArgError::Unknown), "{bad}");
        }
        assert!(matches!(
            parse(&["--layout=x"]),
            Err(ArgError::Value {
                option: "--layout",
                ..
            })
        ));
        assert!(matches!(
            parse(&["--policy=x"]),
            Err(ArgError::Value {
                option: "--policy",
                ..
            })
        ));
        for wrong in ["+", "slab+", "+avl", "slab+avl+buddy", "slab avl"] {
            assert_eq!(Policies::named(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
