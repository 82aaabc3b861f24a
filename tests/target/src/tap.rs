//! Test results as text: the form that `percore test --qemu` reads.

use core::fmt::{Arguments, Debug};

use l4re_rs::println;

/// Counts tests and prints a line for each.
#[derive(Debug, Default)]
pub struct Tap {
    count: u32,
    passed: u32,
}

impl Tap {
    /// Nothing tested yet.
    #[must_use]
    pub fn new() -> Self {
        Tap::default()
    }

    /// One test: passed when `got` is `want`; otherwise both are printed.
    pub fn equal<T: PartialEq + Debug>(&mut self, name: &str, got: T, want: T) {
        self.result(
            name,
            got == want,
            format_args!("got {got:?}, want {want:?}"),
        );
    }

    /// One test; `detail` is printed when it failed.
    pub fn result(&mut self, name: &str, passed: bool, detail: Arguments<'_>) {
        self.count += 1;
        if passed {
            self.passed += 1;
            println!("ok {} - {name}", self.count);
        } else {
            println!("not ok {} - {name}", self.count);
            println!("# {detail}");
        }
    }

    /// One test over many cases: passed when `check` gives what it should for all; otherwise the
    /// first wrong case is printed. No case at all is a failure.
    pub fn each<C: Debug + Copy, T: PartialEq + Debug>(
        &mut self,
        name: &str,
        cases: impl IntoIterator<Item = C>,
        want: T,
        mut check: impl FnMut(C) -> T,
    ) {
        let mut tried = 0;
        for case in cases {
            tried += 1;
            let got = check(case);
            if got != want {
                return self.result(
                    name,
                    false,
                    format_args!("case {case:x?}: got {got:?}, want {want:?}"),
                );
            }
        }
        self.result(name, tried > 0, format_args!("no cases"));
    }

    /// A test that cannot run here; counts as passed, and says why.
    pub fn skip(&mut self, name: &str, why: &str) {
        self.count += 1;
        self.passed += 1;
        println!("ok {} - {name} # SKIP {why}", self.count);
    }

    /// Prints plan and sentinel; 0 when all passed.
    pub fn finish(self) -> i64 {
        println!("1..{}", self.count);
        println!("TAP-END {}/{}", self.passed, self.count);
        i64::from(self.passed != self.count)
    }
}
