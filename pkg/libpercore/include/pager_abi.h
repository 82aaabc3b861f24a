/*
 * The pager API on the wire: numbers and layouts. docs/pager-api.md is the specification.
 *
 * Needs no other header of L4Re, so that it compiles everywhere; a test of the project compares every
 * number, size and offset with the server's. Programs include <percore/pager.h> or <percore/pager>.
 */
#pragma once

#include <stdint.h>

/** Protocol number: the label of requests. */
#define PERCORE_PROTO 0x5051
/** Version of the protocol that this header describes. */
#define PERCORE_VERSION 1

/** Operations. */
enum percore_op
{
  PERCORE_OP_INFO = 0,
  PERCORE_OP_MEMORY = 1,
  PERCORE_OP_ORDERS = 2,
  PERCORE_OP_COUNTERS = 3,
  PERCORE_OP_OWN = 4,
  PERCORE_OP_PARAMETERS = 5,
  PERCORE_OP_SET = 6,
  PERCORE_OP_POLICY = 7,
  PERCORE_OP_ABANDON = 8,
  PERCORE_OP_ALLOC = 9,
  PERCORE_OP_FREE = 10,
  PERCORE_OP_MAP = 11,
  PERCORE_OP_RUNS = 12,
  PERCORE_OP_RESERVE = 13,
  PERCORE_OP_OWNER = 14,
  PERCORE_OP_STATE = 15,
  PERCORE_OP_CORE_OF = 16,
  PERCORE_OP_BIND = 17,
  PERCORE_OP_REACH = 18,
};

/** Policies of a core's frame allocator. */
enum percore_policy
{
  PERCORE_BITMAP = 0, /**< Hierarchical bitmap, the default. */
  PERCORE_BUDDY = 1,  /**< Binary buddies. */
  PERCORE_AVL = 2,    /**< Best fit from a balanced tree. */
  PERCORE_SLAB = 3,   /**< Size classes. */
};

/** Two policies in an order: small for runs below 2 MiB, large for whole 2 MiB blocks. */
#define PERCORE_POLICY_PAIR(small, large) \
  ((uint32_t)(small) | ((uint32_t)(large) + 1u) << 8)

/** Settings of a core. */
enum percore_parameter
{
  PERCORE_PREFAULT = 0,     /**< log2 of the frames that the first fault of a dataspace brings. */
  PERCORE_RUN = 1,          /**< log2 of the frames that a fault brings at most. */
  PERCORE_ZERO_AHEAD = 2,   /**< Frames that idle turns keep zeroed, at most. */
  PERCORE_CACHE_DEPTH = 3,  /**< Single frames in the cache, 0 to 255. */
  PERCORE_CACHE_REFILL = 4, /**< Frames moved to or from the cache at a time, 1 to 255. */
  PERCORE_CACHE_BLOCKS = 5, /**< 2 MiB blocks in the cache, 0 to 4. */
  PERCORE_RESERVE = 6,      /**< Frames that requests for runs leave for single faults. */
  PERCORE_PARAMETERS = 7,   /**< How many there are. */
};

enum
{
  /** As the core of a request: the one that the capability belongs to. */
  PERCORE_OWN_CORE = 0xffffffffu,
  /** As a policy, order or reach: none. */
  PERCORE_NONE = 0xffffffffu,

  PERCORE_RUNS_PER_CALL = 16,    /**< Runs in one ALLOC. */
  PERCORE_HANDLES_PER_CALL = 64, /**< Handles in one FREE. */
  PERCORE_RUNS_PER_LIST = 30,    /**< Runs in one answer to RUNS. */
  PERCORE_ORDERS = 19,           /**< Orders of runs: 0 (4 KiB) to 18 (1 GiB). */
  PERCORE_COUNTERS = 21,         /**< Counters that this header knows. */
};

/** Flags, by request or answer. */
enum percore_flag
{
  PERCORE_MAY_TUNE = 1,       /**< INFO: may change the core's settings. */
  PERCORE_SHARES_NOTHING = 2, /**< INFO, STATE: memory stays with the factory's clients. */
  PERCORE_SEALED = 4,         /**< INFO, STATE: the right to change settings was given up. */
  PERCORE_SERVICE = 8,        /**< INFO: the capability is the service. */

  PERCORE_NO_WAIT = 1,      /**< POLICY: answer when the change has begun. */
  PERCORE_FROM_RESERVE = 1, /**< ALLOC: from the factory's reserve. */
  PERCORE_NO_MAP = 2,       /**< ALLOC: handles only. */
  PERCORE_CLEAR = 4,        /**< ALLOC: zero runs of the reserve that were used. */
  PERCORE_TO_RESERVE = 1,   /**< FREE: into the factory's reserve. */
  PERCORE_SEARCH = 1,       /**< OWNER: look for the object. */
};

/** What a frame is (OWNER). */
enum percore_frame_state
{
  PERCORE_ABSENT = 0,      /**< Not a frame of this core. */
  PERCORE_FREE = 1,        /**< Nobody's. */
  PERCORE_ZEROING = 2,     /**< Free, being zeroed. */
  PERCORE_BOOKKEEPING = 3, /**< The pager's. */
  PERCORE_MEMORY = 4,      /**< A client's, or waiting to be unmapped from one. */
};

/** What has a frame (OWNER). */
enum percore_object
{
  PERCORE_OBJECT_NONE = 0,      /**< Not looked for, or nothing. */
  PERCORE_OBJECT_RUN = 1,       /**< A run; the object is its handle. */
  PERCORE_OBJECT_DATASPACE = 2, /**< A dataspace. */
};

/** Begins every request. */
struct percore_req_head
{
  uint32_t op;
  uint32_t core;
};

struct percore_req_set
{
  struct percore_req_head head;
  uint32_t parameter;
  uint32_t zero;
  uint64_t value;
};

struct percore_req_policy
{
  struct percore_req_head head;
  uint32_t kind;
  uint32_t flags;
};

struct percore_req_alloc
{
  struct percore_req_head head;
  uint32_t order;
  uint32_t count;
  uint32_t flags;
  uint32_t rights;
  uint64_t spot;
};

struct percore_req_free
{
  struct percore_req_head head;
  uint32_t count;
  uint32_t flags;
  uint32_t handles[PERCORE_HANDLES_PER_CALL];
};

struct percore_req_map
{
  struct percore_req_head head;
  uint32_t handle;
  uint32_t rights;
  uint32_t order;
  uint32_t zero;
  uint64_t offset;
  uint64_t spot;
};

struct percore_req_runs
{
  struct percore_req_head head;
  uint32_t from;
  uint32_t zero;
};

struct percore_req_reserve
{
  struct percore_req_head head;
  uint32_t order;
  uint32_t count;
};

struct percore_req_owner
{
  struct percore_req_head head;
  uint64_t address;
  uint32_t flags;
  uint32_t zero;
};

struct percore_req_state
{
  struct percore_req_head head;
  uint32_t set;
  uint32_t clear;
};

struct percore_req_reach
{
  struct percore_req_head head;
  uint32_t first;
  uint32_t least;
  uint32_t most;
  uint32_t zero;
};

struct percore_req_core_of
{
  struct percore_req_head head;
  uint32_t apic;
  uint32_t zero;
};

struct percore_req_bind
{
  struct percore_req_head head;
  uint32_t apic;
  uint32_t zero;
  uint64_t quota;
};

/** What answers to a capability. */
struct percore_ans_info
{
  uint32_t version;
  uint32_t core;          /**< Number of the core, from 0. */
  uint32_t node;          /**< Its NUMA node. */
  uint32_t cores;         /**< Cores that the service has pagers on. */
  uint32_t policy;        /**< Policy in use. */
  uint32_t changing_to;   /**< Policy that is taking over, or PERCORE_NONE. */
  uint32_t flags;
  uint32_t runs_per_call;
};

/** A core's frames. All but zeroed, borrowed and lent add up to present. */
struct percore_ans_memory
{
  uint64_t present;  /**< Frames that the core has. */
  uint64_t free;     /**< Nobody's. */
  uint64_t zeroed;   /**< Of these, zeroed. */
  uint64_t held;     /**< Being zeroed. */
  uint64_t used;     /**< In use by clients. */
  uint64_t kept;     /**< Kept beside used ones, so that runs can grow. */
  uint64_t waiting;  /**< Given up by clients, not yet unmapped everywhere. */
  uint64_t meta;     /**< Book-keeping. */
  uint64_t borrowed; /**< Of present, borrowed from other cores. */
  uint64_t lent;     /**< Lent to other cores. */
};

/** A core's free runs by order. */
struct percore_ans_orders
{
  uint32_t largest; /**< The largest order with a free run, or PERCORE_NONE. */
  uint32_t runs[PERCORE_ORDERS];
};

/** A factory's own figures. */
struct percore_ans_own
{
  uint64_t limit;     /**< Bytes; 0 is none. */
  uint64_t reserved;  /**< Bytes taken out of the limit. */
  uint64_t committed; /**< Bytes really used, factories below included. */
  uint64_t runs;
  uint64_t run_frames;
  uint64_t kept_runs; /**< Runs in the reserve. */
  uint64_t kept_frames;
};

struct percore_ans_set
{
  uint64_t before;
};

/** What a change of policy did. */
struct percore_ans_policy
{
  uint32_t before;
  uint32_t now;
  uint64_t turns; /**< Turns that it took. */
};

/** One run in a list. */
struct percore_ans_run
{
  uint32_t handle;
  uint16_t order;
  uint16_t kept;    /**< 1 when it is in the reserve. */
  uint64_t address; /**< In the pager. */
};

struct percore_ans_runs
{
  uint32_t next; /**< Where to go on, 0 at the end. */
  uint32_t zero;
  struct percore_ans_run runs[PERCORE_RUNS_PER_LIST];
};

struct percore_ans_reserve
{
  uint32_t have;
  uint32_t zero;
};

/** Who has a frame. */
struct percore_ans_owner
{
  uint32_t state;   /**< enum percore_frame_state */
  uint32_t kind;    /**< enum percore_object */
  uint64_t factory; /**< Number of the factory, 0 if unknown. */
  uint64_t object;  /**< Number of the object, or the run's handle. */
  uint64_t page;    /**< Page of it. */
};

struct percore_ans_state
{
  uint32_t flags;
  uint32_t zero;
};

struct percore_ans_reach
{
  uint32_t first;
  uint32_t least;
  uint32_t most;
  uint32_t zero;
};

struct percore_ans_core_of
{
  uint32_t core;
  uint32_t node;
};

/** What a pager thread has done since its start. */
struct percore_counters
{
  uint64_t faults;        /**< Page faults that the kernel sent. */
  uint64_t maps;          /**< Map requests to dataspaces. */
  uint64_t others;        /**< All other messages. */
  uint64_t parked;        /**< Calls put aside for several turns. */
  uint64_t retried;       /**< Calls put aside for lack of memory. */
  uint64_t turns;         /**< Turns of work between messages. */
  uint64_t created;       /**< Objects made. */
  uint64_t ended;         /**< Objects found unused. */
  uint64_t zeroed_now;    /**< Frames zeroed while a client waited. */
  uint64_t zeroed_ahead;  /**< Frames zeroed in idle turns. */
  uint64_t pieces;        /**< Pieces of memory taken for clients. */
  uint64_t pieces_zeroed; /**< Of these, zeroed ahead. */
  uint64_t unmap_calls;   /**< Unmap system calls. */
  uint64_t unmapped;      /**< Flexpages in them. */
  uint64_t runs_taken;    /**< Runs allocated directly. */
  uint64_t runs_given;    /**< Runs freed. */
  uint64_t runs_recycled; /**< Runs freed into a reserve. */
  uint64_t policies;      /**< Changes of policy finished. */
  uint64_t asked;         /**< Frames asked of other cores. */
  uint64_t given;         /**< Frames given to other cores. */
  uint64_t recycled;      /**< Frames that came back to their own client without an unmap. */
};
