//! Making objects: gates, and how capabilities reach clients (MOE-OBJ-05, BUG-18, BUG-23).

use l4_sys::{Errno, MsgTag, UtcbRef};
use l4re_rs::msg::Writer;

use crate::engine::ds::Death;
use crate::engine::objects::{Label, Object};
use crate::engine::{Account, Ref, rm, slabs};
use crate::frames::{FrameNo, Reshape};
use crate::server::core::Core;
use crate::server::world::World;

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    /// The thread's root factory: its quota is all memory of the thread, and nothing but the server
    /// ends it.
    ///
    /// # Errors
    ///
    /// `NoMem`, or what the gate's making gave.
    pub fn open_root(&mut self) -> Result<Label, Errno> {
        let account = self.open_account(self.present())?;
        self.adopt(None, Object::Factory(account))
    }

    /// Makes a factory for a client of the service: with `quota` bytes, or as many as the thread has memory.
    /// The answer, with its capability, is in the UTCB then.
    ///
    /// # Errors
    ///
    /// `Inval` a quota of 0 or above 2^63; `NoMem`, or what the gate's making gave.
    pub fn create_factory(&mut self, utcb: UtcbRef, quota: Option<u64>) -> Result<MsgTag, Errno> {
        self.handed = None;
        let quota = quota.unwrap_or_else(|| self.present());
        if quota.cast_signed() <= 0 {
            return Err(Errno::Inval);
        }
        if !self.objects.has_room() {
            return Err(Errno::NoMem);
        }
        let account = self.open_account(quota)?;
        let made = self.adopt(None, Object::Factory(account))?;
        self.hand_out(made, utcb)
    }

    /// Bytes of memory that the thread has been given.
    pub(super) fn present(&self) -> u64 {
        u64::from(self.pool.frames().present_frames()) << FrameNo::SHIFT
    }

    fn open_account(&mut self, limit: u64) -> Result<Ref<Account>, Errno> {
        let own = match self.own {
            Some(own) => own,
            None => slabs::root(&mut self.pool, 0).map_err(|_| Errno::NoMem)?,
        };
        self.own = Some(own);
        slabs::open(&mut self.pool, own, limit).map_err(|_| Errno::NoMem)
    }

    /// Enters an object into the table and makes its gate, which so far lives for our sake. After an error
    /// the object is gone, or on its way.
    pub(super) fn adopt(&mut self, parent: Option<Label>, object: Object) -> Result<Label, Errno> {
        let Some(label) = self.objects.insert(parent, object, true) else {
            self.take_apart(object);
            return Err(Errno::NoMem);
        };
        let entry = self.objects.number(label);
        match self.pool.kernel.make_gate(entry, label) {
            Ok(()) => {
                self.counters.created += 1;
                Ok(label)
            }
            Err(error) => {
                self.objects.condemn(&mut self.pool, label);
                Err(error)
            }
        }
    }

    /// Frees an object that was just made and has nothing in it.
    pub(super) fn take_apart(&mut self, object: Object) {
        let pool = &mut self.pool;
        match object {
            Object::Factory(account) => slabs::close(pool, account),
            Object::Dataspace(object) => {
                let mut death = Death::begin(pool, object);
                while !death.step(pool) {}
            }
            Object::RegionMap(map) => {
                while !rm::clear_some(pool, map, u32::MAX, |_| ()) {}
                rm::free_map(pool, map);
            }
        }
    }

    /// Writes the answer that gives an object to its client. From now on it lives as long as somebody has a
    /// capability for it; should the answer be lost, [`Core::answer_failed`] ends it.
    pub(in crate::server) fn hand_out(
        &mut self,
        made: Label,
        utcb: UtcbRef,
    ) -> Result<MsgTag, Errno> {
        let entry = self.objects.number(made);
        self.pool.kernel.count_clients(entry);
        self.handed = Some(made);
        let item = self.pool.kernel.gate_item(entry);
        Writer::new(utcb).item(item).finish(0)
    }
}
