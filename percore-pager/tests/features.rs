//! The table of what upstream's servers do names tests: they are there.

use std::path::Path;

#[test]
fn tests_that_the_table_names_exist() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(here.join("../docs/features.md")).expect("the table");
    let mut named = 0;
    for text in table.split('`').skip(1).step_by(2) {
        let Some((program, test)) = text.split_once("::") else {
            continue;
        };
        if program == "program" {
            continue;
        }
        let file = here.join("tests").join(format!("{program}.rs"));
        let source = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            source.contains(&format!("fn {test}()")),
            "there is no {text}"
        );
        named += 1;
    }
    assert!(named > 60, "{named} tests are named");
}
