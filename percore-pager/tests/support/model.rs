//! The reference: a plain table of what each frame of the window is.

use percore_pager::frames::{FrameNo, Owner, Run, Window};

/// State of every frame of a window.
pub struct Model {
    base: u64,
    states: Vec<Owner>,
    /// Zeroed and not handed out since.
    zero: Vec<bool>,
    free: u32,
    owned: u32,
    held: u32,
}

impl Model {
    pub fn new(window: &Window) -> Self {
        let frames = window.frames() as usize;
        Model {
            base: window.base().0,
            states: vec![Owner::Absent; frames],
            zero: vec![false; frames],
            free: 0,
            owned: 0,
            held: 0,
        }
    }

    fn range(&self, run: Run) -> std::ops::Range<usize> {
        let start = (run.start().0 - self.base) as usize;
        start..start + run.frames() as usize
    }

    fn inside(&self, run: Run) -> bool {
        run.start().0 >= self.base && run.end().0 <= self.base + self.states.len() as u64
    }

    pub fn state(&self, frame: FrameNo) -> Owner {
        let at = frame.0.checked_sub(self.base);
        at.and_then(|at| self.states.get(at as usize))
            .copied()
            .unwrap_or(Owner::Absent)
    }

    /// The first frame of `run` that is not in `state`, and what it is.
    pub fn first_not(&self, run: Run, state: Owner) -> Option<(FrameNo, Owner)> {
        (run.start().0..run.end().0)
            .map(|frame| (FrameNo(frame), self.state(FrameNo(frame))))
            .find(|(_, found)| *found != state)
    }

    pub fn all(&self, run: Run, state: Owner) -> bool {
        self.inside(run)
            && self.states[self.range(run)]
                .iter()
                .all(|found| *found == state)
    }

    pub fn set(&mut self, run: Run, state: Owner) {
        for at in self.range(run) {
            let count = |owner: Owner, model: &mut Model, by: i32| {
                let counter = match owner {
                    Owner::Absent => return,
                    Owner::Free => &mut model.free,
                    Owner::Held => &mut model.held,
                    Owner::Tag(_) => &mut model.owned,
                };
                *counter = counter
                    .checked_add_signed(by)
                    .expect("counts are never negative");
            };
            count(self.states[at], self, -1);
            count(state, self, 1);
            self.states[at] = state;
            self.zero[at] = false;
        }
    }

    pub fn set_zero(&mut self, run: Run) {
        let range = self.range(run);
        self.zero[range].fill(true);
    }

    pub fn is_zero(&self, run: Run) -> bool {
        self.zero[self.range(run)].iter().all(|zero| *zero)
    }

    /// Free, owned, held frames.
    pub fn counts(&self) -> (u32, u32, u32) {
        (self.free, self.owned, self.held)
    }

    /// Number of aligned free runs of `order` inside `within`.
    pub fn runs(&self, order: u32, within: Run) -> u32 {
        let size = 1u64 << order;
        let low = within.start().0.max(self.base).next_multiple_of(size);
        let high = within.end().0.min(self.base + self.states.len() as u64);
        let mut count = 0;
        let mut at = low;
        while at + size <= high {
            let from = (at - self.base) as usize;
            let run = &self.states[from..from + size as usize];
            count += u32::from(run.iter().all(|state| *state == Owner::Free));
            at += size;
        }
        count
    }
}
