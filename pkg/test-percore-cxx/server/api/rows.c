/*
 * The rows in C: each function of <percore/pager.h> with arguments that are wrong, and some that are right.
 */
#include "rows.h"

#include <l4/sys/err.h>
#include <l4/sys/ipc.h>

enum { Rw = L4_FPAGE_RW };
#define MANY 0xffffffffu

/* Each function once. The result is the same for all that need what the capability lacks. */
struct answers
{
  long open;     /* info, parameters, core_of */
  long own;      /* own */
  long figures;  /* memory, orders, counters, owner */
  long settings; /* set, switch, abandon */
  long runs;     /* reach, state, alloc, free, map, runs, reserve */
};

static void
every(percore_pager_t pager, struct answers want)
{
  struct percore_ans_info info;
  struct percore_ans_memory memory;
  struct percore_ans_orders orders;
  struct percore_counters counters;
  struct percore_ans_own own;
  struct percore_ans_owner owner;
  struct percore_ans_core_of core;
  struct percore_ans_runs list;
  l4_uint64_t values[PERCORE_PARAMETERS];
  l4_uint32_t handles[PERCORE_RUNS_PER_CALL] = { 0 };
  l4_fpage_t window = l4_fpage(0, 12, 0);

  row("info", percore_info(pager, &info), want.open);
  row("parameters", percore_parameters(pager, values), want.open);
  row("core_of", percore_core_of(pager, percore_apic_id(), &core), want.open);
  row("own", percore_own(pager, &own), want.own);
  row("memory", percore_memory(pager, &memory), want.figures);
  row("orders", percore_orders(pager, &orders), want.figures);
  row("counters", percore_counters(pager, &counters), want.figures);
  row("owner", percore_owner(pager, 0, 0, &owner), want.figures);
  row("owner, search", percore_owner(pager, 0, 1, &owner), want.figures);
  row("set", percore_set(pager, PERCORE_PREFAULT, 2, 0), want.settings);
  row("switch", percore_switch(pager, PERCORE_BITMAP, 0), want.settings);
  row("switch_begin", percore_switch_begin(pager, PERCORE_BITMAP, 0), want.settings);
  row("abandon", percore_abandon(pager), want.settings ? want.settings : -L4_ENOENT);
  row("reach", percore_reach(pager, PERCORE_NONE, PERCORE_NONE, PERCORE_NONE), want.runs);
  row("state", percore_state(pager, 0, 0), want.runs);
  row("alloc", percore_alloc(pager, 0, 1, PERCORE_NO_MAP, Rw, window, 0, handles),
      want.runs ? want.runs : 1);
  row("free", percore_free(pager, handles, 1, 0), want.runs);
  row("map", percore_map(pager, handles[0], 0, 12, Rw, window, 0),
      want.runs ? want.runs : -L4_ENOENT);
  row("runs", percore_runs(pager, 0, &list), want.runs);
  row("reserve", percore_reserve(pager, 0, 0), want.runs);
}

static struct answers
all(long result)
{
  struct answers answers = { result, result, result, result, result };
  return answers;
}

static void
capabilities(struct caps const *caps)
{
  long gone = -(L4_EIPC_LO + L4_IPC_ENOT_EXISTENT);
  struct answers weak = { 0, 0, -L4_EPERM, -L4_EPERM, -L4_EPERM };
  struct answers sealed = { 0, 0, 0, -L4_EPERM, 0 };
  struct answers service = { 0, -L4_ENODEV, 0, 0, -L4_ENODEV };
  struct answers weak_service = { 0, -L4_ENODEV, -L4_EPERM, -L4_EPERM, -L4_EPERM };

  every(percore_pager(caps->factory), all(0));
  every(percore_pager(caps->weak), weak);
  every(percore_pager(caps->service), service);
  every(percore_pager_on(caps->service, 0), service);
  every(percore_pager(caps->weak_service), weak_service);
  every(percore_pager_on(caps->service, 4711), all(-L4_ERANGE));
  every(percore_pager_on(caps->factory, 4711), all(-L4_ERANGE));
  every(percore_pager(caps->other), all(-L4_EBADPROTO));
  every(percore_pager(caps->closed), all(gone));
  every(percore_pager(L4_INVALID_CAP), all(-L4_EINVAL));
  /* The flag of sealed factories does not count as a result of state. */
  row("sealed, state", percore_state(percore_pager(caps->sealed), 0, 0), PERCORE_SEALED);
  sealed.runs = 0;
  row("sealed, set", percore_set(percore_pager(caps->sealed), PERCORE_RUN, 9, 0), sealed.settings);
  row("sealed, switch", percore_switch(percore_pager(caps->sealed), PERCORE_AVL, 0), -L4_EPERM);
  row("sealed, unseal", percore_state(percore_pager(caps->sealed), 0, PERCORE_SEALED), -L4_EPERM);

  row("bind, factory", percore_bind(caps->factory, 0, caps->slot), -L4_ENODEV);
  row("bind, weak", percore_bind(caps->weak_service, 0, caps->slot), -L4_EPERM);
  row("bind, closed", percore_bind(caps->closed, 0, caps->slot), gone);
  row("bind, other", percore_bind(caps->other, 0, caps->slot), -L4_EBADPROTO);
  row("bind", percore_bind(caps->service, 1 << 20, caps->slot), 0);
  row("bind, info", percore_reserve(percore_pager(caps->slot), 0, 0), 0);
}

static void
settings(percore_pager_t pager)
{
  static struct { unsigned parameter; l4_uint64_t value; long want; } const sets[] = {
    { PERCORE_PARAMETERS, 0, -L4_EINVAL }, { MANY, 0, -L4_EINVAL },
    { PERCORE_PREFAULT, 10, -L4_ERANGE },  { PERCORE_RUN, 10, -L4_ERANGE },
    { PERCORE_RUN, 1, -L4_ERANGE },        { PERCORE_ZERO_AHEAD, (1u << 27) + 1, -L4_ERANGE },
    { PERCORE_CACHE_DEPTH, 256, -L4_ERANGE }, { PERCORE_CACHE_REFILL, 0, -L4_ERANGE },
    { PERCORE_CACHE_REFILL, 256, -L4_ERANGE }, { PERCORE_CACHE_BLOCKS, 5, -L4_ERANGE },
    { PERCORE_RESERVE, ~0ull, -L4_ERANGE }, { PERCORE_PREFAULT, ~0ull, -L4_ERANGE },
    { PERCORE_CACHE_DEPTH, 1ull << 32, -L4_ERANGE },
  };
  l4_uint64_t before[PERCORE_PARAMETERS], after[PERCORE_PARAMETERS];
  struct percore_ans_policy done;
  struct percore_ans_core_of core;
  struct percore_ans_owner owner;

  percore_parameters(pager, before);
  for (unsigned n = 0; n < sizeof(sets) / sizeof(sets[0]); ++n)
    row("set", percore_set(pager, sets[n].parameter, sets[n].value, 0), sets[n].want);
  percore_parameters(pager, after);
  for (unsigned n = 0; n < PERCORE_PARAMETERS; ++n)
    row("a refused setting changes nothing", after[n] == before[n], 1);

  row("switch, 4", percore_switch(pager, 4, 0), -L4_EINVAL);
  row("switch, none", percore_switch(pager, PERCORE_NONE, 0), -L4_EINVAL);
  row("switch, pair", percore_switch(pager, PERCORE_POLICY_PAIR(0, 4), 0), -L4_EINVAL);
  row("switch, pair", percore_switch(pager, PERCORE_POLICY_PAIR(7, 1), 0), -L4_EINVAL);
  row("switch to the same", percore_switch(pager, PERCORE_BITMAP, &done), 0);
  row("takes no turn", (long)done.turns, 0);
  row("switch", percore_switch(pager, PERCORE_POLICY_PAIR(PERCORE_SLAB, PERCORE_AVL), &done), 0);
  row("takes turns", done.turns > 0 && done.before == PERCORE_BITMAP, 1);
  row("begin", percore_switch_begin(pager, PERCORE_BITMAP, 0), 0);
  /* Its turns are between messages: it may be done by now. */
  while (percore_switch(pager, PERCORE_BITMAP, &done) == -L4_EBUSY)
    ;
  row("is done", (long)done.now, PERCORE_BITMAP);

  row("reach, too long", percore_reach(pager, 2, 0, 10), -L4_ERANGE);
  row("reach, least above first", percore_reach(pager, 2, 3, 9), -L4_ERANGE);
  row("reach, first above most", percore_reach(pager, 5, 0, 4), -L4_ERANGE);
  row("reach, none and some", percore_reach(pager, PERCORE_NONE, 0, 9), -L4_ERANGE);
  row("state, unknown flag", percore_state(pager, 1, 0), -L4_EINVAL);
  row("state, unknown flag", percore_state(pager, 0, 1u << 31), -L4_EINVAL);
  row("state, set and cleared",
      percore_state(pager, PERCORE_SHARES_NOTHING, PERCORE_SHARES_NOTHING), -L4_EINVAL);
  row("state, unseal", percore_state(pager, 0, PERCORE_SEALED), -L4_EPERM);
  row("core_of nobody", percore_core_of(pager, MANY, &core), -L4_ENOENT);
  row("owner of nothing", percore_owner(pager, ~0ull, 1, &owner), 0);
  row("is absent", owner.state, PERCORE_ABSENT);
}

static void
runs(struct caps const *caps)
{
  percore_pager_t pager = percore_pager(caps->factory), small = percore_pager(caps->small);
  l4_fpage_t window = l4_fpage(caps->place, 20, 0);
  struct percore_ans_own before, after;
  struct percore_ans_runs list;
  l4_uint32_t handles[PERCORE_HANDLES_PER_CALL + 1] = { 0 }, twice[2];
  static struct { unsigned order, count, flags, rights; l4_umword_t spot; long want; } const allocs[] = {
    { 19, 1, 0, Rw, 0, -L4_EINVAL },
    { MANY, 1, 0, Rw, 0, -L4_EINVAL },
    { 0, 0, 0, Rw, 0, -L4_EINVAL },
    { 0, 17, 0, Rw, 0, -L4_EINVAL },
    { 0, MANY, 0, Rw, 0, -L4_EINVAL },
    { 0, 1, 8, Rw, 0, -L4_EINVAL },
    { 0, 1, 0, 0, 0, -L4_EINVAL },
    { 0, 1, 0, 8, 0, -L4_EINVAL },
    { 0, 1, 0, MANY, 0, -L4_EINVAL },
    { 0, 1, 0, Rw, 1, -L4_EINVAL },
    { 4, 1, 0, Rw, L4_PAGESIZE, -L4_EINVAL },
    { 0, 2, 0, Rw, ~(l4_umword_t)L4_PAGESIZE + 1, -L4_EINVAL },
    { 0, 1, PERCORE_FROM_RESERVE, Rw, 0, -L4_ENOENT },
    { 18, 1, PERCORE_NO_MAP, Rw, 0, -L4_ENOMEM },
  };

  percore_own(pager, &before);
  for (unsigned n = 0; n < sizeof(allocs) / sizeof(allocs[0]); ++n)
    row("alloc", percore_alloc(pager, allocs[n].order, allocs[n].count, allocs[n].flags,
                               allocs[n].rights, window, allocs[n].spot, handles), allocs[n].want);
  percore_own(pager, &after);
  row("a refused alloc takes nothing", after.runs == before.runs
      && after.committed == before.committed, 1);

  row("alloc two", percore_alloc(pager, 2, 2, 0, Rw, window, 0, handles), 2);
  ((char volatile *)caps->place)[0] = 1;
  ((char volatile *)caps->place)[8 * L4_PAGESIZE - 1] = 2;
  row("free none", percore_free(pager, handles, 0, 0), -L4_EINVAL);
  row("free 65", percore_free(pager, handles, PERCORE_HANDLES_PER_CALL + 1, 0), -L4_EINVAL);
  row("free, unknown flag", percore_free(pager, handles, 1, 2), -L4_EINVAL);
  twice[0] = handles[0];
  twice[1] = handles[0];
  row("free one twice", percore_free(pager, twice, 2, 0), -L4_ENOENT);
  twice[1] = handles[1] ^ 1u << 31;
  row("free an old handle", percore_free(pager, twice, 2, 0), -L4_ENOENT);
  row("free another factory's", percore_free(small, handles, 1, 0), -L4_ENOENT);
  row("map another factory's", percore_map(small, handles[0], 0, 12, Rw, window, 0), -L4_ENOENT);
  row("map, small", percore_map(pager, handles[0], 0, 11, Rw, window, 0), -L4_EINVAL);
  row("map, large", percore_map(pager, handles[0], 0, 64, Rw, window, 0), -L4_EINVAL);
  row("map, no rights", percore_map(pager, handles[0], 0, 12, 0, window, 0), -L4_EINVAL);
  row("map, offset", percore_map(pager, handles[0], 1, 12, Rw, window, 0), -L4_EINVAL);
  row("map, spot", percore_map(pager, handles[0], 0, 13, Rw, window, L4_PAGESIZE), -L4_EINVAL);
  row("map, behind", percore_map(pager, handles[0], 4 * L4_PAGESIZE, 12, Rw, window, 0), -L4_ERANGE);
  row("map, longer", percore_map(pager, handles[0], 0, 15, Rw, window, 0), -L4_ERANGE);
  row("map, far", percore_map(pager, handles[0], ~(l4_uint64_t)L4_PAGESIZE + 1, 12, Rw, window, 0),
      -L4_ERANGE);
  row("map", percore_map(pager, handles[1], 3 * L4_PAGESIZE, 12, Rw, window, 0x10000), 0);
  row("the same memory", ((char volatile *)caps->place)[0x10000 + L4_PAGESIZE - 1], 2);
  row("list", percore_runs(pager, 0, &list), 2);
  row("list from nowhere", percore_runs(pager, MANY, &list), 0);
  row("ends", list.next, 0);
  row("free", percore_free(pager, handles, 2, 0), 0);
  window = l4_fpage(caps->place + 0x20000, L4_PAGESHIFT, 0);
  row("two into a window for one", percore_alloc(pager, 0, 2, 0, Rw, window, 0, handles), 2);
  row("free both", percore_free(pager, handles, 2, 0), 0);
  row("free again", percore_free(pager, handles, 2, 0), -L4_ENOENT);

  row("reserve, order", percore_reserve(pager, 19, 1), -L4_EINVAL);
  long have = percore_reserve(small, 0, MANY);
  row("reserve, all of a limit", have > 0 && have < 64, 1);
  row("alloc above the limit", percore_alloc(small, 0, 1, PERCORE_NO_MAP, Rw, window, 0, handles),
      -L4_ENOMEM);
  row("alloc from the reserve",
      percore_alloc(small, 0, 1, PERCORE_FROM_RESERVE, Rw, window, 0, handles), 1);
  row("and back", percore_free(small, handles, 1, PERCORE_TO_RESERVE), 0);
  row("free what is in the reserve", percore_free(small, handles, 1, 0), -L4_ENOENT);
  row("map what is in the reserve", percore_map(small, handles[0], 0, 12, Rw, window, 0), -L4_ENOENT);
  row("reserve, none", percore_reserve(small, 0, 0), 0);
}

void
c_rows(struct caps const *caps)
{
  capabilities(caps);
  settings(percore_pager(caps->factory));
  runs(caps);
}
