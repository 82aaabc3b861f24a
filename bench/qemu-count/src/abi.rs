//! QEMU's plugin interface, version 1, as far as it is used, declared by hand.
//!
//! QEMU exports the functions from its own program file. They are looked up once when the plugin is
//! loaded instead of being linked: so the crate links into ordinary programs too (its tests, the
//! tools), and a QEMU that lacks a function is named as such.

use std::ffi::{c_char, c_int, c_uint, c_void};

use libloading::os::unix::Library;

/// The version of the interface that this plugin is written for.
pub const VERSION: c_int = 1;

/// Names this plugin to QEMU.
pub type PluginId = u64;

/// A block being translated; valid during the translation callback only.
#[repr(C)]
pub struct Tb {
    _opaque: [u8; 0],
}

/// An instruction of a block being translated; valid as long as its [`Tb`].
#[repr(C)]
pub struct Insn {
    _opaque: [u8; 0],
}

/// Where an access went; valid until the end of the memory callback.
#[repr(C)]
pub struct HwAddr {
    _opaque: [u8; 0],
}

/// What QEMU tells a plugin about itself at installation.
#[repr(C)]
pub struct Info {
    /// Name of the guest architecture.
    pub target_name: *const c_char,
    /// Oldest interface version that QEMU accepts.
    pub version_min: c_int,
    /// Interface version that QEMU has.
    pub version_cur: c_int,
    /// Whether a whole system is emulated, not one program.
    pub system_emulation: bool,
    /// CPUs at start.
    pub smp_vcpus: c_int,
    /// CPUs at most.
    pub max_vcpus: c_int,
}

/// Callback flag: the callback reads no guest registers.
pub const CB_NO_REGS: c_int = 0;
/// Inline operation: add to a 64-bit cell.
pub const INLINE_ADD_U64: c_int = 0;
/// Memory callbacks: stores only. QEMU 7.2 calls back for loads all the same.
pub const MEM_W: c_int = 2;

/// Called when a block or instruction is run.
pub type ExecFn = extern "C" fn(vcpu: c_uint, data: *mut c_void);
/// Called after a memory access.
pub type MemFn = extern "C" fn(vcpu: c_uint, info: u32, vaddr: u64, data: *mut c_void);
/// Called when a block is translated.
pub type TransFn = extern "C" fn(id: PluginId, tb: *mut Tb);
/// Called at the end of the run.
pub type ExitFn = extern "C" fn(id: PluginId, data: *mut c_void);

macro_rules! api {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// The functions of QEMU, as pointers that stay valid for the life of the process.
        pub struct Api {
            $($(#[$doc])* pub $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
        }

        impl Api {
            /// Looks the functions up in the running program.
            ///
            /// # Errors
            /// The loader's message, which names the function that this QEMU lacks.
            pub fn load() -> Result<Self, libloading::Error> {
                let this = Library::this();
                // SAFETY: the types are those of QEMU's `qemu-plugin.h`, interface version 1.
                // `install` has checked the version before. The program itself is never unloaded.
                Ok(Api { $($name: unsafe { *this.get($symbol)? },)* })
            }
        }
    };
}

api! {
    /// Asks for a callback at each translation.
    on_translate = b"qemu_plugin_register_vcpu_tb_trans_cb\0": fn(PluginId, TransFn);
    /// Asks for a callback at the end of the run.
    on_exit = b"qemu_plugin_register_atexit_cb\0": fn(PluginId, ExitFn, *mut c_void);
    /// Asks for a callback when the block runs.
    on_tb = b"qemu_plugin_register_vcpu_tb_exec_cb\0": fn(*mut Tb, ExecFn, c_int, *mut c_void);
    /// Asks for a callback before the instruction runs.
    on_insn = b"qemu_plugin_register_vcpu_insn_exec_cb\0":
        fn(*mut Insn, ExecFn, c_int, *mut c_void);
    /// Adds an inline operation before the instruction.
    inline_insn = b"qemu_plugin_register_vcpu_insn_exec_inline\0":
        fn(*mut Insn, c_int, *mut c_void, u64);
    /// Asks for a callback after each memory access of the instruction.
    on_mem = b"qemu_plugin_register_vcpu_mem_cb\0":
        fn(*mut Insn, MemFn, c_int, c_int, *mut c_void);
    /// Number of instructions in the block.
    tb_len = b"qemu_plugin_tb_n_insns\0": fn(*const Tb) -> usize;
    /// Instruction of the block by index; null if out of range.
    tb_insn = b"qemu_plugin_tb_get_insn\0": fn(*const Tb, usize) -> *mut Insn;
    /// First byte of the instruction.
    insn_data = b"qemu_plugin_insn_data\0": fn(*const Insn) -> *const u8;
    /// Length of the instruction in bytes.
    insn_size = b"qemu_plugin_insn_size\0": fn(*const Insn) -> usize;
    /// Guest-virtual address of the instruction.
    insn_vaddr = b"qemu_plugin_insn_vaddr\0": fn(*const Insn) -> u64;
    /// Address of the instruction's bytes in QEMU's memory; null if not in ordinary memory.
    insn_haddr = b"qemu_plugin_insn_haddr\0": fn(*const Insn) -> *const c_void;
    /// Binary logarithm of the size of the access in bytes.
    mem_size_shift = b"qemu_plugin_mem_size_shift\0": fn(u32) -> c_uint;
    /// Whether the access is a store.
    mem_is_store = b"qemu_plugin_mem_is_store\0": fn(u32) -> bool;
    /// Where the access went; null if unknown.
    mem_hwaddr = b"qemu_plugin_get_hwaddr\0": fn(u32, u64) -> *const HwAddr;
    /// Whether a device was accessed.
    hwaddr_is_io = b"qemu_plugin_hwaddr_is_io\0": fn(*const HwAddr) -> bool;
    /// Guest-physical address of the access.
    hwaddr_phys = b"qemu_plugin_hwaddr_phys_addr\0": fn(*const HwAddr) -> u64;
}
