//! Items: receive windows, send base, rights, grant, return items.

mod common;

use common::{Report, grab, options, run};
use fiasco_model::{Misuse, kit, user};
use l4_sys::item::{self, Caching, ITEM_CONT, ITEM_MAP, Received, SendItem};
use l4_sys::{CapIdx, CapRights, Fpage, IpcError, MemRights, syscall};

const GATE: CapIdx = CapIdx::from_slot(0x20);
const TASK: CapIdx = CapIdx::from_slot(0x30);
const SERVER: CapIdx = CapIdx::from_slot(0x40);
const NEW: CapIdx = CapIdx::from_slot(0x50);
/// RAM that the root task has in these tests: 2 MiB.
const RAM: u64 = 0x200_0000;

/// A server (the root task) that answers one call with `items`; the client opens its windows with
/// `open` and reports with `look` what came.
fn transfer<R: Send + 'static>(
    rights: CapRights,
    items: impl Fn() -> Vec<SendItem> + Send + 'static,
    open: impl Fn() + Send + 'static,
    look: impl Fn(l4_sys::MsgTag) -> R + Send + 'static,
) -> (fiasco_model::Model, R) {
    let (m, mut got) = run(&options(1), move |r: Report<R>| {
        grab(RAM, 21);
        kit::create_gate(GATE, CapIdx::THREAD, 0x40);
        let p = kit::Program {
            slot: TASK,
            cpu: 0,
            prio: 2,
            pager: Some(CapIdx::PAGER),
        };
        let r2 = r.clone();
        p.start(&[(GATE, SERVER, rights)], move || {
            open();
            let t = kit::call(SERVER, 1, &[], &[]);
            r2.add(look(t));
        })
        .unwrap();
        let _ = kit::wait();
        kit::reply(0, &[], &items());
    });
    assert_eq!(got.len(), 1, "{:?}", m.violations());
    (m, got.remove(0))
}

fn page(addr: u64, order: u32, rights: MemRights, base: u64) -> SendItem {
    SendItem::mem(base, Caching::Cached, Fpage::mem(addr, order, rights))
}

fn returned(i: usize) -> Received {
    Received::decode(kit::utcb().mr(2 * i), kit::utcb().mr(2 * i + 1))
}

#[test]
fn memory_goes_to_the_send_base_in_the_window() {
    let (m, ret) = transfer(
        CapRights::RWS,
        || vec![page(RAM + 0x3000, 12, MemRights::RW, 0x5000)],
        || kit::receive_memory(Fpage::mem(0x10_0000, 16, MemRights::empty())),
        |t| (t.items(), returned(0)),
    );
    assert_eq!(ret.0, 1);
    assert!(matches!(
        ret.1,
        Received::Mapped {
            order: 12,
            base: 0x5000,
            ..
        }
    ));
    let page = m
        .pages()
        .into_iter()
        .find(|p| p.1 == 0x10_5000)
        .expect("mapped in the window");
    assert_eq!((page.2, page.3, page.4), (RAM + 0x3000, 12, 6));
}

#[test]
fn a_window_smaller_than_what_is_sent_cuts_it() {
    let (m, _) = transfer(
        CapRights::RWS,
        || vec![page(RAM, 21, MemRights::RWX, 0x12_3000)],
        || kit::receive_memory(Fpage::mem(0x7000, 12, MemRights::empty())),
        |t| assert!(!t.has_error()),
    );
    let mine: Vec<_> = m.pages().into_iter().filter(|p| p.1 == 0x7000).collect();
    assert_eq!(mine.len(), 1);
    assert_eq!((mine[0].2, mine[0].3), (RAM + 0x12_3000, 12));
}

#[test]
fn superpages_stay_whole_where_both_sides_are_aligned() {
    let (m, _) = transfer(
        CapRights::RWS,
        || vec![page(RAM, 21, MemRights::RWX, 0x4020_0000)],
        || kit::receive_memory(Fpage::whole_space()),
        |t| assert!(!t.has_error()),
    );
    assert!(m.pages().iter().any(|p| p.1 == 0x4020_0000 && p.3 == 21));
    let (m, _) = transfer(
        CapRights::RWS,
        || vec![page(RAM, 16, MemRights::RWX, 0x4000_0000)],
        || kit::receive_memory(Fpage::whole_space()),
        |t| assert!(!t.has_error()),
    );
    assert_eq!(
        m.pages()
            .iter()
            .filter(|p| p.1 >= 0x4000_0000 && p.3 == 12)
            .count(),
        16
    );
}

#[test]
fn rights_are_those_of_the_sender_and_of_the_flexpage() {
    let (m, _) = transfer(
        CapRights::RWS,
        || {
            vec![
                page(RAM, 12, MemRights::R, 0),
                page(RAM + 0x1000, 12, MemRights::W, 0x1000),
            ]
        },
        || {
            kit::utcb().set_bdr(0);
            for i in 0..2 {
                kit::utcb().set_br(2 * i, ITEM_MAP);
                kit::utcb().set_br(2 * i + 1, Fpage::mem(0x10_0000, 14, MemRights::empty()).0);
            }
        },
        |_| assert_eq!(returned(1), Received::Nothing),
    );
    let mine: Vec<_> = m
        .pages()
        .into_iter()
        .filter(|p| p.1 >> 14 == 0x10_0000 >> 14)
        .collect();
    // Without R nothing is mapped, and that is reported as a misuse.
    assert_eq!(
        mine.iter().map(|p| (p.1, p.4)).collect::<Vec<_>>(),
        [(0x10_0000, 4)]
    );
    assert_eq!(
        m.violations()[0].misuse,
        Misuse::MappedNothing {
            addr: RAM + 0x1000,
            order: 12
        }
    );
}

#[test]
fn memory_that_the_server_does_not_have_is_a_misuse() {
    let (m, ret) = transfer(
        CapRights::RWS,
        || vec![page(RAM + 0x4000_0000, 12, MemRights::RW, 0)],
        || kit::receive_memory(Fpage::whole_space()),
        |t| (t.has_error(), returned(0)),
    );
    assert_eq!(ret, (false, Received::Nothing));
    let v = m.violations();
    assert_eq!(
        v[0].misuse,
        Misuse::MappedNothing {
            addr: RAM + 0x4000_0000,
            order: 12
        }
    );
    assert_eq!(v[0].name, "root");
    assert!(v[0].to_string().contains("Message"), "{}", v[0]);
}

#[test]
fn a_granted_page_leaves_the_sender() {
    let (m, _) = transfer(
        CapRights::RWS,
        || {
            // Only a whole page can move: take single pages first.
            kit::unmap(
                CapIdx::TASK,
                l4_sys::ops::task::ALL_SPACES,
                &[Fpage::mem(RAM, 21, MemRights::RWX)],
            );
            grab(RAM, 12);
            vec![page(RAM, 12, MemRights::RW, 0x9000).granted()]
        },
        || kit::receive_memory(Fpage::whole_space()),
        |t| assert!(!t.has_error()),
    );
    let holders: Vec<u64> = m
        .pages()
        .into_iter()
        .filter(|p| p.2 == RAM)
        .map(|p| p.1)
        .collect();
    assert_eq!(holders, [0x9000]);
}

#[test]
fn grant_of_a_part_of_a_superpage_maps() {
    let (m, _) = transfer(
        CapRights::RWS,
        || vec![page(RAM + 0x1000, 12, MemRights::RW, 0x9000).granted()],
        || kit::receive_memory(Fpage::whole_space()),
        |t| assert!(!t.has_error()),
    );
    assert!(m.pages().iter().any(|p| p.1 == RAM && p.3 == 21));
    assert!(m.pages().iter().any(|p| p.1 == 0x9000));
}

#[test]
fn an_item_without_a_window_cuts_the_message() {
    let (_, code) = transfer(
        CapRights::RWS,
        || vec![page(RAM, 12, MemRights::RW, 0)],
        || {
            kit::utcb().set_bdr(0);
            kit::utcb().set_br(0, 0);
        },
        |t| (t.has_error(), syscall::error_code(kit::utcb())),
    );
    assert_eq!(code, (true, u64::from(IpcError::ReceiveMsgCut.number())));
}

#[test]
fn two_items_can_share_one_window() {
    let (m, _) = transfer(
        CapRights::RWS,
        || {
            let mut a = page(RAM, 12, MemRights::RW, 0x1000);
            a.control |= ITEM_CONT;
            vec![a, page(RAM + 0x5000, 12, MemRights::RW, 0x2000)]
        },
        || kit::receive_memory(Fpage::mem(0x10_0000, 16, MemRights::empty())),
        |t| assert!(!t.has_error()),
    );
    let at: Vec<u64> = m
        .pages()
        .into_iter()
        .map(|p| p.1)
        .filter(|a| a >> 20 == 1)
        .collect();
    assert_eq!(at, [0x10_1000, 0x10_2000]);
}

#[test]
fn capabilities_lose_rights_on_the_way() {
    // S goes only through a gate capability that has S.
    for (gate, expect) in [(CapRights::RWS, 0), (CapRights::RW, -1i64)] {
        let (_, ret) = transfer(
            gate,
            || vec![kit::cap_item(CapIdx::FACTORY, CapRights::RWS)],
            || kit::receive_cap(NEW),
            |t| {
                assert_eq!((t.items(), returned(0).is_cap()), (1, true));
                kit::create(NEW, NEW.offset(1), &[l4_sys::proto::THREAD as u64], &[]).label()
            },
        );
        assert_eq!(ret, expect);
    }
}

#[test]
fn own_gates_come_back_as_labels() {
    let (_, got) = run(&options(1), |r: Report<(u64, Received, bool)>| {
        kit::create_gate(GATE, CapIdx::THREAD, 0x540);
        let p = kit::Program {
            slot: TASK,
            cpu: 0,
            prio: 2,
            pager: Some(CapIdx::PAGER),
        };
        p.start(&[(GATE, SERVER, CapRights::RW)], || {
            kit::call(SERVER, 1, &[], &[kit::cap_item(SERVER, CapRights::RWS)]);
            kit::call(SERVER, 2, &[], &[kit::cap_item(CapIdx::LOG, CapRights::RW)]);
        })
        .unwrap();
        let open = || {
            kit::utcb().set_bdr(item::bdr(0, 0, 0));
            kit::utcb().set_br(0, item::single_cap_or_label(NEW));
            kit::utcb().set_br(1, 0);
        };
        open();
        let (_, label) = kit::wait();
        r.add((label, returned(0), kit::is_valid(NEW)));
        open();
        kit::utcb().set_mr(0, 0);
        let (_, label) = kit::reply_and_wait(0, &[], &[]);
        let log = returned(0);
        r.add((label, log, kit::is_valid(NEW)));
    });
    // is_valid() overwrites message registers only after the return item was read.
    assert_eq!(got[0], (0x541, Received::OwnGate(0x541), false));
    assert!(got[1].1.is_cap() && got[1].2, "{got:?}");
}

#[test]
fn the_receiver_reads_what_the_sender_wrote() {
    let (_, got) = transfer(
        CapRights::RWS,
        || {
            user::write_u64(RAM + 0x2008, 0xfeed);
            vec![page(RAM + 0x2000, 12, MemRights::RW, 0x6000)]
        },
        || kit::receive_memory(Fpage::whole_space()),
        |_| user::read_u64(0x6008),
    );
    assert_eq!(got, 0xfeed);
}
