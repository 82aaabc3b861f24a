//! The distributions, as a table and as the base line.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::scenario;

/// Distribution of the instructions of a scenario's faults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Faults.
    pub faults: usize,
    /// Half of them take at most so many.
    pub median: u64,
    /// Ninety-nine of a hundred.
    pub most: u64,
    /// All of them.
    pub worst: u64,
    /// Their sum.
    pub sum: u64,
}

/// Figures by scenario and path.
pub type Figures = BTreeMap<(String, String), Figure>;

/// The figure of counts that are not empty.
pub fn figure(mut counts: Vec<u64>) -> Figure {
    counts.sort_unstable();
    let faults = counts.len();
    let at = |part: usize| counts.get(faults * part / 100).copied().unwrap_or(0);
    Figure {
        faults,
        median: at(50),
        most: at(99),
        worst: counts.last().copied().unwrap_or(0),
        sum: counts.iter().sum(),
    }
}

/// The table for people.
pub fn table(figures: &Figures) -> String {
    let mut text = String::from(
        "| what is touched | path | faults | median | 99 % | worst | mean | a page |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (name, what) in scenario::ALL {
        for ((_, path), figure) in figures.iter().filter(|((n, _), _)| n == name) {
            let mean = figure.sum as f64 / figure.faults.max(1) as f64;
            // Pages that came into reach.
            let page = match scenario::pages(name) {
                Some(pages) => format!("{:.0}", figure.sum as f64 / pages as f64),
                None => format!("{mean:.0}"),
            };
            writeln!(
                text,
                "| {what} | {path} | {} | {} | {} | {} | {mean:.0} | {page} |",
                figure.faults, figure.median, figure.most, figure.worst
            )
            .expect("to a string");
        }
    }
    text
}

/// The figures for the base line.
pub fn csv(figures: &Figures) -> String {
    let mut text = String::from("scenario,path,faults,median,most,sum\n");
    for ((name, path), f) in figures {
        let (faults, median, most, sum) = (f.faults, f.median, f.most, f.sum);
        writeln!(text, "{name},{path},{faults},{median},{most},{sum}").expect("to a string");
    }
    text
}

/// What got more than 5 % worse than `base`, or is missing in one of them.
pub fn regressions(figures: &Figures, base: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = 0;
    for line in base.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let numbers: Vec<u64> = cells.iter().skip(2).flat_map(|n| n.parse()).collect();
        let ([name, path, ..], [faults, median, most, sum]) = (&cells[..], &numbers[..]) else {
            found.push(format!("base line: cannot read {line}"));
            continue;
        };
        seen += 1;
        let Some(new) = figures.get(&((*name).into(), (*path).into())) else {
            found.push(format!("{name} {path}: not counted"));
            continue;
        };
        for (what, new, old) in [
            ("faults", new.faults as u64, *faults),
            ("median", new.median, *median),
            ("99 %", new.most, *most),
            ("sum", new.sum, *sum),
        ] {
            if new * 100 > old * 105 {
                found.push(format!("{name} {path}, {what}: {new} instead of {old}"));
            }
        }
    }
    if figures.len() != seen {
        found.push(format!(
            "the base line has {seen} figures, {} were counted",
            figures.len()
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(counts: Vec<u64>) -> Figures {
        [(("again".to_owned(), "map".to_owned()), figure(counts))].into()
    }

    #[test]
    fn distributions() {
        let got = figure((1..=200).rev().collect());
        let wanted = Figure {
            faults: 200,
            median: 101,
            most: 199,
            worst: 200,
            sum: 20_100,
        };
        assert_eq!(got, wanted);
        assert!(table(&figures(vec![7, 9])).contains("| map | 2 | 9 | 9 | 9 | 8 | 8 |"));
    }

    #[test]
    fn a_regression_of_more_than_5_percent_is_found() {
        let base = csv(&figures(vec![100; 50]));
        assert!(regressions(&figures(vec![105; 50]), &base).is_empty());
        assert_eq!(regressions(&figures(vec![106; 50]), &base).len(), 3);
        let more = vec![100; 53];
        assert_eq!(
            regressions(&figures(more), &base).len(),
            2,
            "faults and sum"
        );
        assert_eq!(regressions(&Figures::new(), &base).len(), 2);
        assert_eq!(regressions(&Figures::new(), "x\ny\n").len(), 1);
    }
}
