//! Which CPUs there are, in which NUMA node each is, and which thread serves which.

use l4_sys::cpu;
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::scheduler::CpuSet;

use crate::server::api::CoreAt;

use super::args::{Cores, Layout};

/// Most CPUs. The kernel's object space has room for a useful number of objects on so many.
pub const MAX_CPUS: u32 = 64;
const WORDS: usize = MAX_CPUS as usize / 64;

/// A set of CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuMask([u64; WORDS]);

impl CpuMask {
    /// No CPU.
    pub const EMPTY: CpuMask = CpuMask([0; WORDS]);

    /// Adds a CPU; what is above [`MAX_CPUS`] is left out.
    pub fn add(&mut self, cpu: u32) {
        if let Some(word) = self.0.get_mut(cpu as usize / 64) {
            *word |= 1 << (cpu % 64);
        }
    }

    /// Whether a CPU is in it.
    pub fn has(&self, cpu: u32) -> bool {
        self.0
            .get(cpu as usize / 64)
            .is_some_and(|word| word & 1 << (cpu % 64) != 0)
    }

    /// The CPUs in rising order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..MAX_CPUS).filter(|cpu| self.has(*cpu))
    }

    /// All CPUs that a scheduler offers.
    pub fn online(scheduler: Cap<kind::Scheduler>) -> Self {
        let mut mask = CpuMask::EMPTY;
        for (index, word) in mask.0.iter_mut().enumerate() {
            // Beyond the last CPU the kernel refuses: none.
            *word = scheduler
                .cpus(0, index as u32 * 64)
                .map_or(0, |info| info.online);
        }
        mask
    }

    /// What was asked for and is not there.
    pub fn lack(&self, cores: Cores) -> Option<Lack> {
        let there = self.iter().count() as u32;
        match cores {
            Cores::All => None,
            Cores::First(count) => (count > there).then_some(Lack::Number(there)),
            Cores::List(list) => {
                let missing = list.iter().find(|cpu| !self.has(*cpu));
                missing.map(|cpu| Lack::Cpu(cpu, there))
            }
        }
    }

    /// The CPUs that were asked for and are there.
    pub fn chosen(&self, cores: Cores) -> CpuMask {
        let mut mask = CpuMask::EMPTY;
        let most = match cores {
            Cores::First(count) => count as usize,
            Cores::All | Cores::List(_) => MAX_CPUS as usize,
        };
        let wanted = |cpu: &u32| match cores {
            Cores::List(list) => list.has(*cpu),
            Cores::All | Cores::First(_) => true,
        };
        self.iter()
            .filter(wanted)
            .take(most)
            .for_each(|cpu| mask.add(cpu));
        mask
    }
}

/// CPUs that were asked for and are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// There are only so many.
    Number(u32),
    /// This one, and how many there are.
    Cpu(u32, u32),
}

/// What is known of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuAt {
    /// The kernel's number.
    pub cpu: u32,
    /// The processor's own number.
    pub apic: u32,
    /// NUMA node, 0 where nothing is known.
    pub node: u32,
    /// Index of the thread that serves it.
    pub worker: u32,
}

const NONE: CpuAt = CpuAt {
    cpu: 0,
    apic: 0,
    node: 0,
    worker: 0,
};

/// The served CPUs, in rising order.
#[derive(Debug)]
pub struct Cpus {
    all: [CpuAt; MAX_CPUS as usize],
    used: usize,
    workers: u32,
}

impl Cpus {
    /// Looks at each CPU of `mask` from itself: `thread`, which must be the calling one, goes there and
    /// comes to rest on the first. `node_of` gives the node for an APIC id. A CPU where the thread may
    /// not run is left out.
    pub fn visit(
        mask: &CpuMask,
        scheduler: Cap<kind::Scheduler>,
        (thread, prio): (Cap<kind::Thread>, u8),
        node_of: impl Fn(u32) -> u32,
    ) -> Self {
        let mut cpus = Cpus {
            all: [NONE; MAX_CPUS as usize],
            used: 0,
            workers: 0,
        };
        for cpu in mask.iter() {
            if scheduler.run(thread, prio, CpuSet::one(cpu), 0).is_err() {
                continue;
            }
            let apic = cpu::apic_id();
            if let Some(place) = cpus.all.get_mut(cpus.used) {
                *place = CpuAt {
                    cpu,
                    apic,
                    node: node_of(apic),
                    worker: 0,
                };
                cpus.used += 1;
            }
        }
        if let Some(first) = cpus.iter().next() {
            // It ran there a moment ago.
            let _ = scheduler.run(thread, prio, CpuSet::one(first.cpu), 0);
        }
        cpus
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &CpuAt> {
        self.all.iter().take(self.used)
    }

    /// The same in the words of the pager's own protocol, where a core is a thread.
    pub fn processors(&self) -> impl Iterator<Item = CoreAt> + Clone + '_ {
        self.all.iter().take(self.used).map(|at| CoreAt {
            apic: at.apic,
            core: at.worker,
            node: at.node,
        })
    }

    /// Number of threads after [`Cpus::assign`].
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// Says which thread serves which CPU. A thread runs on the first CPU that it serves.
    pub fn assign(&mut self, layout: Layout) {
        let mut workers = 0;
        for index in 0..self.used {
            let (before, rest) = self.all.split_at_mut(index);
            let Some(here) = rest.first_mut() else { break };
            let shared = match layout {
                Layout::Core => None,
                Layout::Node => before.iter().find(|other| other.node == here.node),
                Layout::Central => before.first(),
            };
            here.worker = match shared {
                Some(other) => other.worker,
                None => {
                    workers += 1;
                    workers - 1
                }
            };
        }
        self.workers = workers;
    }

    /// The CPU that a thread runs on.
    pub fn home(&self, worker: u32) -> Option<&CpuAt> {
        self.iter().find(|cpu| cpu.worker == worker)
    }

    /// The thread that serves a CPU.
    pub fn worker_of_cpu(&self, cpu: u32) -> Option<u32> {
        self.iter().find(|at| at.cpu == cpu).map(|at| at.worker)
    }

    /// The first thread in a node.
    pub fn worker_of_node(&self, node: u32) -> Option<u32> {
        self.iter().find(|at| at.node == node).map(|at| at.worker)
    }

    /// Number of threads in a node.
    pub fn workers_in(&self, node: u32) -> u32 {
        (0..self.workers)
            .filter(|worker| self.home(*worker).is_some_and(|at| at.node == node))
            .count() as u32
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    fn cpus(nodes: &[u32]) -> Cpus {
        let mut cpus = Cpus {
            all: [NONE; MAX_CPUS as usize],
            used: nodes.len(),
            workers: 0,
        };
        for (n, node) in nodes.iter().enumerate() {
            cpus.all[n] = CpuAt {
                cpu: n as u32 * 2,
                apic: n as u32,
                node: *node,
                worker: 0,
            };
        }
        cpus
    }

    #[test]
    fn layouts() {
        let mut four = cpus(&[0, 1, 0, 1]);
        four.assign(Layout::Core);
        assert_eq!((four.workers(), four.worker_of_cpu(4)), (4, Some(2)));
        assert_eq!(
            (four.worker_of_cpu(3), four.worker_of_node(1)),
            (None, Some(1))
        );
        four.assign(Layout::Node);
        assert_eq!((four.workers(), four.worker_of_cpu(6)), (2, Some(1)));
        assert_eq!(four.home(1).map(|at| at.cpu), Some(2));
        assert_eq!((four.workers_in(0), four.worker_of_node(2)), (1, None));
        four.assign(Layout::Central);
        assert_eq!((four.workers(), four.worker_of_cpu(6)), (1, Some(0)));
    }

    #[test]
    fn choice() {
        let mut online = CpuMask::EMPTY;
        [0, 1, 3, 40, 50]
            .into_iter()
            .for_each(|cpu| online.add(cpu));
        let mut list = CpuMask::EMPTY;
        [1, 2, 50].into_iter().for_each(|cpu| list.add(cpu));
        let pick = |cores| online.chosen(cores).iter().collect::<std::vec::Vec<_>>();
        assert_eq!(pick(Cores::All), [0, 1, 3, 40, 50]);
        assert_eq!(pick(Cores::First(2)), [0, 1]);
        assert_eq!(pick(Cores::List(list)), [1, 50]);
        assert_eq!(online.lack(Cores::List(list)), Some(Lack::Cpu(2, 5)));
        assert_eq!(online.lack(Cores::First(6)), Some(Lack::Number(5)));
        assert_eq!(online.lack(Cores::List(online)), None);
        assert_eq!(online.lack(Cores::First(5)), None);
        assert_eq!(online.lack(Cores::All), None);
    }
}
