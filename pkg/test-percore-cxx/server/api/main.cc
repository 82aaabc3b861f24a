/*
 * The pager API with wrong arguments, on the real kernel: from C (rows.c) and, here, from C++. Capabilities come
 * from the boot script api-percore.cfg.
 */
#include "rows.h"

#include <l4/re/env>
#include <l4/re/util/cap_alloc>
#include <l4/sys/err.h>
#include <percore/pager>

#include <cstdio>

namespace {

unsigned rows = 0, failed = 0;

/// Each method, with the error that it must give; some of them with what is right.
void cxx_rows(caps const &caps)
{
  L4::Cap<Percore::Pager> factory(caps.factory), weak(caps.weak), service(caps.service);
  Percore::Info info;
  Percore::Memory memory;
  Percore::Orders orders;
  Percore::Counters counters;
  Percore::Own own;
  Percore::Owner owner;
  Percore::Core_of core;
  Percore::Runs list;
  Percore::Pager::Handle handles[PERCORE_RUNS_PER_CALL] = {};
  l4_uint64_t values[PERCORE_PARAMETERS];
  l4_fpage_t window = l4_fpage(caps.place, 20, 0);

  row("C++ info", factory->info(&info), 0);
  row("C++ info of a core", service->info(&info, 0), 0);
  row("C++ info of no core", service->info(&info, 4711), -L4_ERANGE);
  row("C++ memory", weak->memory(&memory), -L4_EPERM);
  row("C++ memory of a core", service->memory(&memory, 0), 0);
  row("C++ orders", weak->orders(&orders), -L4_EPERM);
  row("C++ counters", weak->counters(&counters), -L4_EPERM);
  row("C++ counters of no core", service->counters(&counters, 4711), -L4_ERANGE);
  row("C++ own", service->own(&own), -L4_ENODEV);
  row("C++ parameters", factory->parameters(values), 0);
  row("C++ parameters of no core", factory->parameters(values, 4711), -L4_ERANGE);
  row("C++ owner", weak->owner(0, true, &owner), -L4_EPERM);
  row("C++ core_of", factory->core_of(0xffff, &core), -L4_ENOENT);
  row("C++ set", factory->set(PERCORE_PREFAULT, 10), -L4_ERANGE);
  row("C++ change_policy", weak->change_policy(PERCORE_AVL), -L4_EPERM);
  row("C++ change_policy, pair", weak->change_policy(PERCORE_SLAB, PERCORE_AVL), -L4_EPERM);
  row("C++ begin_policy", factory->begin_policy(77), -L4_EINVAL);
  row("C++ abandon_policy", factory->abandon_policy(), -L4_ENOENT);
  row("C++ reach", factory->reach(2, 3, 9), -L4_ERANGE);
  row("C++ reach_as_core", service->reach_as_core(), -L4_ENODEV);
  row("C++ share_nothing", weak->share_nothing(), -L4_EPERM);
  row("C++ end_share_nothing", weak->end_share_nothing(), -L4_EPERM);
  row("C++ seal", service->seal(), -L4_ENODEV);
  row("C++ bind", factory->bind(0, L4::Cap<void>(caps.slot)), -L4_ENODEV);
  row("C++ alloc", factory->alloc(0, 17, window, 0, handles), -L4_EINVAL);
  row("C++ free", factory->free(handles, 65), -L4_EINVAL);
  row("C++ map", factory->map(1, 0, 12, window, 0), -L4_ENOENT);
  row("C++ reserve", factory->reserve(19, 1), -L4_EINVAL);
  row("C++ runs", service->runs(0, &list), -L4_ENODEV);
}

l4_cap_idx_t cap(char const *name)
{
  L4::Cap<void> found = L4Re::Env::env()->get_cap<void>(name);
  if (!found.is_valid())
    std::printf("test-percore-api: no capability '%s'\n", name);
  return found.cap();
}

} // namespace

extern "C" void row(char const *name, long got, long wanted)
{
  ++rows;
  if (got == wanted)
    return;
  ++failed;
  std::printf("not ok %u - %s: %ld (%s), expected %ld (%s)\n", rows, name, got,
              got < 0 ? l4sys_errtostr(got) : "", wanted, wanted < 0 ? l4sys_errtostr(wanted) : "");
}

int main()
{
  // Addresses of the program's own, with nothing attached to them.
  l4_addr_t place = 0;
  auto rm = L4Re::Env::env()->rm();
  if (rm->reserve_area(&place, 1 << 20, L4Re::Rm::F::Search_addr, 20) < 0)
    {
      std::printf("test-percore-api: no addresses\n");
      return 1;
    }
  caps const caps = {
    cap("factory"), cap("weak"), cap("sealed"), cap("small"), cap("service"), cap("weak_service"),
    L4Re::Env::env()->log().cap(),
    L4Re::Util::cap_alloc.alloc<void>().cap(), L4Re::Util::cap_alloc.alloc<void>().cap(), place,
  };
  c_rows(&caps);
  cxx_rows(caps);
  std::printf("test-percore-api: %u rows, %u failed\n", rows, failed);
  return failed != 0;
}
