//! Reads the configured L4Re tree: bindgen for what the headers declare, a small C and C++ part
//! of our own (`csrc/`) for macros and inline functions.
//!
//! Three outcomes, told apart in the environment variable `L4_SYS_ABI_PROOF` that the test prints:
//! the proof is prepared (`cfg(abi_proof)`); it is left out, with the reason; or the build stops,
//! because a tree was given that cannot be read. A missing libclang is the second, and the third
//! where `CI=true`: a checked run must not become empty without anybody noticing.

use std::path::{Path, PathBuf};
use std::{env, fs, panic, process};

use l4re_tree::L4reBuild;

/// C macros that L4Re's own build defines for every C file of amd64.
const DEFINES: &[(&str, &str)] = &[
    ("ARCH_amd64", "1"),
    ("CPUTYPE_gen", "1"),
    ("L4API_l4f", "1"),
];

/// Prepares the proof, or says why there is none.
pub fn prepare() {
    println!("cargo::rerun-if-changed=csrc");
    println!("cargo::rerun-if-env-changed=CI");
    l4re_tree::print_rerun_if_changed();
    let tree = match l4re_tree::find() {
        Ok(Some(trees)) => trees.l4re,
        Ok(None) => return left_out("no L4Re tree is configured (L4RE_BUILD)"),
        Err(error) => stop(&error.to_string()),
    };
    let Some(clang) = clang_version() else {
        if env::var("CI").is_ok_and(|v| v == "true") {
            stop("an L4Re tree is configured but libclang is missing, and CI=true");
        }
        return left_out("libclang is missing (Debian: apt install libclang-dev)");
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    read_headers(&tree, &out);
    compile(&tree, &out);
    println!("cargo::rustc-cfg=abi_proof");
    println!(
        "cargo::rustc-env=L4_SYS_ABI_PROOF={} at {}, {clang}",
        tree.root().display(),
        tree.revision()
    );
}

/// The build goes on without the proof; the test prints the reason.
fn left_out(reason: &str) {
    println!("cargo::rustc-env=L4_SYS_ABI_PROOF={reason}");
}

fn stop(reason: &str) -> ! {
    println!("cargo::error=l4-sys, ABI proof: {reason}");
    process::exit(1);
}

/// libclang's version; `None` when there is none. bindgen panics then, so ask it in a cage.
fn clang_version() -> Option<String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let version = panic::catch_unwind(|| bindgen::clang_version().full);
    panic::set_hook(hook);
    version.ok()
}

/// Runs bindgen and writes what it found as `tree.rs`: a list of names and numbers.
fn read_headers(tree: &L4reBuild, out: &Path) {
    let includes = tree
        .include_dirs()
        .into_iter()
        .map(|dir| format!("-I{}", dir.display()));
    let defines = DEFINES
        .iter()
        .map(|(name, value)| format!("-D{name}={value}"));
    let bindings = bindgen::builder()
        .header("csrc/tree.h")
        .clang_args(includes.chain(defines))
        .clang_arg("--target=x86_64-unknown-linux-gnu")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .ignore_functions()
        .use_core()
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
        .generate();
    let bindings = match bindings {
        Ok(bindings) => bindings.to_string(),
        Err(error) => stop(&format!(
            "{} = {}: bindgen cannot read the headers that csrc/tree.h names: {error}",
            tree.setting(),
            tree.root().display()
        )),
    };
    let file = match syn::parse_file(&bindings) {
        Ok(file) => file,
        Err(error) => stop(&format!("bindgen's output does not parse: {error}")),
    };
    let mut values = Vec::new();
    for item in &file.items {
        collect(item, &mut values);
    }
    let rows: String = values
        .iter()
        .map(|(name, value)| format!("    ({name:?}, {value}),\n"))
        .collect();
    let text = format!("pub static VALUES: &[(&str, i128)] = &[\n{rows}];\n");
    fs::write(out.join("tree.rs"), text).expect("OUT_DIR is writable");
}

/// Numbers of one item of bindgen's output: a named constant, or the block of assertions
/// `["Size of l4_x"][size_of::<l4_x>() - 8usize];` that bindgen writes for each structure.
fn collect(item: &syn::Item, values: &mut Vec<(String, i128)>) {
    let syn::Item::Const(constant) = item else {
        return;
    };
    if let syn::Expr::Block(block) = &*constant.expr {
        for statement in &block.block.stmts {
            values.extend(layout_assertion(statement));
        }
    } else if let Some(value) = number(&constant.expr) {
        values.push((constant.ident.to_string(), value));
    }
}

fn layout_assertion(statement: &syn::Stmt) -> Option<(String, i128)> {
    let syn::Stmt::Expr(syn::Expr::Index(index), _) = statement else {
        return None;
    };
    let (syn::Expr::Array(text), syn::Expr::Binary(difference)) = (&*index.expr, &*index.index)
    else {
        return None;
    };
    let syn::Expr::Lit(syn::ExprLit {
        lit: syn::Lit::Str(text),
        ..
    }) = text.elems.first()?
    else {
        return None;
    };
    let text = text.value();
    let name = match text.strip_prefix("Size of ") {
        Some(kind) => format!("sizeof {kind}"),
        None => format!("offsetof {}", text.strip_prefix("Offset of field: ")?),
    };
    Some((name, number(&difference.right)?))
}

/// The value of an integer literal, with or without sign.
fn number(expr: &syn::Expr) -> Option<i128> {
    match expr {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Int(int),
            ..
        }) => int.base10_parse().ok(),
        syn::Expr::Unary(syn::ExprUnary {
            op: syn::UnOp::Neg(_),
            expr,
            ..
        }) => number(expr).map(|n| -n),
        _ => None,
    }
}

/// Compiles `csrc/` into archives in OUT_DIR. Only the test links them, by `#[link]`, so cargo is
/// told the directory and nothing else.
fn compile(tree: &L4reBuild, out: &Path) {
    for (name, source, is_cpp) in [
        ("l4sys_proof_c", "csrc/proof.c", false),
        ("l4sys_proof_cpp", "csrc/proof.cc", true),
    ] {
        let mut build = cc::Build::new();
        build
            .cargo_metadata(false)
            .file(source)
            .includes(tree.include_dirs())
            .opt_level(1)
            .warnings(false)
            .cpp(is_cpp);
        if is_cpp {
            // L4Re's own level and options; the tree's headers need no C++ run-time then.
            build
                .std("c++20")
                .flag("-fno-exceptions")
                .flag("-fno-rtti")
                .cpp_link_stdlib(None);
        }
        for (name, value) in DEFINES {
            build.define(name, *value);
        }
        if let Err(error) = build.try_compile(name) {
            stop(&format!(
                "{} = {}: {source} does not compile with its headers: {error}",
                tree.setting(),
                tree.root().display()
            ));
        }
    }
    println!("cargo::rustc-link-search=native={}", out.display());
}
