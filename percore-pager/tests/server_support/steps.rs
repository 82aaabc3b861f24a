//! Steps of traces: requests of clients, and what they do with their memory and capabilities.

use l4_sys::{CapRights, proto};
use l4re_rs::msg::Writer;
use percore_pager::frames::FrameNo;

use super::Cap;
use super::model::{Kind, Model, UNITS};
use super::traces::{Effect, KIB, Op, SPAN, Trace};
use crate::machine::PAGE;

impl Trace {
    pub(super) fn step(&mut self, op: Op) {
        let client = usize::from(op.client);
        let pick = |caps: &[Cap], n: u8| caps.get(usize::from(n) % caps.len().max(1)).copied();
        let (Some(cap), Some(other)) = (
            pick(&self.caps[client], op.cap),
            pick(&self.caps[client], op.other),
        ) else {
            return;
        };
        let kind = |model: &Model, cap: Cap| model.objects.get(&cap.id).map(|o| o.kind.clone());
        let writable = |cap: Cap| cap.rights.contains(CapRights::W);
        let (changed, read) = self.busy();
        let is_busy = |id: u64| changed.contains(&id) || read.contains(&id);
        let [a, b, c] = op.numbers.map(u64::from);
        match (op.kind % 64, kind(&self.model, cap)) {
            (0..20, Some(Kind::Ds(_, bytes))) => {
                let pages = bytes.len() as u64 / UNITS;
                let (page, flags) = (a % (pages + 2), op.flags & 7);
                let words = [0, page * PAGE + b, page * PAGE + c, u64::from(flags)];
                let write = writable(cap);
                let effect = Effect::Map {
                    ds: cap.id,
                    page,
                    flags,
                    write,
                };
                self.send(client, cap, proto::DATASPACE, &words, None, effect);
            }
            (20..24, Some(Kind::Ds(..))) if !is_busy(cap.id) => {
                let words = [1, a * KIB, b * KIB];
                let effect = Effect::Clear {
                    ds: cap.id,
                    at: a,
                    units: b,
                    write: writable(cap),
                };
                self.send(client, cap, proto::DATASPACE, &words, None, effect);
            }
            (24 | 25, Some(Kind::Ds(..))) => {
                let effect = Effect::Allocate {
                    ds: cap.id,
                    at: a,
                    units: b,
                };
                self.send(
                    client,
                    cap,
                    proto::DATASPACE,
                    &[4, a * KIB, b * KIB],
                    None,
                    effect,
                );
            }
            (26..33, Some(Kind::Ds(..))) if !is_busy(cap.id) && !changed.contains(&other.id) => {
                if !matches!(kind(&self.model, other), Some(Kind::Ds(..))) {
                    return;
                }
                // Whole pages more often than not: those are shared.
                let round = |n: u64| if op.flags & 1 == 0 { n & !3 } else { n };
                let (to, from) = ((cap.id, round(a)), (other.id, round(b)));
                let words = [3, to.1 * KIB, from.1 * KIB, c * KIB];
                let effect = Effect::Copy {
                    to,
                    from,
                    units: c,
                    write: writable(cap),
                };
                self.send(client, cap, proto::DATASPACE, &words, Some(other), effect);
            }
            (0..20, Some(Kind::Map(shown))) => {
                // Mostly where something is.
                let some = shown.keys().nth(a as usize % shown.len().max(1));
                let page = some
                    .filter(|_| b % 8 != 0)
                    .map_or(1 + a % SPAN, |page| *page);
                let (write, fetch) = (op.flags & 2 != 0, op.flags & 4 != 0);
                let effect = Effect::Fault {
                    map: cap.id,
                    page,
                    write,
                    fetch,
                };
                let word = (page * PAGE) | u64::from(op.flags & 6);
                self.send(client, cap, proto::PAGE_FAULT, &[word, 0], None, effect);
            }
            (20..29, Some(Kind::Map(_))) if !changed.contains(&other.id) => {
                let (start, pages, rights) = (1 + a % SPAN, 1 + b % 20, op.flags & 7);
                let flags = match op.flags >> 3 & 7 {
                    0..4 => 0,
                    4 | 5 => 0x1000,
                    _ => 0x2000,
                };
                let own = flags != 0;
                let ds = match kind(&self.model, other) {
                    _ if flags == 0x2000 => None,
                    Some(Kind::Ds(..)) => Some(other.id),
                    _ => return,
                };
                let page = c % 12;
                let write = writable(other);
                let effect = Effect::Attach {
                    map: cap.id,
                    start,
                    pages,
                    ds,
                    page,
                    rights,
                    own,
                    write,
                };
                let words = self.attach_words((start, pages, u32::from(rights) | flags, page));
                self.send(client, cap, proto::RM, &words, Some(other), effect);
            }
            (29..34, Some(Kind::Map(_))) => {
                let (start, pages, whole) = (1 + a % SPAN, 1 + b % 20, op.flags & 1 != 0);
                let pending = |effect: &Effect| matches!(effect, Effect::Detach { .. });
                if self.pending.values().any(|(_, effect)| pending(effect)) {
                    return;
                }
                let flags = if whole { 2 } else { 1 };
                let effect = Effect::Detach {
                    map: cap.id,
                    start,
                    pages,
                    whole,
                };
                let words = [1, start * PAGE, pages * PAGE, flags];
                self.send(client, cap, proto::RM, &words, None, effect);
            }
            (34..40, Some(Kind::Factory)) => {
                let kib = 1 + (a | b << 8) % 500;
                let (new, kib) = match op.flags % 8 {
                    0..6 => (proto::DATASPACE, Some(kib)),
                    6 => (proto::RM, None),
                    _ => (proto::FACTORY, None),
                };
                self.create(client, cap, new, kib, c % 4 == 0);
            }
            (40..50, _) => self.write(client, a | b << 8),
            (50..53, _) => self.share(client, cap, op.flags),
            (53, _) => {
                self.caps[client].swap_remove(usize::from(op.cap) % self.caps[client].len());
                self.rig.drop_cap(cap);
                if let Some(object) = self.model.objects.get_mut(&cap.id) {
                    object.refs -= 1;
                }
            }
            (54, _) if cap.rights.contains(CapRights::D) && op.flags & 3 == 0 => {
                self.rig.tables().delete(cap.id);
                if let Some(object) = self.model.objects.get_mut(&cap.id) {
                    object.deleted = true;
                }
            }
            (55..61, _) => {
                for _ in 0..a % 20 {
                    self.turn();
                    self.look(false);
                }
            }
            (61, _) => {
                self.rig.core.idle();
            }
            (62, _) => self.settle(),
            _ => {}
        }
    }

    fn attach_words(&mut self, (start, pages, flags, page): (u64, u64, u32, u64)) -> Vec<u64> {
        let utcb = self.rig.utcb();
        let tag = Writer::new(utcb)
            .u32(0)
            .u64(start * PAGE)
            .u64(pages * PAGE)
            .u32(flags)
            .u64(page * PAGE)
            .u8(12)
            .u64(1)
            .array(b"\0")
            .u64(0)
            .finish(proto::RM)
            .expect("it fits");
        (0..tag.words()).map(|n| utcb.mr(n)).collect()
    }

    /// A client writes a KiB that it has mapped.
    fn write(&mut self, client: usize, which: u64) {
        let _ = client;
        let (changed, read) = self.busy();
        let maps = &self.rig.core.pool.kernel.fake.maps;
        let may: Vec<_> = maps
            .iter()
            .filter(|(key, mapping)| {
                let ds = self.meaning[key].0;
                mapping.write && !changed.contains(&ds) && !read.contains(&ds)
            })
            .map(|(key, mapping)| (*key, mapping.frame))
            .collect();
        let Some((key, frame)) = may.get(which as usize / 4 % may.len().max(1)).copied() else {
            return;
        };
        let (ds, page) = self.meaning[&key];
        let unit = which % UNITS;
        self.stamp = self.stamp % 250 + 1;
        let first = (unit * KIB) as usize;
        let memory = self.rig.tables().fake.page(FrameNo(frame));
        memory[first..first + KIB as usize].fill(self.stamp);
        self.model.set(ds, page * UNITS + unit, 1, Some(self.stamp));
    }

    /// The other client gets a capability, with fewer rights.
    fn share(&mut self, client: usize, mut cap: Cap, flags: u8) {
        if self.rig.tables().gate(cap.id).is_none() || self.caps[1 - client].len() > 20 {
            return;
        }
        cap.rights &= CapRights::from_bits_truncate(flags & 3 | 4);
        self.rig.tables().refer(cap.id, true);
        if let Some(object) = self.model.objects.get_mut(&cap.id) {
            object.refs += 1;
        }
        self.caps[1 - client].push(cap);
    }
}
