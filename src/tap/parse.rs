//! Reads TAP line by line and checks plan, numbers and the closing count.

use std::collections::HashSet;

use super::{BAIL_OUT, Results, SENTINEL, Status, Test};

/// Width of the tag that moe puts before the lines of a program's log, and its two separators.
const TAG: usize = 8;
const SEPARATORS: [&str; 2] = ["| ", ": "];

/// Collects the results of one guest.
#[derive(Debug, Default)]
pub struct Parser {
    results: Results,
    plan: Option<u32>,
    end: Option<(usize, usize)>,
}

impl Parser {
    /// Takes one line of plain text; what is not TAP is ignored.
    pub fn line(&mut self, line: &str) {
        let line = strip_tag(line).trim_end();
        if let Some(rest) = line.strip_prefix("1..") {
            match (rest.parse(), self.plan) {
                (Ok(count), None) => self.plan = Some(count),
                (Ok(_), Some(_)) => self.problem(format!("a second plan '{line}'")),
                (Err(_), _) => self.problem(format!("bad plan '{line}'; expected 1..COUNT")),
            }
        } else if let Some(rest) = line.strip_prefix("ok ") {
            self.test(line, rest, Status::Passed);
        } else if let Some(rest) = line.strip_prefix("not ok ") {
            self.test(line, rest, Status::Failed);
        } else if let Some(rest) = line.strip_prefix(SENTINEL) {
            self.end(rest);
        } else if let Some(reason) = line.strip_prefix(BAIL_OUT) {
            self.problem(format!("the test program gave up:{reason}"));
        } else if let Some(note) = line.strip_prefix("# ")
            && let Some(test) = self.results.tests.last_mut()
        {
            test.notes.push(note.to_owned());
        }
    }

    /// Checks what only the end can show and returns the results.
    pub fn finish(mut self) -> Results {
        let mut seen = HashSet::new();
        let doubled = self
            .results
            .tests
            .iter()
            .find(|test| !seen.insert(&test.name));
        if let Some(test) = doubled {
            let problem = format!("two tests named '{}'", test.name);
            self.problem(problem);
        }
        match self.plan {
            None => self.problem("no plan line (1..COUNT)".into()),
            Some(plan) => {
                let have: HashSet<_> = self.results.tests.iter().map(|test| test.number).collect();
                let missing: Vec<_> = (1..=plan).filter(|number| !have.contains(number)).collect();
                if let Some(first) = missing.first() {
                    self.problem(format!(
                        "{} of {plan} tests missing, first {first}",
                        missing.len()
                    ));
                }
            }
        }
        let failed = self.results.count(Status::Failed);
        let all = self.results.tests.len();
        match self.end {
            None => self.problem(format!("no line '{SENTINEL}PASSED/ALL'")),
            Some(end) if end != (all - failed, all) => self.problem(format!(
                "'{SENTINEL}{}/{}', but the log has {}/{all}: lines were lost",
                end.0,
                end.1,
                all - failed
            )),
            Some(_) => {}
        }
        self.results
    }

    fn problem(&mut self, text: String) {
        self.results.problems.push(text);
    }

    /// `NUMBER - NAME [# SKIP REASON]`.
    fn test(&mut self, line: &str, rest: &str, status: Status) {
        let (number, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let Ok(number) = number.parse::<u32>() else {
            return self.problem(format!("'{line}'; expected 'ok NUMBER - NAME'"));
        };
        let text = text.strip_prefix("- ").unwrap_or(text);
        let (name, directive) = text.split_once(" # ").unwrap_or((text, ""));
        let mut test = Test {
            number,
            name: name.trim().to_owned(),
            status,
            notes: Vec::new(),
        };
        let is_skip = directive
            .get(..4)
            .is_some_and(|word| word.eq_ignore_ascii_case("skip"));
        if is_skip && status == Status::Passed {
            test.status = Status::Skipped;
            test.notes.push(directive[4..].trim().to_owned());
        } else if !directive.is_empty() {
            self.problem(format!(
                "'{line}': the only directive known is SKIP, on a passed test"
            ));
        }
        if number == 0 || self.plan.is_some_and(|plan| number > plan) {
            self.problem(format!("test number {number} is outside the plan"));
        }
        if self
            .results
            .tests
            .iter()
            .any(|other| other.number == number)
        {
            self.problem(format!("test number {number} comes twice"));
        }
        self.results.tests.push(test);
    }

    fn end(&mut self, rest: &str) {
        let counts = rest.split_once('/').and_then(|(passed, all)| {
            Some((passed.trim().parse().ok()?, all.trim().parse().ok()?))
        });
        match counts {
            Some(counts) => self.end = Some(counts),
            None => self.problem(format!(
                "'{SENTINEL}{rest}'; expected '{SENTINEL}PASSED/ALL'"
            )),
        }
    }
}

/// The line without moe's tag. Lines that are TAP as they stand are left alone, so that a name with
/// a bar in the right column is not cut.
fn strip_tag(line: &str) -> &str {
    let is_tap = ["1..", "ok ", "not ok ", "# ", SENTINEL, BAIL_OUT]
        .iter()
        .any(|start| line.starts_with(start));
    if is_tap {
        return line;
    }
    let tagged = |separator| line.get(TAG..)?.strip_prefix(separator);
    SEPARATORS.into_iter().find_map(tagged).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::LineSplitter;

    fn parse(log: &str) -> Results {
        let (mut splitter, mut parser) = (LineSplitter::default(), Parser::default());
        splitter.push(log.as_bytes(), |line| parser.line(line));
        parser.finish()
    }

    /// The shape of a real log: kernel and moe around it, tags, colours, carriage returns.
    const LOG: &str = "MOE: loading 'rom/ned'\r\n\
        Ned says: Hi World!\r\n\
        \x1b[31mtest    | 1..4\x1b[0m\r\n\
        \x1b[31mtest    | ok 1 - a: first | with a bar\x1b[0m\r\n\
        \x1b[32mother   | ok it is\x1b[0m\r\n\
        \x1b[31mtest    | not ok 2 - b\x1b[0m\r\n\
        \x1b[31mtest    | # got 3, expected 4\x1b[0m\r\n\
        L4Re[rom/hello]: unhandled read page fault at 0x0 pc=0x1000\r\n\
        \x1b[31mtest    : ok 3 - c # SKIP no NUMA tables\x1b[0m\r\n\
        ok 4 - d | e\r\n\
        \x1b[31mtest    | TAP-END 3/4\x1b[0m\r\n";

    #[test]
    fn a_log_with_tags_and_colours() {
        let results = parse(LOG);
        // The other program's line is close to TAP, and is said to be.
        assert_eq!(
            results.problems,
            ["'ok it is'; expected 'ok NUMBER - NAME'"]
        );
        let names: Vec<_> = results
            .tests
            .iter()
            .map(|test| test.name.as_str())
            .collect();
        assert_eq!(names, ["a: first | with a bar", "b", "c", "d | e"]);
        assert_eq!(results.count(Status::Passed), 2);
        assert_eq!(results.count(Status::Skipped), 1);
        assert_eq!(results.tests[1].status, Status::Failed);
        assert_eq!(results.tests[1].notes, ["got 3, expected 4"]);
        assert_eq!(results.tests[2].notes, ["no NUMA tables"]);
    }

    #[test]
    fn a_clean_log_has_no_problems_and_the_plan_may_be_last() {
        let results = parse("ok 1 - a\nnot ok 2 - b\n1..2\nTAP-END 1/2\n");
        assert_eq!(results.problems, Vec::<String>::new());
    }

    #[test]
    fn every_defect_of_a_report_is_a_problem() {
        for (log, problem) in [
            ("ok 1 - a\nTAP-END 1/1\n", "no plan line (1..COUNT)"),
            ("1..1\nok 1 - a\n", "no line 'TAP-END PASSED/ALL'"),
            (
                "1..3\nok 1 - a\nTAP-END 1/1\n",
                "2 of 3 tests missing, first 2",
            ),
            (
                "1..1\nok 1 - a\nok 2 - b\nTAP-END 2/2\n",
                "test number 2 is outside the plan",
            ),
            (
                "1..1\nok 1 - a\nok 1 - b\nTAP-END 2/2\n",
                "test number 1 comes twice",
            ),
            (
                "1..2\nok 1 - a\nok 2 - a\nTAP-END 2/2\n",
                "two tests named 'a'",
            ),
            (
                "1..2\nok 1 - a\nok 2 - b\nTAP-END 1/2\n",
                "'TAP-END 1/2', but the log has 2/2: lines were lost",
            ),
            (
                "1..1\n1..2\nok 1 - a\nTAP-END 1/1\n",
                "a second plan '1..2'",
            ),
            (
                "1..x\n1..1\nok 1 - a\nTAP-END 1/1\n",
                "bad plan '1..x'; expected 1..COUNT",
            ),
            (
                "1..1\nok 1 - a\nTAP-END one\nTAP-END 1/1\n",
                "'TAP-END one'; expected 'TAP-END PASSED/ALL'",
            ),
            (
                "1..0\nBail out! no memory\nTAP-END 0/0\n",
                "the test program gave up: no memory",
            ),
            (
                "1..1\nnot ok 1 - a # TODO later\nTAP-END 0/1\n",
                "'not ok 1 - a # TODO later': the only directive known is SKIP, on a passed test",
            ),
        ] {
            assert_eq!(parse(log).problems, [problem], "{log}");
        }
    }
}
