//! S0-REQ-01, -07 to -10, -12, -13: what the request word may be, and who may ask.

use l4_sys::ops::sigma0;
use l4_sys::{CapRights, Errno, proto};

use crate::ask::{Message, Reply, block, sigma0 as request};
use crate::context::Context;
use crate::tap::Tap;

/// The page that all other tests take their addresses from.
pub fn kip(t: &mut Tap, c: &mut Context) {
    let reply = request(c.a, sigma0::KIP, 0);
    let is_page = matches!(reply, Reply::Mapped { order: 12, .. }) && reply.address().is_some();
    t.result(
        "S0-REQ-07 KIP is one page",
        is_page,
        format_args!("got {reply:?}"),
    );
    let Some(kip) = c.kip() else { return };
    t.equal("S0-REQ-07 KIP has its magic", kip.magic, l4_sys::kip::MAGIC);
    t.result(
        "S0-REQ-07 KIP has memory descriptors",
        !kip.mem_descs().is_empty(),
        format_args!("none"),
    );
}

/// The rest.
pub fn run(t: &mut Tap, c: &mut Context) {
    let kip = request(c.a, sigma0::KIP, 0);
    t.each(
        "S0-REQ-07 KIP ignores word 1",
        [1, block(0x1000, 12), u64::MAX],
        kip,
        |w| request(c.a, sigma0::KIP, w),
    );
    let one_word = Message::new(proto::SIGMA0, &[sigma0::KIP]);
    t.equal("S0-REQ-07 KIP needs one word only", one_word.ask(c.a), kip);
    let other = c.client();
    t.equal(
        "S0-REQ-07 KIP is for every client",
        request(other, sigma0::KIP, 0),
        kip,
    );
    c.drop_slot(other);

    t.each("S0-REQ-01 bits 0 to 3 are ignored", 0..16, kip, |low| {
        request(c.a, sigma0::KIP | low, 0)
    });
    let no_sys = Reply::refused(Errno::NoSys);
    t.each("S0-REQ-01 wrong magic: any one bit", 8..64, no_sys, |bit| {
        request(c.a, sigma0::KIP & !(1 << bit), 0)
    });
    let ids = [0x60, 0x70, 0x80, 0x90, 0xa0, 0xc0];
    t.each("S0-REQ-01 wrong magic: none at all", ids, no_sys, |id| {
        request(c.a, id, block(0x10_0000, 12))
    });

    t.equal(
        "S0-REQ-08 debug dump",
        request(c.a, sigma0::DEBUG_DUMP, 0),
        Reply::Done(0),
    );
    t.equal(
        "S0-REQ-09 coverage dump",
        request(c.a, sigma0::COVERAGE, 0),
        no_sys,
    );
    let unknown = [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0xb0, 0xd0, 0xf0];
    t.each("S0-REQ-10 unknown request", unknown, no_sys, |id| {
        request(c.a, sigma0::MAGIC | id, block(0x10_0000, 12))
    });

    let read_only = c.weaker(c.a, CapRights::R);
    t.equal(
        "S0-REQ-12 read-only capability",
        request(read_only, sigma0::KIP, 0),
        kip,
    );
    c.drop_slot(read_only);

    // Known: -2, -5, -6, -8, -15, -21, and 0x5050 of sigma0-rs.
    let labels = [
        0,
        1,
        2,
        0x4000,
        0x4001,
        0x4002,
        0x400b,
        0x5051,
        0x7fff,
        1 << 46,
        -1,
        -3,
        -4,
        -7,
        -9,
        -10,
        -11,
        -12,
        -13,
        -14,
        -16,
        -17,
        -18,
        -20,
        -22,
        -23,
        -32768,
        -(1 << 47),
    ];
    t.each(
        "S0-REQ-13 unknown label",
        labels,
        Reply::refused(Errno::BadProto),
        |label| Message::new(label, &[sigma0::KIP, 0]).ask(c.a),
    );
    t.equal(
        "S0-REQ-13 serves after that",
        request(c.a, sigma0::KIP, 0),
        kip,
    );
}
