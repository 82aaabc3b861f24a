//! Random messages to the whole server, against a reference that keeps one entry a page.
//!
//! Every answer must be the reference's to the last bit that matters, the maps must hold their
//! invariants after each step, and no byte of RAM may appear or vanish. The kernel is a stand-in
//! that accepts everything, or refuses everything when the test says so.

mod reference;

use l4_sys::item::SendItem;
use l4_sys::{Errno, Fpage, MsgTag, UtcbRef};
use l4re_rs::server::{Incoming, Outcome, Service};
use proptest::prelude::*;
use reference::driver::{StubKernel, check, drive, machine, send};
use reference::{Message, PAGE};

/// A flexpage near the test machine's memory, often aligned, sometimes absurd.
fn fpage() -> impl Strategy<Value = u64> {
    let near = (0u64..0x340, 10u32..23).prop_map(|(page, order)| {
        let size = 1u64 << order.saturating_sub(12);
        Fpage::mem(page / size * size * PAGE, order, l4_sys::MemRights::empty()).0
    });
    let crooked = (0u64..0x340, 0u32..64)
        .prop_map(|(page, order)| Fpage::mem(page * PAGE, order, l4_sys::MemRights::RWX).0);
    let ports = (0u64..0x10010, 0u32..18).prop_map(|(p, o)| Fpage::io(p >> o << o, o).0);
    prop_oneof![8 => near, 2 => crooked, 1 => ports, 1 => any::<u64>()]
}

#[derive(Clone, Debug)]
enum Step {
    Send(Message),
    /// Idle turns of the server.
    Idle(u8),
    /// The kernel refuses the server's calls from now on, or no more.
    KernelFails(bool),
}

fn message() -> impl Strategy<Value = Message> {
    let owner = prop_oneof![Just(4u16), Just(12), Just(13)];
    let body = prop_oneof![
        6 => (0u64..0x340, 0u64..4096, Just(()))
            .prop_map(|(p, low, ())| (-2i64, (p * PAGE) | low, 0)),
        1 => any::<u64>().prop_map(|a| (-2i64, a, 0)),
        10 => (0u64..16, 0u64..16, fpage())
            .prop_map(|(id, low, f)| (-6, !0xff | id << 4 | low, f)),
        10 => (6u64..10, fpage()).prop_map(|(id, f)| (-6, !0xff | id << 4, f)),
        1 => (any::<u64>(), fpage()).prop_map(|(w, f)| (-6, w, f)),
        3 => fpage().prop_map(|f| (-8, f, 0)),
        2 => prop_oneof![Just(-6i64), any::<i64>()].prop_map(|t| (-15, t as u64, 0)),
        6 => (0u64..2, 11u64..20, 0u64..5)
            .prop_map(|(n, o, f)| (0x5050, 5 | n << 32, o | f << 32)),
        10 => fpage().prop_map(|f| (0x5050, 6, f)),
        1 => (9u32..).prop_map(|op| (0x5050, u64::from(op), 0)),
        1 => any::<i64>().prop_map(|l| (l >> 16, 0, 0)),
    ];
    let words = prop_oneof![12 => Just(2usize), 1 => 0usize..4, 1 => Just(63)];
    (owner, any::<bool>(), body, words).prop_map(|(owner, may_create, (label, a, b), words)| {
        Message {
            owner,
            may_create,
            label,
            words,
            mr: [a, b, 0, 0],
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => message().prop_map(Step::Send),
        3 => (0u8..4).prop_map(Step::Idle),
        1 => prop::bool::weighted(0.3).prop_map(Step::KernelFails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn answers_and_maps_are_the_reference_s(steps in prop::collection::vec(step(), 1..200)) {
        let kernel = StubKernel::new();
        kernel.run(|| {
            let (mut server, mut reference) = machine();
            for step in &steps {
                match step {
                    Step::Send(m) => send(&mut server, &mut reference, m),
                    Step::Idle(n) => {
                        for _ in 0..*n {
                            let idle = server.patience() == l4_sys::Timeout::NEVER;
                            assert_eq!(idle, reference.is_idle());
                            server.idle();
                            reference.idle();
                        }
                    }
                    Step::KernelFails(f) => {
                        kernel.fails.set(*f);
                        reference.kernel_fails = *f;
                    }
                }
                check(&server, &reference);
            }
        });
    }

    /// The fuzzer's body (`fuzz/fuzz_targets/messages.rs`) on random bytes.
    #[test]
    fn bytes_as_messages(data in prop::collection::vec(any::<u8>(), 0..1900)) {
        drive(&data);
    }
}

/// Senders that sigma0 cannot know, and items where none belong.
#[test]
fn odd_messages_change_nothing() {
    let kernel = StubKernel::new();
    kernel.run(|| {
        let (mut server, reference) = machine();
        let utcb = UtcbRef::current();
        let item = SendItem::plain(Fpage::INVALID);
        for label in [0, 3, 1 << 20, u64::MAX] {
            utcb.set_mr(0, !0xff | 0x90);
            utcb.set_mr(1, 12 << 6);
            utcb.set_mr(2, item.control);
            let tag = MsgTag::plain(-6, 2, 1);
            let outcome = server.handle(Incoming { label, tag, utcb });
            assert_eq!(outcome, Outcome::error(Errno::Perm), "label {label:#x}");
        }
        check(&server, &reference);
    });
    assert_eq!(kernel.calls.get(), 0);
}
