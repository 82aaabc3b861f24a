//! The program: allocate, check, free, check.

use l4_sys::{CapRights, PAGE_SIZE, proto};
use l4re_rs::cap::{Cap, Slots, kind};
use l4re_rs::client::rm::{Attach, flag};
use l4re_rs::println;
use l4re_rs::start::aux::Process;
use l4re_rs::varg::Arg;
use percore_pager::api::NONE;
use percore_pager::client::Pager;

/// What went wrong: what was done, and the error or the page that was not as it should be.
enum Fault {
    Call(&'static str, l4re_rs::Error),
    Page(&'static str, u64),
}

/// Entry. Ends with 0 when all pages were as they should be.
pub fn main(process: &'static Process) -> i64 {
    let Some(pages) = process.args().nth(1).and_then(number) else {
        println!("page-bench: how many pages?");
        return 1;
    };
    let pager = Pager::new(process.env.mem_alloc());
    let core = pager.info().ok().map(|info| info.0.core);
    let single: &[bool] = if core.is_some() {
        &[true, false]
    } else {
        &[false]
    };
    for single in single {
        if let Err(fault) = run(process, core.map(|_| pager), pages, *single) {
            match fault {
                Fault::Call(what, error) => println!("page-bench: FAILED: {what}: {error:?}"),
                Fault::Page(what, page) => println!("page-bench: FAILED: page {page} {what}"),
            }
            return 1;
        }
    }
    match core {
        Some(core) => println!("page-bench: {pages} pages, pager of core {core}: done"),
        None => println!("page-bench: {pages} pages, another memory server: done"),
    }
    0
}

fn run(process: &Process, pager: Option<Pager>, pages: u64, single: bool) -> Result<(), Fault> {
    let did = |what| move |error| Fault::Call(what, error);
    if let Some(pager) = pager {
        let reach = if single { [0; 3] } else { [NONE; 3] };
        pager.reach(reach).map_err(did("reach"))?;
    }
    let before = pager.map(Pager::own).transpose().map_err(did("own"))?;

    let mut slots = Slots::<1>::new(process.env.first_free());
    let Some(ds) = slots.alloc::<kind::Dataspace>() else {
        return Err(Fault::Call("slot", l4re_rs::Error::NoRoom));
    };
    let size = pages * PAGE_SIZE;
    let memory = process.env.mem_alloc();
    memory
        .create(proto::DATASPACE, &[Arg::Int(size.cast_signed())], ds)
        .map_err(did("dataspace"))?;
    let base = process
        .env
        .rm()
        .attach(Attach {
            start: 0x10_0000_0000,
            size,
            flags: flag::R | flag::W | flag::SEARCH_ADDR | flag::NO_EAGER_MAP,
            object: Some((ds, CapRights::RWS)),
            offset: 0,
            align: 12,
            name: "pages",
        })
        .map_err(did("attach"))?;
    let page = |n: u64| (base + n * PAGE_SIZE) as usize as *mut u64;

    for n in 0..pages {
        // SAFETY: attached memory of this program alone, which no Rust object lies in.
        let found = unsafe { page(n).read_volatile() };
        // SAFETY: as above.
        unsafe { page(n).write_volatile(n + 1) };
        if found != 0 {
            return Err(Fault::Page("is not zero at first", n));
        }
    }
    for n in 0..pages {
        // SAFETY: as above.
        if unsafe { page(n).read_volatile() } != n + 1 {
            return Err(Fault::Page("lost its contents", n));
        }
        // SAFETY: as above.
        unsafe { ds.clear(n * PAGE_SIZE, PAGE_SIZE) }.map_err(did("clear"))?;
    }
    for n in (0..pages).step_by(61) {
        // SAFETY: as above.
        if unsafe { page(n).read_volatile() } != 0 {
            return Err(Fault::Page("is not zero when cleared", n));
        }
    }
    // SAFETY: as above.
    unsafe { process.env.rm().detach(base, size, 2) }.map_err(did("detach"))?;
    let _ = Cap::<kind::Task>::new(l4_sys::CapIdx::TASK).delete(ds);
    if let (Some(pager), Some(before)) = (pager, before) {
        all_is_back(pager, before.reserved)?;
    }
    Ok(())
}

/// Waits until the factory's charge is what it was: the kernel tells the pager of the deletion some time
/// later.
fn all_is_back(pager: Pager, reserved: u64) -> Result<(), Fault> {
    let mut now = 0;
    for _ in 0..100 {
        now = pager
            .own()
            .map_err(|error| Fault::Call("own", error))?
            .reserved;
        if now <= reserved {
            return Ok(());
        }
        l4re_rs::client::ipc::sleep(l4_sys::Timeout::from_us(100_000));
    }
    Err(Fault::Page(
        "and those before it were not given back",
        (now - reserved) / PAGE_SIZE,
    ))
}

/// A decimal number from 1.
fn number(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    text.parse().ok().filter(|n| *n > 0)
}
