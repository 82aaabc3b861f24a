//! Compares the table with the tree.

use crate::table::rows;
use crate::tree;

/// Fewest comparisons for the proof to count; the table has more. Lower it only when numbers leave
/// the crate.
const FLOOR: usize = 300;

#[test]
fn every_number_equals_the_trees() {
    let tree = tree::values();
    let mut compared = 0;
    let mut differing = Vec::new();
    for row in rows() {
        match tree.get(row.theirs) {
            Some(value) if *value == row.value => compared += 1,
            Some(value) => differing.push(format!(
                "{} = {:#x}, but {} = {value:#x}",
                row.ours, row.value, row.theirs
            )),
            None => differing.push(format!(
                "{} = {:#x}, but the tree has no {}",
                row.ours, row.value, row.theirs
            )),
        }
    }
    crate::say(&format!(
        "l4-sys: ABI proof against {}: {compared} numbers equal, {} differ",
        env!("L4_SYS_ABI_PROOF"),
        differing.len()
    ));
    assert!(
        differing.is_empty(),
        "{} differ:\n  {}",
        differing.len(),
        differing.join("\n  ")
    );
    assert!(
        compared >= FLOOR,
        "only {compared} numbers compared, want {FLOOR}"
    );
}
