/*
 * The pager API for C programs: docs/pager-api.md says what each operation means.
 *
 * Every function sends one message to the pager of a core and waits for the answer, without a timeout; it uses
 * the calling thread's UTCB and its receive buffers, which are empty afterwards. The pager serves others while
 * a long request goes on and never waits for anybody. Long, in proportion to the memory concerned, can be
 * percore_alloc(), percore_reserve(), percore_switch() and percore_owner() with a search.
 *
 * Memory is counted in frames of 4 KiB, limits in bytes. Pointers must be valid unless NULL is allowed.
 *
 * Results: 0, or a count where it says so; a negative error code as in <l4/sys/err.h> otherwise, among them
 * the negated IPC errors (-L4_EIPC_LO and below; without an object behind the capability,
 * -(L4_EIPC_LO + L4_IPC_ENOT_EXISTENT)) and for every function
 *   -L4_EBADPROTO     the capability is for a server that does not speak this protocol, or its factory has ended,
 *   -L4_EPERM         the capability lacks a right (see each function),
 *   -L4_ERANGE        there is no such core, or the capability is not the service,
 *   -L4_ENOMEM        too many long requests are under way; of the service, too many of any kind,
 *   -L4_EMSGTOOSHORT  the answer is shorter than this protocol says.
 * When the result is negative, what pointers lead to is not changed, but for percore_counters(), which
 * zeroes it first, and percore_info() with another version of the protocol.
 */
#pragma once

#include <l4/sys/types.h>
#include <l4/sys/consts.h>

#include <percore/pager_abi.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A capability that speaks the pager API, and the core that is asked. */
typedef struct percore_pager_t
{
  l4_cap_idx_t cap;
  l4_uint32_t core;
} percore_pager_t;

/** The pager behind a factory (what a program has as its memory allocator), or the service. */
static inline percore_pager_t
percore_pager(l4_cap_idx_t cap)
{
  percore_pager_t pager = { cap, PERCORE_OWN_CORE };
  return pager;
}

/** The pager of another core: `service` must be the service capability. */
static inline percore_pager_t
percore_pager_on(l4_cap_idx_t service, l4_uint32_t core)
{
  percore_pager_t pager = { service, core };
  return pager;
}

/** Bytes of a run of `2^order` frames. */
static inline l4_umword_t
percore_run_bytes(unsigned order)
{
  return (l4_umword_t)L4_PAGESIZE << order;
}

/* ---- Questions ------------------------------------------------------------------------------ */

/** Core, node, policy, rights. Needs no right. -L4_EINVAL: another version of the protocol. */
long percore_info(percore_pager_t pager, struct percore_ans_info *info);

/** The core's frames. Needs S. */
long percore_memory(percore_pager_t pager, struct percore_ans_memory *memory);

/** The core's free runs by order. Needs S. */
long percore_orders(percore_pager_t pager, struct percore_ans_orders *orders);

/** The core's counters; those that an older server does not know are 0. Needs S. */
long percore_counters(percore_pager_t pager, struct percore_counters *counters);

/** The factory's own figures. Needs no right. -L4_ENODEV: the service. */
long percore_own(percore_pager_t pager, struct percore_ans_own *own);

/** All settings, by enum percore_parameter. Needs no right. */
long percore_parameters(percore_pager_t pager, l4_uint64_t values[PERCORE_PARAMETERS]);

/**
 * Who has a frame.
 *
 * \param address  Physical address of a byte of it, or its address in the pager.
 * \param search   Look for the object, which may take long: on a factory, among what it and the factories
 *                 below it have.
 *
 * Needs S.
 */
long percore_owner(percore_pager_t pager, l4_uint64_t address, int search,
                   struct percore_ans_owner *owner);

/** The core whose pager serves the processor with this APIC id. Needs no right. -L4_ENOENT: none. */
long percore_core_of(percore_pager_t pager, l4_uint32_t apic,
                     struct percore_ans_core_of *core);

/** APIC id of the processor that the caller runs on at this moment. */
l4_uint32_t percore_apic_id(void);

/* ---- Settings ------------------------------------------------------------------------------- */

/**
 * Changes a setting of the core, for all its clients.
 *
 * \param[out] before  The value before; may be NULL.
 *
 * Needs S on a factory that was not sealed, or on the service. -L4_EINVAL: no such parameter,
 * -L4_ERANGE: no such value.
 */
long percore_set(percore_pager_t pager, unsigned parameter, l4_uint64_t value,
                 l4_uint64_t *before);

/**
 * Changes the policy of the core's frame allocator and returns when it is done. Rights as
 * percore_set().
 *
 * \param policy     Of enum percore_policy, or PERCORE_POLICY_PAIR() of two.
 * \param[out] done  What happened; may be NULL.
 *
 * -L4_EINVAL: unknown policy, -L4_EBUSY: a change is under way, -L4_ENOMEM: no frames for the new
 * policy's book-keeping, -L4_EAGAIN: somebody gave the change up meanwhile.
 */
long percore_switch(percore_pager_t pager, unsigned policy, struct percore_ans_policy *done);

/** The same, but returns when the change has begun; percore_info() says when it is done. */
long percore_switch_begin(percore_pager_t pager, unsigned policy,
                          struct percore_ans_policy *begun);

/** Gives the change up that is under way. Rights as percore_set(). -L4_ENOENT: there is none. */
long percore_abandon(percore_pager_t pager);

/**
 * Says how much memory faults bring in dataspaces that the factory makes from now on: log2 of frames,
 * `least` <= `first` <= `most` <= 9; all three PERCORE_NONE: as the core's settings say. Needs S.
 *
 * -L4_ERANGE, -L4_ENODEV: the service.
 */
long percore_reach(percore_pager_t pager, unsigned first, unsigned least, unsigned most);

/**
 * States something about the factory and those below it: PERCORE_SHARES_NOTHING, PERCORE_SEALED.
 * Needs S. Gives the flags that hold now. -L4_EINVAL: unknown flag, -L4_EPERM: cannot be taken
 * back, or not stated again; -L4_ENODEV: the service.
 */
long percore_state(percore_pager_t pager, unsigned set, unsigned clear);

/**
 * Receives a factory of the pager that serves the caller's processor. The caller should not migrate.
 *
 * \param service  The service capability, with S.
 * \param quota    Limit in bytes, 0 for none of its own.
 * \param slot     A free capability slot.
 *
 * -L4_ENOENT: no pager serves this processor, -L4_ENODEV: not the service, -L4_ENOMEM.
 */
long percore_bind(l4_cap_idx_t service, l4_uint64_t quota, l4_cap_idx_t slot);

/* ---- Runs ----------------------------------------------------------------------------------- */

/**
 * Allocates runs of `2^order` frames and maps them, one behind the other.
 *
 * \param count         Runs wanted, 1 to PERCORE_RUNS_PER_CALL.
 * \param flags         PERCORE_FROM_RESERVE, PERCORE_CLEAR, PERCORE_NO_MAP.
 * \param rights        L4_FPAGE_RO, L4_FPAGE_RW, L4_FPAGE_RX or L4_FPAGE_RWX.
 * \param window        Receive window, as of l4_fpage(); ignored with PERCORE_NO_MAP.
 * \param spot          Offset in the window of the first run, a multiple of a run's bytes.
 * \param[out] handles  Room for `count` handles.
 * \return              How many runs there are, at least 1; fewer than `count` when memory ends.
 *
 * Needs S. Memory is zero unless it comes from the reserve. -L4_ENOMEM: not one run,
 * -L4_ENOENT: not one in the reserve, -L4_EINVAL: an argument.
 */
long percore_alloc(percore_pager_t pager, unsigned order, unsigned count, unsigned flags,
                   unsigned rights, l4_fpage_t window, l4_umword_t spot,
                   l4_uint32_t *handles);

/**
 * Frees runs: all, or none.
 *
 * \param count  1 to PERCORE_HANDLES_PER_CALL.
 * \param flags  PERCORE_TO_RESERVE: they stay the factory's and mapped.
 *
 * Needs S. -L4_ENOENT: one is not a run of the factory, or is named twice; -L4_EINVAL.
 */
long percore_free(percore_pager_t pager, l4_uint32_t const *handles, unsigned count,
                  unsigned flags);

/**
 * Maps `2^order` bytes at `offset` of a run to `spot` in the window. Needs S. Offset and spot are multiples
 * of `2^order`. -L4_ENOENT: no such run, -L4_ERANGE: not inside it, -L4_EINVAL.
 */
long percore_map(percore_pager_t pager, l4_uint32_t handle, l4_uint64_t offset,
                 unsigned order, unsigned rights, l4_fpage_t window, l4_umword_t spot);

/**
 * Lists the factory's runs, PERCORE_RUNS_PER_LIST at most.
 *
 * \param from  0 at first, then `next` of the last answer until that is 0.
 * \return      How many are in `runs`.
 *
 * Needs S.
 */
long percore_runs(percore_pager_t pager, l4_uint32_t from, struct percore_ans_runs *runs);

/**
 * Has the factory's reserve hold `count` runs of `2^order` frames, zeroed; takes more, or gives back.
 * Gives how many there are then: fewer when memory or quota ends. Needs S. -L4_EINVAL: order.
 */
long percore_reserve(percore_pager_t pager, unsigned order, l4_uint32_t count);

#ifdef __cplusplus
}
#endif
