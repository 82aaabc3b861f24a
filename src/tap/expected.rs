//! The tests that one server is known to fail, each with its reason: `conf/differences.toml`.
//!
//! The list is kept honest: a test that is listed and passes is an error too.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::{Results, Status};
use crate::Error;

/// One deliberate difference between two servers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Difference {
    /// Name of the test; with a `*` at the end, all tests that start so.
    pub test: String,
    /// The server that fails it: `ours` or `upstream`.
    pub fails_on: String,
    /// Why, for the reader.
    pub reason: String,
}

impl Difference {
    fn covers(&self, test: &str, server: &str) -> bool {
        let named = match self.test.strip_suffix('*') {
            Some(start) => test.starts_with(start),
            None => test == self.test,
        };
        named && self.fails_on == server
    }
}

/// The whole list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differences {
    #[serde(default, rename = "difference")]
    list: Vec<Difference>,
}

impl Differences {
    /// Reads the list; a file that does not exist is an empty one.
    ///
    /// # Errors
    /// The file cannot be read, or a line is wrong.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path)
            .map_err(Error::io(format!("cannot read {}", path.display())))?;
        toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            Error::Line {
                file: path.to_path_buf(),
                line: text.get(..start).unwrap_or("").matches('\n').count() + 1,
                problem: format!(
                    "{}; expected [[difference]] with test, fails-on and reason",
                    error.message().replace('\n', " ")
                ),
            }
        })
    }

    /// Why a test may fail on a server.
    pub fn reason(&self, test: &str, server: &str) -> Option<&str> {
        let found = self
            .list
            .iter()
            .find(|difference| difference.covers(test, server));
        found.map(|difference| difference.reason.as_str())
    }

    /// What makes a server's results a failure, one line each: failed tests that are not listed,
    /// and listed ones that passed.
    pub fn complaints(&self, results: &Results, server: &str) -> Vec<String> {
        let complaint = |test: &super::Test| match (test.status, self.reason(&test.name, server)) {
            (Status::Failed, None) => {
                let notes: Vec<_> = test.notes.iter().map(|note| format!(" ({note})")).collect();
                Some(format!("not ok: {}{}", test.name, notes.concat()))
            }
            (Status::Passed, Some(_)) => Some(format!(
                "passes, but is listed as failing on {server}: {}",
                test.name
            )),
            _ => None,
        };
        results.tests.iter().filter_map(complaint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::Parser;

    const LIST: &str =
        "[[difference]]\ntest = \"BUG-14*\"\nfails-on = \"upstream\"\nreason = \"r\"\n";

    fn results(log: &str) -> Results {
        let mut parser = Parser::default();
        log.lines().for_each(|line| parser.line(line));
        parser.finish()
    }

    #[test]
    fn a_listed_failure_is_no_complaint_and_a_listed_success_is_one() {
        let list: Differences = toml::from_str(LIST).unwrap();
        let failed =
            results("1..2\nnot ok 1 - BUG-14 short\nnot ok 2 - other\n# why\nTAP-END 0/2\n");
        assert_eq!(
            list.complaints(&failed, "upstream"),
            ["not ok: other (why)"]
        );
        assert_eq!(
            list.complaints(&failed, "ours"),
            ["not ok: BUG-14 short", "not ok: other (why)"]
        );
        let passed = results("1..1\nok 1 - BUG-14 short\nTAP-END 1/1\n");
        assert_eq!(
            list.complaints(&passed, "upstream"),
            ["passes, but is listed as failing on upstream: BUG-14 short"]
        );
        assert_eq!(list.complaints(&passed, "ours"), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_list_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("differences.toml");
        fs::write(&path, LIST.replace("reason", "cause")).unwrap();
        let error = Differences::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("differences.toml:4: unknown field `cause`"),
            "{error}"
        );
    }
}
