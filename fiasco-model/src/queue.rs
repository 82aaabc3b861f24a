//! Threads and interrupts that wait for something, as the kernel keeps them: higher priority
//! first, then first come.

use crate::object::ObjId;

/// A queue by priority.
#[derive(Debug, Default)]
pub(crate) struct Queue(
    /// Priority, age, who; the best is last.
    Vec<(u8, u64, ObjId)>,
);

impl Queue {
    /// Puts somebody into the queue; `number` says who came first.
    pub fn enqueue(&mut self, prio: u8, number: u64, who: ObjId) {
        let key = (prio, u64::MAX - number, who);
        let at = self.0.partition_point(|s| *s < key);
        self.0.insert(at, key);
    }

    /// Takes somebody out of the queue.
    pub fn dequeue(&mut self, who: ObjId) {
        if let Some(i) = self.0.iter().rposition(|s| s.2 == who) {
            self.0.remove(i);
        }
    }

    /// Who is next.
    pub fn first(&self) -> Option<ObjId> {
        self.0.last().map(|s| s.2)
    }

    /// Takes out who is next.
    pub fn pop(&mut self) -> Option<ObjId> {
        self.0.pop().map(|s| s.2)
    }

    pub fn contains(&self, who: ObjId) -> bool {
        self.0.iter().any(|s| s.2 == who)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everybody, the next one first.
    pub fn iter(&self) -> impl Iterator<Item = ObjId> {
        self.0.iter().rev().map(|s| s.2)
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;
    use crate::object::ObjId;

    #[test]
    fn priority_before_age() {
        let mut q = Queue::default();
        for (number, prio) in [(1, 3), (2, 5), (3, 3), (4, 9)] {
            q.enqueue(prio, number, ObjId(number as u32));
        }
        assert!(q.contains(ObjId(2)));
        q.dequeue(ObjId(2));
        assert_eq!(q.iter().collect::<Vec<_>>(), [4, 1, 3].map(ObjId));
        assert_eq!((q.first(), q.pop()), (Some(ObjId(4)), Some(ObjId(4))));
        assert!(!q.is_empty());
    }
}
