//! What each primitive costs, in cycles of the modelled processor.
//!
//! Values come from a file (`conf/cost/*.toml`) in which each one has a unit and a source. The
//! model adds nothing of its own: what is not in the file takes no time.

use core::ops::Range;

use serde::Deserialize;
use toml::Spanned;

/// A value that was measured, published, or assumed, with where it is from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    value: Spanned<f64>,
    unit: Unit,
    /// Where it comes from; an assumption says so.
    source: Spanned<String>,
}

/// Units of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unit {
    /// Cycles of the processor.
    Cycles,
    /// Nanoseconds.
    Ns,
}

/// A cost file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// Not TOML, or not of the expected form; says line and what was expected.
    #[error("cost file {file}: {source}")]
    Form {
        /// File name as given.
        file: String,
        /// The parser's message.
        source: Box<toml::de::Error>,
    },
    /// A number that makes no sense.
    #[error("cost file {file}:{line}: {name}: expected {expected}")]
    Value {
        /// File name as given.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Which cost, or `mhz`.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

macro_rules! costs {
    ($($(#[$d:meta])* $name:ident,)*) => {
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table { $($name: Value,)* }

        /// Costs in cycles.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Costs {
            /// Name of the set.
            pub name: String,
            /// Clock frequency in MHz: cycles per microsecond.
            pub mhz: u64,
            $($(#[$d])* pub $name: u64,)*
        }

        impl Costs {
            fn from_file(place: &Place, f: &File) -> Result<Costs, CostError> {
                if *f.mhz.get_ref() == 0 {
                    return Err(place.wrong(f.mhz.span(), "mhz", "a clock of at least 1 MHz"));
                }
                let mhz = *f.mhz.get_ref();
                Ok(Costs {
                    name: f.name.clone(),
                    mhz,
                    $($name: cycles(place, stringify!($name), &f.cost.$name, mhz)?,)*
                })
            }

            /// Every cost as name and cycles, in the order of the file format.
            #[must_use]
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Everything costs one cycle: for tests that look at order, not at time.
            #[must_use]
            pub fn unit() -> Costs {
                Costs { name: "unit".into(), mhz: 1000, $($name: 1,)* }
            }
        }
    };
}

costs! {
    /// Entering the kernel by a system call and leaving it.
    syscall,
    /// One message between two threads of a CPU, switch included, entry excluded.
    ipc_local,
    /// Work at the sender for one message to another CPU, interrupts excluded.
    ipc_remote,
    /// Each item of a message, mapping excluded.
    ipc_item,
    /// Sending an interrupt to another CPU.
    ipi_send,
    /// Time from sending to arrival, same node.
    ipi_latency,
    /// Extra latency to another node.
    ipi_latency_node,
    /// Taking an interrupt from another CPU and doing its request.
    ipi_receive,
    /// Entering one page into page table and mapping database.
    map_page,
    /// Removing one page from both.
    unmap_page,
    /// Flushing a space's TLB entries on the CPU itself, refill included.
    tlb_flush,
    /// A page fault or exception: entry and return.
    exception,
    /// Clearing 4 KiB of memory on the CPU's node.
    zero_4k,
    /// Entering or removing a capability.
    cap,
    /// Making or deleting a kernel object.
    object,
    /// Dispatching another thread when the running one waits.
    schedule,
    /// A pager's own work at user level for one request, for programs that charge it.
    pager_request,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    mhz: Spanned<u64>,
    cost: Table,
}

/// A file and its text, for errors.
struct Place<'a> {
    file: &'a str,
    text: &'a str,
}

impl Place<'_> {
    fn wrong(&self, at: Range<usize>, name: &'static str, expected: &'static str) -> CostError {
        let before = self.text.get(..at.start).unwrap_or("");
        CostError::Value {
            file: self.file.into(),
            line: before.matches('\n').count() + 1,
            name,
            expected,
        }
    }
}

fn cycles(place: &Place, name: &'static str, v: &Value, mhz: u64) -> Result<u64, CostError> {
    let value = *v.value.get_ref();
    if !(0.0..=1e9).contains(&value) {
        return Err(place.wrong(v.value.span(), name, "a number from 0 to 10^9"));
    }
    if v.source.get_ref().trim().is_empty() {
        return Err(place.wrong(v.source.span(), name, "where the number is from"));
    }
    let c = match v.unit {
        Unit::Cycles => value,
        Unit::Ns => value * mhz as f64 / 1000.0,
    };
    Ok(c.round() as u64)
}

impl Costs {
    /// Reads a cost file; `file` is only for messages.
    ///
    /// # Errors
    /// [`CostError`] with line and expectation.
    pub fn parse(file: &str, text: &str) -> Result<Costs, CostError> {
        let f: File = toml::from_str(text).map_err(|e| CostError::Form {
            file: file.into(),
            source: Box::new(e),
        })?;
        Costs::from_file(&Place { file, text }, &f)
    }

    /// The paper's machine, from the file in `conf/cost`.
    ///
    /// # Panics
    /// Never: a test parses the file.
    #[must_use]
    pub fn opteron() -> Costs {
        Costs::parse(
            "opteron-6174.toml",
            include_str!("../../conf/cost/opteron-6174.toml"),
        )
        .expect("the built-in cost file is checked by a test")
    }

    /// Instructions counted on the real kernel, from the file in `conf/cost`.
    ///
    /// # Panics
    /// Never: a test parses the file.
    #[must_use]
    pub fn counted() -> Costs {
        Costs::parse("counted.toml", include_str!("../../conf/cost/counted.toml"))
            .expect("the built-in cost file is checked by a test")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_files_parse() {
        assert_eq!(Costs::opteron().mhz, 2200);
        assert!(Costs::counted().ipc_local > 0);
    }

    #[test]
    fn errors_name_the_line() {
        let e = Costs::parse("x.toml", "name = \"x\"\nmhz = \"fast\"\n")
            .unwrap_err()
            .to_string();
        assert!(e.contains("x.toml") && e.contains("line 2"), "{e}");
        let good = include_str!("../../conf/cost/counted.toml");
        let wrong = |from: &str, to: &str| {
            let text = good.replacen(from, to, 1);
            Costs::parse("y.toml", &text).unwrap_err().to_string()
        };
        let e = wrong("value = 100", "value = -100");
        let expect = "y.toml:8: syscall: expected a number from 0 to 10^9";
        assert!(e.ends_with(expect), "{e}");
        let e = wrong("mhz = 1000", "mhz = 0");
        assert!(
            e.ends_with("y.toml:5: mhz: expected a clock of at least 1 MHz"),
            "{e}"
        );
        let e = wrong("source = \"split", "source = \"\" # split");
        assert!(
            e.ends_with("y.toml:10: syscall: expected where the number is from"),
            "{e}"
        );
        let e = wrong("[cost.cap]", "[cost.cup]");
        assert!(
            e.contains("line ") && e.contains("unknown field `cup`"),
            "{e}"
        );
    }
}
