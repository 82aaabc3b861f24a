//! The plugin itself: QEMU's entry points, thin over `State` and `Counters`.
//!
//! Callbacks carry no pointer: their user data is the slot number, and the metric for events. So
//! nothing is allocated for a block, and blocks that QEMU drops leave nothing behind.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use crate::abi::{Api, CB_NO_REGS, INLINE_ADD_U64, Info, Insn, MEM_W, PluginId, Tb, VERSION};
use crate::args::{Arm, Config};
use crate::counters::{Counters, Metric, SlotId};
use crate::decode::{Kind, classify};
use crate::report::Half;
use crate::stall::Stalls;
use crate::state::State;
use crate::tick::{Block, Ticks};

/// The interrupt command register, low half, where every PC has its local APIC.
const ICR: u64 = 0xfee0_0300;
/// Windows after which the file is written at each stop; later only at the end.
const EAGER_WINDOWS: usize = 256;

struct Plugin {
    api: Api,
    counters: Counters,
    stalls: Stalls,
    ticks: Ticks,
    state: Mutex<State>,
    /// The thread that translates; a second one means that CPUs run in parallel.
    thread: OnceLock<ThreadId>,
    foreign_thread: AtomicBool,
}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// The interface version, where QEMU looks for it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = VERSION;

/// QEMU's call when it has loaded the plugin. Returns 0, or -1 after a message on stderr.
///
/// # Safety
/// Only QEMU may call this: `info` must point to an [`Info`], `argv` to `argc` C strings, all valid
/// during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    info: *const Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: as this function's contract.
    let (info, args) = unsafe {
        let argv: &[*const c_char] = if argc > 0 {
            slice::from_raw_parts(argv, argc as usize)
        } else {
            &[]
        };
        let args = argv
            .iter()
            .map(|arg| CStr::from_ptr(*arg).to_string_lossy().into_owned());
        (&*info, args.collect::<Vec<_>>())
    };
    match install(id, info, &args) {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("qemu-count: {message}");
            -1
        }
    }
}

fn install(id: PluginId, info: &Info, args: &[String]) -> Result<(), String> {
    if !(info.version_min..=info.version_cur).contains(&VERSION) {
        return Err(format!(
            "QEMU has plugin interface {} (accepts {} and up), this plugin {VERSION}",
            info.version_cur, info.version_min
        ));
    }
    let vcpus = u32::try_from(info.max_vcpus)
        .ok()
        .filter(|_| info.system_emulation);
    let vcpus = vcpus.ok_or("only whole systems can be counted")?;
    let config = Config::parse(args.iter().map(String::as_str)).map_err(|e| e.to_string())?;
    let at_boot = config.arm == Arm::Boot;
    let watch = !config.receives.is_empty();
    let state = State::new(config)?;
    let stalls = Stalls::new(vcpus, watch);
    if let Some(slot) = state.tick() {
        stalls.set(slot, state.nature(slot));
    }
    let plugin = Plugin {
        api: Api::load().map_err(|error| error.to_string())?,
        counters: Counters::new(vcpus),
        stalls,
        ticks: Ticks::new(vcpus, state.tick()),
        state: Mutex::new(state),
        thread: OnceLock::new(),
        foreign_thread: AtomicBool::new(false),
    };
    if at_boot && plugin.state().windows.start() {
        plugin.counters.open(0, SlotId(0));
    }
    let plugin = PLUGIN.get_or_init(|| plugin);
    // SAFETY: `id` is ours, the callbacks have the types that QEMU calls them with.
    unsafe {
        (plugin.api.on_translate)(id, translate);
        (plugin.api.on_exit)(id, at_exit, std::ptr::null_mut());
    }
    Ok(())
}

impl Plugin {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in a callback ends the process, so a poisoned lock cannot be seen broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_thread(&self) {
        let this = thread::current().id();
        if *self.thread.get_or_init(|| this) != this && !self.foreign_thread.swap(true, Relaxed) {
            eprintln!("qemu-count: CPUs run in several threads; use -accel tcg,thread=single");
        }
    }

    fn write(&self, state: &State, complete: bool) {
        let report = state.report(&self.counters, complete, self.foreign_thread.load(Relaxed));
        let path = &state.config().out;
        if let Err(error) = report.write(path) {
            eprintln!("qemu-count: {}: {error}", path.display());
        }
    }

    /// Instruments the block.
    ///
    /// # Safety
    /// `tb` is the block that QEMU is translating now.
    unsafe fn instrument(&self, tb: *mut Tb) {
        let api = &self.api;
        // SAFETY: `tb` is valid by contract; instructions and their bytes are as long as it.
        let insns: Vec<(*mut Insn, u64, &[u8])> = unsafe {
            (0..(api.tb_len)(tb))
                .map(|index| (api.tb_insn)(tb, index))
                .filter(|insn| !insn.is_null())
                .map(|insn| {
                    let bytes = slice::from_raw_parts((api.insn_data)(insn), (api.insn_size)(insn));
                    (insn, (api.insn_vaddr)(insn), bytes)
                })
                .collect()
        };
        let (Some(&(first, vaddr, _)), Some(&(_, _, last))) = (insns.first(), insns.last()) else {
            return;
        };
        // SAFETY: as above.
        let host = unsafe { (api.insn_haddr)(first) } as u64;
        let mut code: Vec<u8> = insns
            .iter()
            .flat_map(|(_, _, bytes)| *bytes)
            .copied()
            .collect();
        // The next page may hold something else than this image's next page.
        code.truncate((4096 - vaddr % 4096) as usize);
        let mut state = self.state();
        let (slot, stores) = state.slot(vaddr, (host != 0).then_some(host / 4096), &code);
        self.stalls.set(slot, state.nature(slot));
        let kernel = Half::of(vaddr) == Half::Kernel;
        // SAFETY: the pointers are valid as above, and QEMU calls back with the types given. The
        // inline cell lives in a static.
        unsafe {
            let what = state.block(vaddr, slot, last);
            (api.on_tb)(tb, block, CB_NO_REGS, begin(slot, what));
            for (insn, vaddr, bytes) in insns {
                let kind = classify(bytes);
                let on_mem = |callback, metric| {
                    (api.on_mem)(insn, callback, CB_NO_REGS, MEM_W, data(slot, metric));
                };
                let on_event = |metric| {
                    (api.on_insn)(insn, event, CB_NO_REGS, data(slot, Some(metric)));
                };
                for entry in state.config().entries.iter().filter(|e| e.addr == vaddr) {
                    on_event(entry.metric);
                }
                match kind {
                    Kind::Start => (api.on_insn)(insn, start, CB_NO_REGS, data(slot, None)),
                    Kind::Stop => (api.on_insn)(insn, stop, CB_NO_REGS, data(slot, None)),
                    Kind::RepStos => on_mem(stored, Some(Metric::RepStosBytes)),
                    Kind::RepMovs => on_mem(stored, Some(Metric::RepMovsBytes)),
                    Kind::RepOther => {}
                    _ => {
                        let cell = self.counters.started.as_ptr().cast();
                        (api.inline_insn)(insn, INLINE_ADD_U64, cell, 1);
                        if stores {
                            on_mem(stored, Some(Metric::ApartBytes));
                        }
                    }
                }
                match kind {
                    Kind::Syscall => {
                        on_event(Metric::Syscalls);
                        if let Some(of) = state.receiver(slot, vaddr) {
                            (api.on_insn)(insn, receive, CB_NO_REGS, number(of));
                        }
                    }
                    Kind::WriteCr3 => on_event(Metric::Cr3Writes),
                    Kind::Invlpg => on_event(Metric::Invlpg),
                    Kind::Invpcid => on_event(Metric::Invpcid),
                    Kind::Wrmsr => on_event(Metric::Wrmsr),
                    Kind::Halt => on_event(Metric::Halts),
                    Kind::Store32 if kernel => on_mem(icr, None),
                    _ => {}
                }
            }
        }
    }
}

/// User data of a callback: the slot, and above it the metric.
fn data(slot: SlotId, metric: Option<Metric>) -> *mut c_void {
    let metric = metric.map_or(0, |metric| metric as usize);
    std::ptr::without_provenance_mut(metric << 32 | slot.0 as usize)
}

/// User data of a block: the slot, and above it what it is for ticks.
fn begin(slot: SlotId, block: Block) -> *mut c_void {
    std::ptr::without_provenance_mut(block.pack() << 32 | slot.0 as usize)
}

fn unpack(data: *mut c_void) -> (SlotId, Metric) {
    let data = data.addr();
    (SlotId(data as u32), Metric::ALL[data >> 32])
}

/// User data of a receive: the server's number.
fn number(of: u8) -> *mut c_void {
    std::ptr::without_provenance_mut(usize::from(of))
}

/// The plugin, if a window is open.
#[inline]
fn armed() -> Option<&'static Plugin> {
    PLUGIN
        .get()
        .filter(|plugin| plugin.counters.armed.load(Relaxed))
}

extern "C" fn translate(_id: PluginId, tb: *mut Tb) {
    if let Some(plugin) = PLUGIN.get() {
        plugin.note_thread();
        // SAFETY: QEMU hands over the block that it is translating.
        unsafe { plugin.instrument(tb) };
    }
}

extern "C" fn block(vcpu: c_uint, data: *mut c_void) {
    if let Some(plugin) = armed() {
        let (slot, what) = (SlotId(data.addr() as u32), Block::unpack(data.addr() >> 32));
        let slot = plugin.ticks.pass(vcpu, slot, what);
        let (who, ran) = plugin.counters.enter(vcpu, slot);
        plugin.stalls.ran(who, ran);
    }
}

extern "C" fn receive(vcpu: c_uint, data: *mut c_void) {
    if let Some(plugin) = armed() {
        let (who, ran) = plugin.counters.settle();
        plugin.stalls.ran(who, ran);
        plugin.stalls.receive(vcpu, data.addr() as u8);
    }
}

extern "C" fn event(vcpu: c_uint, data: *mut c_void) {
    if let Some(plugin) = armed() {
        let (slot, metric) = unpack(data);
        plugin.counters.add(vcpu, slot, metric, 1);
    }
}

extern "C" fn stored(vcpu: c_uint, info: u32, _vaddr: u64, data: *mut c_void) {
    if let Some(plugin) = armed() {
        let (slot, metric) = unpack(data);
        // SAFETY: `info` is of the access that this callback is for.
        let (is_store, shift) = unsafe {
            (
                (plugin.api.mem_is_store)(info),
                (plugin.api.mem_size_shift)(info),
            )
        };
        if is_store {
            let bytes = 1 << shift;
            plugin.counters.add(vcpu, slot, metric, bytes);
            let cleared = metric == Metric::RepStosBytes;
            plugin.stalls.stored(vcpu, slot, bytes, cleared);
        }
    }
}

extern "C" fn icr(vcpu: c_uint, info: u32, vaddr: u64, data: *mut c_void) {
    let Some(plugin) = armed() else { return };
    // The offset in the page is the same in virtual addresses; it spares nearly all look-ups.
    if vaddr % 4096 != ICR % 4096 {
        return;
    }
    let api = &plugin.api;
    // SAFETY: `info` and `vaddr` are of the access that this callback is for.
    let hit = unsafe {
        let place = (api.mem_hwaddr)(info, vaddr);
        !place.is_null()
            && (api.mem_is_store)(info)
            && (api.hwaddr_is_io)(place)
            && (api.hwaddr_phys)(place) == ICR
    };
    if hit {
        plugin.counters.add(vcpu, unpack(data).0, Metric::Ipis, 1);
    }
}

extern "C" fn start(vcpu: c_uint, data: *mut c_void) {
    if let Some(plugin) = PLUGIN.get()
        && plugin.state().windows.start()
    {
        plugin.stalls.open();
        plugin.ticks.open();
        plugin.counters.open(vcpu, unpack(data).0);
    }
}

impl Plugin {
    /// Closes the window and keeps it.
    fn close(&self, state: &mut State) {
        let (who, ran) = self.counters.settle();
        self.stalls.ran(who, ran);
        state.close(&self.counters, self.stalls.close());
    }
}

extern "C" fn stop(_vcpu: c_uint, _data: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let mut state = plugin.state();
    if state.windows.stop() {
        plugin.close(&mut state);
        if state.windows.closed().len() <= EAGER_WINDOWS {
            plugin.write(&state, false);
        }
    }
}

extern "C" fn at_exit(_id: PluginId, _data: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let mut state = plugin.state();
    if state.windows.is_open() {
        plugin.close(&mut state);
    }
    plugin.write(&state, true);
}
