//! The path of a fault through the engine, from the message to the answer.
//!
//! These functions are what a server does for the two messages that faults cause, and what is
//! counted: everything the engine does, and nothing of the system call.

use l4_sys::{Errno, MsgTag};
use percore_pager::engine::ds::{self, Ask};
use percore_pager::engine::objects::{self, Object};
use percore_pager::engine::proto::dataspace::{self, Request};

use crate::machine::Machine;

fn refused(error: Errno) -> MsgTag {
    MsgTag::plain(-(error as i64), 0, 0)
}

/// A map request for a dataspace. `word` is the message's label.
#[inline(never)]
pub fn engine_counted_map(m: &mut Machine, word: u64, tag: MsgTag) -> MsgTag {
    if tag == objects::QUICK_MAP
        && let Some(touch) = objects::quick_map(&m.objects, &m.pool, word, m.utcb)
        && objects::quick(&mut m.pool, touch, m.utcb)
    {
        return objects::ANSWER;
    }
    map_fully(m, word, tag)
}

#[inline(never)]
fn map_fully(m: &mut Machine, word: u64, tag: MsgTag) -> MsgTag {
    let Some(found) = m.objects.find(word) else {
        return refused(Errno::NoEnt);
    };
    let Object::Dataspace(object) = found.object else {
        return refused(Errno::NoSys);
    };
    let request = match dataspace::decode(m.utcb, tag) {
        Ok(request) => request,
        Err(error) => return refused(error),
    };
    let Request::Map {
        offset,
        spot,
        flags,
    } = request
    else {
        return refused(Errno::NoSys);
    };
    let ask = Ask {
        offset,
        spot,
        window: None,
        flags: flags as u32,
        writable: found.rights.write,
    };
    let answer = ds::map(&mut m.pool, object, ask);
    match answer.and_then(|mapped| dataspace::answer_map(m.utcb, &mapped)) {
        Ok(tag) => tag,
        Err(error) => refused(error),
    }
}

/// A page fault in a region map.
#[inline(never)]
pub fn engine_counted_fault(m: &mut Machine, word: u64, tag: MsgTag) -> MsgTag {
    if tag == objects::QUICK_FAULT
        && let Some(touch) = objects::quick_fault(&mut m.objects, &mut m.pool, word, m.utcb)
        && objects::quick(&mut m.pool, touch, m.utcb)
    {
        return objects::ANSWER;
    }
    fault_fully(m, word)
}

#[inline(never)]
fn fault_fully(m: &mut Machine, word: u64) -> MsgTag {
    let Some(found) = m.objects.find(word) else {
        return refused(Errno::NoEnt);
    };
    let Object::RegionMap(map) = found.object else {
        return refused(Errno::NoSys);
    };
    let address = m.utcb.mr(0);
    let answer = objects::page_fault(&m.objects, &mut m.pool, map, address);
    match answer.and_then(|mapped| dataspace::answer_map(m.utcb, &mapped)) {
        Ok(tag) => tag,
        Err(error) => refused(error),
    }
}
