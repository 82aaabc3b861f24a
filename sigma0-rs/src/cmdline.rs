//! Sigma0's own command line: where it is, and what it may say.
//!
//! The boot loader leaves a table of modules; the one that is flagged as sigma0 has our command
//! line. There is one option:
//!
//! ```text
//! --reserve=SHARE[+SHARE...]      SHARE = [NODE:]AMOUNT, AMOUNT = nK | nM | nG | n%
//! ```
//!
//! It keeps that much of a node's free RAM (of every node's, without `NODE:`) out of requests for
//! any RAM, for pagers that ask by node. What cannot be read is reported with its text and passed
//! over; sigma0 goes on without it, because a machine that does not boot helps nobody.

use crate::phys::Phys;

/// Longest command line that is looked at, in bytes.
pub const MAX_LEN: usize = 512;
/// Most modules that are looked through.
const MAX_MODULES: u64 = 1024;
/// Module flag of sigma0.
const FLAG_SIGMA0: u64 = 2;
/// Bytes of an entry of the module table.
const MODULE_BYTES: u64 = 32;

/// How much of a node's free RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths.
    Percent(u8),
}

/// One part of a `--reserve` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which node; every node without.
    pub node: Option<u8>,
    /// How much.
    pub amount: Amount,
}

/// Finds sigma0's command line through the boot loader's module table at `info` and copies it to
/// `out`. Nothing when there is no table or no such module.
#[must_use]
pub fn find<'a>(phys: &Phys<'_>, info: u64, out: &'a mut [u8; MAX_LEN]) -> Option<&'a [u8]> {
    let modules = phys.u64(info.checked_add(16)?)?;
    let count = phys.u64(info.checked_add(24)?)? & 0xffff_ffff;
    for i in 0..count.min(MAX_MODULES) {
        let module = modules.checked_add(i * MODULE_BYTES)?;
        if phys.u64(module)? & 7 == FLAG_SIGMA0 {
            let text = phys.u64(module.checked_add(24)?)?;
            let mut len = 0;
            while let Some(b) = out.get_mut(len) {
                let mut byte = [0];
                phys.copy(text.checked_add(len as u64)?, &mut byte)?;
                if byte == [0] {
                    break;
                }
                [*b] = byte;
                len += 1;
            }
            return out.get(..len);
        }
    }
    None
}

/// What a command line says: calls `share` for each share and `bad` for each piece that cannot be
/// read. The first word is the program's name.
pub fn parse(line: &[u8], mut share: impl FnMut(Share), mut bad: impl FnMut(&[u8])) {
    let words = line
        .split(u8::is_ascii_whitespace)
        .filter(|w| !w.is_empty());
    for word in words.skip(1) {
        let Some(list) = word.strip_prefix(b"--reserve=") else {
            bad(word);
            continue;
        };
        for piece in list.split(|b| *b == b'+' || *b == b',') {
            match parse_share(piece) {
                Some(s) => share(s),
                None => bad(piece),
            }
        }
    }
}

fn parse_share(piece: &[u8]) -> Option<Share> {
    let (node, amount) = match piece.iter().position(|b| *b == b':') {
        Some(i) => (
            Some(u8::try_from(number(piece.get(..i)?)?).ok()?),
            piece.get(i + 1..)?,
        ),
        None => (None, piece),
    };
    let (last, digits) = amount.split_last()?;
    let n = number(digits)?;
    let amount = match last {
        b'%' => Amount::Percent(u8::try_from(n).ok().filter(|p| *p <= 100)?),
        b'K' | b'k' => Amount::Bytes(n.checked_mul(1 << 10)?),
        b'M' | b'm' => Amount::Bytes(n.checked_mul(1 << 20)?),
        b'G' | b'g' => Amount::Bytes(n.checked_mul(1 << 30)?),
        _ => return None,
    };
    Some(Share { node, amount })
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, d| {
        let d = d.is_ascii_digit().then(|| u64::from(d - b'0'))?;
        n.checked_mul(10)?.checked_add(d)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn read(line: &str) -> (Vec<Share>, Vec<String>) {
        let (mut shares, mut bad) = (Vec::new(), Vec::new());
        parse(
            line.as_bytes(),
            |s| shares.push(s),
            |b| bad.push(String::from_utf8_lossy(b).into_owned()),
        );
        (shares, bad)
    }

    #[test]
    fn shares() {
        let (shares, bad) = read("sigma0-rs --reserve=25%+1:512M,2:64k  --reserve=3:1G");
        assert_eq!(
            shares,
            [
                Share {
                    node: None,
                    amount: Amount::Percent(25)
                },
                Share {
                    node: Some(1),
                    amount: Amount::Bytes(512 << 20)
                },
                Share {
                    node: Some(2),
                    amount: Amount::Bytes(64 << 10)
                },
                Share {
                    node: Some(3),
                    amount: Amount::Bytes(1 << 30)
                },
            ]
        );
        assert!(bad.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for wrong in [
            "",
            "%",
            "101%",
            "5",
            "5T",
            "x:5M",
            "300:5M",
            "-1M",
            "99999999999999999999M",
        ] {
            let (shares, bad) = read(&std::format!("s --reserve={wrong}"));
            assert!(shares.is_empty(), "{wrong}");
            assert_eq!(bad, [wrong]);
        }
        assert_eq!(read("s --verbose x").1, ["--verbose", "x"]);
        assert_eq!(read("").1, Vec::<String>::new());
        assert_eq!(read("18446744073709551615G").0, []);
    }
}
