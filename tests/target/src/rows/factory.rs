//! S0-FAC: further clients.

use l4_sys::ops::sigma0;
use l4_sys::{CapRights, Errno, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;

use crate::ask::{Message, Reply, sigma0 as request};
use crate::context::{Context, OWN_TASK, create_client};
use crate::tap::Tap;

/// Slots 12 to 0xfff of sigma0 are for its clients.
const MOST_CLIENTS: u64 = 0xfff - 12 + 1;

fn create(with: Cap<kind::Sigma0>, words: &[u64], slot: Cap<kind::Sigma0>) -> Reply {
    Message::new(proto::FACTORY, words)
        .into_slot(slot)
        .ask(with)
}

/// Creation and rights.
pub fn run(t: &mut Tap, c: &mut Context) {
    let slot: Cap<kind::Sigma0> = c.slot();
    let first = create_client(c.a, slot);
    t.equal("S0-FAC-01 create a client", first, Reply::capability());
    c.made += u64::from(first == Reply::capability());
    let kip = request(c.a, sigma0::KIP, 0);
    t.equal(
        "S0-FAC-01 the new client is served",
        request(slot, sigma0::KIP, 0),
        kip,
    );

    let second: Cap<kind::Sigma0> = c.slot();
    let reply = create_client(slot, second);
    t.equal(
        "S0-FAC-01 the new client may create, too",
        reply,
        Reply::capability(),
    );
    c.made += u64::from(reply == Reply::capability());
    t.result(
        "S0-FAC-02 each client is a gate of its own",
        !OWN_TASK.is_same(slot, second),
        format_args!("one object"),
    );

    // Deleting needs the right D, which a new client does not get: the gate stays.
    let copy = c.weaker(slot, CapRights::RWSD);
    let _ = OWN_TASK.delete(copy);
    t.equal(
        "S0-FAC-01 no right to delete",
        request(slot, sigma0::KIP, 0),
        kip,
    );
    c.drop_slot(copy);
    c.drop_slot(second);

    let wanted = proto::SIGMA0.cast_unsigned();
    let reply = create(c.a, &[wanted, 0x1234, u64::MAX, 0, 7], slot);
    t.equal(
        "S0-FAC-01 further words are ignored",
        reply,
        Reply::capability(),
    );
    c.made += u64::from(reply == Reply::capability());

    let types = [
        0,
        1,
        0x4000,
        0x4005,
        -1,
        -2,
        -5,
        -7,
        -11,
        -12,
        -15,
        -18,
        i64::MIN,
        i64::MAX,
        0xfffa,
        0xffff_fffa,
    ];
    t.each(
        "S0-FAC-01 wrong type",
        types,
        Reply::refused(Errno::NoDev),
        |kind: i64| create(c.a, &[kind.cast_unsigned()], slot),
    );
    t.equal(
        "S0-FAC-01 a refusal leaves the slot alone",
        request(slot, sigma0::KIP, 0),
        kip,
    );
    for (name, rights) in [
        ("S0-FAC-01 without S", CapRights::RW),
        ("S0-FAC-01 with R only", CapRights::R),
    ] {
        let weak = c.weaker(c.a, rights);
        let refused = Reply::refused(Errno::Perm);
        t.each(name, [proto::SIGMA0, 0, 0x4000], refused, |kind: i64| {
            create(weak, &[kind.cast_unsigned()], slot)
        });
        c.drop_slot(weak);
    }
    c.drop_slot(slot);
}

/// Takes all clients that there are; the root task knows their number.
pub fn run_dry(t: &mut Tap, c: &mut Context) {
    const NAME: &str = "S0-FAC-01 clients run out";
    const COUNT: &str = "S0-FAC-02 each has a slot from 12 to 0xfff";
    if !c.is_root() {
        t.skip(NAME, "would leave none to the other programs");
        t.skip(COUNT, "other programs have made clients");
        return;
    }
    let slot: Cap<kind::Sigma0> = c.slot();
    let mut last = Reply::capability();
    while last == Reply::capability() && c.made <= MOST_CLIENTS {
        last = create_client(c.a, slot);
        c.made += u64::from(last == Reply::capability());
    }
    t.equal(NAME, last, Reply::refused(Errno::NoMem));
    t.equal(COUNT, c.made, MOST_CLIENTS);
    let kip = request(c.a, sigma0::KIP, 0);
    t.equal(
        "S0-FAC-01 the last client is served",
        request(slot, sigma0::KIP, 0),
        kip,
    );
    c.drop_slot(slot);
}
