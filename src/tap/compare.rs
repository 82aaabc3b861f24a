//! Two servers' results side by side.

use super::{Results, Status};

/// A test that did not end the same way on both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Name of the test.
    pub test: String,
    /// How it ended on each; `None` when it was not reported.
    pub status: [Option<Status>; 2],
}

impl Row {
    /// Whether the test was not run at all on one of them, rather than skipped or failed.
    pub fn is_missing(&self) -> bool {
        self.status.contains(&None)
    }
}

/// The tests that differ: first those of `a` in their order, then those that only `b` has.
pub fn compare(a: &Results, b: &Results) -> Vec<Row> {
    let status = |results: &Results, name: &str| {
        let found = results.tests.iter().find(|test| test.name == name);
        found.map(|test| test.status)
    };
    let only_b = b
        .tests
        .iter()
        .filter(|test| status(a, &test.name).is_none());
    a.tests
        .iter()
        .chain(only_b)
        .map(|test| Row {
            test: test.name.clone(),
            status: [status(a, &test.name), status(b, &test.name)],
        })
        .filter(|row| row.status[0] != row.status[1])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::Parser;

    #[test]
    fn only_rows_that_differ_are_listed() {
        let parse = |log: &str| {
            let mut parser = Parser::default();
            log.lines().for_each(|line| parser.line(line));
            parser.finish()
        };
        let a = parse("ok 1 - same\nok 2 - differs\nok 3 - only a\n");
        let b = parse("ok 1 - same\nnot ok 2 - differs\nok 3 - only b\n");
        let rows = compare(&a, &b);
        let brief: Vec<_> = rows
            .iter()
            .map(|row| (row.test.as_str(), row.status))
            .collect();
        let (ok, bad) = (Some(Status::Passed), Some(Status::Failed));
        assert_eq!(
            brief,
            [
                ("differs", [ok, bad]),
                ("only a", [ok, None]),
                ("only b", [None, ok])
            ]
        );
        assert!(!rows[0].is_missing() && rows[1].is_missing());
    }
}
