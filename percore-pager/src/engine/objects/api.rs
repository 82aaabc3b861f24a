//! What the pager API keeps for a factory, and looking at all objects.

use crate::engine::arena::Ref;
use crate::engine::runs::Runs;

use super::entry::{Object, State};
use super::label::Label;
use super::table::Objects;

impl Objects<'_> {
    /// The table of a factory's runs, if it has one.
    #[must_use]
    pub fn runs(&self, factory: Label) -> Option<Ref<Runs>> {
        self.look(factory)?;
        self.entries.get(self.at(factory) as usize)?.runs
    }

    /// Gives a factory a table, which ends with it. `false`, and nothing is changed, when it is no
    /// factory, is gone, or has one already.
    #[must_use = "the table is lost when it is false"]
    pub fn set_runs(&mut self, factory: Label, runs: Ref<Runs>) -> bool {
        if !matches!(self.look(factory), Some(Object::Factory(_))) {
            return false;
        }
        let at = self.at(factory);
        match self.entry(at) {
            Some(entry) if entry.runs.is_none() => {
                debug_assert!(matches!(entry.state, State::Live(_)));
                entry.runs = Some(runs);
                true
            }
            _ => false,
        }
    }

    /// Takes the right to change settings from a factory, and so from all below it, for good.
    pub fn seal(&mut self, factory: Label) {
        if self.look(factory).is_some() {
            let at = self.at(factory);
            if let Some(entry) = self.entry(at) {
                entry.sealed = true;
            }
        }
    }

    /// Whether a factory, or one above it, was sealed.
    #[must_use]
    pub fn is_sealed(&self, factory: Label) -> bool {
        let mut next = Some(factory);
        while let Some(at) = next {
            let entry = self.entries.get(self.at(at) as usize);
            if entry.is_some_and(|entry| entry.sealed) {
                return true;
            }
            next = self.parent(at);
        }
        false
    }

    /// What table entry `number` stands for; `None` behind the last entry.
    #[must_use]
    pub fn at_number(&self, number: u32) -> Option<Option<(Label, Object)>> {
        let entry = self.entries.get(number as usize)?;
        Some(match entry.state {
            State::Live(object) => self
                .label(number, entry.generation)
                .map(|label| (label, object)),
            _ => None,
        })
    }
}
