//! The command line.

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
}

/// An argument that means nothing, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown(pub usize);

/// How the program is called.
pub const USAGE: &str = "percore-top [--once | --used] [--interval=SECONDS] [--count=PICTURES]";

/// Longest time between two pictures: an hour.
const LONGEST: u64 = 3600;

impl Args {
    /// Every two seconds, for ever.
    pub const DEFAULT: Args = Args {
        once: false,
        interval: 2,
        count: None,
        used: false,
    };

    /// Reads arguments, the program's name not among them.
    ///
    /// # Errors
    ///
    /// [`Unknown`] for the first that is none, or whose number is 0 or too large.
    pub fn parse<'a>(args: impl Iterator<Item = &'a [u8]>) -> Result<Args, Unknown> {
        let mut parsed = Args::DEFAULT;
        for (n, arg) in args.enumerate() {
            let value = |name: &[u8]| arg.strip_prefix(name).and_then(number);
            if arg == b"--once" {
                parsed.once = true;
            } else if arg == b"--used" {
                parsed.used = true;
            } else if let Some(seconds) = value(b"--interval=").filter(|s| *s <= LONGEST) {
                parsed.interval = seconds;
            } else if let Some(count) = value(b"--count=") {
                parsed.count = Some(count);
            } else {
                return Err(Unknown(n));
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
    use super::*;

    fn parse(args: &[&str]) -> Result<Args, Unknown> {
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
            used: false,
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
            assert_eq!(parse(&["--once", bad]), Err(Unknown(1)), "{bad}");
        }
        assert_eq!(parse(&["--count=99999999999999999999"]), Err(Unknown(0)));
    }
}
