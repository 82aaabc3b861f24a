//! Requests for memory that must first be given back: bounded turns, others served in between, the same end.

#[path = "engine_support/machine.rs"]
mod machine;
mod server_support;

use l4_sys::{Errno, proto};
use l4re_rs::varg::Arg;
use machine::PAGE;
use percore_pager::engine::pool::TURN_PIECES;
use server_support::{Cap, Outcome, Reply, Rig, Shape};

const FRAMES: u64 = 8192;
/// Frames that a message or a turn gives back at most: its budget, and one piece of work more.
const MOST: u64 = 2 * TURN_PIECES as u64;

/// A thread all of whose memory is used but for what dataspaces keep; and a dataspace that can be touched.
fn kept(rig: &mut Rig) -> (Cap, Cap) {
    // Its quota is all memory, so that it never is what is missing.
    let utcb = rig.utcb();
    let tag = rig.core.create_factory(utcb, None).expect("memory");
    let reply = rig.take(tag);
    let factory = rig.receive(&reply).expect("a capability");
    let mut keepers = 0;
    while rig.core.pool.uses().kept < 480 {
        let ds = rig.dataspace(factory, 1 << 20);
        rig.map_page(ds, 0, 4);
        rig.map_page(ds, 100, 4);
        keepers += 1;
    }
    assert!(keepers > 10);
    let hog = rig.dataspace(factory, 1 << 32);
    let mut page = 0;
    while rig.core.pool.uses().free > 0 {
        assert!(rig.map_page(hog, page, 6).label >= 0);
        page += 17;
    }
    (factory, hog)
}

/// A message and the turns until it is answered; each within the bound. Others are served in between.
fn in_turns(rig: &mut Rig, other: Cap, send: impl FnOnce(&mut Rig) -> Outcome) -> (Reply, u64) {
    let given = |before: u64, rig: &Rig| before.saturating_sub(rig.core.pool.uses().kept);
    let before = rig.core.pool.uses().kept;
    let ticket = match send(rig) {
        Outcome::Answer(reply) => {
            assert!(given(before, rig) <= MOST);
            return (reply, 1);
        }
        Outcome::Parked(ticket) => ticket,
        other => panic!("no answer: {other:?}"),
    };
    assert!(given(before, rig) <= MOST);
    let mut turns = 1;
    while !rig.answers.contains_key(&ticket.0) {
        let before = rig.core.pool.uses().kept;
        assert!(rig.turn(), "it is waited for");
        let given = given(before, rig);
        assert!(given <= MOST, "{given} frames in a turn");
        turns += 1;
        assert!(turns < 5000);
        let reply = rig.send(other, proto::MEM_ALLOC, &[0], &[]);
        assert!(matches!(reply, Outcome::Answer(reply) if reply.label == 0));
    }
    (rig.answers.remove(&ticket.0).expect("answered"), turns)
}

fn shaped() -> Rig {
    Rig::shaped(Shape {
        frames: FRAMES,
        entries: 256,
        ..Shape::USUAL
    })
}

/// Contiguous memory that is there when all that is kept is given back.
#[test]
fn contiguous_memory_comes_in_turns() {
    let mut rig = shaped();
    let (factory, _) = kept(&mut rig);
    let root = rig.root;
    // More than there can be is refused at once; what is given back for it is a page for the object.
    let kept = rig.core.pool.uses().kept;
    let args = [Arg::Uint(4000 * PAGE), Arg::Uint(1)];
    assert_eq!(rig.create(root, proto::DATASPACE, &args), Err(Errno::NoMem));
    assert!(kept - rig.core.pool.uses().kept <= 16);
    // The pieces that are kept are no run of so many: all are given back before that is said.
    let args = [Arg::Uint(400 * PAGE), Arg::Uint(1)];
    let words = rig.create_words(proto::DATASPACE, &args);
    let (reply, turns) = in_turns(&mut rig, root, |rig| {
        rig.send(factory, proto::FACTORY, &words, &[])
    });
    assert_eq!(reply.error(), Some(Errno::NoMem));
    assert_eq!(rig.core.pool.uses().kept, 0);
    println!("{kept} frames were given back in {turns} turns");
    assert!(turns > kept / MOST);
    rig.tables().delete(factory.id);
    rig.check_empty();
}

/// Faults, long work and the nodes of a region map get every frame that is kept, and nobody is refused while there is one.
#[test]
fn nobody_is_refused_what_is_kept() {
    for way in 0..3 {
        let mut rig = shaped();
        let (factory, hog) = kept(&mut rig);
        let root = rig.root;
        let (mut served, mut most) = (0u64, 0);
        let mut page = 1 << 18;
        let map = (way == 2).then(|| rig.map(factory));
        loop {
            page += 17;
            let (reply, turns) = in_turns(&mut rig, root, |rig| match (way, map) {
                (0, _) => rig.send(
                    hog,
                    proto::DATASPACE,
                    &[0, page * PAGE, page * PAGE, 6],
                    &[],
                ),
                (1, _) => rig.send(hog, proto::DATASPACE, &[4, page * PAGE, 3 * PAGE], &[]),
                (_, Some(map)) => rig.send(map, proto::RM, &[8, page, page + 5, page], &[]),
                _ => unreachable!(),
            });
            most = most.max(turns);
            if reply.label < 0 {
                assert_eq!(reply.error(), Some(Errno::NoMem));
                break;
            }
            served += 1;
        }
        println!("way {way}: {served} served, {most} turns at most");
        assert_eq!(rig.core.pool.uses().kept, 0, "way {way}");
        assert!(served > 100, "way {way}: {served}");
        rig.tables().delete(factory.id);
        rig.check_empty();
    }
}
