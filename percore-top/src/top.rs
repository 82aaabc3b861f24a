//! The program: asks and paints.

use l4_sys::Timeout;
use l4re_rs::cap::{Cap, kind};
use l4re_rs::client::ipc;
use l4re_rs::println;
use l4re_rs::start::aux::Process;
use percore_pager::api::{Counters, OWN_CORE, flag, policy};
use percore_pager::client::Pager;
use percore_top::args::Args;
use percore_top::sample::{Sample, Work};
use percore_top::show::{Free, HEADING, Line, REPAINT};

/// Cores whose counters are remembered from one picture to the next; the kernel is built for no more.
const CORES: usize = 64;

/// Exit code when something is wrong: no number of frames.
const FAILED: i64 = -1;

/// Entry.
pub fn main(process: &'static Process) -> i64 {
    let args = match Args::parse(process.args().skip(1)) {
        Ok(args) => args,
        Err(unknown) => {
            println!("percore-top: {unknown}");
            return FAILED;
        }
    };
    let service: Option<Cap<kind::Factory>> = process.env.get("pager");
    let pager = Pager::new(service.unwrap_or_else(|| process.env.mem_alloc()));
    let cores = match pager.info() {
        Ok(info) if service.is_some() => info.0.cores,
        Ok(_) => OWN_CORE,
        Err(error) => {
            println!("percore-top: no pager answers: {error:?}");
            return FAILED;
        }
    };
    if args.used || args.seal || args.policy.is_some() {
        return match quiet(pager, cores, &args) {
            Ok(code) => code,
            Err(error) => {
                println!("percore-top: refused: {error:?}");
                FAILED
            }
        };
    }
    let mut before = [Counters::default(); CORES];
    let mut left = args.pictures();
    loop {
        if let Err(error) = picture(pager, cores, &args, &mut before) {
            println!("percore-top: {error:?}");
            return FAILED;
        }
        left = left.map(|left| left - 1);
        if left == Some(0) {
            println!("percore-top: done");
            return 0;
        }
        for _ in 0..args.interval {
            ipc::sleep(Timeout::from_us(1_000_000));
        }
    }
}

/// What shows no figures; the exit code.
fn quiet(pager: Pager, cores: u32, args: &Args) -> l4re_rs::Result<i64> {
    if let Some(kind) = args.policy {
        let info = pager.info()?.0;
        let done = pager.switch(kind)?;
        let name = |number| policy::name(number).unwrap_or("-");
        println!(
            "core {}: policy {}, was {}, {} turns",
            info.core,
            name(done.now),
            name(done.before),
            done.turns
        );
    }
    if args.seal {
        pager.state(flag::SEALED, 0)?;
    }
    if args.used {
        return used(pager, cores).map(|frames| frames as i64);
    }
    Ok(0)
}

/// Numbers of the cores to ask; `cores` is [`OWN_CORE`] for the program's own.
fn numbers(cores: u32) -> core::ops::RangeInclusive<u32> {
    if cores == OWN_CORE {
        OWN_CORE..=OWN_CORE
    } else {
        0..=cores.saturating_sub(1)
    }
}

/// Frames of all cores that clients use or have given up and that are not free yet.
fn used(pager: Pager, cores: u32) -> l4re_rs::Result<u64> {
    let mut frames = 0;
    for number in numbers(cores) {
        let memory = pager.on(number).memory()?;
        frames += memory.used + memory.kept + memory.waiting;
    }
    Ok(frames)
}

/// Paints all cores; `cores` is [`OWN_CORE`] for the program's own.
fn picture(
    pager: Pager,
    cores: u32,
    args: &Args,
    before: &mut [Counters; CORES],
) -> l4re_rs::Result<()> {
    let repaint = if args.once { "" } else { REPAINT };
    println!("{repaint}{HEADING}");
    for number in numbers(cores) {
        let sample = ask(pager.on(number))?;
        let place = before.get_mut(sample.info.core as usize);
        let since = place.as_deref().copied().unwrap_or_default();
        println!("{}", Line(&sample, Work::between(&since, &sample.counters)));
        if let Some(place) = place {
            *place = sample.counters;
        }
    }
    for number in numbers(cores) {
        let pager = pager.on(number);
        println!("{}", Free(&pager.info()?.0, &pager.orders()?));
    }
    Ok(())
}

fn ask(pager: Pager) -> l4re_rs::Result<Sample> {
    Ok(Sample {
        info: pager.info()?.0,
        memory: pager.memory()?,
        orders: pager.orders()?,
        counters: pager.counters()?,
    })
}
