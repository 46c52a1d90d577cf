/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints. kapi/trace.rs declares the same for Rust. */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM fpgamem

#if !defined(_FPGAMEM_EVENTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define _FPGAMEM_EVENTS_H

#include <linux/tracepoint.h>
#include <linux/types.h>

/* A buffer was allocated; flags are FPGAMEM_BUFFER_* bits. */
TRACE_EVENT(fpgamem_alloc,
	TP_PROTO(u64 phys_addr, u64 bytes, u32 flags),
	TP_ARGS(phys_addr, bytes, flags),
	TP_STRUCT__entry(
		__field(u64, phys_addr)
		__field(u64, bytes)
		__field(u32, flags)
	),
	TP_fast_assign(
		__entry->phys_addr = phys_addr;
		__entry->bytes = bytes;
		__entry->flags = flags;
	),
	TP_printk("phys_addr=%#llx bytes=%llu flags=%#x",
		  __entry->phys_addr, __entry->bytes, __entry->flags)
);

DECLARE_EVENT_CLASS(fpgamem_blocks,
	TP_PROTO(u64 phys_addr, u64 bytes),
	TP_ARGS(phys_addr, bytes),
	TP_STRUCT__entry(
		__field(u64, phys_addr)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__entry->phys_addr = phys_addr;
		__entry->bytes = bytes;
	),
	TP_printk("phys_addr=%#llx bytes=%llu",
		  __entry->phys_addr, __entry->bytes)
);

/* The last reference of a buffer went, and its blocks are free. */
DEFINE_EVENT(fpgamem_blocks, fpgamem_free,
	TP_PROTO(u64 phys_addr, u64 bytes),
	TP_ARGS(phys_addr, bytes)
);

/* The last reference of a buffer went, and its blocks are in quarantine. */
DEFINE_EVENT(fpgamem_blocks, fpgamem_quarantine,
	TP_PROTO(u64 phys_addr, u64 bytes),
	TP_ARGS(phys_addr, bytes)
);

/* User space had cache lines of a range maintained; the range is within a buffer. */
TRACE_EVENT(fpgamem_sync,
	TP_PROTO(u64 phys_addr, u64 bytes, u64 lines, bool invalidate),
	TP_ARGS(phys_addr, bytes, lines, invalidate),
	TP_STRUCT__entry(
		__field(u64, phys_addr)
		__field(u64, bytes)
		__field(u64, lines)
		__field(bool, invalidate)
	),
	TP_fast_assign(
		__entry->phys_addr = phys_addr;
		__entry->bytes = bytes;
		__entry->lines = lines;
		__entry->invalidate = invalidate;
	),
	TP_printk("phys_addr=%#llx bytes=%llu lines=%llu op=%s",
		  __entry->phys_addr, __entry->bytes, __entry->lines,
		  __entry->invalidate ? "invalidate" : "flush")
);

#endif /* _FPGAMEM_EVENTS_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE events
#include <trace/define_trace.h>
