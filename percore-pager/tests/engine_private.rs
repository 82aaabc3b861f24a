//! Private and Anonymous attach: contents, charges, and that nothing is left after an error.

mod engine_support;
#[path = "engine_support/machine.rs"]
mod machine;

use l4_sys::Errno;
use machine::{Machine, PAGE, accounts, machine, touch};
use percore_pager::engine::ds::{self, ContiguousAlign, flag};
use percore_pager::engine::objects::{self, Entry, Label, Object, Objects, Private};
use percore_pager::engine::rm::{self, AttachFlags, Contents, Map, Name, Place, Range};
use percore_pager::engine::{Account, Ref, Store};
use percore_pager::frames::Kind;

struct Setting {
    m: Machine,
    objects: Objects<'static>,
    account: Ref<Account>,
    factory: Label,
    map: Label,
    at: Ref<Map>,
}

fn setting(frames: u64, quota: u64, entries: usize) -> Setting {
    let mut m = machine(frames, Kind::Bitmap);
    let (_, account) = accounts(&mut m, quota * PAGE);
    let mut objects = Objects::new(Box::leak(vec![Entry::EMPTY; entries].into_boxed_slice()));
    let factory = objects
        .insert(None, Object::Factory(account), true)
        .expect("room");
    let limits = Range::new(0, (1 << 40) - 1).expect("a range");
    let at = rm::create(&mut m, account, limits, []).expect("memory");
    let map = objects
        .insert(Some(factory), Object::RegionMap(at), true)
        .expect("room");
    Setting {
        m,
        objects,
        account,
        factory,
        map,
        at,
    }
}

impl Setting {
    fn source(&mut self, pages: u64, contiguous: bool) -> Label {
        let object = if contiguous {
            let align = ContiguousAlign::new(12, false).expect("a page");
            let object = ds::create_contiguous(&mut self.m, self.account, pages * PAGE, align);
            let object = object.expect("memory");
            while !ds::zero_some(&mut self.m, object) {}
            object
        } else {
            ds::create_on_demand(&mut self.m, self.account, pages * PAGE).expect("memory")
        };
        for page in 0..pages {
            let flags = flag::R | flag::W;
            let mapped = touch(&mut self.m, 1, object, page, flags).expect("memory");
            let within = (page * PAGE - (mapped.base & !(mapped_bytes(&mapped) - 1))) / PAGE;
            let frame = percore_pager::frames::FrameNo(mapped.start.0 + within);
            self.m.kernel.page(frame)[9] = page as u8 + 1;
        }
        self.objects
            .insert(Some(self.factory), Object::Dataspace(object), true)
            .expect("room")
    }

    fn attach(
        &mut self,
        page: u64,
        pages: u64,
        offset: u64,
        source: Option<Label>,
    ) -> Result<u32, Errno> {
        let flags = AttachFlags::new(7).expect("known");
        let place = Place::new(page * PAGE, pages * PAGE, flags, 12).expect("pages");
        let contents = Contents {
            backing: None,
            offset,
            client_cap: 5,
            backing_offset: 0,
            flags: 0,
            name: Name::new(b""),
        };
        let ends = (self.factory, self.map);
        let mut private = Private::begin(
            &mut self.objects,
            &mut self.m,
            ends,
            place,
            contents,
            source,
        )?;
        let mut turns = 1;
        loop {
            self.m.kernel.work = 0;
            let done = private.step(&mut self.objects, &mut self.m)?;
            assert!(self.m.kernel.work <= 68 << 10, "{}", self.m.kernel.work);
            if let Some(range) = done {
                assert_eq!((range.start(), range.size()), (page * PAGE, pages * PAGE));
                return Ok(turns);
            }
            turns += 1;
        }
    }

    /// Byte 9 of a page of the map, as a client reads it, or writes and reads it.
    fn byte(&mut self, page: u64, write: Option<u8>) -> u8 {
        let word =
            page * PAGE + 9 * u64::from(write.is_none()) * 8 + if write.is_some() { 2 } else { 0 };
        let got = objects::page_fault(&self.objects, &mut self.m, self.at, word);
        let mapped = got.expect("memory");
        let first = mapped.base & !(mapped_bytes(&mapped) - 1);
        let within = (page * PAGE - first) / PAGE;
        let frame = percore_pager::frames::FrameNo(mapped.start.0 + within);
        let shown = &mut self.m.kernel.page(frame)[9];
        if let Some(value) = write {
            *shown = value;
        }
        *shown
    }

    fn all_gone(mut self) {
        self.objects.condemn(&mut self.m, self.factory);
        while self.objects.turn(&mut self.m) {}
        while self.m.unmap_waiting() {}
        let uses = self.m.uses();
        assert_eq!((uses.data, uses.kept, uses.meta), (0, 0, 1));
    }
}

fn mapped_bytes(mapped: &ds::Mapped) -> u64 {
    u64::from(mapped.order.frames()) * PAGE
}

#[test]
fn a_private_region_is_a_copy() {
    for contiguous in [false, true] {
        let mut s = setting(2000, 1500, 20);
        let source = s.source(100, contiguous);
        let turns = s
            .attach(16, 90, 5 * PAGE + 7, Some(source))
            .expect("memory");
        assert!(turns > 1, "90 pages are not one turn's work");
        for page in 0..90 {
            assert_eq!(s.byte(16 + page, None), page as u8 + 6);
        }
        assert_eq!(s.byte(20, Some(200)), 200);
        let Some(Object::Dataspace(from)) = s.objects.look(source) else {
            panic!("there")
        };
        let mapped = touch(&mut s.m, 1, from, 9, flag::R).expect("memory");
        let within = (9 * PAGE - (mapped.base & !(mapped_bytes(&mapped) - 1))) / PAGE;
        let frame = percore_pager::frames::FrameNo(mapped.start.0 + within);
        assert_eq!(s.m.kernel.page(frame)[9], 10, "the source is as it was");
        s.all_gone();
    }
}

#[test]
fn fresh_memory_ends_with_its_last_region() {
    let mut s = setting(2000, 1500, 20);
    let before = s.m.arena().get(s.account).committed();
    let live = s.objects.live();
    s.attach(8, 40, 0, None).expect("memory");
    assert_eq!((s.objects.live(), s.byte(9, None)), (live + 1, 0));
    assert_eq!(s.byte(9, Some(3)), 3);
    let mut regions = 1;
    // The middle, then what is left, in two pieces.
    for (page, pages) in [(20, 4), (8, 12), (24, 24)] {
        let got = rm::detach(&mut s.m, s.at, page * PAGE, pages * PAGE, 0).expect("there");
        if let Some(backing) = got.shared() {
            s.objects
                .add_user(&mut s.m, Label::from(backing))
                .expect("alive");
            regions += 1;
        }
        if let Some(backing) = got.dropped() {
            s.objects.drop_user(&mut s.m, backing);
            regions -= 1;
        }
        assert_eq!(s.objects.live(), live + u32::from(regions > 0));
    }
    while s.objects.turn(&mut s.m) {}
    while s.m.unmap_waiting() {}
    // Pages of region nodes may stay; those of the dataspace's memory do not.
    assert!(s.m.arena().get(s.account).committed() <= before + PAGE);
    s.all_gone();
}

#[test]
fn errors_leave_nothing() {
    let mut s = setting(2000, 200, 6);
    let source = s.source(60, false);
    let state = |s: &Setting| {
        let uses = s.m.uses();
        (
            s.objects.live(),
            uses.data,
            uses.meta,
            s.m.arena().get(s.account).reserved(),
        )
    };
    let before = state(&s);
    // Not inside the source.
    for (pages, offset) in [(61, 0), (1, 60 * PAGE), (2, 59 * PAGE), (1, u64::MAX)] {
        assert_eq!(s.attach(8, pages, offset, Some(source)), Err(Errno::Inval));
    }
    let gone = s.source(1, false);
    s.objects.condemn(&mut s.m, gone);
    while s.objects.turn(&mut s.m) {}
    while s.m.unmap_waiting() {}
    assert_eq!(s.attach(8, 1, 0, Some(gone)), Err(Errno::NoEnt));
    assert_eq!(state(&s), before);
    // No place: what was copied goes again.
    s.attach(8, 4, 0, None).expect("memory");
    assert_eq!(s.attach(10, 4, 0, None), Err(Errno::AddrNotAvail));
    while s.objects.turn(&mut s.m) {}
    // The table is full.
    while s.objects.live() < 6 {
        s.attach(1000 + u64::from(s.objects.live()) * 8, 1, 0, None)
            .expect("room");
    }
    let before = state(&s);
    assert_eq!(s.attach(2000, 1, 0, None), Err(Errno::NoMem));
    assert_eq!(state(&s), before);
    s.all_gone();
    // The quota is used up in the middle of a copy.
    let mut s = setting(2000, 80, 20);
    let source = s.source(60, true);
    let live = s.objects.live();
    assert_eq!(s.attach(8, 60, 0, Some(source)), Err(Errno::NoMem));
    while s.objects.turn(&mut s.m) {}
    while s.m.unmap_waiting() {}
    assert_eq!((s.objects.live(), s.m.uses().data), (live, 60));
}
