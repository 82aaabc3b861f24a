//! What an ordinary program finds on its stack: arguments and the auxiliary vector.

use l4_sys::proto;

use super::env::Environment;
use crate::msg::Writer;

/// Aux tag of the loader's own record.
pub const AT_L4_AUX: u64 = 0xf0;
/// Aux tag of the environment.
pub const AT_L4_ENV: u64 = 0xf1;
/// Aux tag of the kernel information page.
pub const AT_L4_KIP: u64 = 0xf2;

/// A running program: what its loader told it.
#[derive(Debug)]
pub struct Process {
    argc: usize,
    argv: *const *const u8,
    /// Initial capabilities.
    pub env: &'static Environment,
    /// Address of the kernel information page.
    pub kip: u64,
}

/// Room for the one [`Process`] of the program.
struct Once(core::cell::UnsafeCell<Option<Process>>);
// SAFETY: written once, before `main`, by the only thread there is then.
unsafe impl Sync for Once {}
static PROCESS: Once = Once(core::cell::UnsafeCell::new(None));

impl Process {
    /// Reads the stack that the loader prepared: argc, argv, 0, environment strings, 0, pairs.
    ///
    /// # Panics
    /// When there is no L4Re environment: then there is nobody to report to either, and nothing
    /// the program could do.
    ///
    /// # Safety
    /// `stack` is the stack pointer at the program's entry; called once, before other threads.
    pub unsafe fn from_stack(stack: *const u64) -> &'static Process {
        // SAFETY: the loader lays the stack out like this, and it stays mapped.
        unsafe {
            let argc = stack.read() as usize;
            let argv = stack.add(1).cast::<*const u8>();
            let mut p = stack.add(1 + argc + 1);
            while p.read() != 0 {
                p = p.add(1);
            }
            p = p.add(1);
            let (mut env, mut kip) = (0, 0);
            while p.read() != 0 {
                match p.read() {
                    AT_L4_ENV => env = p.add(1).read(),
                    AT_L4_KIP => kip = p.add(1).read(),
                    _ => {}
                }
                p = p.add(2);
            }
            assert!(
                env != 0,
                "no L4Re environment: not started by an L4Re loader"
            );
            let env = &*(env as usize as *const Environment);
            let place = PROCESS.0.get();
            *place = Some(Process {
                argc,
                argv,
                env,
                kip,
            });
            match &*place {
                Some(p) => p,
                None => crate::panic::stop(),
            }
        }
    }

    /// The arguments as bytes, the program's name first.
    pub fn args(&self) -> impl Iterator<Item = &'static [u8]> {
        let argv = self.argv;
        (0..self.argc).map(move |i| {
            // SAFETY: the loader stores `argc` pointers to NUL-terminated strings.
            unsafe { core::ffi::CStr::from_ptr((*argv.add(i)).cast()) }.to_bytes()
        })
    }
}

/// Tells the parent that the program has ended, and stops.
pub fn exit(process: &Process, code: i64) -> ! {
    let utcb = l4_sys::UtcbRef::current();
    // Signal 0 is "exit"; a parent does not answer it.
    if let Ok(tag) = Writer::new(utcb)
        .u32(0)
        .u64(0)
        .u64(code.cast_unsigned())
        .finish(proto::PARENT)
    {
        let _ = crate::client::ipc::call(process.env.parent(), tag);
    }
    crate::panic::stop()
}
