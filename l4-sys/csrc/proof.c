/*
 * What bindgen cannot see of the tree's C interface: macros that are no plain
 * numbers, and inline functions. Each becomes a value or an external function
 * for tests/abi; nothing here is part of any program.
 *
 * Structures are passed as plain words, so that the Rust side declares numbers only.
 */
#include <stddef.h>

#include "proof.h"
#include "tree.h"

#define OFFSET_IN_UTCB(accessor) ((unsigned long)accessor((l4_utcb_t *)block) - (unsigned long)block)

/* The bit that the tree sets in the buffer descriptor for a message with FPU state. */
static unsigned long
fpu_bit(void)
{
  static char block[L4_UTCB_OFFSET];
  l4_utcb_inherit_fpu_u((l4_utcb_t *)block, 1);
  return l4_utcb_br_u((l4_utcb_t *)block)->bdr;
}

/* Fills `out` with at most `max` values and returns how many there are. */
unsigned
l4sys_proof_c_values(struct l4sys_proof_value *out, unsigned max)
{
  static char block[L4_UTCB_OFFSET];
  struct l4sys_proof_value const all[] = {
    L4SYS_PROOF_VALUE(L4_CAP_SHIFT),
    L4SYS_PROOF_VALUE(L4_INVALID_CAP),
    L4SYS_PROOF_VALUE(L4_INVALID_CAP_BIT),
    L4SYS_PROOF_VALUE(L4_REPLY_CAP_BIT),
    L4SYS_PROOF_VALUE(L4_INVALID_REPLY_CAP),
    L4SYS_PROOF_VALUE(L4_BASE_CAPS_LAST + (1UL << L4_CAP_SHIFT)),
    L4SYS_PROOF_VALUE(sizeof(l4_cap_idx_t)),
    L4SYS_PROOF_VALUE(L4_PAGESHIFT),
    L4SYS_PROOF_VALUE(L4_PAGESIZE),
    L4SYS_PROOF_VALUE(L4_SUPERPAGESHIFT),
    L4SYS_PROOF_VALUE(L4_SYSF_SEND),
    L4SYS_PROOF_VALUE(L4_SYSF_RECV),
    L4SYS_PROOF_VALUE(L4_SYSF_OPEN_WAIT),
    L4SYS_PROOF_VALUE(L4_SYSF_REPLY),
    L4SYS_PROOF_VALUE(L4_SYSF_CALL),
    L4SYS_PROOF_VALUE(L4_SYSF_WAIT),
    L4SYS_PROOF_VALUE(L4_SYSF_SEND_AND_WAIT),
    L4SYS_PROOF_VALUE(L4_SYSF_REPLY_AND_WAIT),
    L4SYS_PROOF_VALUE(L4_FPAGE_CACHEABLE << 4),
    L4SYS_PROOF_VALUE(L4_FPAGE_BUFFERABLE << 4),
    L4SYS_PROOF_VALUE(L4_FPAGE_UNCACHEABLE << 4),
    L4SYS_PROOF_VALUE(L4_FPAGE_C_NO_REF_CNT),
    L4SYS_PROOF_VALUE(L4_FPAGE_C_IPCGATE_SVR),
    L4SYS_PROOF_VALUE(l4_fpage_invalid().raw),
    L4SYS_PROOF_VALUE(l4_fpage_all().raw),
    L4SYS_PROOF_VALUE(L4_KERNEL_INFO_MAGIC),
    L4SYS_PROOF_VALUE(L4_KIP_VERSION_FIASCO >> 24),
    L4SYS_PROOF_VALUE(L4_UTCB_GENERIC_DATA_SIZE),
    L4SYS_PROOF_VALUE(L4_UTCB_GENERIC_BUFFERS_SIZE),
    L4SYS_PROOF_VALUE(L4_UTCB_OFFSET),
    L4SYS_PROOF_VALUE(fpu_bit()),
    L4SYS_PROOF_VALUE(OFFSET_IN_UTCB(l4_utcb_mr_u)),
    L4SYS_PROOF_VALUE(OFFSET_IN_UTCB(l4_utcb_exc_u)),
    L4SYS_PROOF_VALUE(OFFSET_IN_UTCB(l4_utcb_br_u) + offsetof(l4_buf_regs_t, bdr)),
    L4SYS_PROOF_VALUE(OFFSET_IN_UTCB(l4_utcb_br_u) + offsetof(l4_buf_regs_t, br)),
    L4SYS_PROOF_VALUE(OFFSET_IN_UTCB(l4_utcb_tcr_u) + offsetof(l4_thread_regs_t, error)),
    L4SYS_PROOF_VALUE(OFFSET_IN_UTCB(l4_utcb_tcr_u) + offsetof(l4_thread_regs_t, free_marker)),
    L4SYS_PROOF_VALUE(OFFSET_IN_UTCB(l4_utcb_tcr_u) + offsetof(l4_thread_regs_t, user)),
    L4SYS_PROOF_VALUE(sizeof(l4_exc_regs_t) / sizeof(l4_umword_t)),
    L4SYS_PROOF_VALUE(offsetof(l4_kernel_info_t, platform_info.name)),
    L4SYS_PROOF_VALUE(offsetof(l4_kernel_info_t, platform_info.is_mp)),
    L4SYS_PROOF_VALUE(L4_TIMEOUT_US_MAX),
    L4SYS_PROOF_VALUE(L4_IPC_TIMEOUT_0.t),
    L4SYS_PROOF_VALUE(L4_IPC_TIMEOUT_NEVER.t),
    L4SYS_PROOF_VALUE(L4_IPC_NEVER.raw),
    L4SYS_PROOF_VALUE(L4_IPC_SEND_TIMEOUT_0.raw),
    L4SYS_PROOF_VALUE(L4_IPC_BOTH_TIMEOUT_0.raw),
    L4SYS_PROOF_VALUE(L4_KDEBUG_GROUP_KOBJ + L4_DEBUGGER_KOBJ_SET_NAME_OP),
    L4SYS_PROOF_VALUE(L4_KDEBUG_GROUP_KOBJ + L4_DEBUGGER_TASK_ADD_IMAGE_INFO_OP),
    L4SYS_PROOF_VALUE(SIGMA0_REQ_MAGIC),
    L4SYS_PROOF_VALUE(SIGMA0_REQ_ID_MASK),
    L4SYS_PROOF_VALUE(SIGMA0_REQ_FPAGE_RAM),
    L4SYS_PROOF_VALUE(SIGMA0_REQ_FPAGE_IOMEM),
    L4SYS_PROOF_VALUE(SIGMA0_REQ_FPAGE_IOMEM_CACHED),
    L4SYS_PROOF_VALUE(SIGMA0_REQ_FPAGE_ANY),
    L4SYS_PROOF_VALUE(SIGMA0_REQ_KIP),
    L4SYS_PROOF_VALUE(SIGMA0_REQ_DEBUG_DUMP),
    L4SYS_PROOF_VALUE(SIGMA0_REQ_COV),
  };
  unsigned const count = sizeof(all) / sizeof(all[0]);

  for (unsigned i = 0; i < count && i < max; ++i)
    out[i] = all[i];
  return count;
}

/* Message tags. */

unsigned long
l4sys_proof_tag(long label, unsigned words, unsigned items, unsigned flags)
{ return l4_msgtag(label, words, items, flags).raw; }

long
l4sys_proof_tag_label(unsigned long raw)
{ return l4_msgtag_label((l4_msgtag_t){.raw = raw}); }

unsigned
l4sys_proof_tag_words(unsigned long raw)
{ return l4_msgtag_words((l4_msgtag_t){.raw = raw}); }

unsigned
l4sys_proof_tag_items(unsigned long raw)
{ return l4_msgtag_items((l4_msgtag_t){.raw = raw}); }

unsigned
l4sys_proof_tag_flags(unsigned long raw)
{ return l4_msgtag_flags((l4_msgtag_t){.raw = raw}); }

unsigned
l4sys_proof_tag_has_error(unsigned long raw)
{ return !!l4_msgtag_has_error((l4_msgtag_t){.raw = raw}); }

/* Flexpages and items. */

unsigned long
l4sys_proof_fpage(unsigned long address, unsigned order, unsigned char rights)
{ return l4_fpage(address, order, rights).raw; }

unsigned long
l4sys_proof_iofpage(unsigned long port, unsigned order)
{ return l4_iofpage(port, order).raw; }

unsigned long
l4sys_proof_obj_fpage(unsigned long cap, unsigned order, unsigned char rights)
{ return l4_obj_fpage(cap, order, rights).raw; }

unsigned long
l4sys_proof_fpage_set_rights(unsigned long raw, unsigned char rights)
{ return l4_fpage_set_rights((l4_fpage_t){.raw = raw}, rights).raw; }

unsigned
l4sys_proof_fpage_rights(unsigned long raw)
{ return l4_fpage_rights((l4_fpage_t){.raw = raw}); }

unsigned
l4sys_proof_fpage_type(unsigned long raw)
{ return l4_fpage_type((l4_fpage_t){.raw = raw}); }

unsigned
l4sys_proof_fpage_size(unsigned long raw)
{ return l4_fpage_size((l4_fpage_t){.raw = raw}); }

unsigned long
l4sys_proof_fpage_page(unsigned long raw)
{ return l4_fpage_page((l4_fpage_t){.raw = raw}); }

unsigned long
l4sys_proof_fpage_memaddr(unsigned long raw)
{ return l4_fpage_memaddr((l4_fpage_t){.raw = raw}); }

unsigned long
l4sys_proof_map_control(unsigned long spot, unsigned char cache, unsigned grant)
{ return l4_map_control(spot, cache, grant); }

unsigned long
l4sys_proof_map_obj_control(unsigned long spot, unsigned grant)
{ return l4_map_obj_control(spot, grant); }

/* Capability indices. */

unsigned
l4sys_proof_is_invalid_cap(unsigned long cap)
{ return !!l4_is_invalid_cap(cap); }

unsigned
l4sys_proof_is_valid_cap(unsigned long cap)
{ return !!l4_is_valid_cap(cap); }

unsigned long
l4sys_proof_capability_next(unsigned long cap)
{ return l4_capability_next(cap); }

/* Timeouts. */

unsigned short
l4sys_proof_timeout_from_us(unsigned long long us)
{ return l4_timeout_from_us(us).t; }

unsigned long long
l4sys_proof_timeout_rel_get(unsigned short t)
{ return l4_timeout_rel_get((l4_timeout_s){t}); }

unsigned
l4sys_proof_timeout(unsigned short snd, unsigned short rcv)
{ return l4_timeout((l4_timeout_s){snd}, (l4_timeout_s){rcv}).raw; }

/* UTCB. */

unsigned long
l4sys_proof_bdr(unsigned long mem, unsigned long io, unsigned long obj, unsigned long flags)
{ return l4_bdr(mem, io, obj, flags); }

void
l4sys_proof_inherit_fpu(void *utcb, int on)
{ l4_utcb_inherit_fpu_u((l4_utcb_t *)utcb, on); }

unsigned long
l4sys_proof_error_of(unsigned long tag, void *utcb)
{ return l4_ipc_error((l4_msgtag_t){.raw = tag}, (l4_utcb_t *)utcb); }

/* Kernel information page and memory descriptors. */

char const *
l4sys_proof_kip_version_string(void const *kip)
{ return l4_kip_version_string((l4_kernel_info_t const *)kip); }

int
l4sys_proof_kip_has_feature(void const *kip, char const *name)
{ return l4_kip_kernel_has_feature((l4_kernel_info_t const *)kip, name); }

unsigned
l4sys_proof_kip_mem_descs(void *kip, unsigned long *offset)
{
  *offset = (unsigned long)l4_kernel_info_get_mem_descs((l4_kernel_info_t *)kip)
            - (unsigned long)kip;
  return l4_kernel_info_get_num_mem_descs((l4_kernel_info_t *)kip);
}

unsigned long
l4sys_proof_md_start(unsigned long low, unsigned long high)
{ return l4_kernel_info_get_mem_desc_start(&(l4_kernel_info_mem_desc_t){low, high}); }

unsigned long
l4sys_proof_md_end(unsigned long low, unsigned long high)
{ return l4_kernel_info_get_mem_desc_end(&(l4_kernel_info_mem_desc_t){low, high}); }

unsigned long
l4sys_proof_md_type(unsigned long low, unsigned long high)
{ return l4_kernel_info_get_mem_desc_type(&(l4_kernel_info_mem_desc_t){low, high}); }

unsigned long
l4sys_proof_md_subtype(unsigned long low, unsigned long high)
{ return l4_kernel_info_get_mem_desc_subtype(&(l4_kernel_info_mem_desc_t){low, high}); }

unsigned
l4sys_proof_md_is_virtual(unsigned long low, unsigned long high)
{ return !!l4_kernel_info_get_mem_desc_is_virtual(&(l4_kernel_info_mem_desc_t){low, high}); }
