/*
 * The pager API: requests into the message registers, answers out of them.
 */
#include <percore/pager.h>

#include <l4/sys/err.h>
#include <l4/sys/ipc.h>
#include <l4/sys/utcb.h>

enum { Message_bytes = L4_UTCB_GENERIC_DATA_SIZE * sizeof(l4_umword_t) };

static void
copy(void *to, void const *from, unsigned bytes)
{
  __builtin_memcpy(to, from, bytes);
}

/* Sends what is in the message registers. The receive buffers are set by the caller. */
static l4_msgtag_t
call(percore_pager_t pager, unsigned bytes, long *result)
{
  l4_utcb_t *utcb = l4_utcb();
  unsigned words = (bytes + sizeof(l4_umword_t) - 1) / sizeof(l4_umword_t);
  /* The kernel would take it for a wait that nobody ends. */
  if (l4_is_invalid_cap(pager.cap))
    {
      *result = -L4_EINVAL;
      return l4_msgtag(0, 0, 0, 0);
    }
  l4_msgtag_t tag = l4_ipc_call(pager.cap, utcb, l4_msgtag(PERCORE_PROTO, words, 0, 0),
                                L4_IPC_NEVER);
  *result = l4_error_u(tag, utcb);
  return tag;
}

static struct percore_req_head
head(percore_pager_t pager, enum percore_op op)
{
  struct percore_req_head head = { op, pager.core };
  return head;
}

static void
no_buffers(void)
{
  l4_utcb_br()->bdr = 0;
  l4_utcb_br()->br[0] = 0;
}

/* Room for memory, or for a capability; nothing else. */
static void
memory_buffer(l4_fpage_t window)
{
  l4_buf_regs_t *br = l4_utcb_br();
  br->bdr = 0;
  br->br[0] = L4_ITEM_MAP;
  br->br[1] = window.raw;
  br->br[2] = 0;
}

/* A call that is answered by words alone: at least `needed` bytes, at most `room`. */
static long
ask(percore_pager_t pager, void const *request, unsigned bytes,
    void *answer, unsigned needed, unsigned room)
{
  long result;
  copy(l4_utcb_mr()->mr, request, bytes);
  no_buffers();
  l4_msgtag_t tag = call(pager, bytes, &result);
  if (result < 0)
    return result;
  unsigned sent = l4_msgtag_words(tag) * sizeof(l4_umword_t);
  if (sent < needed || needed > Message_bytes)
    return -L4_EMSGTOOSHORT;
  if (answer)
    copy(answer, l4_utcb_mr()->mr, sent < room ? sent : room);
  return result;
}

#define ASK(pager, request, answer) \
  ask(pager, &(request), sizeof(request), answer, sizeof(*(answer)), sizeof(*(answer)))

long
percore_info(percore_pager_t pager, struct percore_ans_info *info)
{
  struct percore_req_head request = head(pager, PERCORE_OP_INFO);
  long result = ASK(pager, request, info);
  if (result >= 0 && info->version != PERCORE_VERSION)
    return -L4_EINVAL;
  return result;
}

long
percore_memory(percore_pager_t pager, struct percore_ans_memory *memory)
{
  struct percore_req_head request = head(pager, PERCORE_OP_MEMORY);
  return ASK(pager, request, memory);
}

long
percore_orders(percore_pager_t pager, struct percore_ans_orders *orders)
{
  struct percore_req_head request = head(pager, PERCORE_OP_ORDERS);
  return ASK(pager, request, orders);
}

long
percore_counters(percore_pager_t pager, struct percore_counters *counters)
{
  struct percore_req_head request = head(pager, PERCORE_OP_COUNTERS);
  __builtin_memset(counters, 0, sizeof(*counters));
  long result = ask(pager, &request, sizeof(request), counters, 0, sizeof(*counters));
  return result < 0 ? result : 0;
}

long
percore_own(percore_pager_t pager, struct percore_ans_own *own)
{
  struct percore_req_head request = head(pager, PERCORE_OP_OWN);
  return ASK(pager, request, own);
}

long
percore_parameters(percore_pager_t pager, l4_uint64_t values[PERCORE_PARAMETERS])
{
  struct percore_req_head request = head(pager, PERCORE_OP_PARAMETERS);
  unsigned bytes = PERCORE_PARAMETERS * sizeof(values[0]);
  return ask(pager, &request, sizeof(request), values, bytes, bytes);
}

long
percore_owner(percore_pager_t pager, l4_uint64_t address, int search,
              struct percore_ans_owner *owner)
{
  struct percore_req_owner request = { head(pager, PERCORE_OP_OWNER), address,
                                       search ? PERCORE_SEARCH : 0, 0 };
  return ASK(pager, request, owner);
}

long
percore_core_of(percore_pager_t pager, l4_uint32_t apic, struct percore_ans_core_of *core)
{
  struct percore_req_core_of request = { head(pager, PERCORE_OP_CORE_OF), apic, 0 };
  return ASK(pager, request, core);
}

static void
cpuid(l4_uint32_t leaf, l4_uint32_t regs[4])
{
  __asm__ volatile("cpuid"
                   : "=a"(regs[0]), "=b"(regs[1]), "=c"(regs[2]), "=d"(regs[3])
                   : "a"(leaf), "c"(0));
}

l4_uint32_t
percore_apic_id(void)
{
  l4_uint32_t regs[4];
  cpuid(0, regs);
  if (regs[0] >= 0xb)
    {
      cpuid(0xb, regs);
      /* A level type of 0 means that the leaf is not filled in. */
      if (regs[2] & 0xff00)
        return regs[3];
    }
  cpuid(1, regs);
  return regs[1] >> 24;
}

long
percore_set(percore_pager_t pager, unsigned parameter, l4_uint64_t value, l4_uint64_t *before)
{
  struct percore_req_set request = { head(pager, PERCORE_OP_SET), parameter, 0, value };
  struct percore_ans_set answer;
  long result = ASK(pager, request, &answer);
  if (result >= 0 && before)
    *before = answer.before;
  return result;
}

static long
change(percore_pager_t pager, unsigned policy, unsigned flags, struct percore_ans_policy *done)
{
  struct percore_req_policy request = { head(pager, PERCORE_OP_POLICY), policy, flags };
  struct percore_ans_policy answer;
  long result = ASK(pager, request, &answer);
  if (result >= 0 && done)
    *done = answer;
  return result;
}

long
percore_switch(percore_pager_t pager, unsigned policy, struct percore_ans_policy *done)
{
  return change(pager, policy, 0, done);
}

long
percore_switch_begin(percore_pager_t pager, unsigned policy, struct percore_ans_policy *begun)
{
  return change(pager, policy, PERCORE_NO_WAIT, begun);
}

long
percore_abandon(percore_pager_t pager)
{
  struct percore_req_head request = head(pager, PERCORE_OP_ABANDON);
  struct percore_ans_policy answer;
  return ASK(pager, request, &answer);
}

long
percore_reach(percore_pager_t pager, unsigned first, unsigned least, unsigned most)
{
  struct percore_req_reach request = { head(pager, PERCORE_OP_REACH), first, least, most, 0 };
  struct percore_ans_reach answer;
  return ASK(pager, request, &answer);
}

long
percore_state(percore_pager_t pager, unsigned set, unsigned clear)
{
  struct percore_req_state request = { head(pager, PERCORE_OP_STATE), set, clear };
  struct percore_ans_state answer;
  long result = ASK(pager, request, &answer);
  return result < 0 ? result : (long)answer.flags;
}

long
percore_bind(l4_cap_idx_t service, l4_uint64_t quota, l4_cap_idx_t slot)
{
  percore_pager_t pager = percore_pager(service);
  struct percore_req_bind request = { head(pager, PERCORE_OP_BIND), percore_apic_id(), 0,
                                      quota };
  l4_buf_regs_t *br = l4_utcb_br();
  long result;

  copy(l4_utcb_mr()->mr, &request, sizeof(request));
  br->bdr = 0;
  br->br[0] = slot | L4_RCV_ITEM_SINGLE_CAP;
  br->br[1] = 0;
  l4_msgtag_t tag = call(pager, sizeof(request), &result);
  no_buffers();
  if (result >= 0 && l4_msgtag_items(tag) != 1)
    return -L4_EMSGMISSARG;
  return result;
}

long
percore_alloc(percore_pager_t pager, unsigned order, unsigned count, unsigned flags,
              unsigned rights, l4_fpage_t window, l4_umword_t spot, l4_uint32_t *handles)
{
  struct percore_req_alloc request = { head(pager, PERCORE_OP_ALLOC), order, count, flags,
                                       rights, spot };
  long result;

  copy(l4_utcb_mr()->mr, &request, sizeof(request));
  if (flags & PERCORE_NO_MAP)
    no_buffers();
  else
    memory_buffer(window);
  l4_msgtag_t tag = call(pager, sizeof(request), &result);
  /* The handles, before anything else uses the message registers. */
  if (result > 0)
    {
      if ((unsigned long)result > count
          || l4_msgtag_words(tag) * 2 < (unsigned long)result)
        result = -L4_EMSGTOOSHORT;
      else
        copy(handles, l4_utcb_mr()->mr, result * sizeof(handles[0]));
    }
  no_buffers();
  return result == 0 ? -L4_EMSGTOOSHORT : result;
}

long
percore_free(percore_pager_t pager, l4_uint32_t const *handles, unsigned count, unsigned flags)
{
  struct percore_req_free request = { head(pager, PERCORE_OP_FREE), count, flags, { 0 } };
  if (count > PERCORE_HANDLES_PER_CALL)
    return -L4_EINVAL;
  copy(request.handles, handles, count * sizeof(handles[0]));
  return ask(pager, &request,
             __builtin_offsetof(struct percore_req_free, handles)
             + count * sizeof(handles[0]), 0, 0, 0);
}

long
percore_map(percore_pager_t pager, l4_uint32_t handle, l4_uint64_t offset, unsigned order,
            unsigned rights, l4_fpage_t window, l4_umword_t spot)
{
  struct percore_req_map request = { head(pager, PERCORE_OP_MAP), handle, rights, order, 0,
                                     offset, spot };
  long result;

  copy(l4_utcb_mr()->mr, &request, sizeof(request));
  memory_buffer(window);
  call(pager, sizeof(request), &result);
  no_buffers();
  return result;
}

long
percore_runs(percore_pager_t pager, l4_uint32_t from, struct percore_ans_runs *runs)
{
  struct percore_req_runs request = { head(pager, PERCORE_OP_RUNS), from, 0 };
  unsigned needed = __builtin_offsetof(struct percore_ans_runs, runs);
  long result = ask(pager, &request, sizeof(request), runs, needed, sizeof(*runs));
  return result > PERCORE_RUNS_PER_LIST ? -L4_EMSGTOOLONG : result;
}

long
percore_reserve(percore_pager_t pager, unsigned order, l4_uint32_t count)
{
  struct percore_req_reserve request = { head(pager, PERCORE_OP_RESERVE), order, count };
  struct percore_ans_reserve answer;
  long result = ASK(pager, request, &answer);
  return result < 0 ? result : (long)answer.have;
}
