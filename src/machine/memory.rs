//! Amounts of memory in whole MiB, as QEMU takes them.

use std::fmt;
use std::str::FromStr;

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct MemSize {
    mib: u64,
}

impl MemSize {
    /// That many MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Self { mib }
    }

    /// In MiB.
    pub const fn mib(self) -> u64 {
        self.mib
    }
}

impl FromStr for MemSize {
    type Err = String;

    /// `512M`, `2G`, or a number of MiB.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no amount of memory; expected for example 512M or 2G");
        let text_trimmed = text.trim();
        let (number, factor) = match text_trimmed.strip_suffix(['G', 'g']) {
            Some(number) => (number, 1024),
            None => (
                text_trimmed
                    .strip_suffix(['M', 'm'])
                    .unwrap_or(text_trimmed),
                1,
            ),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let mib = number.checked_mul(factor).ok_or_else(wrong)?;
        Ok(Self { mib })
    }
}

impl fmt::Display for MemSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mib > 0 && self.mib.is_multiple_of(1024) {
            write!(f, "{}G", self.mib / 1024)
        } else {
            write!(f, "{}M", self.mib)
        }
    }
}
