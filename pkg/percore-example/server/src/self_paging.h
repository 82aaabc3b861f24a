#pragma once

#include <percore/pager>

/**
 * Runs a thread whose page faults this program resolves itself, from a reserve of frames, and prints what the
 * pager had to do for it. Throws L4::Runtime_error.
 */
void self_paging(L4::Cap<Percore::Pager> pager);
