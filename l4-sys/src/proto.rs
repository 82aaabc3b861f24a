//! Protocol numbers: the label of a request says which protocol it speaks.

macro_rules! protocols {
    ($($(#[$d:meta])* $name:ident = $n:literal,)*) => {
        $($(#[$d])* pub const $name: i64 = $n;)*
        /// Every protocol of this file by name, for tools and for the ABI proof.
        pub const ALL: &[(&str, i64)] = &[$((stringify!($name), $n),)*];
    };
}

protocols! {
    /// No protocol: replies to the kernel.
    NONE = 0,
    /// Reply to an alien thread's fault: let the system call happen.
    ALLOW_SYSCALL = 1,
    /// Reply to a page fault: make it an exception.
    PF_EXCEPTION = 1,
    /// Interrupt messages, and the interrupt part of ICUs.
    IRQ = -1,
    /// Page fault.
    PAGE_FAULT = -2,
    /// Exception.
    EXCEPTION = -5,
    /// Requests to the root pager.
    SIGMA0 = -6,
    /// I/O port fault.
    IO_PAGE_FAULT = -8,
    /// Thread groups.
    THREAD_GROUP = -9,
    /// Generic kernel-object operations.
    KOBJECT = -10,
    /// Tasks.
    TASK = -11,
    /// Threads.
    THREAD = -12,
    /// Log and console.
    LOG = -13,
    /// Schedulers.
    SCHEDULER = -14,
    /// Factories.
    FACTORY = -15,
    /// Virtual machines.
    VM = -16,
    /// Kernel DMA spaces.
    KERNEL_DMA_SPACE = -17,
    /// IRQ senders.
    IRQ_SENDER = -18,
    /// Semaphores.
    SEMAPHORE = -20,
    /// What an object speaks.
    META = -21,
    /// IO-MMUs.
    IOMMU = -22,
    /// The kernel debugger.
    DEBUGGER = -23,
    /// Hardware vCPU contexts.
    VCPU_CONTEXT = -25,
    /// Memory objects.
    DATASPACE = 0x4000,
    /// Name spaces.
    NAMESPACE = 0x4001,
    /// The parent of a task.
    PARENT = 0x4002,
    /// Frame buffers.
    GOOS = 0x4003,
    /// Region maps.
    RM = 0x4005,
    /// DMA spaces of the memory server.
    DMA_SPACE = 0x4008,
    /// Memory allocators.
    MEM_ALLOC = 0x400b,
    /// Debug output of servers.
    DEBUG = -32768,
}
