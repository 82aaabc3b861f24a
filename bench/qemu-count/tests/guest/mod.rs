//! A guest with known counts: a multiboot image of hand-written code, taken from this test's own
//! program file.
//!
//! It runs in ring 0 throughout. "User" and "kernel" are halves of the address space, so kernel code
//! is the same memory seen at `HIGH`. The programs `alpha`, `beta`, `gamma` and `delta` are pages of
//! the image that the test also writes out as ELF files; `gamma` and `delta` run at one address.
//!
//! Memory: code at 1 MiB, tables at 2 MiB, data at 3 MiB, start-up code of the second CPU at 0x8000.

use std::arch::global_asm;

/// Where the image is loaded.
pub const BASE: u64 = 0x10_0000;
/// What is added to an address to get its alias in the kernel half.
pub const HIGH: u64 = 0xffff_ffff_8000_0000;
/// Where `gamma` and `delta` run.
pub const SHARED: u64 = 0x4000_0000;

global_asm!(
    r#"
    .pushsection .data.guest, "aw"
    .balign 4096
    .set BASE, 0x100000
    .set HIGH, 0xffffffff80000000
    # The functions below may be compiled into other object files than this.
    .globl guest_start, guest_pf, guest_apart, guest_apart_end, guest_beta, guest_beta_apart
    .globl guest_beta_end, guest_gamma, guest_gamma_end, guest_delta, guest_delta_end, guest_end
guest_start:
    .code32
header:
    .long 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
    .long BASE, BASE, BASE + (guest_end - guest_start), BASE + (guest_end - guest_start)
    .long BASE + (entry - guest_start)
entry:
    cli
    cld
    movl $0x80000, %esp
    movl $0x200000, %edi
    xorl %eax, %eax
    movl $0x2000, %ecx
    rep stosl
    movl $0x201003, 0x200000        # PML4: low
    movl $0x202003, 0x200ff8        # PML4: high
    movl $0x203003, 0x201000        # 0
    movl $0x205003, 0x201008        # SHARED
    movl $0x204003, 0x201018        # APIC
    movl $0x203003, 0x202ff0        # HIGH
    movl $0x83, %eax
    movl $0x203000, %edi
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    cmpl $0x203040, %edi
    jne 2b
    movl $0xfee00093, 0x204fb8
    movl $0x206003, 0x205000
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $0x200000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x101, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax
    movl %eax, %cr0
    lgdt BASE + (gdt_pointer - guest_start)
    ljmp $8, $(BASE + (entry64 - guest_start))
    .balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word 23
    .long BASE + (gdt - guest_start)
idt_pointer:
    .word 0xfff
    .quad 0x207000

    .code64
entry64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $0xc0000081, %ecx          # STAR
    xorl %eax, %eax
    movl $0x00100008, %edx
    wrmsr
    incl %ecx                       # LSTAR
    movl $(HIGH + BASE + (kernel_syscall - guest_start) - 0xffffffff00000000), %eax
    movl $0xffffffff, %edx
    wrmsr
    movabs $(HIGH + BASE + (guest_pf - guest_start)), %rax
    movl $0x2070e0, %edi            # gate 14
    movw %ax, (%rdi)
    movl $0x8e000008, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    shrq $16, %rax
    movw %ax, 6(%rdi)
    shrq $16, %rax
    movl %eax, 8(%rdi)
    lidt BASE + (idt_pointer - guest_start)
    movl $(BASE + (ap - guest_start)), %esi
    movl $0x8000, %edi
    movl $(ap_end - ap), %ecx
    rep movsb

    # Window 1. The comments count instructions of alpha.
    xchg %rbx, %rbx
    movl $1000, %ecx                # 1
2:  decl %ecx                       # 1000
    jnz 2b                          # 1000
    syscall                         # 1
    syscall                         # 1
    syscall                         # 1
    movl $0x40001000, %esi          # 1
    movl (%rsi), %eax               # 2: faults, runs again
    movl $0x40002000, %esi          # 1
    movl (%rsi), %eax               # 2
    movabs $(HIGH + BASE + (kernel_work - guest_start)), %rax # 1
    call *%rax                      # 1
    movl $0x310000, %edi            # 1
    movl $4096, %ecx                # 1
    xorl %eax, %eax                 # 1
    rep stosb
    movl $512, %ecx                 # 1
    rep stosq
    movl $0x310000, %esi            # 1
    movl $256, %ecx                 # 1
    rep movsq
    movl $(BASE + (guest_beta - guest_start)), %eax # 1
    call *%rax                      # 1
    movl $(BASE + (beta_apart - guest_start)), %eax # 1
    call *%rax                      # 1
    movabs $(HIGH + BASE + (guest_apart - guest_start)), %rax # 1
    call *%rax                      # 1
    movq $(BASE + (guest_gamma - guest_start) + 3), 0x206000 # 1
    movl $0x40000000, %edi          # 1
    invlpg (%rdi)                   # 1
    call *%rdi                      # 1
    movq $(BASE + (guest_delta - guest_start) + 3), 0x206000 # 1
    invlpg (%rdi)                   # 1
    call *%rdi                      # 1
    xchg %rcx, %rcx                 # in all 2031

    # Between windows nothing counts.
    movl $77, %ecx
2:  decl %ecx
    jnz 2b
    xchg %rcx, %rcx                 # a stop too many

    # Window 2: nested starts are one window of 12 instructions.
    xchg %rbx, %rbx
    .rept 3
    nop
    .endr
    xchg %rbx, %rbx
    .rept 5
    nop
    .endr
    xchg %rcx, %rcx
    .rept 4
    nop
    .endr
    xchg %rcx, %rcx

    # Window 3: the second CPU works while the first waits.
    xchg %rbx, %rbx
    movabs $(HIGH + BASE + (kernel_start_ap - guest_start)), %rax
    call *%rax
2:  pause
    cmpb $1, 0x9000
    jne 2b
    xchg %rcx, %rcx

    xorl %eax, %eax
    outb %al, $0xf4                 # isa-debug-exit
3:  hlt
    jmp 3b

    .code16
ap:
    movw $1000, %cx                 # 1
2:  decw %cx                        # 1000
    jnz 2b                          # 1000
    movb $1, 0x9000                 # 1
    cli                             # 1
    hlt                             # 1: in all 2004
ap_end:

    .code64
    .balign 4096
kernel_syscall:                     # 2
    incl %edi
    jmp *%rcx
guest_pf:                           # 8
    pushq %rax
    movq %cr2, %rax
    shrq $9, %rax
    andl $0xff8, %eax
    movq $0x300003, 0x206000(%rax)
    popq %rax
    addq $8, %rsp
    iretq
kernel_work:                        # 11
    movq %cr3, %rax
    movq %rax, %cr3
    movl $0x40001000, %edx
    invlpg (%rdx)
    invlpg (%rdx)
    movl $0xfee00300, %edx
    movl $0x05000000, 0x10(%rdx)    # to CPU 5, which is not there
    movl $0x4040, (%rdx)
    movl $1, 0x310300               # memory, not the APIC
    movl %eax, 0x310300
    ret
kernel_start_ap:                    # 5
    movl $0xfee00300, %edx
    movl $0x01000000, 0x10(%rdx)
    movl $0x4500, (%rdx)            # INIT
    movl $0x4608, (%rdx)            # start-up at 0x8000
    ret
guest_apart:                        # 4
    movq %rax, 0x310000
    movl %eax, 0x310008
    movb %al, 0x31000c
    ret
guest_apart_end:

    .balign 4096
guest_beta:                         # 166
    .rept 64
    nop
    .endr
    movl $50, %ecx
2:  decl %ecx
    jnz 2b
    ret
beta_apart:                         # 2
    movw %ax, 0x310000
    ret
guest_beta_end:

    .balign 4096
guest_gamma:                        # 71
    .rept 70
    nop
    .endr
    ret
guest_gamma_end:
    .balign 4096
guest_delta:                        # 41
    .rept 40
    .byte 0x66, 0x90
    .endr
    ret
guest_delta_end:
    .balign 4096
guest_end:
    .set guest_beta_apart, beta_apart
    .popsection
"#,
    options(att_syntax)
);

unsafe extern "C" {
    static guest_start: u8;
    static guest_pf: u8;
    static guest_apart: u8;
    static guest_apart_end: u8;
    static guest_beta: u8;
    static guest_beta_apart: u8;
    static guest_beta_end: u8;
    static guest_gamma: u8;
    static guest_gamma_end: u8;
    static guest_delta: u8;
    static guest_delta_end: u8;
    static guest_end: u8;
}

/// Offset of a label in the image.
macro_rules! offset {
    ($label:ident) => {
        (&raw const $label).addr() - (&raw const guest_start).addr()
    };
}

/// The image as a multiboot loader takes it.
pub fn image() -> &'static [u8] {
    // SAFETY: the assembly above defines these bytes, from the first label to the last.
    unsafe { std::slice::from_raw_parts(&raw const guest_start, offset!(guest_end)) }
}

/// Run-time address of the page-fault handler.
pub fn page_fault_entry() -> u64 {
    HIGH + BASE + offset!(guest_pf) as u64
}

/// Run-time addresses of the kernel code to be set apart.
pub fn kernel_apart() -> std::ops::Range<u64> {
    let at = |offset| HIGH + BASE + offset as u64;
    at(offset!(guest_apart))..at(offset!(guest_apart_end))
}

/// Addresses of the code of `beta` to be set apart, as linked.
pub fn beta_apart() -> std::ops::Range<u64> {
    let start = offset!(guest_beta);
    (offset!(guest_beta_apart) - start) as u64..(offset!(guest_beta_end) - start) as u64
}

/// The programs' ELF files with their names: `beta` is relocatable, the others are fixed.
pub fn programs() -> [(&'static str, Vec<u8>); 4] {
    let part = |range: std::ops::Range<usize>| &image()[range];
    let alpha = part(0..4096);
    let beta = part(offset!(guest_beta)..offset!(guest_beta_end));
    let gamma = part(offset!(guest_gamma)..offset!(guest_gamma_end));
    let delta = part(offset!(guest_delta)..offset!(guest_delta_end));
    [
        ("alpha", elf(2, BASE, alpha)),
        ("beta", elf(3, 0, beta)),
        ("gamma", elf(2, SHARED, gamma)),
        ("delta", elf(2, SHARED, delta)),
    ]
}

/// A minimal ELF64 file of type `kind` (2 fixed, 3 relocatable) with one executable segment.
fn elf(kind: u16, vaddr: u64, code: &[u8]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 56;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    file.extend([kind, 62].map(u16::to_le_bytes).as_flattened());
    file.extend(1u32.to_le_bytes());
    file.extend([vaddr, 64, 0].map(u64::to_le_bytes).as_flattened());
    file.extend(0u32.to_le_bytes());
    file.extend([64, 56, 1, 64, 0, 0].map(u16::to_le_bytes).as_flattened());
    file.extend([1, 5].map(u32::to_le_bytes).as_flattened());
    let size = code.len() as u64;
    let segment = [HEADERS, vaddr, vaddr, size, size, 4096];
    file.extend(segment.map(u64::to_le_bytes).as_flattened());
    file.extend(code);
    file
}
