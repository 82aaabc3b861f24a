/*
 * What the rows share. A row is a call with a result that docs/pager-api.md or <percore/pager.h> promises.
 */
#pragma once

#include <percore/pager.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What the boot script gives. */
struct caps
{
  l4_cap_idx_t factory; /**< With all rights. */
  l4_cap_idx_t weak;    /**< The same without the right to create. */
  l4_cap_idx_t sealed;  /**< Another one, sealed. */
  l4_cap_idx_t small;   /**< Another one, with a limit of 256 KiB. */
  l4_cap_idx_t service;
  l4_cap_idx_t weak_service;
  l4_cap_idx_t other;  /**< Of a server that does not speak the protocol. */
  l4_cap_idx_t closed; /**< A slot with nothing in it. */
  l4_cap_idx_t slot;   /**< A slot to receive into. */
  l4_addr_t place;     /**< 1 MiB of addresses, aligned to that, with nothing in them. */
};

/** A row: prints one line when `got` is not `wanted`. */
void row(char const *name, long got, long wanted);

/** The rows in C. */
void c_rows(struct caps const *caps);

#ifdef __cplusplus
}
#endif
