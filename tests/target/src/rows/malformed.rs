//! Malformed messages: S0-REQ-11 and the defects of upstream's sigma0 that FEATURES.md lists.
//!
//! The expectations are ours: a message that is too short is refused with an error of its own.

use l4_sys::item::SendItem;
use l4_sys::ops::sigma0;
use l4_sys::{CapRights, Errno, Fpage, MemRights, proto};

use crate::ask::{Message, Reply, WINDOW, block, sigma0 as request};
use crate::context::{Context, OWN_TASK};
use crate::places::Places;
use crate::tap::Tap;

/// All but the exception label.
pub fn run(t: &mut Tap, c: &mut Context, places: &Places) {
    let short = Reply::refused(Errno::MsgTooShort);
    let io = block(places.io_page(), 12);
    // The stale words would make a good request.
    let none = |label: i64, stale: &[u64]| Message::new(label, &[]).with_stale(stale).ask(c.a);
    t.equal(
        "BUG-14 sigma0 without words",
        none(proto::SIGMA0, &[sigma0::KIP]),
        short,
    );
    t.equal(
        "BUG-14 page fault without words",
        none(proto::PAGE_FAULT, &[0x1000, 0]),
        short,
    );
    let type_word = proto::SIGMA0.cast_unsigned();
    t.equal(
        "BUG-14 factory without words",
        none(proto::FACTORY, &[type_word]),
        short,
    );
    let port = Fpage::io(0x5100, 0).0;
    t.equal(
        "BUG-14 port fault without words",
        none(proto::IO_PAGE_FAULT, &[port]),
        short,
    );
    for (name, id) in [
        ("BUG-14 given RAM without flexpage", sigma0::RAM),
        ("BUG-14 any RAM without flexpage", sigma0::ANY_RAM),
        ("BUG-14 I/O memory without flexpage", sigma0::IOMEM),
        (
            "BUG-14 cached I/O memory without flexpage",
            sigma0::IOMEM_CACHED,
        ),
    ] {
        t.equal(
            name,
            Message::new(proto::SIGMA0, &[id])
                .with_stale(&[io])
                .ask(c.a),
            short,
        );
    }

    let kip = request(c.a, sigma0::KIP, 0);
    let mut long = [0x55; 63];
    long[0] = sigma0::KIP;
    t.equal(
        "S0-REQ long: 63 words",
        Message::new(proto::SIGMA0, &long).ask(c.a),
        kip,
    );

    let cut = Reply::Failed(u64::from(l4_sys::IpcError::SendMsgCut.number()));
    let words = [sigma0::KIP, 0];
    let message = Message::new(proto::SIGMA0, &words);
    let cap = SendItem::plain(OWN_TASK.fpage(CapRights::R));
    t.equal(
        "BUG-27 a request with a capability",
        message.with_item(cap).ask(c.a),
        cut,
    );
    let page = Fpage::mem(WINDOW + places_of_kip(kip), 12, MemRights::R);
    let memory = SendItem::plain(page);
    t.equal(
        "BUG-27 a request with memory",
        message.with_item(memory).ask(c.a),
        cut,
    );
    t.equal(
        "S0-REQ serves after that",
        request(c.a, sigma0::KIP, 0),
        kip,
    );

    let ports = |fpage: u64| Message::new(proto::IO_PAGE_FAULT, &[fpage, 0]).ask(c.a);
    let inval = Reply::refused(Errno::Inval);
    let misaligned = [(0x5201u64, 1u32), (0x5203, 2), (0x5204, 3), (0x5208, 4)];
    t.each(
        "BUG-25 misaligned ports",
        misaligned,
        inval,
        |(port, order)| ports(Fpage::io(port, order).0),
    );
    t.each(
        "BUG-26 order of 52 and more",
        52..64,
        Reply::refused(Errno::NoMem),
        |order| ports(Fpage::io(0, order).0),
    );
    t.each(
        "S0-PF-04 a flexpage that is no port",
        [0u64, 0x10, 0x30],
        inval,
        |kind| ports(0x5300 << 12 | kind),
    );
}

fn places_of_kip(kip: Reply) -> u64 {
    kip.address().unwrap_or(0)
}

/// The label that stops a debug build of upstream's sigma0: nothing is tested after it.
pub fn exception(t: &mut Tap, c: &mut Context) {
    const LABEL: &str = "S0-REQ-14 exception label";
    const AFTER: &str = "BUG-17 serves after an exception";
    if !c.is_sigma0_rs() {
        // Not a listed difference: the boot would not come to its end.
        let why = "not sent to upstream's debug builds (BUG-17)";
        t.skip(LABEL, why);
        return t.skip(AFTER, why);
    }
    let reply = Message::new(proto::EXCEPTION, &[0; 26]).ask(c.a);
    t.equal(LABEL, reply, Reply::refused(Errno::BadProto));
    let after = request(c.a, sigma0::KIP, 0);
    let served = matches!(after, Reply::Mapped { .. });
    t.result(AFTER, served, format_args!("got {after:?}"));
}
