//! The report: one HTML file with the plots in it, and the points as CSV.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::bench::Mode;
use super::job::Results;
use super::point::{Measured, Point};
use super::{plot, table};
use crate::Error;

/// Makes the folder of a report, and sees that something can be written there: before the work, not after it.
///
/// # Errors
/// It cannot be made or written to.
pub fn prepare(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io(format!("cannot make {}", folder.display())))?;
    tempfile::tempfile_in(folder)
        .map_err(Error::io(format!("cannot write in {}", folder.display())))?;
    Ok(())
}

/// Writes `report.html` and `points.csv` into a folder, which is made; returns their paths.
///
/// # Errors
/// A file cannot be written, or a plot not drawn.
pub fn write(r: &Results, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(folder).map_err(Error::io(format!("cannot make {}", folder.display())))?;
    let files = [
        (folder.join("report.html"), html(r).map_err(Error::Usage)?),
        (folder.join("points.csv"), csv(r)),
    ];
    for (path, text) in &files {
        fs::write(path, text).map_err(Error::io(format!("cannot write {}", path.display())))?;
    }
    Ok(files.into_iter().map(|f| f.0).collect())
}

fn per_page(p: &Point, count: u64) -> f64 {
    count as f64 / (f64::from(p.pages) * f64::from(p.cores))
}

fn html(r: &Results) -> Result<String, String> {
    let together = |m: &Measured, p: &Point| {
        let mhz = r.series.costs.mhz as f64;
        f64::from(p.cores) * mhz * 1e6 / m.alloc.mean
    };
    let plots = [
        plot::lines(
            r,
            "Allocate a page, single pages (touch to mapped)",
            "cycles a page",
            Mode::Single,
            |m, _| m.alloc.mean,
        )?,
        plot::lines(
            r,
            "Free a page, single pages",
            "cycles a page",
            Mode::Single,
            |m, _| m.free.mean,
        )?,
        plot::lines(
            r,
            "Pages allocated by all cores together, single pages",
            "pages a second",
            Mode::Single,
            together,
        )?,
        plot::lines(
            r,
            "Allocate a page, runs (the pager's default)",
            "cycles a page",
            Mode::Runs,
            |m, _| m.alloc.mean,
        )?,
        plot::lines(
            r,
            "Pages allocated by all cores together, runs",
            "pages a second",
            Mode::Runs,
            together,
        )?,
    ];
    let mut h = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>percore: modelled experiment</title>\n<style>\
         body{font:15px/1.5 sans-serif;max-width:820px;margin:2em auto;padding:0 1em}\
         pre{background:#f5f5f5;padding:1em;overflow-x:auto;font-size:12px}\
         table{border-collapse:collapse}td,th{padding:.15em .7em;text-align:right;\
         border-bottom:1px solid #ddd}</style></head><body>\n\
         <h1>Pages per core: one pager against many</h1>\n",
    );
    let _ = writeln!(h, "<pre>{}</pre>", escape(&table::text(r)));
    for p in &plots {
        let _ = writeln!(h, "{p}");
    }
    h.push_str(
        "<h2>What the kernel did, per page</h2>\n<table><tr><th>layout</th><th>cores</th>\
        <th>pages</th>",
    );
    let names = [
        "faults",
        "IPC same core",
        "IPC other core",
        "interrupts",
        "unmap calls",
        "flushes here",
        "flushes there",
    ];
    for n in ["allocate", "free"]
        .iter()
        .flat_map(|w| names.map(|n| format!("{w}: {n}")))
    {
        let _ = write!(h, "<th>{n}</th>");
    }
    h.push_str("</tr>\n");
    let all = r
        .points
        .iter()
        .flat_map(|p| p.modes.iter().map(move |m| (p, m)));
    for (p, m) in all {
        let (layout, mode) = (p.layout.name(), m.mode.name());
        let _ = write!(
            h,
            "<tr><td>{layout}</td><td>{}</td><td>{mode}</td>",
            p.cores
        );
        for c in [&m.alloc_counts, &m.free_counts] {
            for v in [
                c.faults,
                c.ipc_local,
                c.ipc_remote,
                c.ipis,
                c.unmap_calls,
                c.flush_local,
                c.flush_remote,
            ] {
                let _ = write!(h, "<td>{:.2}</td>", per_page(p, v));
            }
        }
        h.push_str("</tr>\n");
    }
    h.push_str(
        "</table>\n<h2>How to read this</h2>\n<p>This is a model, not a measurement of a \
        machine: the project's root pager and pager server, unchanged, run on a program that has the \
        kernel's interface, and every kernel primitive costs what the cost file says, with the \
        source of each value in that file. The servers' code runs on the host, where its instructions are not \
        seen: each message that a pager thread waits for costs it pager_request instead, \
        and what it zeroes costs zero_4k, so policies do not differ in time here. Counts are exact for the model; cycles are as good as \
        the cost file. Locks and caches cost nothing in it.</p>\n\
        <p>Allocate is the first store to a page of a dataspace of the pager that is attached to the \
        program's region map, which is its pager: a fault, a message to the pager's thread, a \
        zeroed frame, a mapping. Free is a clear request for one page to the dataspace: the frame \
        goes back to the pager after it was taken from everybody, which is one flush. The paper's \
        operations are an allocation and a free of a page at its pager; what its free does \
        about mappings and what it zeroes is not in its numbers, so compare slowdowns. A central \
        pager saturates in the model: beyond two cores every page waits for the one thread, so the \
        slowdown follows the number of cores; the paper's 25 times at 48 means that its cores spent \
        half of their time elsewhere. With runs the pager brings more pages with a fault as a \
        program goes on sequentially, so fewer faults are counted for the same pages; the frees \
        are still one request for each page.</p>\n<h2>Costs</h2>\n<table>",
    );
    for (name, cycles) in r.series.costs.list() {
        let _ = write!(h, "<tr><td>{name}</td><td>{cycles}</td></tr>");
    }
    let _ = writeln!(
        h,
        "</table>\n<p>{} at {} MHz.</p></body></html>",
        escape(&r.series.costs.name),
        r.series.costs.mhz
    );
    Ok(h)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn csv(r: &Results) -> String {
    let mut t = String::from(
        "machine,policy,seed,costs,layout,cores,pages,mode,phase,mean_cycles,max_cycles",
    );
    let names: Vec<&str> = r
        .points
        .first()
        .and_then(|p| p.modes.first())
        .map(|m| m.alloc_counts.list())
        .unwrap_or_default()
        .iter()
        .map(|c| c.0)
        .collect();
    for n in &names {
        let _ = write!(t, ",{n}");
    }
    t.push('\n');
    let quote = |s: &str| format!("\"{}\"", s.replace('"', "\"\""));
    let all = r
        .points
        .iter()
        .flat_map(|p| p.modes.iter().map(move |m| (p, m)));
    for (p, m) in all {
        for (phase, stat, counts) in [
            ("allocate", m.alloc, m.alloc_counts),
            ("free", m.free, m.free_counts),
        ] {
            let _ = write!(
                t,
                "{},{},{},{},{},{},{},{},{phase},{:.3},{:.3}",
                quote(&r.series.machine.name),
                p.policy,
                r.series.seed,
                quote(&r.series.costs.name),
                p.layout.name(),
                p.cores,
                p.pages,
                m.mode.name(),
                stat.mean,
                stat.max
            );
            for (_, v) in counts.list() {
                let _ = write!(t, ",{v}");
            }
            t.push('\n');
        }
    }
    t
}
