//! Which CPU can run first: a tournament over the CPUs' earliest times, so that a change of one
//! CPU costs the logarithm of their number.

/// The tournament. Node 1 is the winner; leaves are the CPUs, in order.
#[derive(Debug)]
pub(crate) struct Turns {
    leaves: usize,
    tree: Vec<u64>,
    /// CPUs whose time may have changed since the last look.
    pub changed: Vec<u32>,
}

impl Turns {
    pub fn new(cpus: usize) -> Self {
        let leaves = cpus.next_power_of_two();
        Turns {
            leaves,
            tree: vec![u64::MAX; 2 * leaves],
            changed: (0..cpus as u32).collect(),
        }
    }

    /// Sets a CPU's time.
    pub fn set(&mut self, cpu: u32, key: u64) {
        let mut i = self.leaves + cpu as usize;
        if self.tree[i] == key {
            return;
        }
        self.tree[i] = key;
        while i > 1 {
            i /= 2;
            let min = self.tree[2 * i].min(self.tree[2 * i + 1]);
            if self.tree[i] == min {
                break;
            }
            self.tree[i] = min;
        }
    }

    /// The first CPU (the lowest number among equals), its time, and the earliest time of the
    /// others; `u64::MAX` for never.
    pub fn first(&self) -> (u32, u64, u64) {
        let best = self.tree[1];
        let mut next = u64::MAX;
        let mut i = 1;
        while i < self.leaves {
            let (l, r) = (self.tree[2 * i], self.tree[2 * i + 1]);
            let left = l == best;
            next = next.min(if left { r } else { l });
            i = 2 * i + usize::from(!left);
        }
        ((i - self.leaves) as u32, best, next)
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use crate::rng::Rng;

    #[test]
    fn agrees_with_a_scan() {
        for cpus in [1, 2, 5, 48, 100] {
            let (mut t, mut keys) = (Turns::new(cpus), vec![u64::MAX; cpus]);
            let mut rng = Rng::new(cpus as u64);
            for _ in 0..2000 {
                let (cpu, key) = (rng.below(cpus as u64), rng.below(20));
                keys[cpu as usize] = key;
                t.set(cpu as u32, key);
                let best = *keys.iter().min().unwrap();
                let at = keys.iter().position(|k| *k == best).unwrap();
                let next = keys
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| *i != at)
                    .map(|(_, k)| *k);
                assert_eq!(t.first(), (at as u32, best, next.min().unwrap_or(u64::MAX)));
            }
        }
    }
}
