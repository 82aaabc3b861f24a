//! The longest stalls of the memory server, by named window.

use std::fmt::Write as _;

use qemu_count::report::Report;
use qemu_count::stall::Longest;

use super::windows;

/// The longest of a window's CPUs, or of several windows with one name.
fn longest(report: &Report, windows: &[u32], server: &str) -> Option<Longest> {
    let here = report.stalls().filter(|s| {
        windows.contains(&s.window) && s.program == server && s.longest != Longest::default()
    });
    here.map(|s| s.longest).reduce(|a, b| {
        let (mut most, less) = if a.user + a.kernel >= b.user + b.kernel {
            (a, b)
        } else {
            (b, a)
        };
        most.most_zeroed = most.most_zeroed.max(less.most_zeroed);
        most.receives += less.receives;
        most
    })
}

/// A table, or nothing when no server was watched. With another run its longest stalls as well.
pub fn render(report: &Report, other: Option<&Report>) -> String {
    let mut out = String::new();
    let of = |report: &Report| {
        let server = windows::server(report).to_owned();
        let found = windows::numbers(report).into_iter();
        found
            .filter_map(|(name, numbers)| Some((name, longest(report, &numbers, &server)?)))
            .collect::<Vec<_>>()
    };
    let there = other.map(of).unwrap_or_default();
    let all = of(report);
    if all.is_empty() {
        return out;
    }
    let _ = writeln!(
        out,
        "longest stall of {} between two receives (M11): its own instructions and the kernel's for it\n\
         {:<56} {:>10} {:>10} {:>10} {:>10} {:>10} {:>9}{}",
        windows::server(report),
        "window",
        "stall",
        "user",
        "kernel",
        "zeroed B",
        "most zerd",
        "receives",
        if there.is_empty() {
            ""
        } else {
            "  the other's stall, zeroed B"
        }
    );
    for (name, l) in &all {
        let _ = write!(
            out,
            "{name:<56} {:>10} {:>10} {:>10} {:>10} {:>10} {:>9}",
            l.user + l.kernel,
            l.user,
            l.kernel,
            l.zeroed,
            l.most_zeroed,
            l.receives
        );
        if let Some((_, t)) = there.iter().find(|(n, _)| n == name) {
            let _ = write!(out, "  {} {}", t.user + t.kernel, t.zeroed);
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use qemu_count::report::Stall;

    #[test]
    fn the_longest_of_cpus_and_windows_is_shown() {
        let mut report = Report::default();
        report.push_fact("memory server", "moe");
        report.push_fact("window 1", "1 call create");
        report.push_fact("window 2", "1 call create");
        let mut stall = |window, vcpu, program: &str, user, most_zeroed| {
            report.push_stall(&Stall {
                window,
                vcpu,
                program: program.into(),
                longest: Longest {
                    user,
                    kernel: 1,
                    zeroed: 0,
                    most_zeroed,
                    receives: 2,
                },
            });
        };
        stall(1, 0, "moe", 10, 64);
        stall(2, 1, "moe", 30, 0);
        stall(2, 1, "sigma0", 999, 0);
        stall(3, 1, "moe", 999, 0);
        let text = render(&report, Some(&report.clone()));
        let line = text.lines().find(|l| l.starts_with("create")).unwrap();
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        assert_eq!(words, ["31", "30", "1", "0", "64", "4", "31", "0"]);
        assert_eq!(render(&Report::default(), None), "");
    }
}
