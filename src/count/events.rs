//! What the kernel's functions are counted as: `conf/count/kernel-events.toml` and `--event`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use qemu_count::args::Entry;
use qemu_count::counters::Metric;
use serde::Deserialize;
use toml::Spanned;

use super::symbols::Symbols;
use crate::Error;
use crate::project::Project;

/// The file, in the project.
const FILE: &str = "conf/count/kernel-events.toml";
/// What the file says when the tool is built, for its own tests.
#[cfg(test)]
pub(super) const BUILT_IN: &str = include_str!("../../conf/count/kernel-events.toml");

/// Entries into one function of the kernel, counted as something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    metric: Metric,
    /// Its readable name, with `*` for any text.
    function: String,
}

/// Metric by the name that a user wrote; page faults are found without one.
fn metric(name: &str) -> Result<Metric, String> {
    Metric::entered(name)
        .filter(|m| *m != Metric::PageFaults)
        .ok_or_else(|| {
            let names = Metric::ENTERED.iter().skip(1).map(|(name, _)| *name);
            let names: Vec<_> = names.collect();
            format!("no count '{name}', expected one of {}", names.join(", "))
        })
}

impl std::str::FromStr for Event {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, function)) if !function.is_empty() => Ok(Event {
                metric: metric(name)?,
                function: function.to_owned(),
            }),
            _ => Err("expected COUNT=FUNCTION, for example maps=Mem_space::v_insert(*)".into()),
        }
    }
}

/// Where an event was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// In the file: a kernel without it is counted all the same.
    File,
    /// On the command line: it must be there.
    User,
}

/// All events of a count.
#[derive(Debug, Clone, Default)]
pub struct Events(Vec<(Event, Source)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    event: Vec<RawEvent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent {
    count: Spanned<String>,
    function: Spanned<String>,
}

impl Events {
    /// Those of the project's file, each replaced by the user's for the same count.
    ///
    /// # Errors
    /// A missing file, or a wrong line of it.
    pub fn read(project: &Project, user: &[Event]) -> Result<Self, Error> {
        let path: PathBuf = project.root().join(FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(Error::io(format!("cannot read {}", path.display())))?;
        Ok(Self::parse(&path, &text)?.replaced(user))
    }

    /// Those of the text of a file.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, Error> {
        let at = |span: Range<usize>, problem: String| Error::Line {
            file: file.to_path_buf(),
            line: text.get(..span.start).unwrap_or("").matches('\n').count() + 1,
            problem,
        };
        let raw: Raw = toml::from_str(text)
            .map_err(|e| at(e.span().unwrap_or(0..0), e.message().replace('\n', " ")))?;
        let events = raw.event.into_iter().map(|e| {
            let metric = metric(e.count.as_ref()).map_err(|problem| at(e.count.span(), problem))?;
            if e.function.as_ref().is_empty() {
                let problem = "expected the name of a function of the kernel".into();
                return Err(at(e.function.span(), problem));
            }
            let function = e.function.into_inner();
            Ok((Event { metric, function }, Source::File))
        });
        Ok(Events(events.collect::<Result<_, Error>>()?))
    }

    fn replaced(mut self, user: &[Event]) -> Self {
        self.0
            .retain(|(e, _)| user.iter().all(|u| u.metric != e.metric));
        self.0
            .extend(user.iter().map(|u| (u.clone(), Source::User)));
        self
    }

    /// The plugin's arguments for a kernel, and a sentence for each count that is left out: a count
    /// of which a part is missing is left out whole.
    ///
    /// # Errors
    /// The user's function is not there, or a name fits several functions.
    pub(super) fn entries(&self, kernel: &Symbols) -> Result<(Vec<Entry>, Vec<String>), Error> {
        let (mut entries, mut missing, mut without) = (Vec::new(), Vec::new(), Vec::new());
        for (event, source) in &self.0 {
            let Event { metric, function } = event;
            let name = metric.entered_name().unwrap_or_default();
            match &kernel.fitting(function)[..] {
                [(_, range)] => entries.push(Entry {
                    metric: *metric,
                    addr: range.start,
                }),
                [] => {
                    let what = format!("{name}: the kernel has no function '{function}'");
                    if *source == Source::User {
                        return Err(Error::Usage(format!("--event: {what}")));
                    }
                    missing.push(format!("{what} ({FILE})"));
                    without.push(*metric);
                }
                several => {
                    let symbols: Vec<_> = several.iter().map(|(symbol, _)| *symbol).collect();
                    return Err(Error::Usage(format!(
                        "{name}: '{function}' fits several functions of the kernel: {}",
                        symbols.join(", ")
                    )));
                }
            }
        }
        entries.retain(|e| !without.contains(&e.metric));
        Ok((entries, missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Events, Error> {
        Events::parse("k.toml".as_ref(), text)
    }

    #[test]
    fn the_file_parses_and_the_user_replaces_a_count_whole() {
        let events = parse(BUILT_IN).unwrap();
        let count = |e: &Events, m| e.0.iter().filter(|(e, _)| e.metric == m).count();
        assert_eq!(count(&events, Metric::Messages), 2);
        let user: Event = "messages=Thread::other(*)".parse().unwrap();
        let events = events.replaced(&[user]);
        assert_eq!(count(&events, Metric::Messages), 1);
        assert_eq!(count(&events, Metric::Maps), 1);
    }

    #[test]
    fn wrong_lines_are_named() {
        let line = |text: &str| parse(text).unwrap_err().to_string();
        let text = "[[event]]\ncount = \"page_faults\"\nfunction = \"f\"\n";
        let e = line(text);
        assert!(
            e.starts_with("k.toml:2: no count 'page_faults', expected one of maps"),
            "{e}"
        );
        let e = line("[[event]]\ncount = \"maps\"\nfunction = \"\"\n");
        assert!(e.starts_with("k.toml:3: expected the name"), "{e}");
        let e = line("\n[[event]]\nname = 1\n");
        assert!(e.starts_with("k.toml:3: "), "{e}");
        for text in ["maps", "maps=", "halts=f"] {
            assert!(text.parse::<Event>().is_err(), "{text}");
        }
    }

    #[test]
    fn functions_are_found_by_readable_names() {
        // Of this test program itself.
        let symbols = Symbols::of(&std::env::current_exe().unwrap());
        let events = |function: &str| {
            let event = Event {
                metric: Metric::Maps,
                function: function.into(),
            };
            Events::default().replaced(&[event])
        };
        let main = symbols.function("main").unwrap().start;
        let (entries, missing) = events("main").entries(&symbols).unwrap();
        assert_eq!((entries[0].addr, missing.len()), (main, 0));
        let e = events("no such function").entries(&symbols).unwrap_err();
        assert!(
            e.to_string()
                .contains("--event: maps: the kernel has no function"),
            "{e}"
        );
        let e = events("*").entries(&symbols).unwrap_err();
        assert!(e.to_string().contains("fits several functions"), "{e}");
    }

    #[test]
    fn a_count_without_one_of_its_functions_is_left_out_whole() {
        let symbols = Symbols::of(&std::env::current_exe().unwrap());
        let text = "[[event]]\ncount = \"messages\"\nfunction = \"main\"\n\
                    [[event]]\ncount = \"messages\"\nfunction = \"none of these\"\n\
                    [[event]]\ncount = \"maps\"\nfunction = \"main\"\n";
        let (entries, missing) = parse(text).unwrap().entries(&symbols).unwrap();
        let metrics: Vec<_> = entries.iter().map(|e| e.metric).collect();
        assert_eq!(metrics, [Metric::Maps]);
        assert!(missing[0].contains("messages: the kernel has no function 'none of these'"));
    }
}
