//! Target programs against conf/budgets.toml: sizes, and no vector registers where servers work.
//!
//! Builds the programs as `percore build` does; that needs no L4Re tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolKind};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    text_and_data: u64,
    static_memory: u64,
    scalar: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn build(package: &str) -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .current_dir(root())
        // conf/l4re.toml names the directory; a variable of the caller would win over it.
        .env_remove("CARGO_TARGET_DIR")
        .args([
            "build",
            "--config",
            "conf/l4re.toml",
            "--release",
            "--locked",
            "-q",
            "-p",
            package,
        ])
        .status()
        .expect("cargo runs");
    assert!(status.success(), "building {package} for the target failed");
    root()
        .join("target-l4re/x86_64-unknown-linux-gnu/release")
        .join(package)
}

/// Instructions of `code` that name a vector or x87 register.
fn vector_instructions(code: &[u8], address: u64) -> Vec<String> {
    let mut factory = InstructionInfoFactory::new();
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut found = Vec::new();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let info = factory.info(&instruction);
        if info.used_registers().iter().any(|r| {
            let r = r.register();
            r.is_vector_register() || r.is_st() || r.is_mm()
        }) {
            found.push(format!(
                "{:#x} {:?}",
                instruction.ip(),
                instruction.mnemonic()
            ));
        }
    }
    found
}

fn check(package: &str, budget: &Budget) {
    let path = build(package);
    let bytes = std::fs::read(&path).expect("the image");
    let elf = object::File::parse(&*bytes).expect("an ELF file");
    let (mut loaded, mut memory) = (0, 0);
    for segment in elf.segments() {
        let (_, size) = segment.file_range();
        loaded += size;
        memory += segment.size();
    }
    let zeroed = memory - loaded;
    println!("{package}: {loaded} bytes text and data, {zeroed} bytes static memory");
    assert!(loaded > 0, "{package}: no load segment was found");
    assert!(
        loaded <= budget.text_and_data,
        "{package}: text and data are {loaded} bytes, {} are allowed",
        budget.text_and_data
    );
    assert!(
        zeroed <= budget.static_memory,
        "{package}: static memory is {zeroed} bytes, {} are allowed",
        budget.static_memory
    );

    let text = elf.section_by_name(".text").expect("a .text section");
    let code = text.data().expect("its bytes");
    let (mut functions, mut wrong) = (0, Vec::new());
    for symbol in elf
        .symbols()
        .filter(|s| s.kind() == SymbolKind::Text && s.size() > 0)
    {
        let name = rustc_demangle::demangle(symbol.name().unwrap_or_default()).to_string();
        if !budget
            .scalar
            .iter()
            .any(|c| name.contains(&format!("{c}::")))
        {
            continue;
        }
        functions += 1;
        let start = (symbol.address() - text.address()) as usize;
        let body = &code[start..start + symbol.size() as usize];
        wrong.extend(
            vector_instructions(body, symbol.address())
                .into_iter()
                .map(|i| format!("{name}: {i}")),
        );
    }
    println!("{package}: {functions} functions without a vector register");
    assert!(
        functions >= 20,
        "{package}: only {functions} functions of {:?} found",
        budget.scalar
    );
    assert!(
        wrong.is_empty(),
        "vector registers in scalar code:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn programs_keep_their_budgets() {
    let text =
        std::fs::read_to_string(root().join("conf/budgets.toml")).expect("conf/budgets.toml");
    let budgets: BTreeMap<String, Budget> = toml::from_str(&text).expect("conf/budgets.toml");
    assert!(!budgets.is_empty());
    for (package, budget) in &budgets {
        check(package, budget);
    }
}

/// The check sees what it is meant to see.
#[test]
fn a_vector_instruction_is_found() {
    // movups xmm0, [rdi]; ret
    assert_eq!(
        vector_instructions(&[0x0f, 0x10, 0x07, 0xc3], 0x1000).len(),
        1
    );
    // mov rax, [rdi]; ret
    assert_eq!(
        vector_instructions(&[0x48, 0x8b, 0x07, 0xc3], 0x1000).len(),
        0
    );
}
