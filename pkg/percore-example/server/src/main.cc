/*
 * What a program can do with the pager of its core: choose the policy of its frame allocator, take frames in
 * batches, and keep a reserve of frames from which it resolves its own page faults.
 *
 * The program's memory allocator must come from percore-pager; ned-scripts/percore-example.cfg starts
 * it so. Every step prints what changed in the pager.
 */
#include <l4/re/env>
#include <l4/re/error_helper>
#include <l4/re/rm>

#include <percore/pager>

#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "self_paging.h"

using L4Re::chksys;

namespace {

/// The pager's frames and counters at a moment, to print what changed since.
class Change
{
public:
  explicit Change(L4::Cap<Percore::Pager> pager) : _pager(pager)
  {
    chksys(_pager->memory(&_memory), "memory");
    chksys(_pager->counters(&_counters), "counters");
  }

  void print(char const *what) const
  {
    Change now(_pager);
    auto diff = [](l4_uint64_t before, l4_uint64_t after)
    { return static_cast<long long>(after - before); };
    // The two questions of `now` are no part of it.
    std::printf("  %-28s used %+lld, free %+lld, waiting %+lld frames; messages %+lld, "
                "unmap calls %+lld, zeroed on request %+lld frames\n",
                what,
                diff(_memory.used, now._memory.used), diff(_memory.free, now._memory.free),
                diff(_memory.waiting, now._memory.waiting),
                diff(messages(_counters), messages(now._counters)) - 2,
                diff(_counters.unmap_calls, now._counters.unmap_calls),
                diff(_counters.zeroed_now, now._counters.zeroed_now));
  }

private:
  static l4_uint64_t messages(Percore::Counters const &counters)
  { return counters.faults + counters.maps + counters.others; }

  L4::Cap<Percore::Pager> _pager;
  Percore::Memory _memory;
  Percore::Counters _counters;
};

void print_orders(L4::Cap<Percore::Pager> pager)
{
  Percore::Orders orders;
  chksys(pager->orders(&orders), "orders");
  std::printf("  free runs:");
  for (unsigned order = 0; order < PERCORE_ORDERS; ++order)
    if (orders.runs[order])
      std::printf(" %u of %lu KiB", orders.runs[order], percore_run_bytes(order) / 1024);
  std::printf("\n");
}

/// 1. The policy of the core, there and back.
void policies(L4::Cap<Percore::Pager> pager, Percore::Info const &info)
{
  for (auto policy : { PERCORE_BUDDY, PERCORE_AVL, PERCORE_SLAB, PERCORE_BITMAP })
    {
      Percore::Pager::Policy done;
      long result = pager->change_policy(policy, &done);
      if (result < 0)
        std::printf("  %s: refused, %s\n", Percore::policy_name(policy), l4sys_errtostr(result));
      else
        std::printf("  %s -> %s in %llu turns\n", Percore::policy_name(done.before),
                    Percore::policy_name(done.now),
                    static_cast<unsigned long long>(done.turns));
    }
  long unknown = pager->change_policy(static_cast<percore_policy>(77));
  std::printf("  policy 77: refused, %s\n", l4sys_errtostr(unknown));
  chksys(pager->change_policy(static_cast<percore_policy>(info.policy)), "policy of before");
  print_orders(pager);
}

/// 2. 1 MiB in one message: 16 runs of 64 KiB.
void batches(L4::Cap<Percore::Pager> pager)
{
  enum : unsigned { Order = 4, Count = PERCORE_RUNS_PER_CALL, Log2_window = 20 };

  l4_addr_t window = 0;
  chksys(L4Re::Env::env()->rm()->reserve_area(&window, 1UL << Log2_window,
                                              L4Re::Rm::F::Search_addr, Log2_window),
         "address space");

  Percore::Pager::Handle handles[Count];
  Change before(pager);
  long count = chksys(pager->alloc(Order, Count, l4_fpage(window, Log2_window, 0), 0, handles),
                      "runs");
  before.print("allocated in one message");

  // All of it is mapped: no fault.
  Change touched(pager);
  std::memset(reinterpret_cast<void *>(window), 0x5a, count * percore_run_bytes(Order));
  touched.print("written");

  Percore::Own own;
  chksys(pager->own(&own), "own figures");
  std::printf("  %llu runs, %llu frames, %llu KiB charged\n",
              static_cast<unsigned long long>(own.runs),
              static_cast<unsigned long long>(own.run_frames),
              static_cast<unsigned long long>(own.reserved / 1024));

  percore_ans_runs list;
  chksys(pager->runs(0, &list), "list");
  Percore::Pager::Owner owner;
  if (pager->owner(list.runs[0].address, true, &owner) >= 0)
    std::printf("  frame at %#llx of the pager: state %u, run %#llx\n",
                static_cast<unsigned long long>(list.runs[0].address), owner.state,
                static_cast<unsigned long long>(owner.object));

  Change full(pager);
  chksys(pager->free(handles, count), "free");
  full.print("freed in one message");
  chksys(L4Re::Env::env()->rm()->free_area(window), "address space");
}

} // namespace

int main()
{
  auto pager = Percore::Pager::from(L4Re::Env::env()->mem_alloc());
  Percore::Info info;
  long result = pager->info(&info);
  if (result < 0)
    {
      std::printf("percore-example: memory does not come from percore-pager (%s)\n",
                  l4sys_errtostr(result));
      return 1;
    }
  std::printf("percore-example: core %u of %u, node %u, policy %s%s\n", info.core, info.cores,
              info.node, Percore::policy_name(info.policy),
              info.flags & PERCORE_MAY_TUNE ? "" : ", may not be changed");

  try
    {
      std::printf("1. policies\n");
      policies(pager, info);
      std::printf("2. runs in batches\n");
      batches(pager);
      std::printf("3. self-paging from a reserve\n");
      self_paging(pager);
    }
  catch (L4::Runtime_error const &error)
    {
      std::printf("percore-example: %s: %s\n", error.extra_str(), error.str());
      return 1;
    }
  std::printf("percore-example: done\n");
  return 0;
}
