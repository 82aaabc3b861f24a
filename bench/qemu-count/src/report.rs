//! The output: one CSV file, written by the plugin and read by the tools.
//!
//! Lines that start with `#` are `# key: value` facts on the run; then a header and one line for
//! each window, CPU, half, program and part that counted anything. Rows are additive: any sum over
//! some of the key columns is a valid figure.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::counters::{Metric, Row};
use crate::stall::Longest;

/// Half of the address space that the code ran in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// Below the hole of non-canonical addresses.
    User,
    /// Above it: the kernel.
    Kernel,
}

impl Half {
    /// The half that an address lies in.
    pub fn of(vaddr: u64) -> Half {
        if vaddr >> 63 == 0 {
            Half::User
        } else {
            Half::Kernel
        }
    }
}

/// One line: what one CPU did in one window in one program's code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Number of the window, from 1.
    pub window: u32,
    /// QEMU's number of the CPU: the APIC id order of a machine without gaps.
    pub vcpu: u32,
    /// User or kernel, by address.
    pub half: Half,
    /// Name of the image the code is in, `a|b` when several hold the same page, `other` for none,
    /// `kernel` in the kernel half.
    pub program: String,
    /// Name of the part that the code was set apart as; empty for the program's own figure.
    pub part: String,
    /// Instructions started, without markers and without those with a repeat prefix.
    pub instructions: u64,
    /// Bytes stored by `rep stos`: clearing.
    pub rep_stos_bytes: u64,
    /// Bytes stored by `rep movs`: copying.
    pub rep_movs_bytes: u64,
    /// Bytes stored by the other instructions of a part set apart; 0 in the program's own row.
    pub apart_bytes: u64,
    /// `syscall` instructions.
    pub syscalls: u64,
    /// Entries into the page-fault handler; this and the other optional counts are `None` if no
    /// function to count was given.
    pub page_faults: Option<u64>,
    /// Writes to CR3.
    pub cr3_writes: u64,
    /// `invlpg` instructions.
    pub invlpg: u64,
    /// `invpcid` instructions.
    pub invpcid: u64,
    /// Writes to the interrupt command register of the local APIC (memory-mapped).
    pub ipis: u64,
    /// `wrmsr` instructions: with an x2APIC the interrupts to other CPUs hide in these.
    pub wrmsr: u64,
    /// `hlt` instructions.
    pub halts: u64,
    /// Pages entered into a page table.
    #[serde(default)]
    pub maps: Option<u64>,
    /// Pages removed from a page table, or diminished.
    #[serde(default)]
    pub unmaps: Option<u64>,
    /// Flushes of address spaces, on the CPU that flushed.
    #[serde(default)]
    pub flushes: Option<u64>,
    /// Messages that went from thread to thread, on the CPU that copied them.
    #[serde(default)]
    pub messages: Option<u64>,
    /// Messages that began on another CPU, on the receiver's.
    #[serde(default)]
    pub cross_sends: Option<u64>,
}

/// Sum of two counts; unknown if one of them is.
fn both(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a? + b?)
}

impl Record {
    /// A record with the counts of `row`.
    pub fn new(
        window: u32,
        vcpu: u32,
        half: Half,
        program: String,
        part: String,
        row: &Row,
    ) -> Self {
        let get = |metric: Metric| row[metric as usize];
        Record {
            window,
            vcpu,
            half,
            program,
            part,
            instructions: get(Metric::Instructions),
            rep_stos_bytes: get(Metric::RepStosBytes),
            rep_movs_bytes: get(Metric::RepMovsBytes),
            apart_bytes: get(Metric::ApartBytes),
            syscalls: get(Metric::Syscalls),
            page_faults: Some(get(Metric::PageFaults)),
            cr3_writes: get(Metric::Cr3Writes),
            invlpg: get(Metric::Invlpg),
            invpcid: get(Metric::Invpcid),
            ipis: get(Metric::Ipis),
            wrmsr: get(Metric::Wrmsr),
            halts: get(Metric::Halts),
            maps: Some(get(Metric::Maps)),
            unmaps: Some(get(Metric::Unmaps)),
            flushes: Some(get(Metric::Flushes)),
            messages: Some(get(Metric::Messages)),
            cross_sends: Some(get(Metric::CrossSends)),
        }
    }

    /// The counts of [`Metric::ENTERED`] with their names.
    pub fn entered(&self) -> [(&'static str, Option<u64>); 6] {
        [
            ("page_faults", self.page_faults),
            ("maps", self.maps),
            ("unmaps", self.unmaps),
            ("flushes", self.flushes),
            ("messages", self.messages),
            ("cross_sends", self.cross_sends),
        ]
    }

    /// Says that a count of [`Metric::ENTERED`] is not known.
    pub fn unknown(&mut self, name: &str) {
        match name {
            "page_faults" => self.page_faults = None,
            "maps" => self.maps = None,
            "unmaps" => self.unmaps = None,
            "flushes" => self.flushes = None,
            "messages" => self.messages = None,
            "cross_sends" => self.cross_sends = None,
            _ => {}
        }
    }

    /// Whether `other` has the same key columns.
    pub fn same_key(&self, other: &Record) -> bool {
        (self.window, self.vcpu, self.half) == (other.window, other.vcpu, other.half)
            && self.program == other.program
            && self.part == other.part
    }

    /// Adds the counts of `other`; the key columns stay.
    pub fn add(&mut self, other: &Record) {
        self.instructions += other.instructions;
        self.rep_stos_bytes += other.rep_stos_bytes;
        self.rep_movs_bytes += other.rep_movs_bytes;
        self.apart_bytes += other.apart_bytes;
        self.syscalls += other.syscalls;
        self.page_faults = both(self.page_faults, other.page_faults);
        self.cr3_writes += other.cr3_writes;
        self.invlpg += other.invlpg;
        self.invpcid += other.invpcid;
        self.ipis += other.ipis;
        self.wrmsr += other.wrmsr;
        self.halts += other.halts;
        self.maps = both(self.maps, other.maps);
        self.unmaps = both(self.unmaps, other.unmaps);
        self.flushes = both(self.flushes, other.flushes);
        self.messages = both(self.messages, other.messages);
        self.cross_sends = both(self.cross_sends, other.cross_sends);
    }
}

/// The longest stall of a server on a CPU in a window; a fact, because it does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Number of the window, from 1.
    pub window: u32,
    /// The CPU.
    pub vcpu: u32,
    /// The server.
    pub program: String,
    /// The figures.
    pub longest: Longest,
}

/// Start of the keys of [`Stall`]s.
const STALL: &str = "stall ";

/// A run's whole output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Facts on the run in order, for example `("vcpus", "4")`. Neither part has a line break.
    pub facts: Vec<(String, String)>,
    /// The lines.
    pub records: Vec<Record>,
}

/// Why an output could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The table is not as written.
    #[error(transparent)]
    Csv(#[from] csv::Error),
}

impl Report {
    /// The value of the fact `key`.
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.facts
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// Adds a longest stall, as the fact `stall WINDOW CPU PROGRAM: USER KERNEL ZEROED MOST-ZEROED RECEIVES`.
    pub fn push_stall(&mut self, stall: &Stall) {
        let Stall {
            window,
            vcpu,
            program,
            longest: l,
        } = stall;
        self.push_fact(
            &format!("{STALL}{window} {vcpu} {program}"),
            format!(
                "{} {} {} {} {}",
                l.user, l.kernel, l.zeroed, l.most_zeroed, l.receives
            ),
        );
    }

    /// The longest stalls.
    pub fn stalls(&self) -> impl Iterator<Item = Stall> + '_ {
        self.facts.iter().filter_map(|(key, value)| {
            let mut words = key.strip_prefix(STALL)?.splitn(3, ' ');
            let (window, vcpu) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let program = words.next()?.to_owned();
            let mut numbers = value.split(' ').map(str::parse);
            let mut next = || numbers.next()?.ok();
            let longest = Longest {
                user: next()?,
                kernel: next()?,
                zeroed: next()?,
                most_zeroed: next()?,
                receives: next()?,
            };
            Some(Stall {
                window,
                vcpu,
                program,
                longest,
            })
        })
    }

    /// Adds a fact; line breaks become spaces.
    pub fn push_fact(&mut self, key: &str, value: impl ToString) {
        let flat = |text: &str| text.replace(['\n', '\r'], " ");
        self.facts.push((flat(key), flat(&value.to_string())));
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Only if a record cannot be written as CSV, which no record of this type is known to cause.
    pub fn to_text(&self) -> Result<String, csv::Error> {
        let mut text = String::new();
        for (key, value) in &self.facts {
            text.push_str(&format!("# {key}: {value}\n"));
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        for record in &self.records {
            writer.serialize(record)?;
        }
        let table = writer.into_inner().map_err(|error| error.into_error())?;
        text.push_str(&String::from_utf8_lossy(&table));
        Ok(text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// If the table's columns or values are not as written.
    pub fn from_text(text: &str) -> Result<Self, csv::Error> {
        let facts = text
            .lines()
            .filter_map(|line| line.strip_prefix("# ")?.split_once(": "))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        let records = reader.deserialize().collect::<Result<_, _>>()?;
        Ok(Report { facts, records })
    }

    /// Writes the file under a second name and renames it, so that a reader never sees half of it.
    ///
    /// # Errors
    /// As the file system's.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let mut file = fs::File::create(&part)?;
        file.write_all(self.to_text()?.as_bytes())?;
        drop(file);
        fs::rename(&part, path)
    }

    /// Reads a file that the plugin or a tool has written.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        Ok(Report::from_text(&fs::read_to_string(path)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::METRICS;
    use proptest::prelude::*;

    #[test]
    fn halves_by_address() {
        assert_eq!(Half::of(0x7fff_ffff_ffff), Half::User);
        assert_eq!(Half::of(0xffff_8000_0000_0000), Half::Kernel);
    }

    #[test]
    fn a_missing_count_stays_missing() {
        let row = [1; METRICS];
        let mut a = Record::new(1, 0, Half::User, "a".into(), String::new(), &row);
        let b = Record {
            page_faults: None,
            ..a.clone()
        };
        assert!(a.same_key(&b));
        a.add(&b);
        assert_eq!((a.instructions, a.page_faults), (2, None));
        let report = Report {
            facts: Vec::new(),
            records: vec![a],
        };
        assert_eq!(
            Report::from_text(&report.to_text().unwrap()).unwrap(),
            report
        );
    }

    #[test]
    fn counts_of_entries_can_each_be_unknown() {
        let row = [7; METRICS];
        for (i, (name, metric)) in Metric::ENTERED.into_iter().enumerate() {
            assert_eq!(metric.entered_name(), Some(name));
            let mut r = Record::new(1, 0, Half::Kernel, "k".into(), String::new(), &row);
            r.unknown(name);
            let known: Vec<_> = r.entered().iter().map(|(_, n)| n.is_some()).collect();
            let expect: Vec<_> = (0..6).map(|n| n != i).collect();
            assert_eq!(known, expect, "{name}");
        }
    }

    #[test]
    fn a_file_without_later_columns_is_read() {
        let text = "window,vcpu,half,program,part,instructions,rep_stos_bytes,rep_movs_bytes,\
                    apart_bytes,syscalls,page_faults,cr3_writes,invlpg,invpcid,ipis,wrmsr,halts\n\
                    1,0,user,a,,5,0,0,0,1,,0,0,0,0,0,0\n";
        let report = Report::from_text(text).unwrap();
        assert_eq!(report.records[0].instructions, 5);
        assert_eq!(
            (report.records[0].maps, report.records[0].page_faults),
            (None, None)
        );
    }

    proptest! {
        #[test]
        fn text_reads_back(
            facts in proptest::collection::vec(("[a-z ]{1,9}", "[ -~]{0,20}"), 0..4),
            rows in proptest::collection::vec(
                (any::<u32>(), any::<[u64; METRICS]>(), any::<bool>(), "[a-z|,\" ]{1,6}"), 0..5),
        ) {
            let mut report = Report::default();
            for (key, value) in &facts {
                report.push_fact(key, value);
            }
            for (n, row, user, name) in rows {
                let half = if user { Half::User } else { Half::Kernel };
                report.records.push(Record::new(n, n / 2, half, name.clone(), name, &row));
            }
            let back = Report::from_text(&report.to_text().unwrap()).unwrap();
            prop_assert_eq!(back, report);
        }
    }
}
