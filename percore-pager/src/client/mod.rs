//! The pager API for Rust programs.
//!
//! A [`Pager`] is made of a factory capability of the pager server, which is what a program has as its
//! memory allocator, or of the service capability itself. `docs/pager-api.md` says what each operation
//! means, what it needs and how long it may take; all calls block until the pager has answered, and
//! the pager never waits for anybody else meanwhile.
//!
//! ```no_run
//! use percore_pager::client::Pager;
//! # fn demo(env: &'static l4re_rs::start::env::Environment) -> l4re_rs::Result<()> {
//! let pager = Pager::new(env.mem_alloc());
//! let info = pager.info()?;
//! if info.may_tune() {
//!     pager.switch(percore_pager::api::policy::BUDDY)?;
//! }
//! # Ok(())
//! # }
//! ```

mod figures;
mod runs;
mod tune;

pub use figures::{Info, Owned};
pub use runs::{Handle, Shape, bytes};
pub use tune::Switched;

use l4_sys::{MsgTag, UtcbRef};
use l4re_rs::cap::{Cap, kind};
use l4re_rs::client::ipc;
use l4re_rs::{Error, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::api::request::Head;
use crate::api::{self, Op, PROTOCOL};

/// A capability that speaks the pager API. Copying it copies the name, not the capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pager {
    cap: Cap<kind::Factory>,
    core: u32,
}

impl Pager {
    /// A factory of the pager, or the service.
    #[must_use]
    pub const fn new(cap: Cap<kind::Factory>) -> Self {
        Pager {
            cap,
            core: api::OWN_CORE,
        }
    }

    /// The same, asking for another core: only the service can.
    #[must_use]
    pub const fn on(self, core: u32) -> Self {
        Pager { core, ..self }
    }

    /// The capability.
    #[must_use]
    pub const fn cap(self) -> Cap<kind::Factory> {
        self.cap
    }

    fn head(self, op: Op) -> Head {
        Head {
            op: op as u32,
            core: self.core,
        }
    }

    /// Writes a request; the tag to send it with.
    fn seal<T: IntoBytes + Immutable>(request: &T, bytes: usize) -> Result<MsgTag> {
        let words = api::write(UtcbRef::current(), request, bytes);
        let tag = MsgTag::plain(PROTOCOL, words, 0);
        if tag.fits() && words * 8 >= bytes {
            Ok(tag)
        } else {
            Err(Error::NoRoom)
        }
    }

    /// Sends a request and reads an answer of words alone.
    fn ask<T, A>(self, request: &T) -> Result<A>
    where
        T: IntoBytes + Immutable,
        A: FromBytes + IntoBytes,
    {
        let tag = ipc::call(self.cap, Self::seal(request, size_of::<T>())?)?;
        answer(tag, size_of::<A>())
    }
}

/// Reads an answer of which at least `needed` bytes must be there.
fn answer<A: FromBytes + IntoBytes>(tag: MsgTag, needed: usize) -> Result<A> {
    api::read(UtcbRef::current(), tag, needed).map_err(|_| Error::BadReply)
}
