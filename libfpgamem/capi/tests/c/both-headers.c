/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program may include the header of the library and that of the driver. */
#include <libfpgamem.h>

#include <fpgamem/fpgamem.h>

int both_headers(void);

int both_headers(void)
{
	struct fpgamem_alloc alloc = { 0 };
	struct fpgamem_info info = { 0 };
	fpgamem_info_t other = { 0 };

	return (int)(alloc.len + info.region_bytes + other.region_bytes) + FPGAMEM_SYNC_FLUSH;
}
