//! What is there when the first instruction of sigma0 runs: memory layout, kernel information
//! page, ACPI tables, the two boot tasks with their capabilities.
//!
//! Memory as bootstrap and kernel leave it: the first megabyte with the BIOS area, the kernel's
//! image with the information page in its first page, the kernel's heap at the end of the first
//! node's first range, ACPI tables below the heap. What is left is free RAM.

use l4_sys::memdesc::{
    ARCH_ACPI_TABLES, INFO_ACPI_RSDP, MemDesc, MemType, RESERVED_HEAP, RESERVED_KERNEL,
};
use l4_sys::{Fpage, MemRights, kip};

use crate::acpi;
use crate::machine::Machine;
use crate::object::{Kind, ObjId};
use crate::quota::Quotas;
use crate::ram::Ram;
use crate::space::Cap;
use crate::state::State;
use crate::thread::{Run, Thread};

/// Physical address of the kernel information page.
pub const KIP: u64 = 0x40_0000;
/// End of the kernel's image.
const KERNEL_END: u64 = 0x80_0000;
/// Bytes below which RAM has the BIOS's holes.
const LOW: u64 = 0xa_0000;
/// Bytes kept for ACPI tables.
const ACPI: u64 = 0x2_0000;
/// Where boot threads have their UTCB.
const UTCB: u64 = 0x7f00_0000_0000;
/// Label of the root task's gate to sigma0: owner 4.
pub const ROOT_LABEL: u64 = 0x40;
/// Priority of boot threads.
const BOOT_PRIO: u8 = 1;
/// Share of memory that is the kernel's heap, in percent.
const HEAP_PERCENT: u64 = 6;

/// Bytes of the kernel's heap on a machine.
pub(crate) fn heap_bytes(m: &Machine) -> u64 {
    let all: u64 = m.nodes.iter().map(|n| n.mib << 20).sum();
    let first = m.ram()[0].2;
    (all * HEAP_PERCENT / 100)
        .min(first / 2)
        .next_multiple_of(1 << 20)
}

/// The memory descriptors of a machine; RAM first, as bootstrap writes them.
fn descriptors(m: &Machine) -> Vec<MemDesc> {
    let ram = m.ram();
    let heap = ram[0].2 - heap_bytes(m);
    let acpi = heap - ACPI;
    let mut d: Vec<MemDesc> = Vec::new();
    d.push(MemDesc::new(0, LOW - 1, MemType::Conventional, 0, false));
    d.push(MemDesc::new(
        0x10_0000,
        ram[0].2 - 1,
        MemType::Conventional,
        0,
        false,
    ));
    for (_, start, end) in &ram[1..] {
        d.push(MemDesc::new(
            *start,
            end - 1,
            MemType::Conventional,
            0,
            false,
        ));
    }
    d.push(MemDesc::new(
        KIP,
        KERNEL_END - 1,
        MemType::Reserved,
        RESERVED_KERNEL,
        false,
    ));
    d.push(MemDesc::new(
        heap,
        ram[0].2 - 1,
        MemType::Reserved,
        RESERVED_HEAP,
        false,
    ));
    if m.acpi {
        d.push(MemDesc::new(
            acpi,
            acpi + 0xfff,
            MemType::Info,
            INFO_ACPI_RSDP,
            false,
        ));
        d.push(MemDesc::new(
            acpi + 0x1000,
            heap - 1,
            MemType::Arch,
            ARCH_ACPI_TABLES,
            false,
        ));
    }
    d.push(MemDesc::new(
        0x1000,
        crate::ptab::USER_END - 1,
        MemType::Conventional,
        0,
        true,
    ));
    d
}

/// Writes the information page and the tables; returns nothing that is not in memory.
pub(crate) fn write_memory(m: &Machine, ram: &Ram, mhz: u64) {
    let mut page = vec![0u8; kip::KIP_SIZE];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    let heap = m.ram()[0].2 - heap_bytes(m);
    let rsdp = if m.acpi { heap - ACPI } else { 0 };
    put(0, &kip::MAGIC.to_le_bytes());
    put(4, &(u32::from(kip::VERSION_FIASCO) << 24).to_le_bytes());
    put(8, &[(0x400 / 16) as u8]);
    put(40, &(mhz * 1000).to_le_bytes());
    put(48, &rsdp.to_le_bytes());
    put(80, &1000u32.to_le_bytes());
    let d = descriptors(m);
    put(84, &0x200u32.to_le_bytes());
    put(88, &(d.len() as u32).to_le_bytes());
    put(112, b"model");
    put(128, &1u32.to_le_bytes());
    for (i, d) in d.iter().enumerate() {
        put(0x200 + i * 16, &d.low.to_le_bytes());
        put(0x208 + i * 16, &d.high.to_le_bytes());
    }
    put(0x400, b"fiasco-model\0mapdb\0mp\0\0");
    ram.write(KIP, &page);
    if m.acpi {
        for (at, bytes) in acpi::tables(m, rsdp) {
            ram.write(at, &bytes);
        }
    }
}

const FULL: Cap = Cap {
    obj: ObjId(0),
    rights: 1 | 2 | 8,
    extra: 0xf0,
};

impl State {
    fn boot_object(&mut self, kind: Kind, slot: u64) {
        let obj = self.objs.add(kind, (Quotas::ROOT, 0));
        self.enter_cap(self.sigma0, slot, Cap { obj, ..FULL });
    }

    /// Makes sigma0's task and the kernel's objects.
    fn boot_sigma0(&mut self) {
        self.sigma0 = self
            .new_space(Quotas::ROOT, true)
            .expect("the heap is fresh");
        let s0 = self.sigma0;
        self.enter_cap(s0, 1, Cap { obj: s0, ..FULL });
        self.boot_object(Kind::Factory(Quotas::ROOT), 2);
        self.boot_object(Kind::Log, 5);
        self.boot_object(Kind::Icu, 6);
        self.boot_object(Kind::Scheduler, 7);
        self.boot_object(Kind::Debugger, 10);
    }

    /// Makes a boot thread in `task`, bound, placed on CPU 0, started at `entry`.
    fn boot_thread(&mut self, task: ObjId, ip: u64, name: &str) -> ObjId {
        let start = self.entry_at(ip);
        let thread = self
            .objs
            .add(Kind::Thread(Box::new(Thread::new())), (Quotas::ROOT, 0));
        self.enter_cap(
            task,
            3,
            Cap {
                obj: thread,
                ..FULL
            },
        );
        self.add_ku(task, Fpage::mem(UTCB, 12, MemRights::RW))
            .expect("the space is empty");
        assert!(self.bind(thread, task, UTCB), "the UTCB was just made");
        for id in [task, thread] {
            if let Some(o) = self.objs.get_mut(id) {
                o.name = name.into();
            }
        }
        self.place(thread, 0, BOOT_PRIO);
        if let Some(t) = self.objs.thread_mut(thread) {
            t.pager = 4;
            t.start = start;
            t.run = Run::Ready;
        }
        self.make_ready(thread, 0);
        thread
    }

    /// The boot tasks: sigma0's and the root task's programs are entries, at these instruction
    /// pointers. Returns the root task.
    pub fn boot(&mut self, programs: [u64; 2]) -> ObjId {
        let [sigma0, root] = programs;
        self.boot_sigma0();
        let s0_thread = self.boot_thread(self.sigma0, sigma0, "sigma0");
        let task = self
            .new_space(Quotas::ROOT, false)
            .expect("the heap is fresh");
        self.enter_cap(task, 1, Cap { obj: task, ..FULL });
        let gate = self.boot_gate(s0_thread, ROOT_LABEL);
        self.enter_cap(task, 4, Cap { obj: gate, ..FULL });
        for slot in [2, 5, 6, 7, 10] {
            if let Some(cap) = self.objs.task(self.sigma0).and_then(|t| t.cap(slot)) {
                self.enter_cap(task, slot, cap);
            }
        }
        self.boot_thread(task, root, "root");
        for cpu in &mut self.cpus {
            cpu.clock = 0;
            cpu.counters = crate::count::Counters::default();
        }
        task
    }
}
