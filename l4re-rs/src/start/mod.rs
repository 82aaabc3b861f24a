//! How programs begin: entry code, and what the loader left for them.

pub mod aux;
pub mod env;

/// Defines the entry point of a root task (sigma0 or moe's place).
///
/// `$main` is a `fn(kip_address: u64) -> !`. The kernel passes the address of the kernel
/// information page in `rdi`, or on the stack when `rdi` is 0; to the root task it passes neither,
/// nor a stack, and the address is 0. The program brings its own stack of `$stack` bytes.
#[macro_export]
macro_rules! root_task {
    ($main:path, stack = $stack:expr) => {
        #[cfg(l4re)]
        #[allow(missing_docs)]
        const _: () = {
            #[repr(C, align(16))]
            struct Stack(core::cell::UnsafeCell<[u8; $stack]>);
            // SAFETY: only the first thread uses it, through its stack pointer.
            unsafe impl Sync for Stack {}
            static STACK: Stack = Stack(core::cell::UnsafeCell::new([0; $stack]));

            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            extern "C" fn _start() -> ! {
                core::arch::naked_asm!(
                    "test rdi, rdi",
                    "jnz 2f",
                    "test rsp, rsp",
                    "jz 2f",
                    "pop rdi",
                    "2:",
                    "lea rsp, [rip + {stack} + {size}]",
                    "xor ebp, ebp",
                    "call {main}",
                    "ud2",
                    stack = sym STACK,
                    size = const $stack,
                    main = sym enter,
                )
            }

            extern "C" fn enter(kip: u64) -> ! {
                let main: fn(u64) -> ! = $main;
                main(kip)
            }
        };
    };
}

/// Defines the entry point of an ordinary L4Re program.
///
/// `$main` is a `fn(&'static l4re_rs::start::aux::Process) -> i64`; its result is the exit code
/// that the parent is told.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[cfg(l4re)]
        #[allow(missing_docs)]
        const _: () = {
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            extern "C" fn _start() -> ! {
                core::arch::naked_asm!(
                    "mov rdi, rsp",
                    "and rsp, -16",
                    "xor ebp, ebp",
                    "call {main}",
                    "ud2",
                    main = sym enter,
                )
            }

            extern "C" fn enter(stack: *const u64) -> ! {
                // SAFETY: this is the entry point: `stack` is what the loader prepared, and this
                // is the only call.
                let process = unsafe { $crate::start::aux::Process::from_stack(stack) };
                let main: fn(&'static $crate::start::aux::Process) -> i64 = $main;
                let code = main(process);
                $crate::start::aux::exit(process, code)
            }
        };
    };
}
