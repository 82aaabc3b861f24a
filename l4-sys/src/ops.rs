//! Operation numbers and bits of the kernel objects' own protocols: word 0 of a request, unless
//! said otherwise.

/// Task (label [`crate::proto::TASK`]).
pub mod task {
    /// Map from another task: send base, flexpage, and the source task as item.
    pub const MAP: u64 = 0;
    /// Unmap: flags, then one or more flexpages.
    pub const UNMAP: u64 = 1;
    /// Is a capability valid, or do two name one object.
    pub const CAP_INFO: u64 = 2;
    /// Add kernel-user memory.
    pub const ADD_KU_MEM: u64 = 3;

    /// Unmap flag: only what others got from here.
    pub const OTHER_SPACES: u64 = 0;
    /// Unmap flag: what this task has as well.
    pub const ALL_SPACES: u64 = 0x8000_0000;
    /// Unmap flag: delete the objects too, where the capability has the right.
    pub const DELETE_OBJ: u64 = 0xc000_0000;
}

/// Thread (label [`crate::proto::THREAD`]).
pub mod thread {
    /// Bind, set pager and exception handler.
    pub const CONTROL: u64 = 0;
    /// Exchange instruction and stack pointer.
    pub const EX_REGS: u64 = 1;
    /// Give the CPU away.
    pub const SWITCH: u64 = 2;
    /// Consumed time.
    pub const STATS: u64 = 3;
    /// Resume a vCPU.
    pub const VCPU_RESUME: u64 = 4;
    /// Name the IRQ that is raised when one of the thread's gates is deleted.
    pub const REGISTER_DELETE_IRQ: u64 = 5;
    /// Change labels of senders that wait for the thread.
    pub const MODIFY_SENDER: u64 = 6;
    /// vCPU mode.
    pub const VCPU_CONTROL: u64 = 7;
    /// Name the IRQ that is raised when a message arrives.
    pub const REGISTER_DOORBELL_IRQ: u64 = 8;
    /// Page-fault trampoline; the operation is in the upper half.
    pub const PF_TRAMP_CONTROL: u64 = 9;
    /// Set a segment base.
    pub const AMD64_SET_SEGMENT_BASE: u64 = 0x12;
    /// Ask for segment information.
    pub const AMD64_GET_SEGMENT_INFO: u64 = 0x13;

    /// Page-fault trampoline: set the state's address (word 1).
    pub const PF_TRAMP_SETUP: u64 = PF_TRAMP_CONTROL;
    /// Page-fault trampoline: go on after the handler.
    pub const PF_TRAMP_RESUME: u64 = PF_TRAMP_CONTROL | 0x10000;
    /// Page-fault trampoline: send the fault to the pager after all.
    pub const PF_TRAMP_REFLECT: u64 = PF_TRAMP_CONTROL | 0x20000;
    /// Page-fault trampoline: turn it off; word 0 of the reply says whether it was on.
    pub const PF_TRAMP_DISABLE: u64 = PF_TRAMP_CONTROL | 0x30000;
    /// Page-fault trampoline: turn it on.
    pub const PF_TRAMP_ENABLE: u64 = PF_TRAMP_CONTROL | 0x40000;

    /// Control flag: word 1 is the new pager.
    pub const SET_PAGER: u64 = 0x001_0000;
    /// Control flag: words 5 to 7 are UTCB address and task item.
    pub const BIND_TASK: u64 = 0x020_0000;
    /// Control flag: alien mode, value in word 4.
    pub const ALIEN: u64 = 0x040_0000;
    /// Control flag: word 2 is the new exception handler.
    pub const SET_EXC_HANDLER: u64 = 0x100_0000;
    /// Word of the pager in a control message.
    pub const MR_PAGER: usize = 1;
    /// Word of the exception handler in a control message.
    pub const MR_EXC_HANDLER: usize = 2;
    /// Word of the flag values in a control message.
    pub const MR_FLAG_VALS: usize = 4;
    /// Word of the UTCB address in a control message.
    pub const MR_BIND_UTCB: usize = 5;
    /// First word of the task item in a control message.
    pub const MR_BIND_TASK: usize = 6;

    /// ex_regs flag: cancel what the thread waits for.
    pub const EX_REGS_CANCEL: u64 = 0x10000;
    /// ex_regs flag: raise an exception in it.
    pub const EX_REGS_TRIGGER_EXCEPTION: u64 = 0x20000;
}

/// Scheduler (label [`crate::proto::SCHEDULER`]).
pub mod scheduler {
    /// Which CPUs are there.
    pub const INFO: u64 = 0;
    /// Run a thread with priority, quantum and CPU set.
    pub const RUN_THREAD: u64 = 1;
    /// Idle time of CPUs.
    pub const IDLE_TIME: u64 = 2;
}

/// Interrupts and interrupt controllers.
pub mod irq {
    /// IRQ sender (label [`crate::proto::IRQ_SENDER`]): detach.
    pub const SENDER_DETACH: u64 = 1;
    /// IRQ sender: bind to a vCPU.
    pub const SENDER_BIND_VCPU: u64 = 2;
    /// IRQ (label [`crate::proto::IRQ`]): trigger; a message without words means the same.
    pub const TRIGGER: u64 = 2;
    /// IRQ: end of interrupt, unmask.
    pub const EOI: u64 = 4;
    /// ICU (label [`crate::proto::IRQ`]): bind a line to an IRQ object.
    pub const ICU_BIND: u64 = 0;
    /// ICU: unbind.
    pub const ICU_UNBIND: u64 = 1;
    /// ICU: features and counts.
    pub const ICU_INFO: u64 = 2;
    /// ICU: MSI address and data.
    pub const ICU_MSI_INFO: u64 = 3;
    /// ICU: unmask a line.
    pub const ICU_UNMASK: u64 = 4;
    /// ICU: mask a line.
    pub const ICU_MASK: u64 = 5;
    /// ICU: set trigger mode.
    pub const ICU_SET_MODE: u64 = 6;
}

/// Gates and other receive endpoints (label [`crate::proto::KOBJECT`]).
pub mod endpoint {
    /// Bind to a thread: label, and the thread as item.
    pub const BIND: u64 = 0x10;
    /// Ask a gate for its label; needs the server right.
    pub const GATE_INFO: u64 = 0x11;
}

/// Log and console (label [`crate::proto::LOG`]).
pub mod vcon {
    /// Write: byte count in word 1, text from word 2.
    pub const WRITE: u64 = 0;
    /// Read.
    pub const READ: u64 = 1;
    /// Most bytes of one write.
    pub const WRITE_SIZE: usize = (crate::utcb::MESSAGE_REGISTERS - 2) * 8;
}

/// Argument headers of factory requests: type in bits 0-7, byte length from bit 16.
pub mod varg {
    /// Ends the list.
    pub const NIL: u64 = 0x00;
    /// Unsigned word.
    pub const UMWORD: u64 = 0x01;
    /// Signed word.
    pub const MWORD: u64 = 0x81;
    /// Bytes, for strings with their final NUL.
    pub const STRING: u64 = 0x02;
    /// Flexpage.
    pub const FPAGE: u64 = 0x03;
}

/// Requests to the root pager (label [`crate::proto::SIGMA0`]): word 0 has all bits from 8 up set,
/// the request in bits 4 to 7; word 1 is a flexpage where one is needed.
pub mod sigma0 {
    /// Bits of word 0 that must all be set.
    pub const MAGIC: u64 = !0xff;
    /// Bits of word 0 that hold the request.
    pub const ID_MASK: u64 = 0xf0;
    /// Map the named RAM.
    pub const RAM: u64 = MAGIC | 0x60;
    /// Map the named I/O memory, uncached.
    pub const IOMEM: u64 = MAGIC | 0x70;
    /// Map the named I/O memory, cached.
    pub const IOMEM_CACHED: u64 = MAGIC | 0x80;
    /// Map any free RAM of an order.
    pub const ANY_RAM: u64 = MAGIC | 0x90;
    /// Map the kernel information page.
    pub const KIP: u64 = MAGIC | 0xa0;
    /// Print the maps.
    pub const DEBUG_DUMP: u64 = MAGIC | 0xc0;
    /// Print coverage data; upstream's coverage builds only.
    pub const COVERAGE: u64 = MAGIC | 0xe0;
}

/// Kernel debugger object (label [`crate::proto::DEBUGGER`]).
pub mod debugger {
    /// Group of operations on kernel objects, which come as an item; part of the numbers below.
    pub const GROUP_KOBJ: u64 = 0x100;
    /// Give an object a name for the debugger.
    pub const NAME_SET: u64 = GROUP_KOBJ;
    /// Tell the debugger where an image is loaded.
    pub const ADD_IMAGE_INFO: u64 = GROUP_KOBJ + 7;
}
