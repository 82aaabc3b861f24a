//! The oracle: page tables, mapping database and capability lists must say the same.

use crate::mapdb::ROOT;
use crate::object::Kind;
use crate::space::COUNTED;
use crate::state::State;

/// Compares every table with every other one.
pub(crate) fn check(st: &State) -> Result<(), String> {
    let mut pages = 0;
    for (id, o) in st.objs.iter() {
        let Kind::Task(t) = &o.kind else { continue };
        if t.is_sigma0 {
            continue;
        }
        for (addr, leaf) in t.pages.pages() {
            pages += 1;
            let m = st
                .mapdb
                .get(leaf.map)
                .ok_or(format!("{id}: page {addr:#x} has no mapping"))?;
            if (m.task, m.addr, m.phys, m.order) != (id, addr, leaf.phys, leaf.order) {
                return Err(format!(
                    "{id}: page {addr:#x} is {leaf:?}, its mapping {m:?}"
                ));
            }
            if m.parent != ROOT {
                let p = st
                    .mapdb
                    .get(m.parent)
                    .ok_or(format!("{id}: {addr:#x} has a dead parent"))?;
                if p.phys > m.phys || p.phys + (1 << p.order) < m.phys + (1 << m.order) {
                    return Err(format!("{id}: {addr:#x} is not inside its parent"));
                }
            }
        }
        for (slot, cap) in t.caps_between(0, crate::space::CAP_END) {
            let o = st
                .objs
                .get(cap.obj)
                .ok_or(format!("{id}: slot {slot:#x} names nothing"))?;
            if !o.caps.contains(&(id, slot)) {
                return Err(format!("{id}: slot {slot:#x} is not in {}'s list", cap.obj));
            }
        }
    }
    if pages != st.mapdb.len() {
        return Err(format!("{pages} pages, {} mappings", st.mapdb.len()));
    }
    for (id, o) in st.objs.iter() {
        let mut counted = 0;
        for (task, slot) in &o.caps {
            let cap = st.objs.task(*task).and_then(|t| t.cap(*slot));
            match cap {
                Some(c) if c.obj == id => counted += i64::from(c.extra & COUNTED != 0),
                _ => return Err(format!("{id}: {task} slot {slot:#x} does not name it")),
            }
        }
        if counted - o.dropped != o.counted {
            return Err(format!(
                "{id}: {counted} counted capabilities, {} noted",
                o.counted
            ));
        }
    }
    Ok(())
}
