//! Lists as users write them, and the messages for those that are wrong.

use std::fs;

use super::*;

fn read(text: &str) -> Result<ModList, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("modules.list");
    fs::write(&file, text).unwrap();
    fs::write(dir.path().join("more.list"), "entry included\nmodule m\n").unwrap();
    ModList::read(&file).map_err(|error| {
        let prefix = format!("{}/", dir.path().display());
        error.to_string().replace(&prefix, "")
    })
}

const LIST: &str = "\
modaddr 0x1000
default-kernel fiasco -serial_esc
group both
module l4re
module[arch=arm64] not-ours
module ned
entry[tap, expect=TAP-END, timeout=30] First
sigma0 sigma0-rs reserve=1,2
moe sub/first.cfg
module-group both
module[fname=other] some/file a  b
entry[arch=arm64] not-ours
unknown-is-fine-here
";

#[test]
fn an_entry_with_everything() {
    let text = LIST.replace("unknown-is-fine-here\n", "module x\ninclude more.list\n");
    let list = read(&text).unwrap();
    let names: Vec<_> = list
        .entries()
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!(names, ["First", "included"]);
    let entry = list.entry("first").unwrap();
    assert_eq!(entry.kernel.command_line(), "fiasco -serial_esc");
    assert_eq!(entry.sigma0.command_line(), "sigma0-rs reserve=1,2");
    assert_eq!(entry.roottask.command_line(), "moe rom/first.cfg");
    let modules: Vec<_> = entry.modules.iter().map(Module::command_line).collect();
    assert_eq!(modules, ["first.cfg", "l4re", "ned", "other a  b"]);
    assert_eq!(entry.modules[0].file, "sub/first.cfg");
    assert_eq!(entry.modaddr.as_deref(), Some("0x1000"));
    assert_eq!(entry.expect.as_deref(), Some("TAP-END"));
    assert_eq!((entry.timeout, entry.tap, entry.line), (Some(30), true, 7));
}

#[test]
fn wrong_lines_say_file_line_and_what_was_expected() {
    for (text, start) in [
        (
            LIST,
            "modules.list:13: unknown keyword 'unknown-is-fine-here'; expected entry, kernel,",
        ),
        (
            "\nmodule x\n",
            "modules.list:2: 'module' before the first entry; expected 'entry NAME'",
        ),
        (
            "entry\n",
            "modules.list:1: 'entry' without argument; expected 'entry NAME ...'",
        ),
        (
            "entry[timeout=soon] a\n",
            "modules.list:1: timeout 'soon'; expected a whole number",
        ),
        (
            "entry a\nmodule-group g\n",
            "modules.list:2: no group 'g'; expected the name",
        ),
        (
            "group g\nkernel k\n",
            "modules.list:2: 'kernel' in a group; expected module",
        ),
        (
            "include modules.list\n",
            "modules.list:1: include lines go in a circle",
        ),
        ("include none.list\n", "cannot read none.list: "),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(start), "{text:?}: {error}");
    }
}

#[test]
fn what_percore_cannot_honour_stops_only_that_entry() {
    let list = read("entry a\nmodule[perl] \"x\"\nentry b\nmodule m\n").unwrap();
    list.entry("b").unwrap();
    let error = list.entry("a").unwrap_err().to_string();
    assert!(error.contains("modules.list:2: "), "{error}");
    assert!(error.contains("option 'perl' is not supported"), "{error}");
}

#[test]
fn an_unknown_entry_names_those_there_are() {
    let list = read("entry a\nmodule m\nentry b\nmodule m\n").unwrap();
    let error = list.entry("c").unwrap_err();
    assert!(
        error.to_string().ends_with("expected one of: a, b"),
        "{error}"
    );
    assert_eq!(error.exit(), crate::Exit::Usage);
}
