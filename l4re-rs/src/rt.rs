//! What the compiler expects of a C library: memory functions, and the panic hook.
//!
//! String instructions instead of vector copies: they need no FPU state, which the kernel saves
//! lazily and at a price (DESIGN section 3), and are short. Whole words first, because an emulator
//! counts each iteration.

use core::arch::{asm, global_asm};

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crate::panic::report(info)
}

global_asm!(
    // rdi = destination (returned in rax), rsi = source, rdx = bytes.
    ".globl memcpy",
    "memcpy:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "shr rcx, 3",
    "rep movsq",
    "mov ecx, edx",
    "and ecx, 7",
    "rep movsb",
    "ret",
    // rdi = destination (returned in rax), esi = byte, rdx = bytes.
    ".globl memset",
    "memset:",
    "mov r8, rdi",
    "movzx eax, sil",
    "mov r9, 0x0101010101010101",
    "imul rax, r9",
    "mov rcx, rdx",
    "shr rcx, 3",
    "rep stosq",
    "mov ecx, edx",
    "and ecx, 7",
    "rep stosb",
    "mov rax, r8",
    "ret",
    // Backwards when the destination begins inside the source.
    ".globl memmove",
    "memmove:",
    "mov rax, rdi",
    "sub rax, rsi",
    "cmp rax, rdx",
    "jae memcpy",
    "mov rax, rdi",
    "mov rcx, rdx",
    "lea rdi, [rdi + rdx - 1]",
    "lea rsi, [rsi + rdx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
);

/// Compares `n` bytes; the sign of the first difference.
///
/// # Safety
/// Both ranges are readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    let mut i = 0;
    while i < n {
        // SAFETY: `i < n`, and the caller's promise. The empty asm keeps the compiler from turning
        // the loop into a call of this very function.
        let (x, y) = unsafe {
            asm!("", options(nomem, nostack, preserves_flags));
            (*a.add(i), *b.add(i))
        };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
        i += 1;
    }
    0
}

/// As [`memcmp`]; only zero or not counts.
///
/// # Safety
/// As [`memcmp`].
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(a, b, n) }
}

/// Bytes before the NUL that ends a string.
///
/// # Safety
/// The string is readable up to its NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: no byte before this one was the NUL. The empty asm is there as in `memcmp`.
    while unsafe {
        asm!("", options(nomem, nostack, preserves_flags));
        *text.add(n) != 0
    } {
        n += 1;
    }
    n
}

/// Named by the precompiled core library; never called, since panics abort.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
