//! Sets of CPU numbers as lists of ranges: `0-5,12`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// CPU numbers, in the order written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuSet {
    ranges: Vec<RangeInclusive<u32>>,
}

impl CpuSet {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Every number; one written twice comes twice.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// Each range as QEMU writes it.
    pub fn ranges(&self) -> impl Iterator<Item = String> + '_ {
        self.ranges.iter().map(|range| {
            if range.start() == range.end() {
                range.start().to_string()
            } else {
                format!("{}-{}", range.start(), range.end())
            }
        })
    }
}

impl FromStr for CpuSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is no set of CPUs; expected for example \"0-5\" or \"0,2\"");
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong());
            }
            ranges.push(first..=last);
        }
        Ok(Self { ranges })
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ranges().collect::<Vec<_>>().join(","))
    }
}
