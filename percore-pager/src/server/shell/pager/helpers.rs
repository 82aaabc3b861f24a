//! The messages of a pager thread's own helpers, of the kernel and of the front thread.

use l4_sys::{Errno, MsgTag, UtcbRef};
use l4re_rs::server::Incoming;

use crate::server::shell::fetcher;
use crate::server::shell::mailbox::{self, Head};
use crate::server::{Ticket, Verdict};

use super::{FORWARDED, Loop, label};

impl Loop {
    /// Lets the fetching thread go on when there is a question and it rests.
    pub(super) fn ask_on(&mut self, utcb: UtcbRef) {
        if self.core.pool.kernel.fetch.is_waiting()
            && let Some(slot) = self.fetch.take()
            && let Some(tag) = self.core.pool.kernel.fetch.ask(utcb)
        {
            self.give(slot, tag);
        }
    }

    /// A message that no client can send.
    #[cold]
    #[inline(never)]
    pub(super) fn helper(&mut self, msg: Incoming) -> Option<MsgTag> {
        match msg.label & !3 {
            label::IDLE => {
                if self.core.idle() {
                    return Some(MsgTag(0));
                }
                self.left = self.patience;
                self.idle = Some(self.keep_current());
                None
            }
            label::WORK => {
                self.turn(msg.utcb);
                if self.core.has_work() {
                    return Some(MsgTag(0));
                }
                self.work = Some(self.keep_current());
                None
            }
            label::FETCH => {
                if let Some(from) = self.core.pool.kernel.fetch.answered(msg.utcb) {
                    self.core.foreign_answered(from);
                }
                self.fetch = Some(self.keep_current());
                self.ask_on(msg.utcb);
                None
            }
            label::FETCH_FAULT => fetcher::rescue(msg.tag, msg.utcb),
            label::DELETED => {
                self.core.gates_deleted();
                None
            }
            label::MAIL => {
                self.mail(msg.utcb);
                None
            }
            _ => Some(MsgTag::plain(Errno::BadProto.label(), 0, 0)),
        }
    }

    /// Handles one message that the front thread has sent. The next one has to wait for a turn, so that
    /// whoever creates without end does not keep faults waiting.
    pub(super) fn mail(&mut self, utcb: UtcbRef) {
        let next = self.mailbox.requests.take(utcb);
        self.mail = next.is_some();
        if let Some(head) = next {
            let verdict = match head.kind {
                mailbox::Kind::Create => {
                    let quota = Some(utcb.mr(0)).filter(|quota| *quota != 0);
                    let ticket = Ticket(FORWARDED | head.ticket);
                    self.core.create_for_service(utcb, quota, ticket)
                }
                mailbox::Kind::Request => {
                    let msg = Incoming {
                        label: head.rights,
                        tag: head.tag,
                        utcb,
                    };
                    let ticket = Ticket(FORWARDED | head.ticket);
                    self.core.handle_service(msg, ticket)
                }
                mailbox::Kind::Answer => Verdict::error(Errno::BadProto),
            };
            match verdict {
                Verdict::Answer(tag) => {
                    self.mail_back(head.ticket, tag, utcb);
                    self.core.answer_sent();
                }
                Verdict::Parked => {}
                // The front thread's caller waits, so there is an answer in any case.
                Verdict::Nothing => {
                    let tag = MsgTag::plain(Errno::NoSys.label(), 0, 0);
                    self.mail_back(head.ticket, tag, utcb);
                }
            }
        }
    }

    /// Sends an answer to the front thread.
    pub(super) fn mail_back(&mut self, ticket: u32, tag: MsgTag, utcb: UtcbRef) {
        let head = Head {
            kind: mailbox::Kind::Answer,
            ticket,
            rights: 0,
            tag,
        };
        // The front thread has no more requests under way than the ring has places.
        let put = self.mailbox.answers.put(head, utcb);
        debug_assert!(put, "there is room for the answer to each request");
        self.front.trigger();
    }
}
