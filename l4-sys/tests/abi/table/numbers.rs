//! Constants and enum values.

use l4_sys::*;

use super::{Number, Row};

pub fn capabilities(rows: &mut Vec<Row>) {
    table! { rows;
        PAGE_SHIFT = "L4_PAGESHIFT";
        PAGE_SIZE = "L4_PAGESIZE";
        SUPERPAGE_SHIFT = "L4_SUPERPAGESHIFT";
        cap::CAP_SHIFT = "L4_CAP_SHIFT";
        cap::INVALID_CAP_BIT = "L4_INVALID_CAP_BIT";
        cap::REPLY_CAP_BIT = "L4_REPLY_CAP_BIT";
        cap::INVALID_CAP = "L4_INVALID_CAP";
        cap::INVALID_REPLY_CAP = "L4_INVALID_REPLY_CAP";
        cap::CapIdx::INVALID = "L4_INVALID_CAP";
        cap::CapIdx::TASK = "L4_BASE_TASK_CAP";
        cap::CapIdx::FACTORY = "L4_BASE_FACTORY_CAP";
        cap::CapIdx::THREAD = "L4_BASE_THREAD_CAP";
        cap::CapIdx::PAGER = "L4_BASE_PAGER_CAP";
        cap::CapIdx::LOG = "L4_BASE_LOG_CAP";
        cap::CapIdx::ICU = "L4_BASE_ICU_CAP";
        cap::CapIdx::SCHEDULER = "L4_BASE_SCHEDULER_CAP";
        cap::CapIdx::IOMMU = "L4_BASE_IOMMU_CAP";
        cap::CapIdx::DEBUGGER = "L4_BASE_DEBUGGER_CAP";
        cap::CapIdx::FIRST_FREE = "L4_BASE_CAPS_LAST + (1UL << L4_CAP_SHIFT)";
        fpage::MemRights::X = "L4_FPAGE_X";
        fpage::MemRights::W = "L4_FPAGE_W";
        fpage::MemRights::R = "L4_FPAGE_RO";
        fpage::MemRights::RW = "L4_FPAGE_RW";
        fpage::MemRights::RX = "L4_FPAGE_RX";
        fpage::MemRights::RWX = "L4_FPAGE_RWX";
        fpage::CapRights::W = "L4_CAP_FPAGE_W";
        fpage::CapRights::S = "L4_CAP_FPAGE_S";
        fpage::CapRights::R = "L4_CAP_FPAGE_R";
        fpage::CapRights::D = "L4_CAP_FPAGE_D";
        fpage::CapRights::RW = "L4_CAP_FPAGE_RW";
        fpage::CapRights::RS = "L4_CAP_FPAGE_RS";
        fpage::CapRights::RWS = "L4_CAP_FPAGE_RWS";
        fpage::CapRights::RWSD = "L4_CAP_FPAGE_RWSD";
        fpage::FpageType::Special = "L4_FPAGE_SPECIAL";
        fpage::FpageType::Memory = "L4_FPAGE_MEMORY";
        fpage::FpageType::Io = "L4_FPAGE_IO";
        fpage::FpageType::Obj = "L4_FPAGE_OBJ";
        fpage::WHOLE_SPACE = "L4_WHOLE_ADDRESS_SPACE";
        fpage::WHOLE_IO_SPACE = "L4_WHOLE_IOADDRESS_SPACE";
        fpage::Fpage::INVALID = "l4_fpage_invalid().raw";
    }
}

pub fn messages(rows: &mut Vec<Row>) {
    table! { rows;
        syscall::SEND = "L4_SYSF_SEND";
        syscall::RECV = "L4_SYSF_RECV";
        syscall::OPEN_WAIT = "L4_SYSF_OPEN_WAIT";
        syscall::REPLY = "L4_SYSF_REPLY";
        syscall::CALL = "L4_SYSF_CALL";
        syscall::WAIT = "L4_SYSF_WAIT";
        syscall::SEND_AND_WAIT = "L4_SYSF_SEND_AND_WAIT";
        syscall::REPLY_AND_WAIT = "L4_SYSF_REPLY_AND_WAIT";
        tag::TagFlags::ERROR = "L4_MSGTAG_ERROR";
        tag::TagFlags::TRANSFER_FPU = "L4_MSGTAG_TRANSFER_FPU";
        tag::TagFlags::SCHEDULE = "L4_MSGTAG_SCHEDULE";
        tag::TagFlags::PROPAGATE = "L4_MSGTAG_PROPAGATE";
        tag::MAX_WORDS = "L4_UTCB_GENERIC_DATA_SIZE";
        item::ITEM_MAP = "L4_ITEM_MAP";
        item::ITEM_CONT = "L4_ITEM_CONT";
        item::ITEM_GRANT = "L4_MAP_ITEM_GRANT";
        item::RCV_FORWARD_MAPPINGS = "L4_RCV_ITEM_FORWARD_MAPPINGS";
        item::RCV_SINGLE_CAP = "L4_RCV_ITEM_SINGLE_CAP";
        item::RCV_LOCAL_ID = "L4_RCV_ITEM_LOCAL_ID";
        item::BDR_MEM_SHIFT = "L4_BDR_MEM_SHIFT";
        item::BDR_IO_SHIFT = "L4_BDR_IO_SHIFT";
        item::BDR_OBJ_SHIFT = "L4_BDR_OBJ_SHIFT";
        item::OBJ_NO_REF_CNT = "L4_FPAGE_C_NO_REF_CNT";
        item::OBJ_GATE_SERVER = "L4_FPAGE_C_IPCGATE_SVR";
        item::Caching::Cached = "L4_FPAGE_CACHEABLE << 4";
        item::Caching::Buffered = "L4_FPAGE_BUFFERABLE << 4";
        item::Caching::Uncached = "L4_FPAGE_UNCACHEABLE << 4";
        timeout::Timeout::ZERO = "L4_IPC_TIMEOUT_0.t";
        timeout::Timeout::NEVER = "L4_IPC_TIMEOUT_NEVER.t";
        timeout::Timeout::MAX_US = "L4_TIMEOUT_US_MAX";
        timeout::Timeouts::NEVER = "L4_IPC_NEVER.raw";
        timeout::Timeouts::SEND_ZERO = "L4_IPC_SEND_TIMEOUT_0.raw";
        timeout::Timeouts::ZERO = "L4_IPC_BOTH_TIMEOUT_0.raw";
        utcb::MESSAGE_REGISTERS = "L4_UTCB_GENERIC_DATA_SIZE";
        utcb::BUFFER_REGISTERS = "L4_UTCB_GENERIC_BUFFERS_SIZE";
        utcb::UTCB_SIZE = "L4_UTCB_OFFSET";
        utcb::INHERIT_FPU = "fpu_bit()";
        exc::EXC_WORDS = "sizeof(l4_exc_regs_t) / sizeof(l4_umword_t)";
    }
}

pub fn errors(rows: &mut Vec<Row>) {
    table! { rows;
        error::Errno::Perm = "L4_EPERM";
        error::Errno::NoEnt = "L4_ENOENT";
        error::Errno::Io = "L4_EIO";
        error::Errno::NxIo = "L4_ENXIO";
        error::Errno::TooBig = "L4_E2BIG";
        error::Errno::Again = "L4_EAGAIN";
        error::Errno::NoMem = "L4_ENOMEM";
        error::Errno::Access = "L4_EACCESS";
        error::Errno::Fault = "L4_EFAULT";
        error::Errno::Busy = "L4_EBUSY";
        error::Errno::Exist = "L4_EEXIST";
        error::Errno::NoDev = "L4_ENODEV";
        error::Errno::NotDir = "L4_ENOTDIR";
        error::Errno::Inval = "L4_EINVAL";
        error::Errno::NoSpc = "L4_ENOSPC";
        error::Errno::Range = "L4_ERANGE";
        error::Errno::NameTooLong = "L4_ENAMETOOLONG";
        error::Errno::NoSys = "L4_ENOSYS";
        error::Errno::BadProto = "L4_EBADPROTO";
        error::Errno::AddrNotAvail = "L4_EADDRNOTAVAIL";
        error::Errno::NoReply = "L4_ENOREPLY";
        error::Errno::MsgTooShort = "L4_EMSGTOOSHORT";
        error::Errno::MsgTooLong = "L4_EMSGTOOLONG";
        error::Errno::MsgMissArg = "L4_EMSGMISSARG";
        error::Errno::MsgErrRange = "L4_EMSGERRRANGE";
        error::Errno::DropReply = "L4_EDROPREPLY";
        error::IpcError::SendTimeout = "L4_IPC_SETIMEOUT";
        error::IpcError::ReceiveTimeout = "L4_IPC_RETIMEOUT";
        error::IpcError::NotExistent = "L4_IPC_ENOT_EXISTENT";
        error::IpcError::SendCancelled = "L4_IPC_SECANCELED";
        error::IpcError::ReceiveCancelled = "L4_IPC_RECANCELED";
        error::IpcError::SendMsgCut = "L4_IPC_SEMSGCUT";
        error::IpcError::ReceiveMsgCut = "L4_IPC_REMSGCUT";
        error::IpcError::SendSenderFaultTimeout = "L4_IPC_SESNDPFTO";
        error::IpcError::ReceiveSenderFaultTimeout = "L4_IPC_RESNDPFTO";
        error::IpcError::SendReceiverFaultTimeout = "L4_IPC_SERCVPFTO";
        error::IpcError::ReceiveReceiverFaultTimeout = "L4_IPC_RERCVPFTO";
        error::IpcError::SendAborted = "L4_IPC_SEABORTED";
        error::IpcError::ReceiveAborted = "L4_IPC_REABORTED";
        error::IpcError::SendMapFailed = "L4_IPC_SEMAPFAILED";
        error::IpcError::ReceiveMapFailed = "L4_IPC_REMAPFAILED";
        error::IpcError::NoReplyCap = "L4_IPC_NO_REPLY_CAP";
        error::IPC_ERROR_BASE = "L4_EIPC_LO";
        error::IPC_ERROR_MASK = "L4_IPC_ERROR_MASK";
    }
}

pub fn protocols(rows: &mut Vec<Row>) {
    table! { rows;
        proto::NONE = "L4_PROTO_NONE";
        proto::ALLOW_SYSCALL = "L4_PROTO_ALLOW_SYSCALL";
        proto::PF_EXCEPTION = "L4_PROTO_PF_EXCEPTION";
        proto::IRQ = "L4_PROTO_IRQ";
        proto::PAGE_FAULT = "L4_PROTO_PAGE_FAULT";
        proto::EXCEPTION = "L4_PROTO_EXCEPTION";
        proto::SIGMA0 = "L4_PROTO_SIGMA0";
        proto::IO_PAGE_FAULT = "L4_PROTO_IO_PAGE_FAULT";
        proto::THREAD_GROUP = "L4_PROTO_THREAD_GROUP";
        proto::KOBJECT = "L4_PROTO_KOBJECT";
        proto::TASK = "L4_PROTO_TASK";
        proto::THREAD = "L4_PROTO_THREAD";
        proto::LOG = "L4_PROTO_LOG";
        proto::SCHEDULER = "L4_PROTO_SCHEDULER";
        proto::FACTORY = "L4_PROTO_FACTORY";
        proto::VM = "L4_PROTO_VM";
        proto::KERNEL_DMA_SPACE = "L4_PROTO_DMA_SPACE";
        proto::IRQ_SENDER = "L4_PROTO_IRQ_SENDER";
        proto::SEMAPHORE = "L4_PROTO_SEMAPHORE";
        proto::META = "L4_PROTO_META";
        proto::IOMMU = "L4_PROTO_IOMMU";
        proto::DEBUGGER = "L4_PROTO_DEBUGGER";
        proto::VCPU_CONTEXT = "L4_PROTO_VCPU_CONTEXT";
        proto::DATASPACE = "L4RE_PROTO_DATASPACE";
        proto::NAMESPACE = "L4RE_PROTO_NAMESPACE";
        proto::PARENT = "L4RE_PROTO_PARENT";
        proto::GOOS = "L4RE_PROTO_GOOS";
        proto::RM = "L4RE_PROTO_RM";
        proto::DMA_SPACE = "L4RE_PROTO_DMA_SPACE";
        proto::MEM_ALLOC = "L4RE_PROTO_MEM_ALLOC";
        proto::DEBUG = "L4RE_PROTO_DEBUG";
    }
}

pub fn operations(rows: &mut Vec<Row>) {
    table! { rows;
        ops::task::MAP = "L4_TASK_MAP_OP";
        ops::task::UNMAP = "L4_TASK_UNMAP_OP";
        ops::task::CAP_INFO = "L4_TASK_CAP_INFO_OP";
        ops::task::ADD_KU_MEM = "L4_TASK_ADD_KU_MEM_OP";
        ops::task::OTHER_SPACES = "L4_FP_OTHER_SPACES";
        ops::task::ALL_SPACES = "L4_FP_ALL_SPACES";
        ops::task::DELETE_OBJ = "L4_FP_DELETE_OBJ";
        ops::scheduler::INFO = "L4_SCHEDULER_INFO_OP";
        ops::scheduler::RUN_THREAD = "L4_SCHEDULER_RUN_THREAD_OP";
        ops::scheduler::IDLE_TIME = "L4_SCHEDULER_IDLE_TIME_OP";
        ops::irq::SENDER_DETACH = "L4_IRQ_SENDER_OP_DETACH";
        ops::irq::SENDER_BIND_VCPU = "L4_IRQ_SENDER_OP_BIND_VCPU";
        ops::irq::TRIGGER = "L4_IRQ_OP_TRIGGER";
        ops::irq::EOI = "L4_IRQ_OP_EOI";
        ops::irq::ICU_BIND = "L4_ICU_OP_BIND";
        ops::irq::ICU_UNBIND = "L4_ICU_OP_UNBIND";
        ops::irq::ICU_INFO = "L4_ICU_OP_INFO";
        ops::irq::ICU_MSI_INFO = "L4_ICU_OP_MSI_INFO";
        ops::irq::ICU_UNMASK = "L4_ICU_OP_UNMASK";
        ops::irq::ICU_MASK = "L4_ICU_OP_MASK";
        ops::irq::ICU_SET_MODE = "L4_ICU_OP_SET_MODE";
        ops::endpoint::BIND = "L4_RCV_EP_BIND_OP";
        ops::endpoint::GATE_INFO = "L4_IPC_GATE_GET_INFO_OP";
        ops::vcon::WRITE = "L4_VCON_WRITE_OP";
        ops::vcon::READ = "L4_VCON_READ_OP";
        ops::vcon::WRITE_SIZE = "L4_VCON_WRITE_SIZE";
        ops::varg::NIL = "L4_VARG_TYPE_NIL";
        ops::varg::UMWORD = "L4_VARG_TYPE_UMWORD";
        ops::varg::MWORD = "L4_VARG_TYPE_MWORD";
        ops::varg::STRING = "L4_VARG_TYPE_STRING";
        ops::varg::FPAGE = "L4_VARG_TYPE_FPAGE";
        ops::sigma0::MAGIC = "SIGMA0_REQ_MAGIC";
        ops::sigma0::ID_MASK = "SIGMA0_REQ_ID_MASK";
        ops::sigma0::RAM = "SIGMA0_REQ_FPAGE_RAM";
        ops::sigma0::IOMEM = "SIGMA0_REQ_FPAGE_IOMEM";
        ops::sigma0::IOMEM_CACHED = "SIGMA0_REQ_FPAGE_IOMEM_CACHED";
        ops::sigma0::ANY_RAM = "SIGMA0_REQ_FPAGE_ANY";
        ops::sigma0::KIP = "SIGMA0_REQ_KIP";
        ops::sigma0::DEBUG_DUMP = "SIGMA0_REQ_DEBUG_DUMP";
        ops::sigma0::COVERAGE = "SIGMA0_REQ_COV";
        ops::debugger::GROUP_KOBJ = "L4_KDEBUG_GROUP_KOBJ";
        ops::debugger::NAME_SET = "L4_KDEBUG_GROUP_KOBJ + L4_DEBUGGER_KOBJ_SET_NAME_OP";
        ops::debugger::ADD_IMAGE_INFO = "L4_KDEBUG_GROUP_KOBJ + L4_DEBUGGER_TASK_ADD_IMAGE_INFO_OP";
    }
}

pub fn threads(rows: &mut Vec<Row>) {
    table! { rows;
        ops::thread::CONTROL = "L4_THREAD_CONTROL_OP";
        ops::thread::EX_REGS = "L4_THREAD_EX_REGS_OP";
        ops::thread::SWITCH = "L4_THREAD_SWITCH_OP";
        ops::thread::STATS = "L4_THREAD_STATS_OP";
        ops::thread::VCPU_RESUME = "L4_THREAD_VCPU_RESUME_OP";
        ops::thread::REGISTER_DELETE_IRQ = "L4_THREAD_REGISTER_DELETE_IRQ_OP";
        ops::thread::MODIFY_SENDER = "L4_THREAD_MODIFY_SENDER_OP";
        ops::thread::VCPU_CONTROL = "L4_THREAD_VCPU_CONTROL_OP";
        ops::thread::REGISTER_DOORBELL_IRQ = "L4_THREAD_REGISTER_DOORBELL_IRQ_OP";
        ops::thread::PF_TRAMP_CONTROL = "L4_THREAD_PF_TRAMP_CONTROL_OP";
        ops::thread::AMD64_SET_SEGMENT_BASE = "L4_THREAD_AMD64_SET_SEGMENT_BASE_OP";
        ops::thread::AMD64_GET_SEGMENT_INFO = "L4_THREAD_AMD64_GET_SEGMENT_INFO_OP";
        ops::thread::PF_TRAMP_SETUP = "L4_THREAD_PF_TRAMP_CONTROL_OP_SETUP";
        ops::thread::PF_TRAMP_RESUME = "L4_THREAD_PF_TRAMP_CONTROL_OP_RESUME";
        ops::thread::PF_TRAMP_REFLECT = "L4_THREAD_PF_TRAMP_CONTROL_OP_REFLECT";
        ops::thread::PF_TRAMP_DISABLE = "L4_THREAD_PF_TRAMP_CONTROL_OP_DISABLE";
        ops::thread::PF_TRAMP_ENABLE = "L4_THREAD_PF_TRAMP_CONTROL_OP_ENABLE";
        ops::thread::SET_PAGER = "L4_THREAD_CONTROL_SET_PAGER";
        ops::thread::BIND_TASK = "L4_THREAD_CONTROL_BIND_TASK";
        ops::thread::ALIEN = "L4_THREAD_CONTROL_ALIEN";
        ops::thread::SET_EXC_HANDLER = "L4_THREAD_CONTROL_SET_EXC_HANDLER";
        ops::thread::MR_PAGER = "L4_THREAD_CONTROL_MR_IDX_PAGER";
        ops::thread::MR_EXC_HANDLER = "L4_THREAD_CONTROL_MR_IDX_EXC_HANDLER";
        ops::thread::MR_FLAG_VALS = "L4_THREAD_CONTROL_MR_IDX_FLAG_VALS";
        ops::thread::MR_BIND_UTCB = "L4_THREAD_CONTROL_MR_IDX_BIND_UTCB";
        ops::thread::MR_BIND_TASK = "L4_THREAD_CONTROL_MR_IDX_BIND_TASK";
        ops::thread::EX_REGS_CANCEL = "L4_THREAD_EX_REGS_CANCEL";
        ops::thread::EX_REGS_TRIGGER_EXCEPTION = "L4_THREAD_EX_REGS_TRIGGER_EXCEPTION";
    }
}
