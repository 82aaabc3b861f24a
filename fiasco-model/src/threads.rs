//! A model on real threads: the same set-up and looks as [`crate::Model`], another engine.

use crate::boot;
use crate::count::Counters;
use crate::model::{Options, SetupError, new_state};
use crate::object::ObjId;
use crate::pinned::Shared;
use crate::state::NOBODY;
use crate::trace::Violation;
use crate::virt::End;

/// A kernel with a machine under it, one host thread a simulated CPU. The option about order
/// has no meaning here; the seed is that of deaths, but when each comes is the host's.
pub struct ThreadModel {
    shared: Shared,
    fail_alloc: Option<u64>,
}

impl ThreadModel {
    /// A model that has not booted.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(o: &Options) -> Result<Self, SetupError> {
        Ok(ThreadModel {
            shared: Shared::new(new_state(o, true)?, o.seed),
            fail_alloc: o.fail_alloc,
        })
    }

    /// As [`crate::Model::boot`]; once.
    pub fn boot(
        &mut self,
        sigma0: impl FnOnce(u64) + Send + 'static,
        root: impl FnOnce(u64) + Send + 'static,
    ) {
        let mut st = self.shared.lock();
        let a = st.add_entry(Box::new(move |_| sigma0(boot::KIP)));
        let b = st.add_entry(Box::new(move |_| root(boot::KIP)));
        st.boot([a, b]);
        st.quotas.fail_after(self.fail_alloc);
    }

    /// Runs until nothing can run, a program calls [`crate::user::stop`], or about `bound` steps
    /// were made. The simulated threads stay where they are; a further call goes on.
    pub fn run(&mut self, bound: u64) -> End {
        let end = self.shared.run(bound);
        let mut st = self.shared.lock();
        st.me = NOBODY;
        end
    }

    /// Counters of all CPUs together.
    #[must_use]
    pub fn totals(&self) -> Counters {
        self.shared.lock().totals()
    }

    /// Misuses of the interface so far.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.lock().violations.clone()
    }

    /// As [`crate::Model::objects`].
    #[must_use]
    pub fn objects(&self, kind: &str) -> Vec<(ObjId, String)> {
        self.shared.lock().objs.named(kind)
    }

    /// What was written to the log.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().log).into_owned()
    }

    /// As [`crate::Model::check`].
    ///
    /// # Errors
    /// The first difference, as text.
    pub fn check(&self) -> Result<(), String> {
        crate::check::check(&self.shared.lock())
    }
}
