/*
 * A thread whose page faults go to a thread of its own program. For addresses in the arena that takes frames
 * from the reserve, 16 at a time, and has them mapped into the arena; all others it lets the region mapper
 * resolve, by touching them itself.
 *
 * The pager's part in a fault is one message for 16 pages, in which it looks at rights and lists and
 * nothing else: it allocates, zeroes and charges nothing.
 */
#include "self_paging.h"

#include <l4/re/env>
#include <l4/re/error_helper>
#include <l4/re/rm>
#include <l4/re/util/cap_alloc>
#include <l4/re/util/unique_cap>
#include <l4/sys/factory>
#include <l4/sys/ipc.h>
#include <l4/sys/ipc_gate>
#include <l4/sys/thread>

#include <atomic>
#include <cstdio>
#include <initializer_list>
#include <pthread.h>
#include <pthread-l4.h>

using L4Re::chksys;
using L4Re::chkcap;

namespace {

enum : unsigned long
{
  Log2_arena = 18, ///< 256 KiB
  Pages      = (1UL << Log2_arena) / L4_PAGESIZE,
  Group      = PERCORE_RUNS_PER_CALL,
};

struct Arena
{
  L4::Cap<Percore::Pager> pager;
  L4::Cap<L4::Ipc_gate> gate;
  l4_addr_t start = 0;
  Percore::Pager::Handle handles[Pages] = {};
  unsigned long mapped = 0;
  unsigned long faults = 0;
  unsigned long others = 0;
  std::atomic<bool> ready { false };

  bool contains(l4_addr_t address) const
  { return address - start < (1UL << Log2_arena); }

  /// Maps the group of pages around an address. The receive window is that part of the arena.
  long resolve(l4_addr_t address)
  {
    unsigned long first = (address - start) / L4_PAGESIZE / Group * Group;
    l4_fpage_t window = l4_fpage(start, Log2_arena, 0);
    long count = pager->alloc(0, Group, window, first * L4_PAGESIZE, handles + first,
                              PERCORE_FROM_RESERVE);
    if (count > 0)
      mapped += count;
    return count;
  }
};

/// Touches a page as the faulting thread would, so that the region mapper brings it.
void touch(l4_addr_t address, bool write)
{
  auto *byte = reinterpret_cast<unsigned char *>(address);
  if (write)
    __atomic_fetch_add(byte, 0, __ATOMIC_RELAXED);
  else
    (void)*const_cast<unsigned char volatile *>(byte);
}

/// Serves page faults until a message of another kind comes.
void *serve(void *argument)
{
  auto *arena = static_cast<Arena *>(argument);
  l4_utcb_t *utcb = l4_utcb();
  chksys(arena->gate->bind_thread(Pthread::L4::cap(pthread_self()), 0), "bind");
  arena->ready = true;

  l4_umword_t label;
  l4_utcb_br()->bdr = 0;
  l4_utcb_br()->br[0] = 0;
  l4_msgtag_t tag = l4_ipc_wait(utcb, &label, L4_IPC_NEVER);
  for (;;)
    {
      if (!l4_msgtag_has_error(tag))
        {
          if (!l4_msgtag_is_page_fault(tag))
            return nullptr;
          l4_umword_t word = l4_utcb_mr()->mr[0];
          l4_addr_t address = word & ~7UL;
          bool write = word & 2;
          if (arena->contains(address))
            {
              ++arena->faults;
              // Without an answer the thread would wait for ever.
              if (arena->resolve(address) < 0)
                std::printf("  no frame left for %#lx\n", address);
            }
          else
            {
              ++arena->others;
              touch(address, write);
            }
        }
      // The page is there: an empty answer lets the thread try again.
      l4_utcb_br()->bdr = 0;
      l4_utcb_br()->br[0] = 0;
      tag = l4_ipc_reply_and_wait(utcb, l4_msgtag(0, 0, 0, 0), &label, L4_IPC_NEVER);
    }
}

/// The thread that is paged: writes to each page of the arena, twice.
void *work(void *argument)
{
  auto *arena = static_cast<Arena *>(argument);
  L4::Cap<L4::Thread> self = Pthread::L4::cap(pthread_self());
  L4::Thread::Attr attr;
  attr.pager(L4::cap_reinterpret_cast<L4::Thread>(arena->gate));
  if (l4_error(self->control(attr)) < 0 || l4_error(self->pf_trampoline_disable()) < 0)
    return argument;
  // From here on faults are messages.
  auto *bytes = reinterpret_cast<unsigned char volatile *>(arena->start);
  for (unsigned round = 0; round < 2; ++round)
    for (unsigned long page = 0; page < Pages; ++page)
      bytes[page * L4_PAGESIZE] = bytes[page * L4_PAGESIZE] + 1;
  return nullptr;
}

/// What the pager had to do since a moment.
struct Effort
{
  explicit Effort(L4::Cap<Percore::Pager> pager) : pager(pager)
  { chksys(pager->counters(&counters), "counters"); }

  void print(char const *what, unsigned long messages_of_ours) const
  {
    Effort now(pager);
    auto sum = [](Percore::Counters const &c) { return c.faults + c.maps + c.others; };
    std::printf("  %-28s the pager: %llu messages, %llu pieces taken, %llu frames zeroed, "
                "%llu unmap calls; we: %lu faults\n",
                what,
                static_cast<unsigned long long>(sum(now.counters) - sum(counters) - 1),
                static_cast<unsigned long long>(now.counters.pieces - counters.pieces),
                static_cast<unsigned long long>(now.counters.zeroed_now - counters.zeroed_now),
                static_cast<unsigned long long>(now.counters.unmap_calls
                                                - counters.unmap_calls),
                messages_of_ours);
  }

  L4::Cap<Percore::Pager> pager;
  Percore::Counters counters;
};

} // namespace

void
self_paging(L4::Cap<Percore::Pager> pager)
{
  Arena arena;
  arena.pager = pager;

  long have = chksys(pager->reserve(0, Pages), "reserve");
  std::printf("  reserve: %ld frames, zeroed and charged\n", have);

  L4Re::Env const *env = L4Re::Env::env();
  chksys(env->rm()->reserve_area(&arena.start, 1UL << Log2_arena, L4Re::Rm::F::Search_addr,
                                 Log2_arena),
         "address space");
  auto gate = chkcap(L4Re::Util::make_unique_cap<L4::Ipc_gate>(), "slot");
  chksys(env->factory()->create(gate.get()), "gate");
  arena.gate = gate.get();

  pthread_t server, worker;
  if (pthread_create(&server, nullptr, serve, &arena))
    chksys(-L4_ENOMEM, "pager thread");
  while (!arena.ready)
    l4_ipc_sleep_ms(1);

  for (char const *round : { "first use", "again, from used frames" })
    {
      arena.faults = arena.mapped = 0;
      Effort before(pager);
      void *failed = nullptr;
      if (pthread_create(&worker, nullptr, work, &arena))
        chksys(-L4_ENOMEM, "worker");
      pthread_join(worker, &failed);
      if (failed)
        chksys(-L4_EINVAL, "a pager of one's own");
      before.print(round, arena.faults);

      // The frames go back into the reserve: no unmap. What the worker sees of them goes, so that the
      // next round faults again.
      Effort full(pager);
      chksys(pager->free(arena.handles, Pages, PERCORE_TO_RESERVE), "free");
      full.print("into the reserve", 0);
      env->task()->unmap(l4_fpage(arena.start, Log2_arena, L4_FPAGE_RWX), L4_FP_ALL_SPACES);
    }

  // Ends the pager thread: not a page fault.
  l4_ipc_send(arena.gate.cap(), l4_utcb(), l4_msgtag(1, 0, 0, 0), L4_IPC_NEVER);
  pthread_join(server, nullptr);

  Effort kept(pager);
  chksys(pager->reserve(0, 0), "reserve");
  kept.print("reserve given back", 0);
  chksys(env->rm()->free_area(arena.start), "address space");
}
