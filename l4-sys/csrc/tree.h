/*
 * Headers of the L4Re tree that the ABI proof compares this crate with.
 *
 * bindgen reads this file as C, proof.c includes it. Only headers of the kernel
 * interface and of what every L4Re program is started with are here.
 */
#pragma once

#include <l4/sys/consts.h>
#include <l4/sys/debugger.h>
#include <l4/sys/err.h>
#include <l4/sys/factory.h>
#include <l4/sys/icu.h>
#include <l4/sys/ipc.h>
#include <l4/sys/ipc_gate.h>
#include <l4/sys/irq.h>
#include <l4/sys/kernel_object.h>
#include <l4/sys/kip.h>
#include <l4/sys/memdesc.h>
#include <l4/sys/rcv_endpoint.h>
#include <l4/sys/scheduler.h>
#include <l4/sys/task.h>
#include <l4/sys/thread.h>
#include <l4/sys/types.h>
#include <l4/sys/utcb.h>
#include <l4/sys/vcon.h>

#include <l4/re/elf_aux.h>
#include <l4/re/env.h>
#include <l4/re/l4aux.h>
#include <l4/re/protocols.h>

#include <l4/sigma0/sigma0.h>
