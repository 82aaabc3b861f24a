//! The table's nodes and lists.
//!
//! Words of the head: 0 first free record plus 1 (low half) and records ever used (high half); 1 live (and busy) and
//! kept runs; 2 and 3 their frames; 4 the account; 5 to 14 first kept record plus 1 of each order, a half
//! word each; 15 to 24 their number; from 25 on 206 half words that are references to nodes.

use crate::engine::arena::{Arena, Ref, Store};
use crate::engine::quota::Account;
use crate::engine::slabs::{self, NoMemory};
use crate::frames::{FrameNo, PageOrder};

use super::Runs;
use super::record::{MAX_RECORDS, Record, State};

type Node = Ref<[u64; 0]>;

const FREE: usize = 0;
const COUNTS: usize = 1;
const LIVE_FRAMES: usize = 2;
const KEPT_FRAMES: usize = 3;
const ACCOUNT: usize = 4;
const HEADS: usize = 5 * 2;
const NUMBERS: usize = 15 * 2;
const CHILDREN: usize = 25 * 2;
/// References in the head, in a node, and records in a leaf.
const TOP: u32 = 206;
const MIDDLE: u32 = 256;
const LEAF: u32 = 64;

const _: () = assert!(CHILDREN + TOP as usize == 256);
const _: () = assert!(TOP * MIDDLE * LEAF <= MAX_RECORDS);

/// Bytes of a node.
const NODE: usize = slabs::LARGEST;

/// How much is in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Runs in the client's hands.
    pub live: u32,
    /// Their frames.
    pub live_frames: u64,
    /// Runs in the reserve.
    pub kept: u32,
    /// Their frames.
    pub kept_frames: u64,
}

fn half(arena: &Arena, node: Node, index: usize) -> u32 {
    (arena.word(node, index / 2) >> (index % 2 * 32)) as u32
}

fn set_half(arena: &mut Arena, node: Node, index: usize, value: u32) {
    let shift = index % 2 * 32;
    let word = arena.word(node, index / 2) & !(0xffff_ffff << shift);
    arena.set_word(node, index / 2, word | u64::from(value) << shift);
}

fn add(arena: &mut Arena, node: Node, word: usize, by: i64) {
    let value = arena.word(node, word).wrapping_add_signed(by);
    arena.set_word(node, word, value);
}

fn add_half(arena: &mut Arena, node: Node, index: usize, by: i32) {
    let value = half(arena, node, index).wrapping_add_signed(by);
    set_half(arena, node, index, value);
}

pub(super) fn init(arena: &mut Arena, runs: Ref<Runs>, account: Ref<Account>) {
    arena.set_word(runs.cast(), ACCOUNT, u64::from(account.raw()));
}

pub(super) fn account(arena: &Arena, runs: Ref<Runs>) -> Option<Ref<Account>> {
    Ref::from_raw(arena.word(runs.cast(), ACCOUNT) as u32)
}

/// Records that were ever used: numbers below this.
pub(super) fn end(arena: &Arena, runs: Ref<Runs>) -> u32 {
    half(arena, runs.cast(), FREE * 2 + 1)
}

pub(super) fn totals(arena: &Arena, runs: Ref<Runs>) -> Totals {
    let head = runs.cast();
    Totals {
        live: half(arena, head, COUNTS * 2),
        live_frames: arena.word(head, LIVE_FRAMES),
        kept: half(arena, head, COUNTS * 2 + 1),
        kept_frames: arena.word(head, KEPT_FRAMES),
    }
}

pub(super) fn kept(arena: &Arena, runs: Ref<Runs>, order: PageOrder) -> u32 {
    half(arena, runs.cast(), NUMBERS + order.get() as usize)
}

fn places(index: u32) -> (usize, usize, usize) {
    let top = index / (MIDDLE * LEAF);
    let middle = index / LEAF % MIDDLE;
    (
        CHILDREN + top as usize,
        middle as usize,
        2 * (index % LEAF) as usize,
    )
}

fn leaf(arena: &Arena, runs: Ref<Runs>, index: u32) -> Option<Node> {
    if index >= TOP * MIDDLE * LEAF {
        return None;
    }
    let (top, middle, _) = places(index);
    let node: Node = Ref::from_raw(half(arena, runs.cast(), top))?;
    Ref::from_raw(half(arena, node, middle))
}

/// A record that was used before.
pub(super) fn record(arena: &Arena, runs: Ref<Runs>, index: u32) -> Option<Record> {
    if index >= end(arena, runs) {
        return None;
    }
    let leaf = leaf(arena, runs, index)?;
    let (_, _, at) = places(index);
    Some(Record {
        word: arena.word(leaf, at),
        link: arena.word(leaf, at + 1),
    })
}

pub(super) fn set_record(arena: &mut Arena, runs: Ref<Runs>, index: u32, record: Record) {
    if let Some(leaf) = leaf(arena, runs, index) {
        let (_, _, at) = places(index);
        arena.set_word(leaf, at, record.word);
        arena.set_word(leaf, at + 1, record.link);
    }
}

pub(super) fn set_state(arena: &mut Arena, runs: Ref<Runs>, index: u32, state: State) {
    if let Some(it) = record(arena, runs, index) {
        set_record(arena, runs, index, it.with_state(state));
    }
}

fn new_node<S: Store>(mem: &mut S, account: Ref<Account>) -> Result<Node, NoMemory> {
    let node = slabs::take(mem, account, NODE)?;
    for word in 0..NODE / 8 {
        mem.arena_mut().set_word(node, word, 0);
    }
    Ok(node)
}

/// The number of a free record, with nodes for it. It is free still.
pub(super) fn find_free<S: Store>(mem: &mut S, runs: Ref<Runs>) -> Result<u32, NoMemory> {
    let head: Node = runs.cast();
    if let Some(index) = half(mem.arena(), head, FREE * 2).checked_sub(1) {
        return Ok(index);
    }
    let index = end(mem.arena(), runs);
    if index >= TOP * MIDDLE * LEAF {
        return Err(NoMemory);
    }
    let account = account(mem.arena(), runs).ok_or(NoMemory)?;
    let (top, middle, _) = places(index);
    let node = match Ref::from_raw(half(mem.arena(), head, top)) {
        Some(node) => node,
        None => {
            let node = new_node(mem, account)?;
            set_half(mem.arena_mut(), head, top, node.raw());
            node
        }
    };
    if half(mem.arena(), node, middle) == 0 {
        let leaf = new_node(mem, account)?;
        set_half(mem.arena_mut(), node, middle, leaf.raw());
    }
    Ok(index)
}

/// Uses the record that [`find_free`] gave.
pub(super) fn use_free(
    arena: &mut Arena,
    runs: Ref<Runs>,
    index: u32,
    start: FrameNo,
    order: PageOrder,
) -> Record {
    let head: Node = runs.cast();
    let was = record(arena, runs, index);
    match was {
        Some(was) => set_half(arena, head, FREE * 2, was.link as u32),
        None => set_half(arena, head, FREE * 2 + 1, index + 1),
    }
    let empty = Record { word: 0, link: 0 };
    let record = was.unwrap_or(empty).renewed(start, order);
    set_record(arena, runs, index, record);
    add_half(arena, head, COUNTS * 2, 1);
    add(arena, head, LIVE_FRAMES, i64::from(order.frames()));
    record
}

/// Makes a record free whose run is busy.
pub(super) fn put_free(arena: &mut Arena, runs: Ref<Runs>, index: u32) {
    let head: Node = runs.cast();
    let Some(it) = record(arena, runs, index) else {
        return;
    };
    let link = u64::from(half(arena, head, FREE * 2));
    let it = Record { link, ..it };
    set_record(arena, runs, index, it.with_state(State::Free));
    set_half(arena, head, FREE * 2, index + 1);
    add_half(arena, head, COUNTS * 2, -1);
    add(arena, head, LIVE_FRAMES, -i64::from(it.order().frames()));
}

/// Puts a run that is busy into the reserve.
pub(super) fn push_kept(arena: &mut Arena, runs: Ref<Runs>, index: u32, used: bool) {
    let Some(it) = record(arena, runs, index) else {
        return;
    };
    let list = HEADS + it.order().get() as usize;
    let link = u64::from(half(arena, runs.cast(), list));
    let it = Record { link, ..it }
        .with_state(State::Kept)
        .with_used(used);
    set_record(arena, runs, index, it);
    set_half(arena, runs.cast(), list, index + 1);
    move_count(arena, runs, it.order(), 1);
}

/// Takes the run of this order that was kept last, and is busy then; says whether it was used before.
pub(super) fn pop_kept(
    arena: &mut Arena,
    runs: Ref<Runs>,
    order: PageOrder,
) -> Option<(u32, bool)> {
    let list = HEADS + order.get() as usize;
    let index = half(arena, runs.cast(), list).checked_sub(1)?;
    let it = record(arena, runs, index)?;
    set_half(arena, runs.cast(), list, it.link as u32);
    set_record(arena, runs, index, it.with_state(State::Busy));
    move_count(arena, runs, order, -1);
    Some((index, it.is_used()))
}

/// One run more (or less) of this order is kept and not live.
fn move_count(arena: &mut Arena, runs: Ref<Runs>, order: PageOrder, by: i32) {
    let head: Node = runs.cast();
    let frames = i64::from(by) * i64::from(order.frames());
    add_half(arena, head, NUMBERS + order.get() as usize, by);
    add_half(arena, head, COUNTS * 2, -by);
    add_half(arena, head, COUNTS * 2 + 1, by);
    add(arena, head, LIVE_FRAMES, -frames);
    add(arena, head, KEPT_FRAMES, frames);
}

/// Frees the last leaf, or node; `false` when only the head is left. Its records must be free.
pub(super) fn free_node<S: Store>(mem: &mut S, runs: Ref<Runs>) -> bool {
    let head: Node = runs.cast();
    let arena = mem.arena();
    let Some(top) = (CHILDREN..CHILDREN + TOP as usize)
        .rev()
        .find(|at| half(arena, head, *at) != 0)
    else {
        return false;
    };
    let Some(node) = Ref::<[u64; 0]>::from_raw(half(arena, head, top)) else {
        return false;
    };
    let last = (0..MIDDLE as usize)
        .rev()
        .find(|at| half(arena, node, *at) != 0);
    match last.and_then(|at| Some((at, Ref::from_raw(half(arena, node, at))?))) {
        Some((at, leaf)) => {
            set_half(mem.arena_mut(), node, at, 0);
            slabs::free::<[u64; 0], _>(mem, leaf);
        }
        None => {
            set_half(mem.arena_mut(), head, top, 0);
            slabs::free(mem, node);
        }
    }
    true
}

/// Forgets the last record; `None` when there is none.
pub(super) fn pop_last(arena: &mut Arena, runs: Ref<Runs>) -> Option<(u32, Record)> {
    let index = end(arena, runs).checked_sub(1)?;
    let it = record(arena, runs, index)?;
    set_half(arena, runs.cast(), FREE * 2 + 1, index);
    Some((index, it))
}
