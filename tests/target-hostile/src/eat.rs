//! Using up the kernel's memory, and giving it back.

use l4_sys::{CapIdx, CapRights, Fpage, Timeout};
use l4re_rs::Cap;
use l4re_rs::cap::kind;
use l4re_rs::client::ipc;
use test_sigma0::context::{Context, OWN_TASK};

/// First of the slots that the objects go to; the tests' own slots are below.
const FIRST: u64 = 0x1000;
/// One behind the last.
const END: u64 = 0x4_0000;
/// log2 of the slots that are emptied at once.
const BATCH: u32 = 8;

/// Objects that hold nearly all of the kernel's memory.
#[derive(Debug)]
pub struct Eaten {
    end: u64,
    /// Tasks, threads, gates and interrupts made.
    pub made: [u64; 4],
}

/// Makes kernel objects until there is no memory for any: large ones first, then small ones for
/// what is left between.
pub fn all(c: &Context) -> Eaten {
    let mut eaten = Eaten {
        end: FIRST,
        made: [0; 4],
    };
    for (i, n) in (0..4).zip(&mut eaten.made) {
        while eaten.end < END {
            let slot = CapIdx::from_slot(eaten.end);
            let made = match i {
                0 => c.factory.create_task(Fpage(0), Cap::new(slot)),
                1 => c.factory.create_thread(Cap::new(slot)),
                2 => c.factory.create_gate(0, c.main_thread, Cap::new(slot)),
                _ => c.factory.create_irq(Cap::new(slot)),
            };
            if made.is_err() {
                break;
            }
            eaten.end += 1;
            *n += 1;
        }
    }
    eaten
}

impl Eaten {
    /// Whether it was the memory that ended it, not the slots.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.end < END && self.end > FIRST
    }

    /// Deletes all objects and waits until the kernel can make a new one of each kind.
    pub fn give_back(self, c: &mut Context) -> bool {
        for first in (FIRST..self.end).step_by(1 << BATCH) {
            let slots = Fpage::obj(CapIdx::from_slot(first), BATCH, CapRights::RWSD);
            let _ = OWN_TASK.delete_slots(slots);
        }
        let probe: Cap<kind::Task> = c.slot();
        let again = (0..1000).any(|_| {
            ipc::sleep(Timeout::from_us(1000));
            c.factory.create_task(Fpage(0), probe).is_ok()
        });
        let _ = OWN_TASK.delete(probe);
        c.drop_slot(probe);
        again
    }
}
