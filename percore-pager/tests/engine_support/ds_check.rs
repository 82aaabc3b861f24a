//! What must hold of the machine after each step, and at the end.

use std::collections::BTreeMap;

use l4_sys::Errno;
use percore_pager::engine::Store;
use percore_pager::engine::ds::{self, Kind as DsKind};

use super::{FRAMES, Rig};
use crate::machine::{BASE, PAGE};

impl Rig {
    /// What is really in an object.
    pub(super) fn contents(&mut self, n: usize) -> Vec<u8> {
        let object = &self.objects[n];
        let mut bytes = vec![0; object.bytes.len()];
        let mut frames = vec![];
        ds::census(self.m.arena(), object.at, |page, frame, _| {
            frames.push((page, frame))
        });
        for (page, frame) in frames {
            let at = (page * PAGE) as usize;
            bytes[at..at + PAGE as usize].copy_from_slice(self.m.kernel.page(frame));
        }
        bytes
    }

    /// After an error, what is in the range may be anything that was there before or comes now: it is
    /// read back. Nothing else may have changed.
    pub(super) fn settle(
        &mut self,
        n: usize,
        got: Result<(), Errno>,
        range: std::ops::Range<usize>,
    ) {
        if got.is_err() {
            let now = self.contents(n);
            self.objects[n].bytes[range.clone()].copy_from_slice(&now[range]);
        }
    }

    /// Everything, after each step.
    pub fn check(&mut self) {
        let uses = self.m.uses();
        let sum = uses.free + uses.held + uses.meta + uses.data + uses.waiting;
        assert_eq!(sum, FRAMES, "conservation: {uses:?}");
        let (mut own, mut kept) = (0, 0);
        // Who has each frame: at most one owner, or sharers only; and the owner's account, if
        // it shared nothing when the object was made.
        let mut users: BTreeMap<u64, (usize, bool, Option<usize>)> = BTreeMap::new();
        let mut pages = BTreeMap::new();
        for n in 0..self.objects.len() {
            let object = &self.objects[n];
            let kind = self.m.arena().get(object.at).kind();
            let count = ds::census(self.m.arena(), object.at, |page, frame, shared| {
                let fixed = frame.0 > BASE + FRAMES;
                let mine = object.private.then_some(object.account);
                let entry = users.entry(frame.0).or_insert((0, shared, mine));
                assert!(
                    fixed || shared && entry.1 || entry.0 == 0,
                    "{frame:?} has two owners"
                );
                entry.0 += 1;
                pages.insert(
                    (object.client, page),
                    (frame.0, shared || kind == DsKind::Static),
                );
            });
            let count = count.expect("its figures are right");
            own += count.own;
            kept += count.kept;
            assert_eq!(
                self.contents(n),
                self.objects[n].bytes,
                "contents of object {n}"
            );
        }
        let shared = users
            .iter()
            .filter(|(f, u)| u.1 && **f <= BASE + FRAMES)
            .count() as u64;
        if self.deaths.is_empty() {
            assert_eq!((uses.data, uses.kept), (own + kept + shared, kept));
            let committed = self.m.arena().get(self.accounts[0].0).committed();
            // Beside the top account: the server's own page, and the pages of its own objects.
            let charged = (own + shared) * PAGE;
            let meta = uses.meta * PAGE;
            assert!(committed <= charged + meta - PAGE && committed + 8 * PAGE >= charged + meta);
        }
        // What clients see: their page, or what they gave up and nobody else uses for writing.
        for ((client, page), mapping) in &self.m.kernel.maps {
            match pages.get(&(*client, *page)) {
                Some((frame, shared)) if *frame == mapping.frame => {
                    assert!(
                        !(*shared && mapping.write),
                        "a writable mapping of a shared page"
                    );
                }
                now => {
                    let user = users.get(&mapping.frame);
                    // Static memory shows the same to everybody.
                    let fixed = mapping.frame > BASE + FRAMES;
                    // An account that shares nothing sees what it had before, in objects made under that statement.
                    let ghost = self.ghosts.get(client).copied();
                    let own = |shared: bool, account: Option<usize>| {
                        !shared && account.is_some() && ghost == account
                    };
                    let harmless = user.is_none_or(|(_, shared, account)| {
                        own(*shared, *account) || (*shared || fixed) && !mapping.write
                    });
                    let alive = self.objects.iter().any(|o| o.client == *client);
                    assert!(
                        harmless && !alive,
                        "client {client} sees {mapping:?}, not {now:?}"
                    );
                }
            }
        }
    }

    /// All goes, and all is as it was.
    pub fn finish_all(mut self) {
        while !self.objects.is_empty() {
            self.delete(0);
        }
        let m = &mut self.m;
        for mut death in self.deaths.drain(..) {
            while !death.step(m) {}
        }
        for n in (1..self.accounts.len()).rev() {
            if self.accounts[n].1 {
                self.close(n);
            }
        }
        self.m.end_private(self.accounts[0].0);
        while self.m.unmap_waiting() {}
        let top = self.m.arena().get(self.accounts[0].0);
        assert_eq!(
            (top.reserved(), top.committed()),
            (0, 0),
            "the quota is back"
        );
        let uses = self.m.uses();
        assert_eq!((uses.data, uses.kept, uses.waiting), (0, 0, 0));
        assert_eq!(uses.free + uses.held + uses.meta, self.whole);
        assert!(self.m.kernel.maps.is_empty(), "a stale mapping");
    }
}
