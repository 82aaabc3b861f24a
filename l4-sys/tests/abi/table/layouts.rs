//! Sizes and offsets, and the numbers of the kernel information page.

use l4_sys::*;

use super::{Number, Row};

pub fn layouts(rows: &mut Vec<Row>) {
    table! { rows;
        kip::MAGIC = "L4_KERNEL_INFO_MAGIC";
        kip::VERSION_FIASCO = "L4_KIP_VERSION_FIASCO >> 24";
        kip::READ_US = "L4_KIP_OFFS_READ_US";
        kip::READ_NS = "L4_KIP_OFFS_READ_NS";
        kip::KIP_SIZE = "L4_PAGESIZE";
        memdesc::MemType::Undefined = "l4_mem_type_undefined";
        memdesc::MemType::Conventional = "l4_mem_type_conventional";
        memdesc::MemType::Reserved = "l4_mem_type_reserved";
        memdesc::MemType::Dedicated = "l4_mem_type_dedicated";
        memdesc::MemType::Shared = "l4_mem_type_shared";
        memdesc::MemType::Info = "l4_mem_type_info";
        memdesc::MemType::Bootloader = "l4_mem_type_bootloader";
        memdesc::MemType::Arch = "l4_mem_type_archspecific";
        memdesc::INFO_ACPI_RSDP = "l4_mem_info_acpi_rsdp";
        memdesc::ARCH_ACPI_TABLES = "l4_mem_archspecific_acpi_tables";
        memdesc::ARCH_ACPI_NVS = "l4_mem_archspecific_acpi_nvs";
        memdesc::RESERVED_KERNEL = "l4_mem_reserved_kernel";
        memdesc::RESERVED_HEAP = "l4_mem_reserved_heap";
    }
    layout! { rows; memdesc::MemDesc = "sizeof l4_kernel_info_mem_desc_t" {
        low = "offsetof l4_kernel_info_mem_desc_t::l";
        high = "offsetof l4_kernel_info_mem_desc_t::h";
    }}
    layout! { rows; tag::MsgTag = "sizeof l4_msgtag_t" {} }
    layout! { rows; fpage::Fpage = "sizeof l4_fpage_t" {} }
    layout! { rows; timeout::Timeout = "sizeof l4_timeout_s" {} }
    layout! { rows; timeout::Timeouts = "sizeof l4_timeout_t" {} }
    layout! { rows; cap::CapIdx = "sizeof(l4_cap_idx_t)" {} }
    layout! { rows; utcb::Utcb = "L4_UTCB_OFFSET" {
        mr = "OFFSET_IN_UTCB(l4_utcb_mr_u)";
        bdr = "OFFSET_IN_UTCB(l4_utcb_br_u) + offsetof(l4_buf_regs_t, bdr)";
        br = "OFFSET_IN_UTCB(l4_utcb_br_u) + offsetof(l4_buf_regs_t, br)";
        error = "OFFSET_IN_UTCB(l4_utcb_tcr_u) + offsetof(l4_thread_regs_t, error)";
        free_marker = "OFFSET_IN_UTCB(l4_utcb_tcr_u) + offsetof(l4_thread_regs_t, free_marker)";
        user = "OFFSET_IN_UTCB(l4_utcb_tcr_u) + offsetof(l4_thread_regs_t, user)";
    }}
    layout! { rows; kip::Kip = "sizeof l4_kernel_info_t" {
        magic = "offsetof l4_kernel_info_t::magic";
        version = "offsetof l4_kernel_info_t::version";
        offset_version_strings = "offsetof l4_kernel_info_t::offset_version_strings";
        fill0 = "offsetof l4_kernel_info_t::_fill0";
        kip_sys_calls = "offsetof l4_kernel_info_t::kip_sys_calls";
        node = "offsetof l4_kernel_info_t::node";
        fill1 = "offsetof l4_kernel_info_t::_fill1";
        sigma0_ip = "offsetof l4_kernel_info_t::sigma0_ip";
        root_ip = "offsetof l4_kernel_info_t::root_ip";
        clock = "offsetof l4_kernel_info_t::_clock_val";
        frequency_cpu = "offsetof l4_kernel_info_t::frequency_cpu";
        acpi_rsdp_addr = "offsetof l4_kernel_info_t::acpi_rsdp_addr";
        dt_addr = "offsetof l4_kernel_info_t::dt_addr";
        user_ptr = "offsetof l4_kernel_info_t::user_ptr";
        res0 = "offsetof l4_kernel_info_t::_res0";
        scheduler_granularity = "offsetof l4_kernel_info_t::scheduler_granularity";
        mem_descs = "offsetof l4_kernel_info_t::mem_descs";
        mem_descs_num = "offsetof l4_kernel_info_t::mem_descs_num";
        res1 = "offsetof l4_kernel_info_t::_res1";
        res2 = "offsetof l4_kernel_info_t::_res2";
        platform_name = "offsetof(l4_kernel_info_t, platform_info.name)";
        is_mp = "offsetof(l4_kernel_info_t, platform_info.is_mp)";
    }}
    layout! { rows; exc::ExcRegs = "sizeof l4_exc_regs_t" {
        r15 = "offsetof l4_exc_regs_t::r15";
        r14 = "offsetof l4_exc_regs_t::r14";
        r13 = "offsetof l4_exc_regs_t::r13";
        r12 = "offsetof l4_exc_regs_t::r12";
        r11 = "offsetof l4_exc_regs_t::r11";
        r10 = "offsetof l4_exc_regs_t::r10";
        r9 = "offsetof l4_exc_regs_t::r9";
        r8 = "offsetof l4_exc_regs_t::r8";
        rdi = "offsetof l4_exc_regs_t::rdi";
        rsi = "offsetof l4_exc_regs_t::rsi";
        rbp = "offsetof l4_exc_regs_t::rbp";
        pfa = "offsetof l4_exc_regs_t::pfa";
        rbx = "offsetof l4_exc_regs_t::rbx";
        rdx = "offsetof l4_exc_regs_t::rdx";
        rcx = "offsetof l4_exc_regs_t::rcx";
        rax = "offsetof l4_exc_regs_t::rax";
        trapno = "offsetof l4_exc_regs_t::trapno";
        err = "offsetof l4_exc_regs_t::err";
        ip = "offsetof l4_exc_regs_t::ip";
        dummy1 = "offsetof l4_exc_regs_t::dummy1";
        flags = "offsetof l4_exc_regs_t::flags";
        sp = "offsetof l4_exc_regs_t::sp";
        ss = "offsetof l4_exc_regs_t::ss";
        fs_base = "offsetof l4_exc_regs_t::fs_base";
        gs_base = "offsetof l4_exc_regs_t::gs_base";
        ds = "offsetof l4_exc_regs_t::ds";
        es = "offsetof l4_exc_regs_t::es";
        fs = "offsetof l4_exc_regs_t::fs";
        gs = "offsetof l4_exc_regs_t::gs";
    }}
}
