//! The C and C++ headers of the pager API say what the Rust side says.
//!
//! The layouts need a C compiler; the headers as programs include them need a configured L4Re tree too. What
//! is left out is said.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use percore_pager::api::{
    self, Counters, Op, flag, object, parameter, policy, reply, request, state,
};

fn headers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pkg/libpercore")
}

/// `CamelCase` as `snake_case`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (n, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && n > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

/// Compiles; what the compiler said when it refused. `None` when there is no such compiler.
fn compile(
    compiler: &str,
    name: &str,
    source: &str,
    args: &[String],
) -> Option<Result<(), String>> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, source).expect("a file for the test");
    let run = Command::new(compiler)
        .args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
        .args(args)
        .arg(&file)
        .output();
    let output = match run {
        Ok(output) => output,
        Err(error) => {
            println!("LEFT OUT: {name} was not compiled: {compiler}: {error}");
            return None;
        }
    };
    Some(if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

type Layout = (&'static str, usize, &'static [(&'static str, usize)]);

fn layouts(kind: &str, all: &[Layout], out: &mut String) {
    for (name, size, fields) in all {
        let name = format!("struct percore_{kind}_{}", snake(name));
        writeln!(out, "SAME(sizeof({name}), {size});").expect("memory");
        for (field, offset) in *fields {
            writeln!(out, "SAME(__builtin_offsetof({name}, {field}), {offset});").expect("memory");
        }
    }
}

/// Everything that both sides name, as assertions.
fn assertions() -> String {
    let mut out = String::from(
        "#include <percore/pager_abi.h>\n#define SAME(c, rust) _Static_assert((c) == (rust), #c)\n",
    );
    layouts("req", request::LAYOUTS, &mut out);
    layouts("ans", reply::LAYOUTS, &mut out);
    writeln!(out, "SAME(sizeof(struct percore_req_head), 8);").expect("memory");
    let size = size_of::<Counters>();
    writeln!(out, "SAME(sizeof(struct percore_counters), {size});").expect("memory");
    for (n, name) in Counters::NAMES.iter().enumerate() {
        let offset = 8 * n;
        let field = format!("__builtin_offsetof(struct percore_counters, {name})");
        writeln!(out, "SAME({field}, {offset});").expect("memory");
    }
    for op in Op::ALL {
        let name = snake(&format!("{op:?}")).to_uppercase();
        writeln!(out, "SAME(PERCORE_OP_{name}, {});", *op as u32).expect("memory");
    }
    let numbers: &[(&str, u64)] = &[
        ("PROTO", api::PROTOCOL as u64),
        ("VERSION", api::VERSION.into()),
        ("OWN_CORE", api::OWN_CORE.into()),
        ("NONE", api::NONE.into()),
        ("RUNS_PER_CALL", api::RUNS_PER_CALL as u64),
        ("HANDLES_PER_CALL", api::HANDLES_PER_CALL as u64),
        ("RUNS_PER_LIST", api::RUNS_PER_LIST as u64),
        ("ORDERS", api::ORDERS as u64),
        ("COUNTERS", Counters::NAMES.len() as u64),
        ("BITMAP", policy::BITMAP.into()),
        ("BUDDY", policy::BUDDY.into()),
        ("AVL", policy::AVL.into()),
        ("SLAB", policy::SLAB.into()),
        ("PREFAULT", parameter::PREFAULT.into()),
        ("RUN", parameter::RUN.into()),
        ("ZERO_AHEAD", parameter::ZERO_AHEAD.into()),
        ("CACHE_DEPTH", parameter::CACHE_DEPTH.into()),
        ("CACHE_REFILL", parameter::CACHE_REFILL.into()),
        ("CACHE_BLOCKS", parameter::CACHE_BLOCKS.into()),
        ("RESERVE", parameter::RESERVE.into()),
        ("PARAMETERS", parameter::COUNT as u64),
        ("MAY_TUNE", flag::MAY_TUNE.into()),
        ("SHARES_NOTHING", flag::SHARES_NOTHING.into()),
        ("SEALED", flag::SEALED.into()),
        ("SERVICE", flag::SERVICE.into()),
        ("NO_WAIT", flag::NO_WAIT.into()),
        ("FROM_RESERVE", flag::FROM_RESERVE.into()),
        ("NO_MAP", flag::NO_MAP.into()),
        ("CLEAR", flag::CLEAR.into()),
        ("TO_RESERVE", flag::TO_RESERVE.into()),
        ("SEARCH", flag::SEARCH.into()),
        ("ABSENT", state::ABSENT.into()),
        ("FREE", state::FREE.into()),
        ("ZEROING", state::ZEROING.into()),
        ("BOOKKEEPING", state::BOOKKEEPING.into()),
        ("MEMORY", state::MEMORY.into()),
        ("OBJECT_NONE", object::NONE.into()),
        ("OBJECT_RUN", object::RUN.into()),
        ("OBJECT_DATASPACE", object::DATASPACE.into()),
    ];
    let pair = policy::pair(policy::SLAB, policy::AVL);
    writeln!(
        out,
        "SAME(PERCORE_POLICY_PAIR(PERCORE_SLAB, PERCORE_AVL), {pair}u);"
    )
    .expect("memory");
    for (name, value) in numbers {
        writeln!(out, "SAME(PERCORE_{name}, {value}u);").expect("memory");
    }
    out
}

/// The header's directory under the name by which programs include it.
fn include_dir() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("include");
        let target = dir.join("percore");
        std::fs::create_dir_all(&target).expect("a directory for the test");
        for name in ["pager_abi.h", "pager.h", "pager"] {
            let from = headers().join("include").join(name);
            std::fs::copy(from, target.join(name)).expect("the header is there");
        }
        dir
    };
    MADE.get_or_init(make).clone()
}

#[test]
fn layouts_and_numbers_are_equal() {
    let include = format!("-I{}", include_dir().display());
    let args = ["-std=c11".to_owned(), include];
    let source = assertions();
    let Some(result) = compile("gcc", "layouts.c", &source, &args) else {
        return;
    };
    assert_eq!(result, Ok(()));
    // The check can fail: a number that is wrong is found.
    let wrong = source.replace("SAME(PERCORE_OP_BIND, 17)", "SAME(PERCORE_OP_BIND, 99)");
    assert_ne!(wrong, source);
    let found = compile("gcc", "wrong.c", &wrong, &args).expect("gcc is there");
    assert!(found.is_err_and(|text| text.contains("PERCORE_OP_BIND")));
}

#[test]
fn headers_compile_in_the_tree() {
    let trees = match l4re_tree::find() {
        Ok(Some(trees)) => trees,
        Ok(None) => {
            println!("LEFT OUT: pager.h and pager need an L4Re build tree: set L4RE_BUILD");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let root = trees.l4re.root().join("include");
    let own = Command::new("gcc").arg("-print-file-name=include").output();
    let Ok(own) = own else {
        println!("LEFT OUT: pager.h and pager need gcc");
        return;
    };
    let own = String::from_utf8_lossy(&own.stdout).trim().to_owned();
    let mut args: Vec<String> = ["-nostdinc", "-DL4API_l4f", "-DARCH_amd64", "-DCPUTYPE_gen"]
        .map(str::to_owned)
        .into();
    args.push("-D_GLIBCXX_SYSHDR".to_owned());
    let contrib = root.join("contrib/libstdc++-v3");
    let libc = root.join("uclibc-ng");
    for dir in [
        include_dir(),
        contrib,
        root.join("amd64"),
        root.clone(),
        libc,
    ] {
        args.push(format!("-I{}", dir.display()));
    }
    args.extend(["-isystem".to_owned(), own]);
    args.extend(["-include".to_owned(), "l4/bid_config.h".to_owned()]);

    let library = std::fs::read_to_string(headers().join("lib/pager.c")).expect("the library");
    let c = |source: &str, name: &str| compile("gcc", name, source, &args).expect("gcc was there");
    assert_eq!(c(&library, "library.c"), Ok(()));
    assert_eq!(c("#include <percore/pager.h>\n", "header.c"), Ok(()));
    let program = "#include <percore/pager>\n\
        long use(L4::Cap<L4::Factory> f) {\n\
          Percore::Info info;\n\
          return Percore::Pager::from(f)->info(&info);\n\
        }\n";
    let result = compile("g++", "header.cc", program, &args);
    assert_eq!(result.expect("g++ comes with gcc"), Ok(()));
}

/// Each operation is sent by the C library, each function of the C header is behind a method of the C++ header.
#[test]
fn every_operation_is_reachable_from_c_and_cxx() {
    let read = |path: &str| std::fs::read_to_string(headers().join(path)).expect(path);
    let (c, library, cxx) = (
        read("include/pager.h"),
        read("lib/pager.c"),
        read("include/pager"),
    );
    for op in Op::ALL {
        let name = format!("PERCORE_OP_{}", snake(&format!("{op:?}")).to_uppercase());
        let sent = library.matches(&format!("{name})")).count();
        assert_eq!(sent, 1, "{name} in the library");
    }
    let functions: Vec<&str> = c
        .lines()
        .filter_map(|line| line.strip_prefix("long ")?.split_once('('))
        .map(|(name, _)| name)
        .collect();
    // ALLOC, CORE_OF and so on: one each, and POLICY without waiting.
    assert_eq!(functions.len(), Op::ALL.len() + 1, "{functions:?}");
    for name in functions {
        assert!(cxx.contains(&format!("return {name}(")), "{name} in C++");
    }
}
