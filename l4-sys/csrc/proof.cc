/*
 * What only the tree's C++ interface says: return items, and memory descriptors as the boot
 * loader and sigma0 make them. See proof.c.
 */
#include <l4/sys/cxx/ipc_types>
#include <l4/sys/kip>

extern "C" {

/* 1 capability received, 2 label of an own gate, 3 flexpage of the own task, 0 none of these. */
unsigned
l4sys_proof_received(unsigned long base, unsigned long data)
{
  L4::Ipc::Snd_fpage const item(base, data);
  if (item.cap_received())
    return 1;
  if (item.id_received())
    return 2;
  return item.local_id_received() ? 3 : 0;
}

/* What a server sends: a memory item with send base and cache control. */
void
l4sys_proof_mem_item(unsigned long address, unsigned order, unsigned char rights,
                     unsigned long base, unsigned caching, unsigned grant, unsigned long out[2])
{
  using Item = L4::Ipc::Snd_fpage;
  Item const item = Item::mem(address, order, rights, base, grant ? Item::Grant : Item::Map,
                              static_cast<Item::Cacheopt>(caching));
  static_assert(sizeof(item) == 16, "an item is two words");
  __builtin_memcpy(out, &item, sizeof(item));
}

/* A descriptor as the boot loader writes it. */
void
l4sys_proof_mem_desc(unsigned long start, unsigned long end, unsigned type, unsigned char sub_type,
                     unsigned is_virtual, unsigned long out[2])
{
  using Desc = L4::Kip::Mem_desc;
  Desc const desc(start, end, static_cast<Desc::Mem_type>(type), sub_type, is_virtual);
  static_assert(sizeof(desc) == 16, "a descriptor is two words");
  __builtin_memcpy(out, static_cast<void const *>(&desc), sizeof(desc));
}

}
