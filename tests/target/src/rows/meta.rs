//! S0-META: what the server says it speaks.

use l4_sys::{Errno, proto};

use crate::ask::{Message, Reply};
use crate::context::Context;
use crate::tap::Tap;

/// The three operations, and wrong ones.
pub fn run(t: &mut Tap, c: &mut Context) {
    let ask = |words: &[u64], out: &mut [u64]| Message::new(proto::META, words).ask_words(c.a, out);
    let plain = |words: &[u64]| ask(words, &mut []);
    t.equal("S0-META-01 two interfaces", plain(&[0]), Reply::Done(2));
    for (index, protocol, name) in [
        (0, proto::SIGMA0, "S0-META-02 interface 0 is sigma0"),
        (1, proto::FACTORY, "S0-META-02 interface 1 is factory"),
    ] {
        let mut out = [u64::MAX; 4];
        let reply = ask(&[1, index], &mut out);
        let answered = matches!(reply, Reply::Words(2 | 3));
        // Length counts the NUL or not; the name is empty either way.
        let named = out[1] == 0 || (out[1] == 1 && out[2] & 0xff == 0);
        t.result(
            name,
            answered && out[0].cast_signed() == protocol && named,
            format_args!("{reply:?} {out:x?}"),
        );
    }
    let range = Reply::refused(Errno::Range);
    t.each(
        "S0-META-02 no such interface",
        [2, 3, 1 << 32, u64::MAX],
        range,
        |index| plain(&[1, index]),
    );
    let known = [proto::SIGMA0, proto::FACTORY, 0xffff_fffa, 0xfffa];
    t.each("S0-META-03 supported", known, Reply::Done(1), |p: i64| {
        plain(&[2, p.cast_unsigned()])
    });
    // Not 0x5050, which is sigma0-rs's own.
    let unknown = [0, 1, 0x4000, -1, -2, -5, -8, -21, 0x5051, i64::MAX];
    t.each(
        "S0-META-03 not supported",
        unknown,
        Reply::Done(0),
        |p: i64| plain(&[2, p.cast_unsigned()]),
    );
    let no_sys = Reply::refused(Errno::NoSys);
    t.each(
        "S0-META unknown operation",
        [3, 4, 0x7fff_ffff, 0xffff_ffff],
        no_sys,
        |op| plain(&[op, 0]),
    );
    let short = Reply::refused(Errno::MsgTooShort);
    t.equal("S0-META short: no operation", plain(&[]), short);
    t.each("S0-META short: no argument", [1, 2], short, |op| {
        plain(&[op])
    });
}
