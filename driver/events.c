// SPDX-License-Identifier: GPL-2.0
/* The tracepoints of events.h, which only C macros can define. */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "events.h"
