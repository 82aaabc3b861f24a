//! S0-MAP: what the kernel's memory descriptors become.

use l4_sys::memdesc::MemType;
use l4_sys::ops::sigma0;
use l4_sys::{Errno, proto};

use crate::ask::{Message, Reply, block, sigma0 as request};
use crate::context::Context;
use crate::places::Places;
use crate::tap::Tap;

/// Pages of each type, tried as RAM and as I/O memory.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places) {
    let no_mem = Reply::refused(Errno::NoMem);
    let fault = |page: u64| Message::new(proto::PAGE_FAULT, &[page, 0]).ask(c.a);
    for (kind, names) in [
        (
            MemType::Reserved,
            [
                "S0-MAP-05 reserved memory is no RAM",
                "S0-MAP-05 reserved memory is no I/O memory",
                "S0-MAP-05 reserved memory does not resolve faults",
            ],
        ),
        (
            MemType::Dedicated,
            [
                "S0-MAP-05 dedicated memory is no RAM",
                "S0-MAP-05 dedicated memory is no I/O memory",
                "S0-MAP-05 dedicated memory does not resolve faults",
            ],
        ),
    ] {
        if places.pages(kind).next().is_none() {
            names
                .into_iter()
                .for_each(|n| t.skip(n, "the machine has none"));
            continue;
        }
        let pages = || places.pages(kind).step_by(61).take(200);
        t.each(names[0], pages(), no_mem, |p| {
            request(c.a, sigma0::RAM, block(p, 12))
        });
        t.each(names[1], pages(), no_mem, |p| {
            request(c.a, sigma0::IOMEM, block(p, 12))
        });
        t.each(names[2], pages(), no_mem, fault);
    }
    for (kind, names) in [
        (
            MemType::Info,
            [
                "S0-MAP-07 boot loader's information is no RAM",
                "S0-MAP-07 boot loader's information is I/O memory",
            ],
        ),
        (
            MemType::Arch,
            [
                "S0-MAP-07 ACPI memory is no RAM",
                "S0-MAP-07 ACPI memory is I/O memory",
            ],
        ),
    ] {
        if places.pages(kind).next().is_none() {
            names
                .into_iter()
                .for_each(|n| t.skip(n, "the machine has none"));
            continue;
        }
        let pages = || places.pages(kind).take(8);
        t.each(names[0], pages(), no_mem, |p| {
            request(c.a, sigma0::RAM, block(p, 12))
        });
        t.each(names[1], pages(), true, |p| {
            let ok = request(c.a, sigma0::IOMEM, block(p, 12)) == Reply::memory(p, 12);
            c.unmap(p, 12);
            ok
        });
    }
    let io = places.io_page();
    t.equal(
        "S0-MAP-01 what no descriptor names is I/O memory",
        request(c.a, sigma0::IOMEM, block(io, 12)),
        Reply::memory(io, 12),
    );
    t.equal(
        "S0-MAP-01 what no descriptor names is no RAM",
        request(c.a, sigma0::RAM, block(io, 12)),
        no_mem,
    );
    if c.is_root() {
        let pages = places.pages(MemType::Bootloader).step_by(5).take(100);
        t.each(
            "S0-MAP-06 boot loader memory is the root task's",
            pages,
            true,
            |p| Message::new(proto::PAGE_FAULT, &[p, 0]).ask(c.a) == Reply::memory(p, 12),
        );
    } else {
        t.skip(
            "S0-MAP-06 boot loader memory is the root task's",
            "not the root task",
        );
    }
}
