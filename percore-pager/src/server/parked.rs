//! Calls that take several turns.
//!
//! A [`Call`] is stepped once at once; if that was not all, it takes a place among the parked ones and
//! its caller's answer waits. What it holds (a foreign capability, memory of a region to be) it gives back
//! when it ends, whichever way.

use l4_sys::{Errno, MsgTag, UtcbRef};
use l4re_rs::msg::Writer;
use l4re_rs::server::Incoming;

use crate::engine::ds::{self, Progress, Source, Work};
use crate::engine::kernel::Foreign;
use crate::engine::objects::{Label, Object, Private};
use crate::engine::proto::rm as rm_proto;
use crate::frames::Policy;

use super::core::{Core, Ticket, Turn, Verdict};
use super::world::World;

/// Words of a message.
const WORDS: usize = l4_sys::utcb::MESSAGE_REGISTERS;

/// A request to copy from a foreign dataspace whose size is not known yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForeignCopy {
    pub(super) target: Label,
    pub(super) writable: bool,
    pub(super) from: Foreign,
    pub(super) to_offset: u64,
    pub(super) from_offset: u64,
    pub(super) size: u64,
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap, and as many places as the shell wants"
)]
pub(super) enum Call {
    /// Clear or allocate.
    Work { target: Label, work: Work },
    /// Copy from another dataspace of this thread.
    Copy {
        target: Label,
        source: Label,
        work: Work,
    },
    /// Ask for the size of a foreign dataspace, then copy.
    AskForeign(ForeignCopy),
    /// Copy from a foreign dataspace.
    CopyForeign {
        target: Label,
        from: Foreign,
        work: Work,
    },
    /// Zero a contiguous dataspace before it is handed out.
    Zero { made: Label },
    /// Attach memory of a region's own.
    Attach { map: Label, private: Private },
    /// Give back the pages of a region's own memory that was detached. The answer is known.
    Detach {
        own: Label,
        work: Work,
        answer: [u64; 3],
        label: i64,
    },
    /// Try again when objects that are ending have given their memory back.
    Retry(Saved),
}

/// A message that was put aside as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saved {
    label: u64,
    tag: MsgTag,
    words: [u64; WORDS],
}

impl Saved {
    pub(super) fn new(msg: Incoming) -> Self {
        let mut words = [0; WORDS];
        let used = msg.tag.words() + 2 * msg.tag.items();
        for (n, word) in words.iter_mut().enumerate().take(used) {
            *word = msg.utcb.mr(n);
        }
        Saved {
            label: msg.label,
            tag: msg.tag,
            words,
        }
    }

    /// A message whose words are known and whose items there are none of.
    pub(super) fn of_words(msg: Incoming, known: &[u64]) -> Self {
        let mut words = [0; WORDS];
        for (to, from) in words.iter_mut().zip(known) {
            *to = *from;
        }
        Saved {
            label: msg.label,
            tag: MsgTag::plain(msg.tag.label(), known.len(), 0),
            words,
        }
    }

    fn load(&self, utcb: UtcbRef) -> Incoming {
        let used = self.tag.words() + 2 * self.tag.items();
        for (n, word) in self.words.iter().enumerate().take(used) {
            utcb.set_mr(n, *word);
        }
        Incoming {
            label: self.label,
            tag: self.tag,
            utcb,
        }
    }
}

/// How far a step brought a call.
#[derive(Debug)]
pub(super) enum Step {
    /// To be stepped again.
    More,
    /// To be stepped again when another server has answered.
    Asleep,
    /// Done: the answer, which is in the UTCB, or the error.
    Done(Result<MsgTag, Errno>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Awake,
    Asleep,
}

/// A place for a parked call: memory that the caller of [`Core::new`] provides.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    state: State,
    ticket: Ticket,
    call: Option<Call>,
}

impl Parked {
    /// A place with nothing in it.
    pub const EMPTY: Parked = Parked {
        state: State::Free,
        ticket: Ticket(0),
        call: None,
    };
}

/// All parked calls.
#[derive(Debug)]
pub(super) struct Calls<'a> {
    places: &'a mut [Parked],
    awake: u32,
    next: usize,
}

impl<'a> Calls<'a> {
    pub(super) fn new(places: &'a mut [Parked]) -> Self {
        places.fill(Parked::EMPTY);
        Calls {
            places,
            awake: 0,
            next: 0,
        }
    }

    /// Calls that can go on.
    #[inline]
    pub(super) fn awake(&self) -> u32 {
        self.awake
    }

    /// Puts a call aside; `false` when there is no place.
    #[must_use = "the caller still waits when it is false"]
    fn put(&mut self, ticket: Ticket, call: Call, asleep: bool) -> bool {
        let Some(place) = self.places.iter_mut().find(|p| p.state == State::Free) else {
            return false;
        };
        *place = Parked {
            state: if asleep { State::Asleep } else { State::Awake },
            ticket,
            call: Some(call),
        };
        self.awake += u32::from(!asleep);
        true
    }

    /// Takes the next call that can go on out of its place.
    fn take(&mut self) -> Option<(Ticket, Call)> {
        let count = self.places.len();
        for n in 0..count {
            let at = (self.next + n) % count;
            let place = self.places.get_mut(at)?;
            if place.state != State::Awake {
                continue;
            }
            self.next = at + 1;
            self.awake -= 1;
            place.state = State::Free;
            let ticket = place.ticket;
            if let Some(call) = place.call.take() {
                return Some((ticket, call));
            }
        }
        None
    }

    /// All calls can go on.
    pub(super) fn wake(&mut self) {
        for place in self.places.iter_mut() {
            if place.state == State::Asleep {
                place.state = State::Awake;
                self.awake += 1;
            }
        }
    }
}

impl<P: Policy, W: World> Core<'_, P, W> {
    /// Begins a call: the answer if one step is enough or it cannot be parked, otherwise it is parked.
    pub(super) fn begin(&mut self, mut call: Call, utcb: UtcbRef, ticket: Ticket) -> Verdict {
        let asleep = match self.step(&mut call, utcb) {
            Step::Done(answer) => return Verdict::of(answer),
            Step::More => false,
            Step::Asleep => true,
        };
        if !self.setting.inline_work && self.parked.put(ticket, call, asleep) {
            self.counters.parked += 1;
            return Verdict::Parked;
        }
        loop {
            match self.step(&mut call, utcb) {
                Step::Done(answer) => return Verdict::of(answer),
                // What it waits for may be memory of an object that is ending.
                Step::More => self.end_some(),
                Step::Asleep => {
                    // Nobody may wait for another server here.
                    self.give_up(call);
                    return Verdict::error(Errno::NoMem);
                }
            }
        }
    }

    /// Puts a message aside until objects that are ending have given their memory back; `false` when
    /// that cannot be done.
    pub(super) fn retry_later(&mut self, saved: Saved, ticket: Ticket) -> bool {
        let put = !self.setting.inline_work && self.parked.put(ticket, Call::Retry(saved), false);
        self.counters.retried += u64::from(put);
        put
    }

    /// Steps the next parked call.
    pub(super) fn next_call(&mut self, utcb: UtcbRef) -> Turn {
        let Some((ticket, mut call)) = self.parked.take() else {
            return Turn::Idle;
        };
        if let Call::Retry(saved) = call {
            let msg = saved.load(utcb);
            return match self.handle(msg, ticket) {
                Verdict::Answer(tag) => Turn::Answer(ticket, tag),
                Verdict::Parked => Turn::More,
                // Messages that get no answer are not tried again.
                Verdict::Nothing => Turn::Answer(ticket, MsgTag::plain(Errno::NoMem.label(), 0, 0)),
            };
        }
        let asleep = match self.step(&mut call, utcb) {
            Step::Done(answer) => {
                let error = |e: Errno| MsgTag::plain(e.label(), 0, 0);
                return Turn::Answer(ticket, answer.unwrap_or_else(error));
            }
            Step::More => false,
            Step::Asleep => true,
        };
        let put = self.parked.put(ticket, call, asleep);
        debug_assert!(put, "the call's own place is free");
        Turn::More
    }

    /// Does a turn's worth of a call; its answer is written when it is done.
    fn step(&mut self, call: &mut Call, utcb: UtcbRef) -> Step {
        match call {
            Call::Work { target, work } => {
                if !self.is_dataspace(*target) {
                    return Step::Done(Err(Errno::BadProto));
                }
                self.step_work(work)
            }
            Call::Copy {
                target,
                source,
                work,
            } => {
                if !self.is_dataspace(*target) {
                    return Step::Done(Err(Errno::BadProto));
                }
                if !self.is_dataspace(*source) {
                    return Step::Done(Err(Errno::Inval));
                }
                self.step_work(work)
            }
            Call::AskForeign(ask) => {
                let ask = *ask;
                match self.ask_foreign(ask) {
                    Ok(next) => {
                        *call = next;
                        Step::More
                    }
                    Err(Errno::Again) => Step::Asleep,
                    Err(error) => self.foreign_done(ask.from, Err(error)),
                }
            }
            Call::CopyForeign { target, from, work } => {
                let (target, from) = (*target, *from);
                if !self.is_dataspace(target) {
                    return self.foreign_done(from, Err(Errno::BadProto));
                }
                match work.step(&mut self.pool) {
                    Ok(Progress::More) => Step::More,
                    Ok(Progress::Done) => self.foreign_done(from, Ok(())),
                    Err(Errno::Again) => Step::Asleep,
                    Err(Errno::NoMem) if self.ends() => Step::More,
                    Err(error) => self.foreign_done(from, Err(foreign_error(error))),
                }
            }
            Call::Zero { made } => {
                let Some(Object::Dataspace(object)) = self.objects.look(*made) else {
                    return Step::Done(Err(Errno::BadProto));
                };
                if ds::zero_some(&mut self.pool, object) {
                    Step::Done(self.hand_out(*made, utcb))
                } else {
                    Step::More
                }
            }
            Call::Attach { map, private } => {
                let here = self.objects.look(*map).is_some();
                match private.step(&mut self.objects, &mut self.pool) {
                    Ok(Some(range)) => Step::Done(rm_proto::answer_place(utcb, range)),
                    Ok(None) => Step::More,
                    Err(_) if !here => Step::Done(Err(Errno::BadProto)),
                    Err(error) => Step::Done(Err(error)),
                }
            }
            Call::Detach {
                own,
                work,
                answer,
                label,
            } => {
                // Should the memory be gone, there is nothing to give back.
                if self.is_dataspace(*own)
                    && matches!(work.step(&mut self.pool), Ok(Progress::More))
                {
                    return Step::More;
                }
                let [start, size, cap] = *answer;
                let words = Writer::new(utcb).u64(start).u64(size).u64(cap);
                Step::Done(words.finish(*label))
            }
            Call::Retry(_) => Step::Done(Err(Errno::NoMem)),
        }
    }

    /// Without memory the work stands still while objects are ending, which may give it some.
    fn step_work(&mut self, work: &mut Work) -> Step {
        match work.step(&mut self.pool) {
            Ok(Progress::More) => Step::More,
            Ok(Progress::Done) => Step::Done(Ok(MsgTag::plain(0, 0, 0))),
            Err(Errno::NoMem) if self.ends() => Step::More,
            Err(error) => Step::Done(Err(error)),
        }
    }

    /// Begins the copy when the foreign dataspace's size is known.
    fn ask_foreign(&mut self, ask: ForeignCopy) -> Result<Call, Errno> {
        let Some(Object::Dataspace(target)) = self.objects.look(ask.target) else {
            return Err(Errno::BadProto);
        };
        let size = match self.pool.kernel.foreign_size(ask.from) {
            Err(Errno::Again) => return Err(Errno::Again),
            size => size.map_err(foreign_error)?,
        };
        let source = (Source::Foreign(ask.from, size), ask.from_offset);
        let work = Work::copy_in(
            &self.pool,
            target,
            ask.to_offset,
            source,
            ask.size,
            ask.writable,
        )?;
        Ok(Call::CopyForeign {
            target: ask.target,
            from: ask.from,
            work,
        })
    }

    fn foreign_done(&mut self, from: Foreign, answer: Result<(), Errno>) -> Step {
        self.pool.kernel.drop_foreign(from);
        Step::Done(answer.map(|()| MsgTag::plain(0, 0, 0)))
    }

    /// Gives back what a call holds that is not finished.
    fn give_up(&mut self, call: Call) {
        match call {
            Call::AskForeign(ForeignCopy { from, .. }) | Call::CopyForeign { from, .. } => {
                self.pool.kernel.drop_foreign(from);
            }
            Call::Attach { private, .. } => private.stop(&mut self.objects, &mut self.pool),
            Call::Zero { made } => self.end(made),
            _ => {}
        }
    }

    fn is_dataspace(&self, label: Label) -> bool {
        matches!(self.objects.look(label), Some(Object::Dataspace(_)))
    }
}

/// What a client is told when another server refused: that its argument is no dataspace.
fn foreign_error(error: Errno) -> Errno {
    match error {
        Errno::NoMem => Errno::NoMem,
        _ => Errno::Inval,
    }
}
