//! Boot scripts, run by a real Lua with the part of ned's interface that this project's scripts
//! use. Whatever else a script calls is an error that says what ned would have.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use mlua::{Lua, Table, UserData, UserDataMethods, Value, Variadic};

use super::plan::{Factory, Plan, Program, server_args};
use crate::Error;

/// Members of ned's `L4` table that the model does not have, so that a script using them learns
/// that it is the model that lacks them.
const NED_HAS: &[&str] = &[
    "cast",
    "Info",
    "Rights",
    "Mem_alloc_flags",
    "Ldr_flags",
    "Dbg",
    "server_loop",
    "posix_spawn",
    "require",
    "wait_app",
    "App_env",
    "Namespace",
    "fill",
    "invalid",
    "Cap",
];

/// What a capability of the script stands for.
#[derive(Debug, Clone, PartialEq)]
enum Cap {
    /// A channel made by a loader.
    Channel(usize),
    /// A factory for programs' kernel objects and proxies.
    UserFactory,
    /// A factory of the pager service: memory and region maps.
    Memory(usize),
    /// A scheduler; the lowest of its CPUs.
    Scheduler(u32),
    /// Something that programs are given and the model does not look at.
    Other,
}

/// What the script has done so far.
#[derive(Debug, Default)]
struct World {
    channels: usize,
    /// The pager service: its channel and its server's command line.
    service: Option<(usize, Vec<String>)>,
    factories: Vec<Factory>,
    programs: Vec<Program>,
}

type Shared = Rc<RefCell<World>>;

/// A capability in the script.
#[derive(Clone)]
struct CapValue {
    cap: Cap,
    world: Shared,
}

fn refuse<T>(what: String) -> mlua::Result<T> {
    Err(mlua::Error::RuntimeError(what))
}

impl UserData for CapValue {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("m", |_, this, rights: String| {
            match rights.chars().find(|c| !"rwsdcn".contains(*c)) {
                None => Ok(this.clone()),
                Some(c) => refuse(format!(
                    "m(\"{rights}\"): no right '{c}'; expected r, w, s, d, c, n"
                )),
            }
        });
        methods.add_method("svr", |_, this, ()| Ok(this.clone()));
        methods.add_method("create", |_, this, args: Variadic<Value>| {
            create(this, &args)
        });
    }
}

/// Protocol numbers of `L4.Proto`.
const FACTORY: i64 = l4_sys::proto::FACTORY;
const SCHEDULER: i64 = l4_sys::proto::SCHEDULER;

fn create(this: &CapValue, args: &[Value]) -> mlua::Result<CapValue> {
    let Some(proto) = args.first().and_then(Value::as_integer) else {
        return refuse("create(): expected a protocol of L4.Proto first".into());
    };
    let cap = match (&this.cap, proto) {
        (Cap::UserFactory, SCHEDULER) => match lowest_cpu(args.get(3..).unwrap_or_default()) {
            Some(cpu) => Cap::Scheduler(cpu),
            None => {
                return refuse(
                    "create(L4.Proto.Scheduler, max, base, masks...): expected masks of CPUs"
                        .into(),
                );
            }
        },
        (Cap::Channel(n), FACTORY) => {
            let mut world = this.world.borrow_mut();
            if world.service.as_ref().is_none_or(|s| s.0 != *n) {
                return refuse("create() on a channel that no server has".into());
            }
            world.factories.push(factory(&args[1..])?);
            Cap::Memory(world.factories.len() - 1)
        }
        (cap, _) => {
            return refuse(format!(
                "create({proto}) on {cap:?}: ned passes it to the server; the model has schedulers \
                 from L4.Env.user_factory and factories from the pager only"
            ));
        }
    };
    Ok(CapValue {
        cap,
        world: this.world.clone(),
    })
}

/// The lowest CPU of masks of 64 each.
fn lowest_cpu(masks: &[Value]) -> Option<u32> {
    let masks: Option<Vec<i64>> = masks.iter().map(Value::as_integer).collect();
    let set = masks?.into_iter().enumerate().find(|(_, mask)| *mask != 0);
    set.map(|(word, mask)| word as u32 * 64 + mask.trailing_zeros())
}

/// The arguments of a factory behind the protocol; what they say is the server's to judge.
fn factory(args: &[Value]) -> mlua::Result<Factory> {
    let mut factory = Factory {
        quota: None,
        place: String::new(),
    };
    for arg in args {
        match arg {
            Value::Integer(n) => factory.quota = Some(n.cast_unsigned()),
            Value::String(s) => factory.place = s.to_str()?.to_string(),
            other => {
                return refuse(format!(
                    "create(L4.Proto.Factory, ...): found a {}; expected [quota,] \"core=N\" or \
                     \"node=N\"",
                    other.type_name()
                ));
            }
        }
    }
    Ok(factory)
}

/// Runs a script.
///
/// `cores` and `pages` are the globals CORES and PAGES, as `ned -e` would set them.
///
/// # Errors
/// The file cannot be read, or the script fails; with file and line.
pub fn run(file: &Path, cores: u32, pages: u32) -> Result<Plan, Error> {
    let text = std::fs::read_to_string(file)
        .map_err(Error::io(format!("cannot read {}", file.display())))?;
    let world: Shared = Rc::default();
    let outcome = execute(file, &text, cores, pages, &world);
    outcome.map_err(|e| Error::Usage(format!("boot script: {}", first_lines(&e.to_string()))))?;
    let world = world.take();
    let Some((_, server)) = world.service else {
        return Err(Error::Usage(format!(
            "boot script {}: it starts no rom/percore-pager; expected one, e.g. by \
             require(\"percore\").pagers(\"core\", 48)",
            file.display()
        )));
    };
    Ok(Plan {
        server,
        factories: world.factories,
        programs: world.programs,
    })
}

/// An error without Lua's traceback, but with the script's file and line.
fn first_lines(text: &str) -> String {
    let (message, trace) = text.split_once("stack traceback:").unwrap_or((text, ""));
    let message = message.trim_end();
    let placed = |t: &str| t.contains(".cfg:") || t.contains(".lua:");
    let place = trace
        .lines()
        .find(|l| placed(l))
        .and_then(|l| l.trim().split_once(": in"));
    match place {
        Some((place, _)) if !placed(message) => format!("{place}: {message}"),
        _ => message.to_owned(),
    }
}

fn execute(file: &Path, text: &str, cores: u32, pages: u32, world: &Shared) -> mlua::Result<()> {
    let lua = Lua::new();
    let l4 = l4_table(&lua, world)?;
    lua.globals().set("CORES", cores)?;
    lua.globals().set("PAGES", pages)?;
    let folder: PathBuf = file.parent().unwrap_or(Path::new(".")).into();
    let require = lua.create_function(move |lua, name: String| {
        if name == "L4" {
            return Ok(Value::Table(l4.clone()));
        }
        let path = folder.join(format!("{name}.lua"));
        match std::fs::read_to_string(&path) {
            Ok(text) => lua
                .load(text)
                .set_name(format!("@{}", path.display()))
                .eval(),
            Err(_) => refuse(format!("require(\"{name}\"): no {}", path.display())),
        }
    })?;
    lua.globals().set("require", require)?;
    lua.load(text)
        .set_name(format!("@{}", file.display()))
        .exec()
}

fn l4_table(lua: &Lua, world: &Shared) -> mlua::Result<Table> {
    let cap = |cap| CapValue {
        cap,
        world: world.clone(),
    };
    let l4 = lua.create_table()?;
    let proto = lua.create_table()?;
    proto.set("Factory", FACTORY)?;
    proto.set("Scheduler", SCHEDULER)?;
    l4.set("Proto", proto)?;
    let env = lua.create_table()?;
    env.set("user_factory", cap(Cap::UserFactory))?;
    for name in ["factory", "mem", "log", "sigma0", "scheduler", "rom"] {
        env.set(name, cap(Cap::Other))?;
    }
    l4.set("Env", env)?;
    l4.set("default_loader", loader(lua, world, None)?)?;
    let w = world.clone();
    let new = lua.create_function(move |lua, t: Table| {
        let memory = |key: &str| match t.get::<Value>(key) {
            Ok(Value::UserData(u)) => u.borrow::<CapValue>().ok().map(|c| c.cap.clone()),
            _ => None,
        };
        match (memory("mem"), memory("rm_fab")) {
            (Some(Cap::Memory(a)), Some(Cap::Memory(b))) if a == b => loader(lua, &w, Some(a)),
            (Some(Cap::Memory(_)), _) | (_, Some(Cap::Memory(_))) => refuse(
                "L4.Loader.new: mem and rm_fab must both be the same pager's factory: a region map \
                 of another server maps nothing locally"
                    .into(),
            ),
            _ => loader(lua, &w, None),
        }
    })?;
    let class = lua.create_table()?;
    class.set("new", new)?;
    l4.set("Loader", class)?;
    let meta = lua.create_table()?;
    let missing = lua.create_function(|_, (_, name): (Table, String)| -> mlua::Result<Value> {
        if NED_HAS.contains(&name.as_str()) {
            refuse(format!("L4.{name}: ned has it, the model has not"))
        } else {
            refuse(format!("L4.{name}: neither ned nor the model has it"))
        }
    })?;
    meta.set("__index", missing)?;
    l4.set_metatable(Some(meta))?;
    Ok(l4)
}

fn loader(lua: &Lua, world: &Shared, memory: Option<usize>) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    let w = world.clone();
    let channel = lua.create_function(move |_, _: Table| {
        let mut world = w.borrow_mut();
        world.channels += 1;
        Ok(CapValue {
            cap: Cap::Channel(world.channels),
            world: w.clone(),
        })
    })?;
    t.set("new_channel", channel)?;
    let w = world.clone();
    let start = lua.create_function(move |_, (_, env, command): (Table, Table, String)| {
        start(&w, &env, &command, memory)
    })?;
    t.set("start", start)?;
    Ok(t)
}

fn cap_of(t: &Table, key: &str) -> Option<Cap> {
    match t.get::<Value>(key).ok()? {
        Value::UserData(u) => u.borrow::<CapValue>().ok().map(|c| c.cap.clone()),
        _ => None,
    }
}

fn start(w: &Shared, env: &Table, command: &str, memory: Option<usize>) -> mlua::Result<()> {
    let mut words = command.split_whitespace().map(str::to_owned);
    let Some(name) = words.next() else {
        return refuse("start(): expected a program".into());
    };
    let args: Vec<String> = words.collect();
    if name == "rom/percore-pager" {
        if let Err(e) = server_args(&args) {
            return refuse(format!("{command}: {e}"));
        }
        let channel = env
            .get::<Table>("caps")
            .ok()
            .and_then(|c| cap_of(&c, "pager"));
        let Some(Cap::Channel(n)) = channel else {
            return refuse("rom/percore-pager: expected caps = { pager = channel:svr() }".into());
        };
        let before = w.borrow_mut().service.replace((n, args));
        if before.is_some() {
            return refuse("rom/percore-pager: the model runs one of it".into());
        }
        return Ok(());
    }
    if name == "rom/percore-top" {
        return refuse(format!(
            "{command}: on the kernel only; the model prints its own figures, and chooses policies by \
             --policy or percore.pagers"
        ));
    }
    let core = match cap_of(env, "scheduler") {
        Some(Cap::Scheduler(cpu)) => cpu,
        None => 0,
        Some(_) => return refuse(format!("{name}: scheduler is no scheduler")),
    };
    w.borrow_mut().programs.push(Program {
        name,
        args,
        core,
        memory,
    });
    Ok(())
}
