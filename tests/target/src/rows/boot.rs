//! S0-BOOT-12: the loop goes on whatever a client does.

use l4_sys::ops::sigma0;
use l4_sys::proto;

use crate::ask::{Message, block, sigma0 as request};
use crate::context::Context;
use crate::tap::Tap;

/// Clients that send and go away.
pub fn run(t: &mut Tap, c: &mut Context) {
    let kip = request(c.a, sigma0::KIP, 0);
    let requests = [
        (proto::SIGMA0, sigma0::KIP),
        (proto::SIGMA0, sigma0::ANY_RAM),
        (proto::SIGMA0, 0),
        (proto::META, 0),
        (proto::PAGE_FAULT, 0),
        (0x4000, 0),
    ];
    t.each(
        "S0-BOOT-12 a client that does not wait",
        requests,
        kip,
        |(label, word)| {
            // Order 0: nothing is given, so nothing is lost with the answer.
            let message = [word, block(0, 0)];
            let message = Message::new(label, &message);
            let sent = (0..20).all(|_| message.only_send(c.a));
            if sent {
                request(c.a, sigma0::KIP, 0)
            } else {
                kip_not_sent()
            }
        },
    );
}

fn kip_not_sent() -> crate::ask::Reply {
    crate::ask::Reply::Failed(0)
}
