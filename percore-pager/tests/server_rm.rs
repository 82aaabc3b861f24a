//! Whole messages to region maps (MOE-RM), faults and exceptions included.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{CapRights, Errno, MsgTag, cap, proto};
use machine::PAGE;
use percore_pager::engine::rm::flag;
use server_support::requests::{attach, attach_words, fault, rm};
use server_support::{Cap, Item, KERNEL, Manner, Outcome, Rig};

const W: u32 = 7;
const RX: u32 = 5;

/// MOE-RM-02 to -09: the order of the checks, and where it lies.
#[test]
fn attach_rows() {
    let mut rig = Rig::new();
    let root = rig.root;
    let map = rig.map(root);
    let ds = rig.dataspace(root, 8 * PAGE);
    let other = rig.map(root);
    let readable = Cap {
        rights: CapRights::R,
        ..ds
    };
    let (none, own) = (Item::Void, Item::Gate(ds));
    let foreign = Item::Foreign(PAGE, Manner::Prompt);
    let search = flag::SEARCH_ADDR;
    for (item, args, error) in [
        (none, (0, 0, 1 << 21, 0, 0), Errno::Inval),
        (none, (0, 0, 0x200, 0, 0), Errno::Inval),
        (none, (0, 0, W | flag::PAGER, 0, 0), Errno::Inval),
        (none, (0, 0, W, 0, 0), Errno::NoEnt),
        (foreign, (0, 0, W, 0, 0), Errno::NoEnt),
        (Item::Gate(other), (0, 0, W, 0, 0), Errno::NoEnt),
        (
            Item::Raw(0x3c, ds.label + 16 * 50),
            (0, 0, W, 0, 0),
            Errno::NoEnt,
        ),
        (Item::Gate(readable), (0, 0, W, 0, 0), Errno::Perm),
        (own, (0, 0, W, 0, 0), Errno::Inval),
        (own, (0x1000, u64::MAX, W, 0, 0), Errno::Inval),
        (own, (!0xfff, 0x2000, W, 0, 0), Errno::Inval),
        (own, (0x1000, PAGE, W | search, 0, 11), Errno::Inval),
        (own, (0x1000, PAGE, W | search, 0, 64), Errno::Inval),
        (own, (0, PAGE, W, 0, 0), Errno::AddrNotAvail),
        (own, (KERNEL.0, PAGE, W, 0, 0), Errno::AddrNotAvail),
        (own, (1 << 31, PAGE, W, 0, 0), Errno::AddrNotAvail),
        (
            own,
            (0x1000, 9 * PAGE, W | flag::PRIVATE, 0, 0),
            Errno::Inval,
        ),
        (
            own,
            (0x1000, PAGE, W | flag::PRIVATE, 8 * PAGE, 0),
            Errno::Inval,
        ),
        (own, (0, PAGE, W | flag::PRIVATE, 0, 0), Errno::AddrNotAvail),
    ] {
        let got = attach(&mut rig, map, item, args);
        assert_eq!(got.error(), Some(error), "{item:?} {args:x?}");
        let tables = rig.tables();
        assert!(tables.foreign.is_empty() && tables.received.is_none() && tables.held.is_empty());
    }
    // The item is mandatory for none but those that need an object.
    let words = attach_words(&mut rig, (0x5000, PAGE, W | flag::ANONYMOUS, 0, 0));
    assert_eq!(rig.call(map, proto::RM, &words, &[]).words, [0x5000]);
    let words = attach_words(&mut rig, (0x6000, PAGE, W, 0, 0));
    assert_eq!(
        rig.call(map, proto::RM, &words, &[]).error(),
        Some(Errno::NoEnt)
    );
    // Rounded, and larger than the object (MOE-RM-13).
    let got = attach(&mut rig, map, own, (0x10_0123, 20 * PAGE - 1, W, PAGE, 0));
    assert_eq!((got.label, got.words), (0, vec![0x10_0000]));
    let got = attach(&mut rig, map, own, (0x10_0000, PAGE, W, 0, 0));
    assert_eq!(got.error(), Some(Errno::AddrNotAvail));
    let got = attach(&mut rig, map, own, (0x10_0000, PAGE, W | search, 0, 16));
    assert_eq!(got.words, [0x12_0000]);
    // Rights of a read-only capability, and of a copy.
    let got = attach(
        &mut rig,
        map,
        Item::Gate(readable),
        (0x20_0000, PAGE, RX, 0, 0),
    );
    assert_eq!(got.label, 0);
    let private = (0x30_0000, 8 * PAGE, W | flag::PRIVATE, 0, 0);
    assert_eq!(
        attach(&mut rig, map, Item::Gate(readable), private).label,
        0
    );
    // Reserved and Kernel: no object.
    for (start, flags) in [(0x40_0000, flag::RESERVED), (0x50_0000, flag::KERNEL)] {
        assert_eq!(
            attach(&mut rig, map, none, (start, PAGE, flags, 0, 0)).label,
            0
        );
        assert_eq!(fault(&mut rig, map, start).error(), Some(Errno::NoDev));
    }
    let list = rm(&mut rig, map, &[5, 0]);
    assert_eq!(
        (list.label, list.words[0], list.words[1]),
        (7, 0x5000, 0x5fff)
    );
    for cap in [map, ds, other] {
        rig.drop_cap(cap);
    }
    rig.check_empty();
}

/// MOE-RM-16 to -22, -28, -30.
#[test]
fn detach_rows() {
    let mut rig = Rig::new();
    let root = rig.root;
    let map = rig.map(root);
    let ds = rig.dataspace(root, 8 * PAGE);
    let own = Item::Gate(ds);
    for n in 1..4 {
        let got = attach(&mut rig, map, own, (n << 20, 8 * PAGE, W, 0, 0));
        assert_eq!(got.label, 0);
    }
    for (words, error) in [
        ([1, 0, 0, 0], Errno::Inval),
        ([1, 0, 1, 4], Errno::Inval),
        ([1, u64::MAX - 5, 9, 0], Errno::Inval),
        ([1, 0x9_0000, PAGE, 0], Errno::NoEnt),
    ] {
        assert_eq!(rm(&mut rig, map, &words).error(), Some(error), "{words:x?}");
    }
    let split = rm(&mut rig, map, &[1, 0x10_2000, PAGE, 1]);
    assert_eq!(
        (split.label, split.words),
        (2, vec![0x10_2000, PAGE, 0x77_f000])
    );
    let head = rm(&mut rig, map, &[1, 0x10_0000, PAGE, 1]);
    assert_eq!(
        (head.label, head.words),
        (1, vec![0x10_0000, PAGE, cap::INVALID_CAP])
    );
    let more = rm(&mut rig, map, &[1, 0, 0x40_0000, 1]);
    assert_eq!(
        (more.label, more.words),
        (4, vec![0x10_1000, PAGE, 0x77_f000])
    );
    assert_eq!(rig.tables().held.len(), 1);
    let info = rm(&mut rig, map, &[7, 0x20_0500]);
    assert_eq!((info.words[0], info.words[2]), (5, 0x44));
    assert_eq!(
        rm(&mut rig, map, &[7, 0x10_1000]).error(),
        Some(Errno::NoEnt)
    );
    for label in [4, 4, 0] {
        assert_eq!(rm(&mut rig, map, &[1, 0, 0x40_0000, 2]).label, label);
    }
    assert!(rig.tables().held.is_empty(), "the last region is gone");
    // Private memory goes back with its pages, in turns if it is large.
    let before = rig.info(root)[3];
    let big = 500 * PAGE;
    let flags = W | flag::ANONYMOUS;
    assert_eq!(
        attach(&mut rig, map, Item::Void, (0x100_0000, big, flags, 0, 0)).label,
        0
    );
    for page in 0..500 {
        assert_eq!(
            fault(&mut rig, map, (0x100_0000 + page * PAGE) | 2).label,
            0
        );
    }
    assert!(rig.info(root)[3] >= before + big);
    let cut = rm(&mut rig, map, &[1, 0x100_0000, big - PAGE, 1]);
    assert_eq!(
        (cut.label, cut.words),
        (1, vec![0x100_0000, big - PAGE, cap::INVALID_CAP])
    );
    rig.run();
    assert!(rig.info(root)[3] <= before + 20 * PAGE);
    let last = rm(&mut rig, map, &[1, 0x100_0000, big, 2]);
    assert_eq!((last.label, last.words[0]), (0, 0x100_0000 + big - PAGE));
    for cap in [map, ds] {
        rig.drop_cap(cap);
    }
    rig.check_empty();
}

/// MOE-RM-23 to -32.
#[test]
fn areas_jumps_and_find() {
    let mut rig = Rig::new();
    let root = rig.root;
    let map = rig.map(root);
    assert_eq!(
        rm(&mut rig, map, &[2, 0x1000, 1]).error(),
        Some(Errno::Perm)
    );
    let reserve = |rig: &mut Rig, start, size, flags: u32, align: u64| {
        rm(rig, map, &[3, start, size, u64::from(flags) | align << 32])
    };
    assert_eq!(reserve(&mut rig, 0x1_0000, 0x333, 0, 0).words, [0x1_0000]);
    let again = reserve(&mut rig, 0x1_0100, 1, 0, 0);
    assert_eq!(again.error(), Some(Errno::AddrNotAvail));
    for (size, flags, align) in [(0, 0, 0), (1, W, 0), (1, flag::SEARCH_ADDR, 64)] {
        let got = reserve(&mut rig, 0x5_0000, size, flags, align);
        assert_eq!(got.error(), Some(Errno::Inval));
    }
    let found = reserve(&mut rig, 0x1_0000, 0x1000, flag::SEARCH_ADDR, 16);
    assert_eq!(found.words, [0x2_0000]);
    let list = rm(&mut rig, map, &[6, 1]);
    assert_eq!((list.label, &list.words[..2]), (4, &[0, 0xfff][..]));
    assert_eq!(rm(&mut rig, map, &[4, 0x1_0332]).label, 0);
    for fixed in [0x1_0332, 0, KERNEL.0] {
        let got = rm(&mut rig, map, &[4, fixed]);
        assert_eq!(got.error(), Some(Errno::NoEnt), "BUG-10: {fixed:#x}");
    }
    assert_eq!(rm(&mut rig, map, &[8, 0x100, 0x200, 0x999]).label, 0);
    assert_eq!(
        rm(&mut rig, map, &[8, 0x1ff, 0x300, 1]).error(),
        Some(Errno::Exist)
    );
    assert_eq!(rm(&mut rig, map, &[8, 5, 5, 1]).error(), Some(Errno::Inval));
    let exception = |rig: &mut Rig, pc: u64| {
        let mut regs: Vec<u64> = (1000..1026).collect();
        regs[18] = pc;
        let sent = rig.send(map, proto::EXCEPTION, &regs, &[]);
        (sent, regs)
    };
    let (Outcome::Answer(reply), mut regs) = exception(&mut rig, 0x1ff) else {
        panic!("the thread goes on")
    };
    regs[18] = 0x999;
    assert_eq!((reply.label, reply.words, reply.items.len()), (0, regs, 0));
    rig.tables().lines.clear();
    assert_eq!(exception(&mut rig, 0x200).0, Outcome::Nothing);
    let lines = rig.tables().lines.join("");
    assert!(lines.contains("pc=0x200 pfa=0x3f3"), "{lines}");
    assert_eq!(rm(&mut rig, map, &[9, 0x150]).label, 0);
    assert_eq!(rm(&mut rig, map, &[9, 0x150]).error(), Some(Errno::NoEnt));
    assert_eq!(exception(&mut rig, 0x150).0, Outcome::Nothing);
    let short = rig.call(map, proto::EXCEPTION, &[0; 25], &[]);
    assert_eq!(short.error(), Some(Errno::MsgTooShort));
    for words in [&[][..], &[0, 1], &[1, 2, 3], &[10, 1, 2]] {
        assert_eq!(rm(&mut rig, map, words).error(), Some(Errno::MsgTooShort));
    }
    assert_eq!(rm(&mut rig, map, &[11]).error(), Some(Errno::NoSys));
    rig.drop_cap(map);
    rig.check_empty();
}

/// MOE-RM-33 to -41, CL-14.
#[test]
fn faults() {
    let mut rig = Rig::new();
    let root = rig.root;
    let map = rig.map(root);
    let small = rig.factory(root, 5);
    let ds = rig.contiguous(root, 64 * PAGE);
    let poor = rig.dataspace(small, 64 * PAGE);
    let args = (0x20_0000, 64 * PAGE, W | 0x20, 0, 0);
    assert_eq!(attach(&mut rig, map, Item::Gate(ds), args).label, 0);
    let args = (0x30_0000, 65 * PAGE, RX, 0, 0);
    assert_eq!(attach(&mut rig, map, Item::Gate(ds), args).label, 0);
    let args = (0x40_0000, 65 * PAGE, W, 0, 0);
    assert_eq!(attach(&mut rig, map, Item::Gate(poor), args).label, 0);
    rig.tables().lines.clear();
    let good = fault(&mut rig, map, 0x20_3456);
    let (base, _, order, rights) = good.memory();
    assert_eq!((base, rights, good.items[0].0 & 0x70), (0x20_3000, 7, 0x10));
    assert!(order >= 12 && good.words.is_empty());
    assert_eq!(fault(&mut rig, map, 0x20_3000).memory().3, 5, "MOE-RM-36");
    assert!(rig.tables().lines.is_empty());
    for (word, error, text) in [
        (
            0x50_0000,
            Errno::NoMem,
            "read page fault where there is no region: 0x500000",
        ),
        (
            0x30_0002,
            Errno::Access,
            "write page fault not allowed in its region",
        ),
        (
            0x34_0000,
            Errno::NoMem,
            "read page fault could not be mapped",
        ),
        (
            0x44_0002,
            Errno::NoMem,
            "write page fault could not be mapped",
        ),
        (
            4,
            Errno::NoMem,
            "instruction page fault where there is no region",
        ),
    ] {
        rig.tables().lines.clear();
        assert_eq!(fault(&mut rig, map, word).error(), Some(error), "{word:#x}");
        let lines = rig.tables().lines.join("");
        assert!(
            lines.contains(text) && lines.contains("pc=0x4711"),
            "{lines}"
        );
    }
    let short = rig.call(map, proto::PAGE_FAULT, &[0x20_0000], &[]);
    assert_eq!(short.error(), Some(Errno::MsgTooShort));
    // Ports.
    rig.tables().lines.clear();
    let port = rig.call(
        map,
        proto::IO_PAGE_FAULT,
        &[0x3f8 << 12 | 3 << 6, 0x99],
        &[],
    );
    assert_eq!(port.error(), Some(Errno::NoMem));
    let lines = rig.tables().lines.join("");
    assert!(
        lines.contains("port fault at 0x3f8, 2^3 ports, pc=0x99"),
        "{lines}"
    );
    let short = rig.call(map, proto::IO_PAGE_FAULT, &[0], &[]);
    assert_eq!(short.error(), Some(Errno::MsgTooShort));
    // Page in.
    let page_in = |rig: &mut Rig, first, last, rights| rm(rig, map, &[10, first, last, rights]);
    for (first, last, rights, error) in [
        (0x20_0001, 0x20_0fff, 4, Errno::Inval),
        (0x20_0000, 0x20_0ffe, 4, Errno::Inval),
        (0x50_0000, 0x50_0fff, 4, Errno::NoEnt),
        (0x30_0000, 0x30_0fff, 2, Errno::Access),
        (0x34_0000, 0x34_0fff, 4, Errno::AddrNotAvail),
    ] {
        let got = page_in(&mut rig, first, last, rights);
        assert_eq!(got.error(), Some(error), "{first:#x}");
    }
    let got = page_in(&mut rig, 0x20_0000, 0x23_ffff, 6);
    assert_eq!((got.label, &got.words[..]), (0, &[0][..]));
    let (base, _, _, rights) = got.memory();
    assert_eq!((base, rights), (0x20_0000, 6));
    // MOE-RM-34: as large as the pages asked for, the region and the frames' places allow.
    let size = |rig: &mut Rig, first, last| {
        let (base, address, order, _) = page_in(rig, first, last, 6).memory();
        assert_eq!(base, first);
        let low = (1u64 << order) - 1;
        let within = |low: u64| base & !low >= first && base | low <= last.min(0x23_ffff);
        let frame = address + (base & low);
        let agree = |low: u64| (frame ^ base) & low == 0;
        assert!(within(low) && agree(low), "{first:#x}: order {order}");
        let more = 2 * low + 1;
        assert!(!within(more) || !agree(more), "{first:#x}: order {order}");
        order
    };
    for (first, last) in [
        (0x20_0000, 0x23_ffff),
        (0x20_0000, 0x20_7fff),
        (0x20_4000, 0x20_7fff),
        (0x20_8000, u64::MAX),
        (0x23_f000, u64::MAX),
    ] {
        size(&mut rig, first, last);
    }
    assert_eq!(size(&mut rig, 0x20_1000, 0x20_1fff), 12);
    // Too long a message.
    let tag = MsgTag::plain(proto::PAGE_FAULT, 62, 1);
    let got = rig.deliver(map.label, tag, &[0x20_0000; 62], &[]);
    assert!(matches!(got, Outcome::Answer(r) if r.error() == Some(Errno::MsgTooShort)));
    // The object is deleted: the region stays, its faults fail (MOE-RM-14).
    rig.tables().delete(ds.id);
    rig.run();
    assert_eq!(fault(&mut rig, map, 0x20_3456).error(), Some(Errno::NoMem));
    assert_eq!(
        page_in(&mut rig, 0x20_0000, 0x20_0fff, 4).error(),
        Some(Errno::AddrNotAvail)
    );
    for cap in [map, small] {
        rig.drop_cap(cap);
    }
    rig.check_empty();
}

/// MOE-OBJ-10, MOE-RM-14, -43: a region keeps an object that all clients have dropped.
#[test]
fn regions_keep_objects() {
    let mut rig = Rig::new();
    let root = rig.root;
    let (map, second) = (rig.map(root), rig.map(root));
    let ds = rig.dataspace(root, 8 * PAGE);
    for (map, start) in [(map, 0x10_0000), (map, 0x20_0000), (second, 0x10_0000)] {
        let args = (start, 8 * PAGE, W, 0, 0);
        assert_eq!(attach(&mut rig, map, Item::Gate(ds), args).label, 0);
    }
    rig.drop_cap(ds);
    rig.run();
    assert_eq!(fault(&mut rig, map, 0x10_0002).label, 0);
    assert_eq!(rm(&mut rig, map, &[1, 0x10_0000, 1, 2]).label, 0);
    rig.drop_cap(second);
    rig.run();
    assert_eq!(
        fault(&mut rig, map, 0x20_1002).label,
        0,
        "one region is left"
    );
    assert_eq!(rm(&mut rig, map, &[1, 0x20_0000, 1, 2]).label, 0);
    rig.run();
    assert_eq!(
        rig.core.objects.live(),
        2,
        "the last one is gone, and the object"
    );
    rig.drop_cap(map);
    rig.check_empty();
    // No hold, no region.
    let (map, ds) = (rig.map(root), rig.dataspace(root, PAGE));
    rig.tables().fuse = Some(0);
    let got = attach(&mut rig, map, Item::Gate(ds), (0x1000, PAGE, W, 0, 0));
    assert_eq!(got.error(), Some(Errno::AddrNotAvail));
    rig.tables().fuse = None;
    assert_eq!(rm(&mut rig, map, &[5, 0]).label, 0);
    assert_eq!(
        attach(&mut rig, map, Item::Gate(ds), (0x1000, PAGE, W, 0, 0)).label,
        0
    );
    for cap in [map, ds] {
        rig.drop_cap(cap);
    }
    rig.check_empty();
}
