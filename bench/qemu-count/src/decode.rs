//! Tells the few x86-64 instructions apart that the plugin treats in a special way.
//!
//! QEMU gives the bytes of exactly one instruction, so only prefixes and the opcode need a look.
//! The bytes are read as 64-bit code. In 16- and 32-bit code (firmware, boot loader) a byte that is
//! an instruction there may be taken for a prefix here, so event figures of windows that include
//! start-up code are not exact; a kernel and its programs run in 64-bit mode only.

/// What an instruction means to the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `xchg %rbx,%rbx`: a window opens.
    Start,
    /// `xchg %rcx,%rcx`: a window closes.
    Stop,
    /// A string store with a repeat prefix: TCG runs every iteration as an instruction.
    RepStos,
    /// A string copy with a repeat prefix.
    RepMovs,
    /// Another string instruction with a repeat prefix.
    RepOther,
    /// `syscall`.
    Syscall,
    /// A write to CR3.
    WriteCr3,
    /// `invlpg`.
    Invlpg,
    /// `invpcid`.
    Invpcid,
    /// `wrmsr`.
    Wrmsr,
    /// `hlt`.
    Halt,
    /// A 32-bit `mov` that may store to memory: the only form by which kernels write APIC registers.
    Store32,
    /// Anything else.
    Plain,
}

/// Classifies one instruction by its bytes.
pub fn classify(bytes: &[u8]) -> Kind {
    let mut rest = bytes;
    let (mut rep, mut operand16) = (false, false);
    while let [prefix, tail @ ..] = rest {
        match prefix {
            0xf2 | 0xf3 => rep = true,
            0x66 => operand16 = true,
            0x67 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 | 0xf0 => {}
            _ => break,
        }
        rest = tail;
    }
    let rex = match rest {
        [rex @ 0x40..=0x4f, tail @ ..] => {
            rest = tail;
            *rex
        }
        _ => 0,
    };
    let (wide, reg_extended) = (rex & 8 != 0, rex & 4 != 0);
    match rest {
        [0x87, 0xdb] if rex == 0x48 => Kind::Start,
        [0x87, 0xc9] if rex == 0x48 => Kind::Stop,
        [0xaa | 0xab, ..] if rep => Kind::RepStos,
        [0xa4 | 0xa5, ..] if rep => Kind::RepMovs,
        [0xa6 | 0xa7 | 0xac..=0xaf | 0x6c..=0x6f, ..] if rep => Kind::RepOther,
        [0x0f, 0x05, ..] => Kind::Syscall,
        [0x0f, 0x22, modrm, ..] if !reg_extended && modrm >> 3 & 7 == 3 => Kind::WriteCr3,
        [0x0f, 0x01, modrm, ..] if modrm >> 3 & 7 == 7 && modrm >> 6 != 3 => Kind::Invlpg,
        [0x0f, 0x38, 0x82, ..] if operand16 => Kind::Invpcid,
        [0x0f, 0x30, ..] => Kind::Wrmsr,
        [0xf4, ..] => Kind::Halt,
        [0x89 | 0xc7, modrm, ..] if !wide && !operand16 && modrm >> 6 != 3 => Kind::Store32,
        [0xa3, ..] if !wide && !operand16 => Kind::Store32,
        _ => Kind::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, classify};

    /// Bytes as GNU as encodes the instruction in the comment.
    #[test]
    fn knows_each_kind() {
        let cases: &[(&[u8], Kind)] = &[
            (&[0x48, 0x87, 0xdb], Kind::Start),              // xchg %rbx,%rbx
            (&[0x48, 0x87, 0xc9], Kind::Stop),               // xchg %rcx,%rcx
            (&[0x87, 0xdb], Kind::Plain),                    // xchg %ebx,%ebx
            (&[0x66, 0x87, 0xdb], Kind::Plain),              // xchg %bx,%bx
            (&[0x4d, 0x87, 0xdb], Kind::Plain),              // xchg %r11,%r11
            (&[0x48, 0x87, 0xd9], Kind::Plain),              // xchg %rbx,%rcx
            (&[0xf3, 0xaa], Kind::RepStos),                  // rep stosb
            (&[0xf3, 0x48, 0xab], Kind::RepStos),            // rep stosq
            (&[0x48, 0xab], Kind::Plain),                    // stosq
            (&[0xf3, 0x48, 0xa5], Kind::RepMovs),            // rep movsq
            (&[0xf3, 0xa6], Kind::RepOther),                 // repz cmpsb
            (&[0xf2, 0xae], Kind::RepOther),                 // repnz scasb
            (&[0xf3, 0xc3], Kind::Plain),                    // repz ret
            (&[0xf3, 0x90], Kind::Plain),                    // pause
            (&[0x0f, 0x05], Kind::Syscall),                  // syscall
            (&[0x48, 0x0f, 0x05], Kind::Syscall),            // rex.W syscall
            (&[0x0f, 0x22, 0xd8], Kind::WriteCr3),           // mov %rax,%cr3
            (&[0x41, 0x0f, 0x22, 0xdd], Kind::WriteCr3),     // mov %r13,%cr3
            (&[0x0f, 0x20, 0xd8], Kind::Plain),              // mov %cr3,%rax
            (&[0x0f, 0x22, 0xe0], Kind::Plain),              // mov %rax,%cr4
            (&[0x0f, 0x01, 0x38], Kind::Invlpg),             // invlpg (%rax)
            (&[0x41, 0x0f, 0x01, 0x7d, 0x08], Kind::Invlpg), // invlpg 8(%r13)
            (&[0x0f, 0x01, 0xf8], Kind::Plain),              // swapgs
            (&[0x66, 0x0f, 0x38, 0x82, 0x04, 0x24], Kind::Invpcid), // invpcid (%rsp),%rax
            (&[0x0f, 0x30], Kind::Wrmsr),                    // wrmsr
            (&[0xf4], Kind::Halt),                           // hlt
            (&[0x89, 0x87, 0x00, 0x03, 0x00, 0x00], Kind::Store32), // mov %eax,0x300(%rdi)
            (&[0x44, 0x89, 0x07], Kind::Store32),            // mov %r8d,(%rdi)
            (&[0xc7, 0x07, 1, 0, 0, 0], Kind::Store32),      // movl $1,(%rdi)
            (&[0x48, 0x89, 0x07], Kind::Plain),              // mov %rax,(%rdi)
            (&[0x66, 0x89, 0x07], Kind::Plain),              // mov %ax,(%rdi)
            (&[0x89, 0xc7], Kind::Plain),                    // mov %eax,%edi
            (&[0xa3, 0, 3, 0xe0, 0xfe, 0, 0, 0, 0], Kind::Store32), // movabs %eax,0xfee00300
            (&[0x90], Kind::Plain),                          // nop
        ];
        for (bytes, kind) in cases {
            assert_eq!(classify(bytes), *kind, "{bytes:02x?}");
        }
    }

    #[test]
    fn short_and_odd_bytes_are_plain() {
        for bytes in [
            &[][..],
            &[0x0f],
            &[0xf3],
            &[0x66, 0x48],
            &[0x0f, 0x22],
            &[0x89],
        ] {
            assert_eq!(classify(bytes), Kind::Plain, "{bytes:02x?}");
        }
    }
}
