//! The report: one HTML file with the plots in it, and the points as CSV.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::job::Results;
use super::point::Point;
use super::{plot, table};
use crate::Error;

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
    let plots = [
        plot::lines(
            r,
            "Allocate a page (touch to mapped)",
            "cycles a page",
            |p| p.alloc.mean,
        )?,
        plot::lines(r, "Free a page", "cycles a page", |p| p.free.mean)?,
        plot::lines(
            r,
            "Pages allocated by all cores together",
            "pages a second",
            |p| {
                let mhz = r.series.costs.mhz as f64;
                f64::from(p.cores) * mhz * 1e6 / p.alloc.mean
            },
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
    h.push_str("<h2>What the kernel did, per page</h2>\n<table><tr><th>layout</th><th>cores</th>");
    let names = [
        "IPC same core",
        "IPC other core",
        "interrupts",
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
    for p in &r.points {
        let _ = write!(h, "<tr><td>{}</td><td>{}</td>", p.layout.name(), p.cores);
        for c in [&p.alloc_counts, &p.free_counts] {
            for v in [
                c.ipc_local,
                c.ipc_remote,
                c.ipis,
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
        machine: the project's root pager and frame allocators run on a program that has the \
        kernel's interface, and every kernel primitive costs what the cost file says, with the \
        source of each value in that file. Counts are exact for the model; cycles are as good as \
        the cost file. Locks and caches cost nothing in it. A central pager saturates in the model: \
        beyond two cores every page waits for the one thread, so the slowdown follows the number \
        of cores; the paper's 25 times at 48 means that its cores spent half of their time \
        elsewhere. A free of the model takes the page from the client (one flush); the paper's \
        leaves flushing out.</p>\n<h2>Costs</h2>\n<table>",
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
    let mut t =
        String::from("machine,policy,seed,costs,layout,cores,pages,phase,mean_cycles,max_cycles");
    let names: Vec<&str> = r
        .points
        .first()
        .map(|p| p.alloc_counts.list())
        .unwrap_or_default()
        .iter()
        .map(|c| c.0)
        .collect();
    for n in &names {
        let _ = write!(t, ",{n}");
    }
    t.push('\n');
    let quote = |s: &str| format!("\"{}\"", s.replace('"', "\"\""));
    for p in &r.points {
        for (phase, stat, counts) in [
            ("allocate", p.alloc, p.alloc_counts),
            ("free", p.free, p.free_counts),
        ] {
            let _ = write!(
                t,
                "{},{:?},{},{},{},{},{},{phase},{:.3},{:.3}",
                quote(&r.series.machine.name),
                r.series.policy,
                r.series.seed,
                quote(&r.series.costs.name),
                p.layout.name(),
                p.cores,
                p.pages,
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
