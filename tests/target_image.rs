//! Target programs against conf/budgets.toml: sizes, and no vector registers where servers work.
//!
//! Builds the programs as `percore build` does; that needs no L4Re tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, Register};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolKind};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    text_and_data: u64,
    static_memory: u64,
    frame: u64,
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

/// Bytes that `code`, a function, takes from its stack beside what it pushes, at most. A frame above a page
/// is taken page by page, each one touched: in a row, or in a loop down to an address in a register.
fn frame(code: &[u8]) -> u64 {
    let bytes = |it: Instruction| match it.mnemonic() {
        Mnemonic::Sub if it.op0_register() == Register::RSP => it.immediate(1),
        Mnemonic::Lea
            if it.memory_base() == Register::RSP && it.op0_register() == Register::R11 =>
        {
            it.memory_displacement64().wrapping_neg()
        }
        _ => 0,
    };
    let instructions = Decoder::new(64, code, DecoderOptions::NONE);
    instructions
        .into_iter()
        .map(bytes)
        .filter(|it| *it < 1 << 31)
        .sum()
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
    let mut largest = (0, String::new());
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
        largest = largest.max((frame(body), name.clone()));
        wrong.extend(
            vector_instructions(body, symbol.address())
                .into_iter()
                .map(|i| format!("{name}: {i}")),
        );
    }
    println!("{package}: {functions} functions without a vector register");
    let (frame, of) = &largest;
    println!("{package}: {frame} bytes are the largest frame, that of {of}");
    assert!(*frame > 0, "{package}: no function with a frame was found");
    assert!(
        *frame <= budget.frame,
        "{package}: the frame of {of} has {frame} bytes, {} are allowed",
        budget.frame
    );
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

#[test]
fn a_frame_is_found() {
    // push rbx; sub rsp, 0x12340; mov [rsp+8], rdi; add rsp, 0x12340; pop rbx; ret
    let code = [
        0x53, 0x48, 0x81, 0xec, 0x40, 0x23, 0x01, 0x00, 0x48, 0x89, 0x7c, 0x24, 0x08, 0x48, 0x81,
        0xc4, 0x40, 0x23, 0x01, 0x00, 0x5b, 0xc3,
    ];
    assert_eq!(frame(&code), 0x12340);
    // sub rsp, 0x28; sub rax, 0x7f; ret
    let code = [0x48, 0x83, 0xec, 0x28, 0x48, 0x83, 0xe8, 0x7f, 0xc3];
    assert_eq!(frame(&code), 0x28);
    // lea r11, [rsp-0x5000]; sub rsp, 0x1000; mov qword [rsp], 0; cmp rsp, r11; jne; sub rsp, 0x28; ret
    let code = [
        0x4c, 0x8d, 0x9c, 0x24, 0x00, 0xb0, 0xff, 0xff, 0x48, 0x81, 0xec, 0x00, 0x10, 0x00, 0x00,
        0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0, 0x4c, 0x39, 0xdc, 0x75, 0xec, 0x48, 0x83, 0xec, 0x28,
        0xc3,
    ];
    assert_eq!(frame(&code), 0x5000 + 0x1000 + 0x28);
    assert_eq!(frame(&[0xc3]), 0);
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
