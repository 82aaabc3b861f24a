//! Many seeds, one run each, on all host cores: for schedules, deaths and hostile clients.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs `run` for the seeds `from..from + count`; a run says what went wrong.
///
/// # Errors
/// The lowest failing seed that was found and what its run said. Running that seed alone gives the
/// same failure.
pub fn seeds(
    from: u64,
    count: u64,
    run: impl Fn(u64) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let next = AtomicU64::new(from);
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|s| {
        for _ in 0..workers {
            s.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= from + count {
                        return;
                    }
                    if let Err(e) = run(seed) {
                        let mut f = failed.lock().unwrap_or_else(|p| p.into_inner());
                        if f.as_ref().is_none_or(|(s, _)| seed < *s) {
                            *f = Some((seed, e));
                        }
                        // Later seeds need not run; earlier ones are under way.
                        next.store(from + count, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(|p| p.into_inner()) {
        None => Ok(()),
        Some((seed, e)) => Err(format!("seed {seed}: {e}")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_failing_seed_is_named() {
        let e = super::seeds(
            10,
            100,
            |s| if s == 37 { Err("wrong".into()) } else { Ok(()) },
        );
        assert_eq!(e.unwrap_err(), "seed 37: wrong");
        assert!(super::seeds(0, 50, |_| Ok(())).is_ok());
    }
}
