//! The plugin's arguments: parsed by the plugin, printed by the tools that start QEMU.
//!
//! One type for both directions, so that the tool cannot write what the plugin does not read.
//! QEMU splits the option string at commas and hands over `key=value` pairs; a comma inside a value
//! is doubled. Repeated keys add up.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::counters::Metric;

/// What opens the first window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arm {
    /// The guest's start marker.
    #[default]
    Marker,
    /// The first instruction of the machine; the window closes at the end of the run. The guest's
    /// markers then only nest inside it.
    Boot,
}

/// A program image by which code is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageArg {
    /// Name in the output: no comma, colon, quote or control character.
    pub name: String,
    /// The ELF file as the guest loads it.
    pub path: PathBuf,
}

/// Code whose instructions are reported in a part of their own, out of the program's figure:
/// clearing loops, idle loops, spinning at a benchmark's barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Name of the part in the output, for example `zero`, `idle` or `spin`.
    pub part: String,
    /// First address, as linked.
    pub lo: u64,
    /// First address after the code.
    pub hi: u64,
    /// The image that the addresses belong to; `None` takes them as run-time addresses (kernel).
    pub image: Option<String>,
}

/// Code of a server in which it receives: each `syscall` instruction there ends what
/// [`stall`](crate::stall) measures. A server may receive in several places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receive {
    /// The server's image.
    pub image: String,
    /// First address, as linked.
    pub lo: u64,
    /// First address after the code.
    pub hi: u64,
}

/// A function of the kernel whose entries count as something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// One of [`Metric::ENTERED`].
    pub metric: Metric,
    /// The function's first instruction, at run time.
    pub addr: u64,
}

/// All arguments of the plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where the result goes; written when a window closes and at exit.
    pub out: PathBuf,
    /// Program images.
    pub images: Vec<ImageArg>,
    /// Kernel functions whose entries are counted. A metric of [`Metric::ENTERED`] that has none
    /// here is not counted, and the output says so by leaving its column empty.
    pub entries: Vec<Entry>,
    /// Code reported apart.
    pub apart: Vec<Apart>,
    /// Where servers receive; one piece of code a server, and [`stall::MOST`](crate::stall::MOST)
    /// servers.
    pub receives: Vec<Receive>,
    /// Entries of the kernel's timer interrupt, at run time: what [`tick`](crate::tick) sets apart begins there.
    pub ticks: Vec<u64>,
    /// What opens the first window.
    pub arm: Arm,
}

/// Why an argument was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ArgError {
    /// Not of the form `key=value`.
    #[error("`{0}` is not of the form key=value")]
    NotPair(String),
    /// No such key.
    #[error("unknown key `{0}` (known: out, elf, at, apart, receive, tick, arm)")]
    UnknownKey(String),
    /// The value does not fit its key.
    #[error("`{key}={value}`: {what}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value as given.
        value: String,
        /// What was expected.
        what: &'static str,
    },
    /// `out=` is missing.
    #[error("out=FILE is missing")]
    NoOut,
    /// An `apart` or `receive` names an image that no `elf` gives.
    #[error("apart or receive names the image `{0}`, which no elf= gives")]
    NoImage(String),
    /// More `receive` than servers can be watched.
    #[error("more than {} servers are to be watched", crate::stall::MOST)]
    ManyReceives,
    /// Two images have one name.
    #[error("two images are named `{0}`")]
    TwiceNamed(String),
}

impl Config {
    /// Reads the `key=value` pairs that QEMU hands over.
    ///
    /// # Errors
    /// The first pair that cannot be understood, or what is missing at the end.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = &'a str>) -> Result<Self, ArgError> {
        let mut config = Config::default();
        for pair in pairs {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| ArgError::NotPair(pair.to_owned()))?;
            match key {
                "out" => config.out = value.into(),
                "elf" => config.images.push(parse_image(value)?),
                "at" => config.entries.push(parse_entry(value)?),
                "apart" => config.apart.push(parse_apart(value)?),
                "receive" => config.receives.push(parse_receive(value)?),
                "tick" => {
                    let addr = parse_addr(value);
                    let addr = addr.ok_or_else(|| bad("tick", value, "expected 0xADDRESS"))?;
                    config.ticks.push(addr);
                }
                "arm" => {
                    config.arm = match value {
                        "marker" => Arm::Marker,
                        "boot" => Arm::Boot,
                        _ => return Err(bad("arm", value, "expected marker or boot")),
                    }
                }
                _ => return Err(ArgError::UnknownKey(key.to_owned())),
            }
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ArgError> {
        if self.out.as_os_str().is_empty() {
            return Err(ArgError::NoOut);
        }
        for (i, image) in self.images.iter().enumerate() {
            if self.images[..i]
                .iter()
                .any(|other| other.name == image.name)
            {
                return Err(ArgError::TwiceNamed(image.name.clone()));
            }
        }
        if self.receives.len() > crate::stall::MOST {
            return Err(ArgError::ManyReceives);
        }
        let apart = self.apart.iter().filter_map(|apart| apart.image.as_ref());
        for image in apart.chain(self.receives.iter().map(|receive| &receive.image)) {
            if !self.images.iter().any(|known| known.name == *image) {
                return Err(ArgError::NoImage(image.clone()));
            }
        }
        Ok(())
    }

    /// The pairs that [`Config::parse`] reads back to an equal value.
    pub fn pairs(&self) -> Vec<String> {
        let mut pairs = vec![format!("out={}", self.out.display())];
        for image in &self.images {
            pairs.push(format!("elf={}:{}", image.name, image.path.display()));
        }
        for entry in &self.entries {
            let name = entry.metric.entered_name().unwrap_or_default();
            pairs.push(format!("at={name}:{:#x}", entry.addr));
        }
        for apart in &self.apart {
            let mut pair = format!("apart={}:{:#x}-{:#x}", apart.part, apart.lo, apart.hi);
            if let Some(image) = &apart.image {
                let _ = write!(pair, ":{image}");
            }
            pairs.push(pair);
        }
        for Receive { image, lo, hi } in &self.receives {
            pairs.push(format!("receive={lo:#x}-{hi:#x}:{image}"));
        }
        for addr in &self.ticks {
            pairs.push(format!("tick={addr:#x}"));
        }
        if self.arm == Arm::Boot {
            pairs.push("arm=boot".to_owned());
        }
        pairs
    }

    /// The value of QEMU's `-plugin` option that loads `plugin` with these arguments.
    pub fn qemu_option(&self, plugin: &std::path::Path) -> String {
        let mut option = plugin.display().to_string().replace(',', ",,");
        for pair in self.pairs() {
            option.push(',');
            option.push_str(&pair.replace(',', ",,"));
        }
        option
    }
}

fn bad(key: &'static str, value: &str, what: &'static str) -> ArgError {
    ArgError::BadValue {
        key,
        value: value.to_owned(),
        what,
    }
}

/// A name that needs no quoting in the output.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| !c.is_control() && !c.is_whitespace() && !",:\"'|".contains(c))
}

fn parse_addr(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

fn parse_entry(value: &str) -> Result<Entry, ArgError> {
    let entry = value.split_once(':').and_then(|(name, addr)| {
        Some(Entry {
            metric: Metric::entered(name)?,
            addr: parse_addr(addr)?,
        })
    });
    entry.ok_or_else(|| {
        const WHAT: &str = "expected NAME:0xADDRESS, NAME being page_faults, maps, unmaps, \
                            flushes, messages or cross_sends";
        bad("at", value, WHAT)
    })
}

fn parse_image(value: &str) -> Result<ImageArg, ArgError> {
    let (name, path) = value
        .split_once(':')
        .ok_or_else(|| bad("elf", value, "expected NAME:PATH"))?;
    if !is_name(name) || path.is_empty() {
        return Err(bad("elf", value, "expected NAME:PATH"));
    }
    Ok(ImageArg {
        name: name.to_owned(),
        path: path.into(),
    })
}

fn parse_apart(value: &str) -> Result<Apart, ArgError> {
    const WHAT: &str = "expected PART:0xLO-0xHI[:IMAGE] with LO below HI";
    let fail = || bad("apart", value, WHAT);
    let mut fields = value.splitn(3, ':');
    let part = fields
        .next()
        .filter(|part| is_name(part))
        .ok_or_else(fail)?;
    let (lo, hi) = fields
        .next()
        .and_then(|range| range.split_once('-'))
        .ok_or_else(fail)?;
    let (lo, hi) = parse_addr(lo).zip(parse_addr(hi)).ok_or_else(fail)?;
    let image = fields.next().map(str::to_owned);
    if lo >= hi || image.as_deref().is_some_and(|image| !is_name(image)) {
        return Err(fail());
    }
    Ok(Apart {
        part: part.to_owned(),
        lo,
        hi,
        image,
    })
}

fn parse_receive(value: &str) -> Result<Receive, ArgError> {
    let found = value.split_once(':').and_then(|(range, image)| {
        let (lo, hi) = range.split_once('-')?;
        let (lo, hi) = parse_addr(lo).zip(parse_addr(hi))?;
        (lo < hi && is_name(image)).then(|| Receive {
            image: image.to_owned(),
            lo,
            hi,
        })
    });
    let what = "expected 0xLO-0xHI:IMAGE with LO below HI";
    found.ok_or_else(|| bad("receive", value, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_key() {
        let config = Config::parse([
            "out=/tmp/x.csv",
            "elf=moe:/build/moe",
            "at=page_faults:0xfffffffff0002590",
            "at=maps:0xfffffffff0070d60",
            "apart=zero:0x2fb20-0x2fbf2:moe",
            "apart=idle:0xfffffffff0023a60-0xfffffffff0023be2",
            "receive=0x70e0-0x7c30:moe",
            "tick=0xfffffffff00017c0",
            "arm=boot",
        ])
        .unwrap();
        let entry = |metric, addr| Entry { metric, addr };
        assert_eq!(
            config.entries,
            [
                entry(Metric::PageFaults, 0xffff_ffff_f000_2590),
                entry(Metric::Maps, 0xffff_ffff_f007_0d60)
            ]
        );
        assert_eq!(config.apart[0].image.as_deref(), Some("moe"));
        assert_eq!(config.apart[1].image, None);
        assert_eq!(
            (config.receives[0].lo, config.receives[0].image.as_str()),
            (0x70e0, "moe")
        );
        assert_eq!(config.ticks, [0xffff_ffff_f000_17c0]);
        assert_eq!(config.arm, Arm::Boot);
    }

    #[test]
    fn refuses_with_the_reason() {
        let parse = |pair: &'static str| Config::parse(["out=x", pair]).unwrap_err();
        assert_eq!(Config::parse([]), Err(ArgError::NoOut));
        assert_eq!(parse("out"), ArgError::NotPair("out".into()));
        assert_eq!(parse("elves=x"), ArgError::UnknownKey("elves".into()));
        assert_eq!(
            parse("apart=z:0x1-0x2:moe"),
            ArgError::NoImage("moe".into())
        );
        for pair in [
            "elf=moe",
            "elf=:x",
            "elf=a b:x",
            "elf=a:",
            "at=12",
            "at=maps:0xg",
            "at=halts:0x1",
            "arm=off",
            "receive=0x1-0x2",
            "receive=0x2-0x2:moe",
            "receive=0x1-0x2:",
            "tick=17c0",
        ] {
            assert!(matches!(parse(pair), ArgError::BadValue { .. }), "{pair}");
        }
        for value in [
            "z",
            "z:0x1",
            "z:0x2-0x2",
            "z:0x3-0x2",
            ":0x1-0x2",
            "z:1-2",
            "z:0x1-0x2:",
        ] {
            let pair = format!("apart={value}");
            let error = Config::parse(["out=x", &pair]).unwrap_err();
            assert!(
                matches!(error, ArgError::BadValue { key: "apart", .. }),
                "{pair}"
            );
        }
        let many = ["receive=0x1-0x2:a"; 5].into_iter();
        let many = Config::parse(["out=x", "elf=a:1"].into_iter().chain(many));
        assert_eq!(many, Err(ArgError::ManyReceives));
        assert_eq!(
            parse("receive=0x1-0x2:moe"),
            ArgError::NoImage("moe".into())
        );
        let twice = Config::parse(["out=x", "elf=a:1", "elf=a:2"]);
        assert_eq!(twice, Err(ArgError::TwiceNamed("a".into())));
    }

    #[test]
    fn doubles_commas_for_qemu() {
        let config = Config {
            out: "/a,b".into(),
            ..Config::default()
        };
        assert_eq!(config.qemu_option("/p,q.so".as_ref()), "/p,,q.so,out=/a,,b");
    }

    proptest! {
        #[test]
        fn pairs_read_back(
            names in proptest::collection::hash_set("[a-z0-9._-]{1,8}", 0..4),
            entries in proptest::collection::vec((0..Metric::ENTERED.len(), any::<u64>()), 0..3),
            ranges in proptest::collection::vec((any::<u32>(), 1u64..9999, any::<usize>()), 0..4),
            ticks in proptest::collection::vec(any::<u64>(), 0..2),
            boot in any::<bool>(),
        ) {
            let images: Vec<_> = names
                .into_iter()
                .map(|name| ImageArg { path: format!("/x,y:/{name}").into(), name })
                .collect();
            let apart = ranges
                .into_iter()
                .map(|(lo, len, pick)| Apart {
                    part: "p".into(),
                    lo: lo.into(),
                    hi: u64::from(lo) + len,
                    image: images.get(pick % 5).map(|image| image.name.clone()),
                })
                .collect();
            let arm = if boot { Arm::Boot } else { Arm::Marker };
            let entries = entries
                .into_iter()
                .map(|(i, addr)| Entry { metric: Metric::ENTERED[i].1, addr })
                .collect();
            let receives = images
                .iter()
                .flat_map(|image| [16, 200].map(|lo| (image.name.clone(), lo)))
                .take(crate::stall::MOST)
                .map(|(image, lo)| Receive { image, lo, hi: lo + 99 })
                .collect();
            let config = Config { out: "/o".into(), images, entries, apart, receives, ticks, arm };
            let pairs = config.pairs();
            prop_assert_eq!(Config::parse(pairs.iter().map(String::as_str)), Ok(config));
        }

        #[test]
        fn any_text_is_answered(pairs in proptest::collection::vec(".{0,30}", 0..5)) {
            let _ = Config::parse(pairs.iter().map(String::as_str));
        }
    }
}
