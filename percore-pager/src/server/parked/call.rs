//! What callers wait for, as values.

use l4_sys::item::Received;
use l4_sys::{MsgTag, UtcbRef};
use l4re_rs::server::Incoming;

use crate::engine::ds::Work;
use crate::engine::kernel::Foreign;
use crate::engine::objects::{Label, Private};
use crate::engine::rm::{Contents, Place};
use crate::server::api::Task;

/// Words of a message.
const WORDS: usize = l4_sys::utcb::MESSAGE_REGISTERS;

/// A request to copy from a foreign dataspace whose size is not known yet.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct ForeignCopy {
    pub(in crate::server) target: Label,
    pub(in crate::server) writable: bool,
    pub(in crate::server) from: Foreign,
    pub(in crate::server) to_offset: u64,
    pub(in crate::server) from_offset: u64,
    pub(in crate::server) size: u64,
}

/// A foreign dataspace that is to be attached.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Shown {
    pub(in crate::server) factory: Label,
    pub(in crate::server) map: Label,
    pub(in crate::server) from: Foreign,
    pub(in crate::server) place: Place,
    pub(in crate::server) contents: Contents,
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) enum Call {
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
    /// Attach a foreign dataspace as it is.
    Show(Shown),
    /// Give back the pages of a region's own memory that was detached. The answer is known.
    Detach {
        own: Label,
        work: Work,
        answer: [u64; 3],
        label: i64,
    },
    /// Make a factory for a client of the service when objects that are ending have given their memory
    /// back.
    Factory { quota: Option<u64> },
    /// A request of the pager API.
    Api(Task),
    /// Bring what a fault is to bring at least, then serve its message.
    Bring {
        saved: Saved,
        object: Label,
        work: Work,
    },
    /// Try again when objects that are ending have given their memory back.
    Retry(Saved),
}

impl Call {
    /// The object that was called; `None` for what concerns the whole thread.
    pub(super) fn label(&self) -> Option<Label> {
        match self {
            Call::Work { target, .. }
            | Call::Copy { target, .. }
            | Call::CopyForeign { target, .. } => Some(*target),
            Call::AskForeign(ask) => Some(ask.target),
            Call::Zero { made } => Some(*made),
            Call::Attach { map, .. } => Some(*map),
            Call::Show(shown) => Some(shown.map),
            Call::Detach { own, .. } => Some(*own),
            Call::Factory { .. } => None,
            Call::Api(task) => task.factory(),
            Call::Bring { saved, .. } | Call::Retry(saved) => {
                Label::from_word(saved.label).map(|(label, _)| label)
            }
        }
    }

    /// The capability through which its steps put questions to another server.
    pub(super) fn foreign(&self) -> Option<Foreign> {
        match self {
            Call::AskForeign(ask) => Some(ask.from),
            Call::CopyForeign { from, .. } => Some(*from),
            Call::Show(shown) => Some(shown.from),
            _ => None,
        }
    }
}

/// A message that was put aside as it came.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Saved {
    label: u64,
    tag: MsgTag,
    words: [u64; WORDS],
}

impl Saved {
    /// No message.
    pub(in crate::server) const EMPTY: Saved = Saved {
        label: 0,
        tag: MsgTag(0),
        words: [0; WORDS],
    };

    /// `None` as [`Saved::keep`] is `false`.
    pub(in crate::server) fn new(msg: Incoming) -> Option<Self> {
        let mut saved = Saved::EMPTY;
        saved.keep(msg).then_some(saved)
    }

    /// Takes a message in place of the one that it was. `false`, and it is not to be used, when a capability came
    /// with it: that is in a receive buffer, where the next message's will be.
    pub(in crate::server) fn keep(&mut self, msg: Incoming) -> bool {
        let used = msg.tag.words() + 2 * msg.tag.items();
        let mut items = (msg.tag.words()..used.min(WORDS - 1)).step_by(2);
        if items.any(|at| Received::decode(msg.utcb.mr(at), msg.utcb.mr(at + 1)).is_cap()) {
            return false;
        }
        for (n, word) in self.words.iter_mut().enumerate().take(used) {
            *word = msg.utcb.mr(n);
        }
        self.label = msg.label;
        self.tag = msg.tag;
        true
    }

    /// A message whose words are known and whose items there are none of.
    pub(in crate::server) fn of_words(msg: Incoming, known: &[u64]) -> Self {
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

    pub(super) fn load(&self, utcb: UtcbRef) -> Incoming {
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
