//! S0-PF-04, S0-OWN-10: I/O ports.

use l4_sys::{Errno, Fpage, proto};
use l4re_rs::Cap;
use l4re_rs::cap::kind;

use crate::ask::{Message, Reply};
use crate::context::Context;
use crate::tap::Tap;

/// Ports that no program of the test boots uses: on a PC nothing is there.
const FREE: u64 = 0x5000;

fn ports(to: Cap<kind::Sigma0>, fpage: Fpage) -> Reply {
    Message::new(proto::IO_PAGE_FAULT, &[fpage.0, 0x1234]).ask(to)
}

/// Owners, sizes and shapes.
pub fn run(t: &mut Tap, c: &mut Context) {
    let no_mem = Reply::refused(Errno::NoMem);
    let b = c.client();
    let one = Fpage::io(FREE, 0);
    t.equal("S0-PF-04 a port", ports(c.a, one), Reply::ports(0));
    t.equal("S0-OWN-10 A asks again", ports(c.a, one), Reply::ports(0));
    t.equal("S0-OWN-10 a foreign port", ports(b, one), no_mem);
    t.equal(
        "S0-OWN-10 foreign and free ports",
        ports(b, Fpage::io(FREE, 3)),
        no_mem,
    );
    t.equal(
        "S0-OWN-10 own and free ports",
        ports(c.a, Fpage::io(FREE, 3)),
        no_mem,
    );
    t.equal(
        "S0-PF-04 eight ports",
        ports(b, Fpage::io(FREE + 8, 3)),
        Reply::ports(3),
    );
    let inner = Fpage::io(FREE + 9, 0);
    t.equal(
        "S0-OWN-10 one of one's eight",
        ports(b, inner),
        Reply::ports(0),
    );
    t.equal(
        "S0-OWN-10 one of a foreign eight",
        ports(c.a, inner),
        no_mem,
    );
    t.equal(
        "S0-PF-04 all ports, some of them foreign",
        ports(b, Fpage::io(0, 16)),
        no_mem,
    );
    t.equal(
        "S0-MAP-14 the last port",
        ports(b, Fpage::io(0xffff, 0)),
        Reply::ports(0),
    );
    let beyond = [0x1_0000u64, 0x2_0000, 0x100_0000, (1 << 52) - 1];
    t.each("S0-MAP-14 beyond the last port", beyond, no_mem, |port| {
        ports(b, Fpage::io(port, 0))
    });
    t.each(
        "S0-PF-04 more ports than there are",
        17..52,
        no_mem,
        |order| ports(b, Fpage::io(0, order)),
    );
    c.drop_slot(b);
}
