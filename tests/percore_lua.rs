//! `ned-scripts/percore.lua` as a script's author meets it: what it asks of ned, and what it says about
//! mistakes. ned is a made-up one that notes what it is asked and refuses what a pager service would.

use std::path::Path;

use mlua::Lua;

/// A made-up ned: the members of `L4` that the library uses. `asked` has a line for each request.
const NED: &str = r#"
asked = {}
refusal = nil   -- what the pager service answers to create()
exit = {}       -- exit codes of programs, by a word of their command
local function note(...) asked[#asked + 1] = table.concat({ ... }, " ") end
local function cap(name)
  local it = { name = name }
  function it:m(rights) return self end
  function it:svr() return self end
  function it:create(proto, ...)
    local words = {}
    for i, word in ipairs({ ... }) do words[i] = tostring(word) end
    note(self.name, "create", proto, table.unpack(words))
    if self.name == "channel" and refusal then
      -- ned's errors of create() are tables.
      error({ msg = "runtime error " .. refusal, code = tonumber(refusal:match("%-%d+")) }, 0)
    end
    return cap(proto)
  end
  return it
end
local function loader(mem)
  return {
    mem = mem,
    new_channel = function() return cap("channel") end,
    start = function(self, env, command)
      note(mem and mem.name or "root", "start", command, "on", env.scheduler and env.scheduler.name or "-")
      for word, code in pairs(exit) do
        if command:find(word, 1, true) then return { wait = function() return code end } end
      end
      return { wait = function() return 0 end }
    end,
  }
end
package.preload.L4 = function()
  return {
    cast = function(_, c) return c end,
    Proto = { Factory = "factory", Scheduler = "scheduler", Sigma0 = "sigma0", Log = "log" },
    Env = { user_factory = cap("moe"), sigma0 = cap("sigma0"), log = cap("log") },
    default_loader = loader(),
    Loader = { new = function(t) return loader(t.mem) end },
  }
end
percore = require("percore")
"#;

fn ned() -> Lua {
    // SAFETY: the scripts are this project's own and load no modules in C. Like ned, this Lua has the debug
    // library, which is why it is called unsafe.
    let lua = unsafe { Lua::unsafe_new() };
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("ned-scripts");
    let path = format!("package.path = [[{}/?.lua]]", scripts.display());
    lua.load(path).exec().expect("a path");
    // ned has no math library; the library must not need one.
    lua.load("math = nil").exec().expect("Lua");
    lua.load(NED).set_name("=ned").exec().expect("the library");
    lua
}

/// Runs a script and gives what ned was asked.
fn asked(script: &str) -> Vec<String> {
    let lua = ned();
    lua.load(script)
        .set_name("=x.cfg")
        .exec()
        .unwrap_or_else(|e| panic!("{script}: {e}"));
    lua.globals().get("asked").expect("the notes")
}

/// The first line of the error of a script.
fn error(script: &str) -> String {
    let result = ned().load(script).set_name("=x.cfg").exec();
    let error = result.expect_err(script).to_string();
    error.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_service_gets_the_options_that_the_script_names() {
    for (script, command) in [
        ("percore.pagers('core')", "rom/percore-pager --layout=core"),
        (
            "percore.pagers('node', 4, { policy = 'slab+avl', memory = '64M', args = '--x' })",
            "rom/percore-pager --layout=node --cores=4 --policy=slab+avl --memory=64M --x",
        ),
        (
            "percore.pagers('central', '0,2-3', { command = 'rom/other' })",
            "rom/other --layout=central --cores=0,2-3",
        ),
        // A quotient is a float in Lua; it is a whole number all the same.
        (
            "percore.pagers('core', 4 / 2)",
            "rom/percore-pager --layout=core --cores=2",
        ),
    ] {
        let line = format!("root start {command} on -");
        assert!(
            asked(script).contains(&line),
            "{script}: {:?}",
            asked(script)
        );
    }
}

#[test]
fn a_program_gets_memory_and_cpus_of_its_place() {
    let lines = asked(
        "local p = percore.pagers('core')\n\
         percore.start(p, 3, {}, 'rom/app', 2^20)\n\
         percore.start(p, { cpus = { 0, 65 }, memory = 'node=1' }, {}, 'rom/app')\n\
         percore.start(nil, 1, {}, 'rom/app')",
    );
    assert_eq!(
        lines[2..],
        [
            "moe create scheduler 100 2 8",
            "channel create factory 1048576 core=3",
            "factory start rom/app on scheduler",
            "moe create scheduler 100 2 1 2",
            "channel create factory node=1",
            "factory start rom/app on scheduler",
            "moe create scheduler 100 2 2",
            "root start rom/app on scheduler",
        ]
    );
}

#[test]
fn programs_are_spread_in_order() {
    let lines = asked(
        "local p = percore.pagers('node')\n\
         local env = {}\n\
         percore.spread(p, { 'a', { env, 'b' }, { env, 'c' } }, percore.nodes(2, 6))\n\
         assert(env.scheduler == nil, 'the caller keeps its table')",
    );
    let places: Vec<_> = lines.iter().filter(|l| l.contains("node=")).collect();
    assert_eq!(places.len(), 3);
    assert!(places[0].ends_with("node=0") && places[1].ends_with("node=1"));
    assert!(places[2].ends_with("node=0"));
    assert!(lines.contains(&"moe create scheduler 100 2 4032".to_owned()));
}

#[test]
fn policies_and_seals_are_set_through_the_factory_of_a_place() {
    let lines = asked(
        "local p = percore.pagers('core')\n\
         percore.policy(p, 2, 'slab+avl')\n\
         percore.factory(p, 1, nil, true)\n\
         percore.start(p, { cpus = 1, sealed = true }, {}, 'rom/app')",
    );
    let top = |words: &str| format!("root start rom/percore-top {words} on -");
    assert!(lines.contains(&"channel create factory core=2".to_owned()));
    assert!(lines.contains(&top("--policy=slab+avl")), "{lines:?}");
    let seals = lines.iter().filter(|l| **l == top("--seal")).count();
    assert_eq!(seals, 2, "{lines:?}");
}

#[test]
fn without_a_service_there_are_no_figures() {
    let lines = asked(
        "assert(percore.statistics(nil) == 0)\n\
         assert(percore.used(nil) == 0)",
    );
    assert!(lines.is_empty(), "{lines:?}");
}

/// Each mistake: the script, and what the error must name.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "percore.pagers()",
        &["percore.pagers", "layout", "nil", "core, node or central"],
    ),
    (
        "percore.pagers('cores')",
        &["\"cores\"", "core, node or central"],
    ),
    ("percore.pagers('core', 0)", &["cores", "0", "from 1 on"]),
    (
        "percore.pagers('core', 1.5)",
        &["cores", "1.5", "whole number"],
    ),
    ("percore.pagers('core', {})", &["cores", "table"]),
    (
        "percore.pagers('core', 2, '--policy=avl')",
        &["more", "table"],
    ),
    (
        "percore.pagers('core', 2, { arg = '--x' })",
        &["\"arg\"", "args"],
    ),
    (
        "percore.pagers('core', 2, { policy = 'best' })",
        &["\"best\"", "bitmap, buddy, avl or slab"],
    ),
    (
        "percore.pagers('core', 2, { policy = 'slab+avl+avl' })",
        &["slab+avl+avl"],
    ),
    (
        "percore.service({ memory = 'theirs' })",
        &["percore.service", "\"theirs\"", "ours or upstream"],
    ),
    (
        "percore.factory(p, 'knoten=1')",
        &["place", "\"knoten=1\"", "node=N"],
    ),
    ("percore.factory(p, -1)", &["place", "-1"]),
    ("percore.factory(p, 0, 0)", &["quota", "0", "from 1 on"]),
    ("percore.factory(p, 0, '16M')", &["quota", "\"16M\""]),
    ("percore.factory(nil, 0, '16M')", &["quota", "\"16M\""]),
    ("percore.factory('core', 0)", &["pagers", "\"core\""]),
    ("percore.on(-1)", &["CPU", "-1"]),
    ("percore.on({})", &["no CPU"]),
    ("percore.on({ 0, 'x' })", &["CPU", "\"x\""]),
    ("percore.on(1 << 40)", &["CPU", "1099511627776"]),
    (
        "percore.start(p, 'core=1', {}, 'rom/x')",
        &["percore.start", "place", "\"core=1\""],
    ),
    (
        "percore.start(p, { memory = 0 }, {}, 'rom/x')",
        &["place", "cpus"],
    ),
    ("percore.start(p, 0, 'rom/x')", &["env", "\"rom/x\""]),
    ("percore.start(p, 0, {}, '')", &["command"]),
    ("percore.spread(p, 'rom/x', 2)", &["programs", "\"rom/x\""]),
    ("percore.spread(p, { 'rom/x' }, {})", &["places"]),
    ("percore.spread(p, { 7 }, 1)", &["program 1", "7"]),
    ("percore.nodes(2)", &["cores_each", "nil"]),
    (
        "percore.policy(p, 0, 'best')",
        &["percore.policy", "\"best\""],
    ),
    (
        "percore.policy(nil, 0, 'avl')",
        &["percore.policy", "no pager service"],
    ),
    ("percore.statistics(p, 7)", &["args", "7"]),
    (
        "refusal = 'No such device (-19)' percore.factory(p, 9)",
        &["core=9", "no pager serves", "-19"],
    ),
    (
        "refusal = 'Insufficient memory (-12)' percore.start(p, 1, {}, 'rom/x')",
        &["core=1", "memory", "-12"],
    ),
    (
        "refusal = 'Operation not permitted (-1)' percore.factory(p, 1)",
        &["right", "-1"],
    ),
    (
        "refusal = 'Void capability invoked (-2004)' percore.start(p, 1, {}, 'rom/x')",
        &["has ended", "-2004"],
    ),
    (
        "exit['--used'] = -1 percore.used(p)",
        &["percore.used", "-1"],
    ),
    (
        "exit['--policy'] = 1 percore.policy(p, 0, 'avl')",
        &["percore.policy", "avl", "lines above"],
    ),
    (
        "exit['--seal'] = 1 percore.factory(p, 0, nil, true)",
        &["percore.factory", "seal"],
    ),
];

#[test]
fn mistakes_are_named_with_the_scripts_line() {
    for (script, words) in MISTAKES {
        let text = error(&format!("local p = percore.pagers('core')\n{script}"));
        for word in *words {
            assert!(text.contains(word), "{script}: no '{word}' in: {text}");
        }
        assert!(text.contains("x.cfg:2: percore."), "{script}: {text}");
    }
}
