//! What is counted, what must hold, and the table that is made of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::callgrind::{self, Job};

/// Numbers of outstanding frames.
pub const SIZES: [u32; 4] = [50, 1000, 10_000, 200_000];

const OURS: [&str; 5] = ["bitmap", "bitmap+cache", "buddy", "slab", "avl"];
const OTHERS: [&str; 4] = [
    "list",
    "buddy_system_allocator",
    "bitmap-allocator",
    "offset-allocator",
];

/// Figures by arm, scenario and size.
pub type Figures = BTreeMap<(String, String, u32), f64>;

/// How much is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Our arms, two sizes: for CI.
    Short,
    /// Everything.
    Full,
}

fn arms(extent: Extent) -> Vec<&'static str> {
    match extent {
        Extent::Short => OURS.to_vec(),
        Extent::Full => OURS.into_iter().chain(OTHERS).collect(),
    }
}

fn operations(arm: &str, scenario: &str, n: u32) -> u32 {
    match (arm, scenario) {
        // These take time in proportion to what is free.
        ("list", _) if n > 1000 => 512,
        ("bitmap-allocator", "pair-2m") => 32,
        _ => 5120,
    }
}

/// The jobs that are counted under callgrind.
pub fn counted(extent: Extent) -> Vec<Job> {
    let mut jobs = Vec::new();
    let sizes: &[u32] = if extent == Extent::Short {
        &[50, 10_000]
    } else {
        &SIZES
    };
    for arm in arms(extent).into_iter().chain(["nothing"]) {
        let mut add = |scenario, n| {
            jobs.push(Job {
                arm,
                scenario,
                n,
                operations: operations(arm, scenario, n),
            });
        };
        for scenario in ["pair", "replace", "batch"] {
            // What the harness takes does not depend on the size.
            let sizes = if arm == "nothing" { &sizes[..1] } else { sizes };
            sizes.iter().for_each(|n| add(scenario, *n));
        }
        add("pair-2m", 0);
        if arm == "nothing" || OURS.contains(&arm) {
            add("owner", 0);
        }
    }
    jobs
}

/// Counts `jobs`, two at a time.
pub fn count(jobs: &[Job]) -> Result<Figures, String> {
    let halves: Vec<Vec<&Job>> = (0..2)
        .map(|half| jobs.iter().skip(half).step_by(2).collect())
        .collect();
    let parts: Vec<Result<Vec<_>, String>> = std::thread::scope(|scope| {
        let started: Vec<_> = halves
            .iter()
            .map(|half| {
                scope.spawn(move || {
                    half.iter()
                        .map(|job| Ok(((*job).clone(), callgrind::count(job)?)))
                        .collect()
                })
            })
            .collect();
        started
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let mut figures = Figures::new();
    for part in parts {
        for (job, figure) in part? {
            figures.insert((job.arm.into(), job.scenario.into(), job.n), figure);
        }
    }
    Ok(net(&figures))
}

/// The figures less what the harness takes.
fn net(gross: &Figures) -> Figures {
    let harness = |scenario: &str| {
        let found = gross
            .iter()
            .find(|((arm, s, _), _)| arm == "nothing" && s == scenario);
        found.map_or(0.0, |(_, figure)| *figure)
    };
    let arms = gross.iter().filter(|((arm, _, _), _)| arm != "nothing");
    arms.map(|(key, figure)| (key.clone(), figure - harness(&key.1)))
        .collect()
}

/// Adds what needs no callgrind: worst operation, whole blocks, bytes.
pub fn add_rest(figures: &mut Figures, extent: Extent) -> Result<(), String> {
    for arm in arms(extent) {
        let run = |scenario, n, operations| {
            callgrind::run(&Job {
                arm,
                scenario,
                n,
                operations,
            })
        };
        let mut put = |scenario: &str, figure| {
            figures.insert((arm.into(), scenario.into(), 0), figure);
        };
        put("blocks", run("blocks", 0, 0)?[0]);
        let bytes = run("bytes", 0, 0)?;
        put("bytes", bytes[0]);
        put("bytes-all", bytes[1]);
        let trace = match (extent, arm) {
            (Extent::Short, "bitmap" | "bitmap+cache") => 100_000,
            (Extent::Short, _) => continue,
            // Too slow for more.
            (Extent::Full, "list" | "bitmap-allocator") => 20_000,
            (Extent::Full, _) => 1_000_000,
        };
        put("worst", run("worst", 0, trace)?[0]);
        if OURS.contains(&arm) && arm != "avl" {
            put("worst-huge", run("worst", 1, trace / 10)?[0]);
        }
    }
    Ok(())
}

fn get(figures: &Figures, arm: &str, scenario: &str, n: u32) -> Option<f64> {
    figures
        .get(&(arm.to_owned(), scenario.to_owned(), n))
        .copied()
}

/// The largest relative difference of a scenario's figures to that at 50 outstanding.
fn spread(figures: &Figures, arm: &str, scenario: &str) -> Option<f64> {
    let base = get(figures, arm, scenario, 50)?;
    let rest = SIZES.iter().filter_map(|n| get(figures, arm, scenario, *n));
    rest.map(|figure| figure / base)
        .max_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs()))
}

/// One line for each target and whether it is met; `false` when one that was met is not.
pub fn bounds(figures: &Figures) -> (String, bool) {
    let mut text = String::new();
    let mut all = true;
    let mut bound = |name: &str, figure: Option<f64>, low: f64, high: f64| {
        let Some(figure) = figure else { return };
        // Counts have a few instructions of the region's ends in them, by the thousand operations.
        let figure = (figure * 100.0).round() / 100.0;
        let met = (low..=high).contains(&figure);
        all &= met;
        let mark = if met { "met" } else { "FAILS" };
        let limit = if low > 0.0 && high < f64::MAX {
            format!("{low} to {high}")
        } else if low > 0.0 {
            format!("at least {low}")
        } else {
            format!("at most {high}")
        };
        writeln!(text, "| {name} | {figure:.2} | {limit} | {mark} |").expect("to a string");
    };
    let at = |arm, scenario, n| get(figures, arm, scenario, n);
    let most = |arm, scenario| {
        let all = SIZES.iter().filter_map(|n| get(figures, arm, scenario, *n));
        all.max_by(f64::total_cmp)
    };
    bound(
        "M5 pair, bitmap",
        spread(figures, "bitmap", "pair"),
        0.99,
        1.01,
    );
    bound(
        "M5 pair, bitmap+cache",
        spread(figures, "bitmap+cache", "pair"),
        0.99,
        1.01,
    );
    bound(
        "M5 replace, bitmap+cache",
        spread(figures, "bitmap+cache", "replace"),
        0.99,
        1.01,
    );
    bound("M6 pair, bitmap", most("bitmap", "pair"), 0.0, 60.0);
    bound(
        "M6 pair, bitmap+cache",
        most("bitmap+cache", "pair"),
        0.0,
        25.0,
    );
    bound(
        "M6b pair of 2 MiB, bitmap+cache",
        at("bitmap+cache", "pair-2m", 0),
        0.0,
        60.0,
    );
    for arm in ["bitmap", "bitmap+cache"] {
        bound(
            &format!("M6c worst, {arm}"),
            at(arm, "worst", 0),
            0.0,
            600.0,
        );
        bound(
            &format!("M7 bytes a frame, {arm}"),
            at(arm, "bytes", 0),
            0.0,
            0.14,
        );
        bound(
            &format!("M7 bytes in all, {arm}"),
            at(arm, "bytes-all", 0),
            0.0,
            1.2,
        );
        bound(
            &format!("M8 whole blocks in %, {arm}"),
            at(arm, "blocks", 0),
            47.0,
            f64::MAX,
        );
        bound(&format!("M18 owner, {arm}"), at(arm, "owner", 0), 0.0, 40.0);
    }
    let head = "| bound | figure | limit | |\n| --- | --- | --- | --- |\n";
    (format!("{head}{text}"), all)
}

/// The table.
pub fn table(figures: &Figures) -> String {
    let mut text = String::new();
    let arms: Vec<&str> = OURS
        .into_iter()
        .chain(OTHERS)
        .filter(|arm| figures.keys().any(|(found, _, _)| found == arm))
        .collect();
    writeln!(text, "| | {} |", arms.join(" | ")).expect("to a string");
    writeln!(text, "| --- |{}", " ---: |".repeat(arms.len())).expect("to a string");
    let mut row = |name: String, cell: &dyn Fn(&str) -> Option<f64>, digits: usize| {
        let cells: Vec<String> = arms
            .iter()
            .map(|arm| cell(arm).map_or("-".into(), |figure| format!("{figure:.digits$}")))
            .collect();
        if cells.iter().any(|cell| cell != "-") {
            writeln!(text, "| {name} | {} |", cells.join(" | ")).expect("to a string");
        }
    };
    for (scenario, words) in [
        ("pair", "allocate one, free it"),
        ("replace", "free a random one, allocate one"),
        ("batch", "allocate 256, free them at random; a pair"),
    ] {
        for n in SIZES {
            row(
                format!("{words}; {n} outstanding"),
                &|arm| get(figures, arm, scenario, n),
                1,
            );
        }
        row(
            format!("{words}: farthest from that at 50 (M5)"),
            &|arm| spread(figures, arm, scenario),
            3,
        );
    }
    for (scenario, words, digits) in [
        ("pair-2m", "allocate 2 MiB, free it (M6b)", 1),
        ("worst", "worst operation, 4 KiB to 2 MiB (M6c)", 0),
        ("worst-huge", "worst operation, 4 KiB to 1 GiB", 0),
        ("owner", "owner of a frame inside a run (M18)", 1),
        ("bytes", "bytes a frame, allocator (M7)", 3),
        ("bytes-all", "bytes a frame, in all (M7)", 3),
        (
            "blocks",
            "whole free 2 MiB blocks, % of all, at most 50 (M8)",
            1,
        ),
    ] {
        row(words.into(), &|arm| get(figures, arm, scenario, 0), digits);
    }
    text
}

/// The figures as CSV, for the base line. Those that are chosen by time are left out.
pub fn csv(figures: &Figures) -> String {
    let mut text = String::from("arm,scenario,outstanding,figure\n");
    for ((arm, scenario, n), figure) in figures
        .iter()
        .filter(|((_, s, _), _)| !s.starts_with("worst"))
    {
        writeln!(text, "{arm},{scenario},{n},{figure:.4}").expect("to a string");
    }
    text
}

/// What got more than 5 % worse than `base`, or is missing in one of them.
pub fn regressions(figures: &Figures, base: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = 0;
    for line in base.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [arm, scenario, n, figure] = cells[..] else {
            found.push(format!("base line: cannot read {line}"));
            continue;
        };
        let (Ok(n), Ok(old)) = (n.parse(), figure.parse::<f64>()) else {
            found.push(format!("base line: cannot read {line}"));
            continue;
        };
        seen += 1;
        match get(figures, arm, scenario, n) {
            None => found.push(format!("{arm} {scenario} {n}: not counted")),
            Some(new) if scenario == "blocks" && new < old => {
                found.push(format!(
                    "{arm} {scenario}: {new} % whole blocks instead of {old} %"
                ));
            }
            Some(new) if scenario != "blocks" && new > old * 1.05 => {
                found.push(format!(
                    "{arm} {scenario} {n}: {new:.2} instead of {old:.2}"
                ));
            }
            Some(_) => {}
        }
    }
    let counted = figures
        .keys()
        .filter(|(_, s, _)| !s.starts_with("worst"))
        .count();
    if counted != seen {
        found.push(format!(
            "the base line has {seen} figures, {counted} were counted"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(pair: f64) -> Figures {
        [(("bitmap".to_owned(), "pair".to_owned(), 50), pair)]
            .into_iter()
            .collect()
    }

    #[test]
    fn a_regression_of_more_than_5_percent_is_found() {
        let base = csv(&figures(100.0));
        assert!(regressions(&figures(104.9), &base).is_empty());
        assert_eq!(regressions(&figures(105.1), &base).len(), 1);
        assert_eq!(regressions(&Figures::new(), &base).len(), 2);
    }

    #[test]
    fn a_bound_that_is_missed_is_said() {
        assert!(bounds(&figures(60.0)).1);
        let (text, all) = bounds(&figures(60.1));
        assert!(!all && text.contains("FAILS"));
    }
}
