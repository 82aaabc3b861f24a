//! The command line.

use core::fmt;

use percore_pager::api::policy;
use percore_pager::frames::{Kind, Policies};

/// What the program is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Args {
    /// Show once, without control characters, and end.
    pub once: bool,
    /// Seconds between two pictures, at least 1.
    pub interval: u64,
    /// Pictures, endless when `None`.
    pub count: Option<u64>,
    /// Show nothing; the exit code is the number of frames that are not free, for scripts.
    pub used: bool,
    /// Show nothing; change the core's policy to the one of this number.
    pub policy: Option<u32>,
    /// Show nothing; take the right to tune from the factory.
    pub seal: bool,
}

/// An argument that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a>(pub &'a [u8]);

impl fmt::Display for Unknown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = core::str::from_utf8(self.0).unwrap_or("(no text)");
        write!(f, "'{text}' is no argument, or its value is none: {USAGE}")
    }
}

/// How the program is called.
pub const USAGE: &str = "percore-top [--once | --used | --policy=NAME | --seal] [--interval=SECONDS] \
                         [--count=PICTURES]";

/// Longest time between two pictures: an hour.
const LONGEST: u64 = 3600;

impl Args {
    /// Every two seconds, for ever.
    pub const DEFAULT: Args = Args {
        once: false,
        interval: 2,
        count: None,
        used: false,
        policy: None,
        seal: false,
    };

    /// Reads arguments, the program's name not among them.
    ///
    /// # Errors
    ///
    /// [`Unknown`] for the first that is none, or whose number is 0 or too large.
    pub fn parse<'a>(args: impl Iterator<Item = &'a [u8]>) -> Result<Args, Unknown<'a>> {
        let mut parsed = Args::DEFAULT;
        for arg in args {
            let value = |name: &[u8]| arg.strip_prefix(name).and_then(number);
            if arg == b"--once" {
                parsed.once = true;
            } else if arg == b"--used" {
                parsed.used = true;
            } else if arg == b"--seal" {
                parsed.seal = true;
            } else if let Some(name) = arg.strip_prefix(b"--policy=") {
                parsed.policy = Some(policy_named(name).ok_or(Unknown(arg))?);
            } else if let Some(seconds) = value(b"--interval=").filter(|s| *s <= LONGEST) {
                parsed.interval = seconds;
            } else if let Some(count) = value(b"--count=") {
                parsed.count = Some(count);
            } else {
                return Err(Unknown(arg));
            }
        }
        Ok(parsed)
    }

    /// How many pictures there are to be.
    #[must_use]
    pub fn pictures(&self) -> Option<u64> {
        if self.once { Some(1) } else { self.count }
    }
}

/// The number of the policy, or the two policies, with this name.
fn policy_named(name: &[u8]) -> Option<u32> {
    let policies = Policies::named(name)?;
    let number = |kind: Kind| Kind::ALL.iter().position(|known| *known == kind);
    let (small, large) = (number(policies.small())?, number(policies.large())?);
    Some(if policies.is_one() {
        small as u32
    } else {
        policy::pair(small as u32, large as u32)
    })
}

/// A decimal number, at least 1.
fn number(text: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for digit in text {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    (value > 0).then_some(value)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    fn parse<'a>(args: &[&'a str]) -> Result<Args, Unknown<'a>> {
        Args::parse(args.iter().map(|arg| arg.as_bytes()))
    }

    #[test]
    fn arguments() {
        assert_eq!(parse(&[]), Ok(Args::DEFAULT));
        let all = parse(&["--once", "--interval=10", "--count=3"]);
        let want = Args {
            once: true,
            interval: 10,
            count: Some(3),
            ..Args::DEFAULT
        };
        assert_eq!(all, Ok(want));
        assert_eq!(want.pictures(), Some(1));
        assert!(parse(&["--used"]).is_ok_and(|args| args.used));
        assert_eq!(
            parse(&["--count=7"]).map(|args| args.pictures()),
            Ok(Some(7))
        );
        for bad in [
            "--interval=0",
            "--interval=3601",
            "--interval=",
            "--count=x",
            "",
            "-h",
        ] {
            assert_eq!(
                parse(&["--once", bad]),
                Err(Unknown(bad.as_bytes())),
                "{bad}"
            );
        }
        let huge = "--count=99999999999999999999";
        let error = parse(&[huge]).expect_err("no such number");
        assert!(error.to_string().contains(huge), "{error}");
    }

    #[test]
    fn settings() {
        assert!(parse(&["--seal"]).is_ok_and(|args| args.seal));
        for number in 0..policy::NAMES.len() as u32 {
            for large in 0..policy::NAMES.len() as u32 {
                let both = policy::pair(number, large);
                let name = policy::name(both).expect("a policy");
                let want = if number == large { number } else { both };
                let arg = std::format!("--policy={name}");
                let found = parse(&[&arg]).map(|args| args.policy);
                assert_eq!(found, Ok(Some(want)), "{name}");
            }
        }
        for bad in ["--policy=", "--policy=best", "--policy=slab+", "--seal=1"] {
            assert_eq!(parse(&[bad]), Err(Unknown(bad.as_bytes())), "{bad}");
        }
    }
}
