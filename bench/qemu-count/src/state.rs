//! What the plugin knows besides the counts: images, slots and windows; and the report from them.

use std::collections::HashMap;

use crate::args::Config;
use crate::counters::{Counters, Metric, SLOTS, SlotId};
use crate::image::{ImageId, Images, Owners, PageId, Place};
use crate::report::{Half, Record, Report, Stall};
use crate::stall::{Longest, Nature, Whose};
use crate::tick::Block;
use crate::window::{KEPT, Windows};

/// The part of what timer ticks do.
const TICK: &str = "tick";
/// The part of idle loops.
const IDLE: &str = "idle";

/// Return from an interrupt.
const IRETQ: [u8; 2] = [0x48, 0xcf];

/// The kind of code a slot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct SlotKey {
    half: Half,
    page: PageId,
    /// Index into `Config::apart`.
    apart: Option<u16>,
}

/// A range of code reported apart, its image resolved.
#[derive(Debug)]
struct Range {
    part: String,
    lo: u64,
    hi: u64,
    image: Option<ImageId>,
}

/// Code in which a server receives.
#[derive(Debug)]
struct Receives {
    image: ImageId,
    lo: u64,
    hi: u64,
}

/// Everything that is touched at translation, markers and the end, behind one lock.
#[derive(Debug)]
pub struct State {
    config: Config,
    images: Images,
    ranges: Vec<Range>,
    /// A server's number is that of the first one with its image.
    receives: Vec<Receives>,
    /// By window, CPU and server.
    stalls: Vec<(u32, u32, u8, Longest)>,
    slots: HashMap<SlotKey, SlotId>,
    keys: Vec<SlotKey>,
    overflow: bool,
    /// The windows of the run.
    pub windows: Windows,
    tick: Option<SlotId>,
}

impl State {
    /// Reads the images that `config` names.
    ///
    /// # Errors
    /// A sentence naming the image that cannot be read.
    pub fn new(config: Config) -> Result<Self, String> {
        let mut images = Images::default();
        for image in &config.images {
            let fail = |error: &dyn std::fmt::Display| {
                format!("image {} ({}): {error}", image.name, image.path.display())
            };
            let file = std::fs::read(&image.path).map_err(|error| fail(&error))?;
            images
                .add(&image.name, &file)
                .map_err(|error| fail(&error))?;
        }
        let mut ranges: Vec<Range> = config
            .apart
            .iter()
            .map(|apart| Range {
                part: apart.part.clone(),
                lo: apart.lo,
                hi: apart.hi,
                image: apart.image.as_deref().and_then(|name| images.find(name)),
            })
            .collect();
        // No code lies in it: what ticks do is found as it runs.
        let tick = (!config.ticks.is_empty()).then_some(ranges.len() as u16);
        ranges.extend(tick.map(|_| Range {
            part: TICK.to_owned(),
            lo: 0,
            hi: 0,
            image: None,
        }));
        let found = config.receives.iter().map(|receive| {
            let image = images.find(&receive.image);
            let image = image.ok_or_else(|| format!("no image {}", receive.image))?;
            let (lo, hi) = (receive.lo, receive.hi);
            Ok(Receives { image, lo, hi })
        });
        let receives = found.collect::<Result<_, String>>()?;
        let mut state = State {
            config,
            images,
            ranges,
            receives,
            stalls: Vec::new(),
            slots: HashMap::new(),
            keys: Vec::new(),
            overflow: false,
            windows: Windows::default(),
            tick: None,
        };
        // Slots 0 and 1 take what has no slot of its own; see `slot`.
        for half in [Half::User, Half::Kernel] {
            state.intern(SlotKey {
                half,
                page: PageId::OTHER,
                apart: None,
            });
        }
        state.tick = tick.map(|index| {
            state.intern(SlotKey {
                half: Half::Kernel,
                page: PageId::OTHER,
                apart: Some(index),
            })
        });
        Ok(state)
    }

    /// The arguments.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The slot of what timer ticks do, if they are set apart.
    pub fn tick(&self) -> Option<SlotId> {
        self.tick
    }

    /// What a block at `vaddr` in `slot` is, as far as ticks are concerned; `last` are the bytes of its last
    /// instruction.
    pub fn block(&self, vaddr: u64, slot: SlotId, last: &[u8]) -> Block {
        let key = self.keys[slot.0 as usize];
        let idle = key
            .apart
            .is_some_and(|index| self.ranges[usize::from(index)].part == IDLE);
        Block {
            outside: key.half == Half::User || idle,
            entry: self.config.ticks.contains(&vaddr),
            returns: last == IRETQ,
        }
    }

    /// Slots in use.
    pub fn slots(&self) -> u32 {
        self.keys.len() as u32
    }

    /// The slot of the block `bytes` at `place`, and whether its stores are counted (set apart).
    /// `place.frame` is `None` if the code lies in no ordinary memory.
    pub fn slot(&mut self, vaddr: u64, frame: Option<u64>, bytes: &[u8]) -> (SlotId, bool) {
        let half = Half::of(vaddr);
        let page = match (half, frame) {
            (Half::User, Some(frame)) => self.images.locate(Place { vaddr, frame }, bytes),
            _ => PageId::OTHER,
        };
        let apart = self.ranges.iter().position(|range| {
            let inside = |addr: u64| (range.lo..range.hi).contains(&addr);
            match range.image {
                None => inside(vaddr),
                Some(image) => self
                    .images
                    .linked(page, vaddr)
                    .any(|(candidate, link)| candidate == image && inside(link)),
            }
        });
        let key = SlotKey {
            half,
            page,
            apart: apart.map(|index| index as u16),
        };
        (self.intern(key), apart.is_some())
    }

    fn intern(&mut self, key: SlotKey) -> SlotId {
        if let Some(slot) = self.slots.get(&key) {
            return *slot;
        }
        if self.slots() == SLOTS {
            self.overflow = true;
            return SlotId(key.half as u32);
        }
        let slot = SlotId(self.slots());
        self.keys.push(key);
        self.slots.insert(key, slot);
        slot
    }

    /// What is known now of a slot's code, as far as stalls are concerned.
    pub fn nature(&self, slot: SlotId) -> Nature {
        let key = self.keys[slot.0 as usize];
        let whose = match (key.half, self.images.only(key.page)) {
            (Half::Kernel, _) => Whose::Kernel,
            (Half::User, None) => Whose::Unknown,
            (Half::User, Some(image)) => match image.and_then(|image| self.server(image)) {
                Some(number) => Whose::Server(number),
                None => Whose::Other,
            },
        };
        let part = key.apart.map(|index| &self.ranges[usize::from(index)].part);
        Nature {
            whose,
            apart: part.is_some(),
            clears: part.is_some_and(|part| part == "zero"),
        }
    }

    /// The number of a server's image.
    fn server(&self, image: ImageId) -> Option<u8> {
        let number = self.receives.iter().position(|it| it.image == image);
        number.map(|number| number as u8)
    }

    /// The server that receives by a system call at `vaddr` in the block of `slot`.
    pub fn receiver(&self, slot: SlotId, vaddr: u64) -> Option<u8> {
        let page = self.keys[slot.0 as usize].page;
        let at = |receive: &Receives| {
            self.images.linked(page, vaddr).any(|(image, link)| {
                image == receive.image && (receive.lo..receive.hi).contains(&link)
            })
        };
        let found = self.receives.iter().find(|it| at(it))?;
        self.server(found.image)
    }

    /// Closes the open window and keeps its counts, and the longest stalls, which
    /// [`Stalls::close`](crate::stall::Stalls::close) has given.
    pub fn close(&mut self, counters: &Counters, stalls: Vec<(u32, u8, Longest)>) {
        let rows = counters.close(self.slots());
        self.windows.keep(rows);
        let number = self.windows.closed().len() as u32;
        // Windows that are added to the last one have several lines.
        debug_assert!(number as usize <= KEPT);
        let lines = stalls
            .into_iter()
            .map(|(vcpu, of, longest)| (number, vcpu, of, longest));
        self.stalls.extend(lines);
    }

    /// The report on the windows closed so far, with what is known of the programs now.
    pub fn report(&self, counters: &Counters, complete: bool, foreign_thread: bool) -> Report {
        let mut report = Report::default();
        let windows = &self.windows;
        let owners = self.images.owners();
        report.push_fact("format", "qemu-count 1");
        report.push_fact("vcpus", counters.vcpus());
        report.push_fact("windows opened", windows.opened());
        report.push_fact("windows kept apart", windows.closed().len());
        report.push_fact("stop markers without a window", windows.unmatched_stops());
        report.push_fact(
            "complete",
            if complete {
                "yes"
            } else {
                "no, the guest still ran"
            },
        );
        if foreign_thread {
            report.push_fact(
                "invalid",
                "CPUs ran in several threads; use -accel tcg,thread=single",
            );
        }
        if self.overflow {
            report.push_fact(
                "warning",
                "more code pages than slots; some counts are in `other`",
            );
        }
        for (window, vcpu, of, longest) in &self.stalls {
            let server = self.config.receives.get(usize::from(*of));
            report.push_stall(&Stall {
                window: *window,
                vcpu: *vcpu,
                program: server.map_or("?", |receive| &receive.image).to_owned(),
                longest: *longest,
            });
        }
        for (number, rows) in (1..).zip(windows.closed()) {
            let first = report.records.len();
            for (vcpu, slot, row) in rows {
                let key = self.keys[slot.0 as usize];
                let (program, part) = self.names(&owners, key);
                let mut record = Record::new(number, *vcpu, key.half, program, part, row);
                for (name, metric) in Metric::ENTERED {
                    if self.config.entries.iter().all(|e| e.metric != metric) {
                        record.unknown(name);
                    }
                }
                match report.records[first..]
                    .iter_mut()
                    .find(|known| known.same_key(&record))
                {
                    Some(known) => known.add(&record),
                    None => report.records.push(record),
                }
            }
            report.records[first..].sort_by(|a, b| {
                let key = |r: &Record| (r.vcpu, r.half, r.program.clone(), r.part.clone());
                key(a).cmp(&key(b))
            });
        }
        report
    }

    /// Program and part of a slot. A part of an image holds only if the page is that image's alone.
    fn names(&self, owners: &Owners, key: SlotKey) -> (String, String) {
        let program = match key.half {
            Half::Kernel => "kernel".to_owned(),
            Half::User => self.images.name(owners, key.page),
        };
        let range = key.apart.map(|index| &self.ranges[usize::from(index)]);
        let part = range
            .filter(|range| range.image.is_none() || range.image == owners.only(key.page))
            .map_or_else(String::new, |range| range.part.clone());
        (program, part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Apart;

    fn state(apart: Vec<Apart>) -> State {
        State::new(Config {
            out: "x".into(),
            apart,
            ..Config::default()
        })
        .unwrap()
    }

    #[test]
    fn kernel_parts_are_rows_of_their_own() {
        let zero = 0xffff_ffff_f008_0000;
        let apart = Apart {
            part: "zero".into(),
            lo: zero,
            hi: zero + 0x100,
            image: None,
        };
        let mut state = state(vec![apart]);
        let counters = Counters::new(1);
        let (plain, stores_plain) = state.slot(zero - 1, Some(1), &[0x90]);
        let (set_apart, stores_apart) = state.slot(zero, Some(1), &[0x90]);
        assert_ne!(plain, set_apart);
        assert!(!stores_plain && stores_apart);
        assert!(state.windows.start());
        counters.open(0, plain);
        counters.add(0, plain, crate::counters::Metric::Instructions, 5);
        counters.add(0, set_apart, crate::counters::Metric::Instructions, 7);
        assert!(state.windows.stop());
        state.close(&counters, Vec::new());
        let report = state.report(&counters, true, false);
        let rows: Vec<_> = report
            .records
            .iter()
            .map(|r| {
                (
                    r.program.as_str(),
                    r.part.as_str(),
                    r.instructions,
                    r.page_faults,
                )
            })
            .collect();
        assert_eq!(rows, [("kernel", "", 5, None), ("kernel", "zero", 7, None)]);
    }

    #[test]
    fn a_full_table_says_so() {
        let mut state = state(Vec::new());
        for page in 0..SLOTS + 5 {
            let apart = Some((page % 60_000) as u16);
            state.intern(SlotKey {
                half: Half::User,
                page: PageId::OTHER,
                apart,
            });
        }
        assert_eq!(state.slots(), SLOTS);
        let report = state.report(&Counters::new(1), true, false);
        assert!(report.fact("warning").is_some());
        assert_eq!(report.fact("invalid"), None);
    }

    #[test]
    fn a_missing_image_is_named() {
        let config = Config {
            out: "x".into(),
            images: vec![crate::args::ImageArg {
                name: "moe".into(),
                path: "/no/such".into(),
            }],
            ..Config::default()
        };
        let error = State::new(config).unwrap_err();
        assert!(
            error.contains("moe") && error.contains("/no/such"),
            "{error}"
        );
    }
}
