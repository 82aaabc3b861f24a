//! Factory, memory and debug requests (MOE-FAC, MOE-QUO).

use l4_sys::{Errno, MsgTag};
use l4re_rs::server::Incoming;

use crate::engine::objects::{Found, Object};
use crate::engine::proto::{Contiguous, Create, NewDataspace, factory, memory};
use crate::engine::quota::Figures;
use crate::engine::{Account, Ref, Store, ds, rm, slabs};
use crate::frames::Reshape;
use crate::server::core::{Core, Ticket, Verdict};
use crate::server::parked::Call;
use crate::server::world::World;

impl<'a, P: Reshape<'a>, W: World> Core<'a, P, W> {
    pub(super) fn create(
        &mut self,
        msg: Incoming,
        ticket: Ticket,
        found: Found,
        account: Ref<Account>,
    ) -> Verdict {
        if !found.rights.special {
            return Verdict::error(Errno::Perm);
        }
        let request = match factory::decode(msg.utcb, msg.tag) {
            Ok(request) => request,
            Err(error) => return Verdict::error(error),
        };
        let made = self
            .make(account, request)
            .and_then(|object| self.adopt(Some(found.label), object));
        match (made, request) {
            (Ok(made), Create::Dataspace(NewDataspace::Contiguous(..))) => {
                self.begin(Call::Zero { made }, msg.utcb, ticket)
            }
            (Ok(made), _) => Verdict::of(self.hand_out(made, msg.utcb)),
            (Err(error), _) => Verdict::error(error),
        }
    }

    fn make(&mut self, account: Ref<Account>, request: Create) -> Result<Object, Errno> {
        if !self.objects.has_room() {
            return Err(Errno::NoMem);
        }
        let pool = &mut self.pool;
        Ok(match request {
            Create::Dataspace(NewDataspace::OnDemand(size)) => {
                Object::Dataspace(ds::create_on_demand(pool, account, size)?)
            }
            Create::Dataspace(NewDataspace::Contiguous(Contiguous::Bytes(size), align)) => {
                Object::Dataspace(ds::create_contiguous(pool, account, size, align)?)
            }
            Create::Dataspace(NewDataspace::Contiguous(Contiguous::AllBut(but), align)) => {
                Object::Dataspace(ds::create_contiguous_but(pool, account, but, align)?)
            }
            Create::RegionMap => {
                let (limits, reserved) = (self.setting.limits, self.setting.reserved);
                Object::RegionMap(rm::create(pool, account, limits, reserved.iter().copied())?)
            }
            Create::Factory(quota) => {
                Object::Factory(slabs::open(pool, account, quota).map_err(|_| Errno::NoMem)?)
            }
        })
    }

    fn figures(&self, account: Ref<Account>) -> Figures {
        let it = self.pool.arena().get(account);
        it.figures(self.present(), self.pool.available())
    }

    pub(super) fn memory_info(
        &mut self,
        msg: Incoming,
        account: Ref<Account>,
    ) -> Result<MsgTag, Errno> {
        if !msg.tag.fits() {
            return Err(Errno::MsgTooShort);
        }
        memory::decode(msg.utcb, msg.tag)?;
        memory::answer(msg.utcb, &self.figures(account))
    }

    /// Tells people the factory's quota and what the thread's memory is used for (MOE-QUO-10).
    pub(super) fn debug(&mut self, msg: Incoming, account: Ref<Account>) -> Result<MsgTag, Errno> {
        if msg.tag.words() == 0 || !msg.tag.fits() {
            return Err(Errno::MsgTooShort);
        }
        let it = self.figures(account);
        let uses = self.pool.uses();
        let zeroed = self.pool.frames().zeroed_frames();
        let present = self.pool.frames().present_frames();
        let live = self.objects.live();
        let kernel = &mut self.pool.kernel;
        kernel.print(format_args!(
            "pager: quota {} reserved {} committed {} free {} bytes\n",
            it.quota, it.reserved, it.committed, it.free
        ));
        kernel.print(format_args!(
            "pager: {present} frames: {} free ({zeroed} zeroed), {} being zeroed, {} book-keeping, \
             {} in dataspaces ({} kept), {} waiting; {live} objects\n",
            uses.free, uses.held, uses.meta, uses.data, uses.kept, uses.waiting
        ));
        Ok(MsgTag::plain(0, 0, 0))
    }
}
