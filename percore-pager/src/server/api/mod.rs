//! The pager API (`docs/pager-api.md`), one thread's part of it.
//!
//! Checks are made in the order of the specification: form, core, right, values. Whatever takes more than
//! a turn is a [`Task`], parked like every other long call; a change of policy goes on in turns of its own
//! even when nobody waits for it.
//!
//! ```text
//!  figures  questions that are answered at once
//!  tune     settings, statements, policies
//!  runs     runs allocated directly, and the reserve
//!  owner    who has a frame
//! ```

mod figures;
mod owner;
mod runs;
mod tune;

pub(super) use owner::Search;
pub(super) use runs::{Alloc, Fill};

use l4_sys::{Errno, MsgTag, UtcbRef};
use l4re_rs::server::Incoming;

use crate::api::{self, OWN_CORE, Op, request};
use crate::engine::objects::{Label, Object};
use crate::engine::{Account, Ref};
use crate::frames::Reshape;

use super::core::{Core, Ticket, Verdict};
use super::parked::{Call, Step};
use super::world::World;

/// A processor and the core whose pager serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreAt {
    /// The processor's APIC id.
    pub apic: u32,
    /// Number of the core, from 0.
    pub core: u32,
    /// The processor's NUMA node.
    pub node: u32,
}

/// Where a thread is, for clients that ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Where<'a> {
    /// Number of this core, from 0.
    pub core: u32,
    /// Its NUMA node.
    pub node: u32,
    /// Cores that the server has threads for.
    pub cores: u32,
    /// What is added to a physical address to get the pager's address of it.
    pub base: u64,
    /// All processors that are served; the same for all threads.
    pub processors: &'a [CoreAt],
}

/// What a thread keeps for the pager API.
#[derive(Debug, Default)]
pub(super) struct Api<'a> {
    pub(super) place: Where<'a>,
    /// The change of policy that is under way, or the last one.
    pub(super) change: tune::Change,
    pub(super) runs_taken: u64,
    pub(super) runs_given: u64,
    pub(super) runs_recycled: u64,
    pub(super) policies: u64,
}

/// Who asks: a factory of this thread, or the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A factory; whether the capability has S.
    Factory(Label, Ref<Account>, bool),
    /// The service; whether the capability has S.
    Service(bool),
}

impl Asker {
    fn special(self) -> bool {
        match self {
            Asker::Factory(_, _, special) | Asker::Service(special) => special,
        }
    }

    /// The factory and its account, with S.
    fn factory(self) -> Result<(Label, Ref<Account>), Errno> {
        match self {
            _ if !self.special() => Err(Errno::Perm),
            Asker::Factory(label, account, _) => Ok((label, account)),
            Asker::Service(_) => Err(Errno::NoDev),
        }
    }

    fn need_special(self) -> Result<(), Errno> {
        if self.special() {
            Ok(())
        } else {
            Err(Errno::Perm)
        }
    }
}

/// A request that takes several turns.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    /// Runs to be taken and zeroed.
    Alloc(Alloc),
    /// A reserve to be filled or emptied.
    Fill(Fill),
    /// A change of policy to be waited for.
    Switch,
    /// A frame to be looked for.
    Search(Search),
}

impl Task {
    /// The factory that it is for; `None` for the service's.
    pub(super) fn factory(&self) -> Option<Label> {
        match self {
            Task::Alloc(it) => Some(it.factory),
            Task::Fill(it) => Some(it.factory),
            Task::Search(it) => it.below,
            Task::Switch => None,
        }
    }
}

/// What becomes of a request.
enum Next {
    Answer(MsgTag),
    Long(Task),
    /// Make a factory with this limit, and hand it out.
    Factory(Option<u64>),
}

/// The core that a message on the service capability is for. `own` is the core of the thread that asks.
///
/// # Errors
///
/// `Range` there is no such core; `NoEnt` no pager serves the processor that BIND names;
/// `MsgTooShort`.
pub fn target(utcb: UtcbRef, tag: MsgTag, place: &Where<'_>) -> Result<u32, Errno> {
    if !tag.fits() {
        return Err(Errno::MsgTooShort);
    }
    let head: request::Head = api::read(utcb, tag, size_of::<request::Head>())?;
    if Op::from_number(head.op) == Some(Op::Bind) {
        let bind: request::Bind = api::read(utcb, tag, size_of::<request::Bind>())?;
        return place.serving(bind.apic).map(|at| at.core);
    }
    match head.core {
        OWN_CORE => Ok(place.core),
        core if core < place.cores => Ok(core),
        _ => Err(Errno::Range),
    }
}

impl Where<'_> {
    fn serving(&self, apic: u32) -> Result<CoreAt, Errno> {
        let found = self.processors.iter().find(|at| at.apic == apic);
        found.copied().ok_or(Errno::NoEnt)
    }
}

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// Says where the thread is. To be called before it serves.
    pub fn set_place(&mut self, place: Where<'a>) {
        self.api.place = place;
    }

    /// A message of the pager API on the service capability, meant for this core (see [`target`]); the low
    /// bits of its label are the rights.
    #[cold]
    pub fn handle_service(&mut self, msg: Incoming, ticket: Ticket) -> Verdict {
        self.handed = None;
        self.begin_turn();
        self.counters.others += 1;
        self.pager_api(msg, ticket, Asker::Service(msg.label & 2 != 0))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn pager_api(&mut self, msg: Incoming, ticket: Ticket, asker: Asker) -> Verdict {
        match self.ask(msg, asker) {
            Ok(Next::Answer(tag)) => Verdict::Answer(tag),
            Ok(Next::Long(task)) => self.begin(Call::Api(task), msg.utcb, ticket),
            Ok(Next::Factory(quota)) => self.create_for_service(msg.utcb, quota, ticket),
            Err(error) => Verdict::error(error),
        }
    }

    /// [`Core::create_factory`] for a caller who can wait: should memory or a place in the table be missing
    /// while objects are ending, the answer comes when they have ended (CL-22).
    #[cold]
    pub fn create_for_service(
        &mut self,
        utcb: UtcbRef,
        quota: Option<u64>,
        ticket: Ticket,
    ) -> Verdict {
        self.begin_turn();
        match self.create_factory(utcb, quota) {
            Err(Errno::NoMem) if self.comes_back() => {
                self.begin(Call::Factory { quota }, utcb, ticket)
            }
            made => Verdict::of(made),
        }
    }

    fn ask(&mut self, msg: Incoming, asker: Asker) -> Result<Next, Errno> {
        if !msg.tag.fits() {
            return Err(Errno::MsgTooShort);
        }
        let message = Message {
            utcb: msg.utcb,
            tag: msg.tag,
        };
        let head: request::Head = message.read()?;
        let op = Op::from_number(head.op).ok_or(Errno::NoSys)?;
        let request = Request::read(op, &message)?;
        // BIND goes to the core that serves the processor, whatever else it says.
        let here = matches!(head.core, OWN_CORE) || head.core == self.api.place.core;
        if !here && op != Op::Bind {
            return Err(Errno::Range);
        }
        let utcb = msg.utcb;
        let answer = match request {
            Request::Info => self.info(asker, utcb),
            Request::Memory => self.memory(asker, utcb)?,
            Request::Orders => self.orders(asker, utcb)?,
            Request::Counters => self.all_counters(asker, utcb)?,
            Request::Own => self.own(asker, utcb)?,
            Request::Parameters => self.parameters(utcb),
            Request::Set(it) => self.set_parameter(asker, &it, utcb)?,
            Request::Policy(it) => return self.change_policy(asker, &it, utcb),
            Request::Abandon => self.abandon_policy(asker, utcb)?,
            Request::Alloc(it) => return self.alloc_runs(asker, &it),
            Request::Free(it) => self.free_runs(asker, &it)?,
            Request::Map(it) => self.map_run(asker, &it, utcb)?,
            Request::Runs(it) => self.list_runs(asker, &it, utcb)?,
            Request::Reserve(it) => return self.fill_reserve(asker, &it),
            Request::Owner(it) => return self.owner(asker, &it, utcb),
            Request::State(it) => self.state(asker, &it, utcb)?,
            Request::CoreOf(it) => self.core_of(&it, utcb)?,
            Request::Bind(it) => return self.bind(asker, &it),
            Request::Reach(it) => self.reach(asker, &it, utcb)?,
        };
        Ok(Next::Answer(answer))
    }

    /// Does a turn's worth of a long request.
    pub(super) fn step_api(&mut self, task: &mut Task, utcb: UtcbRef) -> Step {
        match task {
            Task::Alloc(it) => self.step_alloc(it, utcb),
            Task::Fill(it) => self.step_fill(it, utcb),
            Task::Switch => self.step_switch(utcb),
            Task::Search(it) => self.step_search(it, utcb),
        }
    }

    /// A long request is dropped before its end.
    pub(super) fn drop_api(&mut self, task: Task) {
        match task {
            Task::Alloc(it) => self.drop_alloc(&it),
            Task::Fill(it) => self.drop_fill(&it),
            Task::Switch => self.drop_switch(),
            Task::Search(_) => {}
        }
    }

    /// The account of a factory, if it is still there.
    fn account_of(&self, factory: Label) -> Option<Ref<Account>> {
        match self.objects.look(factory) {
            Some(Object::Factory(account)) => Some(account),
            _ => None,
        }
    }
}

/// A message as it lies in the UTCB.
struct Message {
    utcb: UtcbRef,
    tag: MsgTag,
}

impl Message {
    fn read<T: zerocopy::FromBytes + zerocopy::IntoBytes>(&self) -> Result<T, Errno> {
        api::read(self.utcb, self.tag, size_of::<T>())
    }
}

/// A request whose form was checked.
#[allow(
    clippy::large_enum_variant,
    reason = "there is no heap, and it lives for a call"
)]
enum Request {
    Info,
    Memory,
    Orders,
    Counters,
    Own,
    Parameters,
    Set(request::Set),
    Policy(request::Policy),
    Abandon,
    Alloc(request::Alloc),
    Free(request::Free),
    Map(request::Map),
    Runs(request::Runs),
    Reserve(request::Reserve),
    Owner(request::Owner),
    State(request::State),
    CoreOf(request::CoreOf),
    Bind(request::Bind),
    Reach(request::Reach),
}

impl Request {
    fn read(op: Op, message: &Message) -> Result<Self, Errno> {
        Ok(match op {
            Op::Info => Request::Info,
            Op::Memory => Request::Memory,
            Op::Orders => Request::Orders,
            Op::Counters => Request::Counters,
            Op::Own => Request::Own,
            Op::Parameters => Request::Parameters,
            Op::Set => Request::Set(message.read()?),
            Op::Policy => Request::Policy(message.read()?),
            Op::Abandon => Request::Abandon,
            Op::Alloc => Request::Alloc(message.read()?),
            Op::Free => {
                let none = request::Free::bytes(0);
                let it: request::Free = api::read(message.utcb, message.tag, none)?;
                // How many there should be; too many are refused later.
                let count = (it.count as usize).min(api::HANDLES_PER_CALL);
                let bytes = request::Free::bytes(count);
                Request::Free(api::read(message.utcb, message.tag, bytes)?)
            }
            Op::Map => Request::Map(message.read()?),
            Op::Runs => Request::Runs(message.read()?),
            Op::Reserve => Request::Reserve(message.read()?),
            Op::Owner => Request::Owner(message.read()?),
            Op::State => Request::State(message.read()?),
            Op::CoreOf => Request::CoreOf(message.read()?),
            Op::Bind => Request::Bind(message.read()?),
            Op::Reach => Request::Reach(message.read()?),
        })
    }
}

/// Writes an answer; its tag, with this label.
fn answer<T: zerocopy::IntoBytes + zerocopy::Immutable>(
    utcb: UtcbRef,
    label: i64,
    value: &T,
) -> MsgTag {
    let words = api::write(utcb, value, size_of::<T>());
    MsgTag::plain(label, words, 0)
}
