//! The longest stall of a server: what it does from one receive to the next.
//!
//! From the moment its receive returns until it receives again, a server's thread serves nobody
//! else. Such a stretch is a *span*. It holds the program's own instructions and those of the kernel
//! that were entered from it (system calls, faults); code set apart is left out as everywhere, and
//! zeroed bytes are on their own. The receive itself, waiting and idling belong to nobody.
//!
//! Which thread of a program runs cannot be seen. So what another thread of the same program does on the
//! same CPU between two receives lengthens the span: a figure can be too large, not too small. Code
//! whose program is not known yet belongs to whoever ran before.
//!
//! As in [`counters`](crate::counters), all is plain loads and stores behind atomics.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::counters::{SLOTS, SlotId};

/// Servers that are watched at most.
pub const MOST: usize = 4;

/// Whose code a slot is, as far as stalls are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A program that is not watched.
    Other,
    /// The kernel's.
    Kernel,
    /// A watched program's, by its number.
    Server(u8),
    /// A user program's, and more than one fits.
    Unknown,
}

/// Code of a slot: whose, and whether it is set apart, and that as clearing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nature {
    /// Whose code.
    pub whose: Whose,
    /// Its instructions are reported apart.
    pub apart: bool,
    /// Its stores clear memory.
    pub clears: bool,
}

impl Nature {
    fn pack(self) -> u8 {
        let whose = match self.whose {
            Whose::Other => 0,
            Whose::Kernel => 1,
            Whose::Unknown => 2,
            Whose::Server(n) => 3 + n % MOST as u8,
        };
        whose | u8::from(self.apart) << 6 | u8::from(self.clears) << 7
    }

    fn unpack(byte: u8) -> Self {
        let whose = match byte & 0x3f {
            0 => Whose::Other,
            1 => Whose::Kernel,
            2 => Whose::Unknown,
            n => Whose::Server(n - 3),
        };
        Nature {
            whose,
            apart: byte & 0x40 != 0,
            clears: byte & 0x80 != 0,
        }
    }
}

/// What was found of one server on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Longest {
    /// The program's instructions in the longest span.
    pub user: u64,
    /// The kernel's in the same span.
    pub kernel: u64,
    /// Bytes zeroed in the same span.
    pub zeroed: u64,
    /// Bytes zeroed in the span that zeroed most.
    pub most_zeroed: u64,
    /// Receives.
    pub receives: u64,
}

/// A CPU's figures for one server.
#[derive(Debug, Default)]
struct Cell {
    user: AtomicU64,
    kernel: AtomicU64,
    zeroed: AtomicU64,
    longest: [AtomicU64; 5],
}

/// A CPU.
#[derive(Debug, Default)]
struct Cpu {
    /// The server that the CPU works for, from 1; 0 is none.
    owner: AtomicU8,
    /// What is left of the block is the receive itself.
    receiving: AtomicU8,
    cells: [Cell; MOST],
}

fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

/// See the [module](self).
#[derive(Debug)]
pub struct Stalls {
    natures: Vec<AtomicU8>,
    cpus: Vec<Cpu>,
}

impl Stalls {
    /// For `vcpus` CPUs; with `watch` false nothing is kept and every call is short.
    pub fn new(vcpus: u32, watch: bool) -> Self {
        let (slots, vcpus) = if watch { (SLOTS, vcpus) } else { (0, 0) };
        Stalls {
            natures: (0..slots).map(|_| AtomicU8::new(0)).collect(),
            cpus: (0..vcpus).map(|_| Cpu::default()).collect(),
        }
    }

    /// Says what the code of a slot is. It may be said again when more is known.
    pub fn set(&self, slot: SlotId, nature: Nature) {
        if let Some(place) = self.natures.get(slot.0 as usize) {
            place.store(nature.pack(), Relaxed);
        }
    }

    fn find(&self, vcpu: u32, slot: SlotId) -> Option<(&Cpu, Nature)> {
        let nature = self.natures.get(slot.0 as usize)?.load(Relaxed);
        Some((self.cpus.get(vcpu as usize)?, Nature::unpack(nature)))
    }

    /// `n` instructions of `slot` ran.
    #[inline]
    pub fn ran(&self, (vcpu, slot): (u32, SlotId), n: u64) {
        let Some((cpu, nature)) = self.find(vcpu, slot).filter(|_| n > 0) else {
            return;
        };
        if cpu.receiving.load(Relaxed) != 0 {
            cpu.receiving.store(0, Relaxed);
            return;
        }
        match nature.whose {
            Whose::Other => cpu.owner.store(0, Relaxed),
            Whose::Server(of) => cpu.owner.store(of + 1, Relaxed),
            Whose::Kernel | Whose::Unknown => {}
        }
        if let Some(cell) = cpu.owned().filter(|_| !nature.apart) {
            match nature.whose {
                Whose::Kernel => add(&cell.kernel, n),
                _ => add(&cell.user, n),
            }
        }
    }

    /// Code of `slot` stored so many bytes; `cleared` when the instruction clears whatever the slot is.
    #[inline]
    pub fn stored(&self, vcpu: u32, slot: SlotId, bytes: u64, cleared: bool) {
        let Some((cpu, nature)) = self.find(vcpu, slot) else {
            return;
        };
        if nature.whose == Whose::Other || !(cleared || nature.clears) {
            return;
        }
        if let Some(cell) = cpu.owned() {
            add(&cell.zeroed, bytes);
        }
    }

    /// The server `of` begins to receive; all that ran before is settled.
    pub fn receive(&self, vcpu: u32, of: u8) {
        let Some(cpu) = self.cpus.get(vcpu as usize) else {
            return;
        };
        if let Some(cell) = cpu.cells.get(usize::from(of)) {
            cell.end();
            add(&cell.longest[4], 1);
        }
        cpu.owner.store(0, Relaxed);
        cpu.receiving.store(1, Relaxed);
    }

    /// A window opens.
    pub fn open(&self) {
        for cpu in &self.cpus {
            cpu.owner.store(0, Relaxed);
            cpu.receiving.store(0, Relaxed);
            cpu.cells.iter().for_each(Cell::clear);
        }
    }

    /// A window closes: CPU, server and figures where there are any. Spans that are not over count as
    /// far as they got.
    pub fn close(&self) -> Vec<(u32, u8, Longest)> {
        let mut found = Vec::new();
        for (vcpu, cpu) in (0..).zip(&self.cpus) {
            for (of, cell) in (0..).zip(&cpu.cells) {
                cell.end();
                let [user, kernel, zeroed, most_zeroed, receives] =
                    [0, 1, 2, 3, 4].map(|n: usize| cell.longest[n].load(Relaxed));
                let longest = Longest {
                    user,
                    kernel,
                    zeroed,
                    most_zeroed,
                    receives,
                };
                if longest != Longest::default() {
                    found.push((vcpu, of, longest));
                }
            }
        }
        self.open();
        found
    }
}

impl Cpu {
    fn owned(&self) -> Option<&Cell> {
        let owner = usize::from(self.owner.load(Relaxed));
        self.cells.get(owner.checked_sub(1)?)
    }
}

impl Cell {
    /// Ends the span.
    fn end(&self) {
        let take = |cell: &AtomicU64| {
            let n = cell.load(Relaxed);
            cell.store(0, Relaxed);
            n
        };
        let (user, kernel, zeroed) = (take(&self.user), take(&self.kernel), take(&self.zeroed));
        let [most_user, most_kernel, of_most, most_zeroed, _] = &self.longest;
        if user + kernel > most_user.load(Relaxed) + most_kernel.load(Relaxed) {
            most_user.store(user, Relaxed);
            most_kernel.store(kernel, Relaxed);
            of_most.store(zeroed, Relaxed);
        }
        most_zeroed.store(zeroed.max(most_zeroed.load(Relaxed)), Relaxed);
    }

    fn clear(&self) {
        let all = [&self.user, &self.kernel, &self.zeroed];
        all.into_iter()
            .chain(&self.longest)
            .for_each(|cell| cell.store(0, Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: SlotId = SlotId(1);
    const KERNEL: SlotId = SlotId(2);
    const CLIENT: SlotId = SlotId(3);
    const ZERO: SlotId = SlotId(4);

    fn stalls() -> Stalls {
        let stalls = Stalls::new(2, true);
        let plain = |whose| Nature {
            whose,
            apart: false,
            clears: false,
        };
        stalls.set(SERVER, plain(Whose::Server(1)));
        stalls.set(KERNEL, plain(Whose::Kernel));
        stalls.set(
            ZERO,
            Nature {
                whose: Whose::Server(1),
                apart: true,
                clears: true,
            },
        );
        stalls
    }

    #[test]
    fn natures_survive_packing() {
        for whose in [
            Whose::Other,
            Whose::Kernel,
            Whose::Unknown,
            Whose::Server(0),
            Whose::Server(3),
        ] {
            for bits in 0..4 {
                let nature = Nature {
                    whose,
                    apart: bits & 1 != 0,
                    clears: bits & 2 != 0,
                };
                assert_eq!(Nature::unpack(nature.pack()), nature);
            }
        }
    }

    #[test]
    fn a_span_is_the_servers_and_what_it_asks_of_the_kernel() {
        let s = stalls();
        s.open();
        // Somebody's kernel entry before the server runs is not the server's.
        s.ran((0, CLIENT), 5);
        s.ran((0, KERNEL), 1000);
        s.ran((0, SERVER), 10);
        s.ran((0, KERNEL), 300);
        s.ran((0, ZERO), 77);
        s.stored(0, ZERO, 4096, false);
        s.stored(0, SERVER, 8, false);
        s.stored(0, SERVER, 64, true);
        s.ran((0, SERVER), 2);
        s.receive(0, 1);
        // The system call itself, and what the kernel does in it.
        s.ran((0, SERVER), 1);
        s.ran((0, KERNEL), 500);
        s.ran((0, CLIENT), 9);
        s.ran((0, KERNEL), 900);
        // A shorter span that zeroes more.
        s.ran((0, SERVER), 20);
        s.stored(0, SERVER, 9000, true);
        s.receive(0, 1);
        let longest = Longest {
            user: 12,
            kernel: 300,
            zeroed: 4160,
            most_zeroed: 9000,
            receives: 2,
        };
        assert_eq!(s.close(), [(0, 1, longest)]);
        assert_eq!(s.close(), [], "a window begins from nothing");
    }

    #[test]
    fn an_unfinished_span_counts_and_preemption_does_not() {
        let s = stalls();
        s.ran((1, SERVER), 4);
        s.ran((1, CLIENT), 100);
        s.ran((1, KERNEL), 100);
        s.ran((1, SERVER), 4);
        let found = s.close();
        assert_eq!((found[0].0, found[0].2.user, found[0].2.kernel), (1, 8, 0));
    }

    #[test]
    fn without_servers_nothing_is_kept() {
        let s = Stalls::new(1, false);
        s.set(SERVER, Nature::unpack(3));
        s.ran((0, SERVER), 4);
        s.receive(0, 0);
        assert_eq!(s.close(), []);
    }
}
