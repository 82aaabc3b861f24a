//! Changing the policy of an allocator, and the cache in front of it, from outside.

use crate::frames::allocator::Frames;
use crate::frames::cache::{CacheShape, Cached};
use crate::frames::error::SwitchError;
use crate::frames::memory::Memory;
use crate::frames::policies::Policies;
use crate::frames::policy::Policy;

use super::{Live, Progress};

/// Something that has a [`Live`] policy somewhere in it.
pub trait Reshape<'a>: Policy {
    /// The policy that can be replaced.
    fn live(&mut self) -> &mut Live<'a>;

    /// The same, to ask it.
    fn live_ref(&self) -> &Live<'a>;

    /// The size of the cache in front; [`CacheShape::OFF`] where there is none.
    fn cache(&self) -> CacheShape {
        CacheShape::OFF
    }

    /// Changes the size of the cache; `false` where there is none.
    fn set_cache(&mut self, _shape: CacheShape) -> bool {
        false
    }
}

impl<'a> Reshape<'a> for Live<'a> {
    fn live(&mut self) -> &mut Live<'a> {
        self
    }

    fn live_ref(&self) -> &Live<'a> {
        self
    }
}

impl<'a> Reshape<'a> for Cached<Live<'a>> {
    fn live(&mut self) -> &mut Live<'a> {
        self.policy_mut()
    }

    fn live_ref(&self) -> &Live<'a> {
        self.policy()
    }

    fn cache(&self) -> CacheShape {
        self.shape()
    }

    fn set_cache(&mut self, shape: CacheShape) -> bool {
        self.reshape(shape);
        true
    }
}

impl<'a, P: Reshape<'a>> Frames<'_, P> {
    /// See [`Live::begin`].
    ///
    /// # Errors
    ///
    /// See [`Live::begin`].
    pub fn begin_switch(
        &mut self,
        policies: impl Into<Policies>,
        memory: Memory<'a>,
    ) -> Result<(), (SwitchError, Option<Memory<'a>>)> {
        self.policy.live().begin(policies, memory)
    }

    /// See [`Live::step`].
    pub fn step_switch(&mut self) -> Progress<'a> {
        self.policy.live().step()
    }

    /// See [`Live::abandon`].
    pub fn abandon_switch(&mut self) -> bool {
        self.policy.live().abandon()
    }

    /// See [`Reshape::set_cache`].
    pub fn reshape_cache(&mut self, shape: CacheShape) -> bool {
        self.policy.set_cache(shape)
    }
}
