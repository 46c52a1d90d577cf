// SPDX-License-Identifier: MIT OR Apache-2.0
/* FPGAMEM_IOC_ALLOC. */

#include "check.h"

static void a_buffer_has_whole_blocks_and_an_offset_above_2_to_the_40(void)
{
	struct fpgamem_alloc buffer = allocated(node(NODE), BLOCK + 1);
	struct extent all = region();

	EXPECT(buffer.handle != 0, true);
	EXPECT(buffer.alloc_bytes, 2 * BLOCK);
	EXPECT(buffer.phys_addr % BLOCK, 0);
	EXPECT(buffer.phys_addr >= all.start, true);
	EXPECT(buffer.phys_addr + 2 * BLOCK <= all.start + all.bytes, true);
	EXPECT(buffer.device_addr, buffer.phys_addr);
	EXPECT(buffer.mmap_offset >> 40, 1);
	EXPECT(buffer.mmap_offset % PAGE, 0);
	EXPECT(buffer.status_slot, FPGAMEM_NO_SLOT);
	/* What was asked for is still there. */
	EXPECT(buffer.len, BLOCK + 1);
	EXPECT(buffer.align, 0);
	EXPECT(buffer.flags, 0);
	for (int i = 0; i < 3; i++)
		EXPECT(buffer.reserved[i], 0);
	EXPECT(stat("blocks_used"), 2);
}

static void the_physical_address_is_aligned_as_asked(void)
{
	int fd = node(NODE);

	for (unsigned shift = 0; shift <= 25; shift++) {
		struct fpgamem_alloc buffer = { .len = 1, .align = 1ULL << shift };

		EXPECT(ioctl(fd, FPGAMEM_IOC_ALLOC, &buffer), 0);
		EXPECT(buffer.phys_addr & (buffer.align - 1), 0);
	}
}

static void an_alignment_that_no_free_address_has_is_out_of_memory(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = { .len = 1, .align = FPGAMEM_MAX_ALIGN };

	/* Of the region the first address alone has it. */
	EXPECT(ioctl(fd, FPGAMEM_IOC_ALLOC, &buffer), 0);
	EXPECT(buffer.phys_addr, region().start);
	EXPECT(ioctl(fd, FPGAMEM_IOC_ALLOC, &buffer), -ENOMEM);
	EXPECT(stat("blocks_used"), 1);
}

static void what_does_not_fit_is_out_of_memory(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc all = { .len = region().bytes };

	allocated(fd, 1);
	EXPECT(ioctl(fd, FPGAMEM_IOC_ALLOC, &all), -ENOMEM);
	EXPECT(stat("blocks_used"), 1);
}

static void flags_make_the_buffers_attributes(void)
{
	static const struct {
		uint32_t asked, got;
	} cases[] = {
		{ FPGAMEM_ALLOC_WRITE_COMBINE, FPGAMEM_BUFFER_WRITE_COMBINE },
		{ FPGAMEM_ALLOC_COHERENT, FPGAMEM_BUFFER_COHERENT },
		{ FPGAMEM_ALLOC_NONCOHERENT, 0 },
		{ FPGAMEM_ALLOC_WRITE_COMBINE | FPGAMEM_ALLOC_COHERENT,
		  FPGAMEM_BUFFER_WRITE_COMBINE | FPGAMEM_BUFFER_COHERENT },
	};
	int fd = node(NODE);

	for (int i = 0; i < 4; i++) {
		struct fpgamem_alloc buffer = { .len = 1, .flags = cases[i].asked };
		struct fpgamem_buffer query = {};

		EXPECT(ioctl(fd, FPGAMEM_IOC_ALLOC, &buffer), 0);
		query.handle = buffer.handle;
		EXPECT(ioctl(fd, FPGAMEM_IOC_QUERY, &query), 0);
		EXPECT(query.flags, cases[i].got);
	}
}

static void bad_requests_are_invalid(void)
{
	const struct fpgamem_alloc cases[] = {
		{ .len = 0 },
		{ .len = region().bytes + 1 },
		{ .len = UINT64_MAX },
		/* The lower halves are good. */
		{ .len = UPPER | BLOCK },
		{ .len = BLOCK, .align = UPPER },
		{ .len = BLOCK, .align = UPPER | PAGE },
		{ .len = BLOCK, .align = 3 * PAGE },
		{ .len = BLOCK, .align = 2 * FPGAMEM_MAX_ALIGN },
		{ .len = BLOCK, .flags = 1U << 3 },
		{ .len = BLOCK, .flags = 1U << 31 },
		{ .len = BLOCK, .flags = FPGAMEM_ALLOC_COHERENT | FPGAMEM_ALLOC_NONCOHERENT },
		{ .len = BLOCK, .reserved = { 1, 0, 0 } },
		{ .len = BLOCK, .reserved = { 0, 1, 0 } },
		{ .len = BLOCK, .reserved = { 0, 0, 1U << 31 } },
	};
	int fd = node(NODE);

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fpgamem_alloc request = cases[i];

		EXPECT(ioctl(fd, FPGAMEM_IOC_ALLOC, &request), -EINVAL);
		EXPECT(request.handle, 0);
	}
	EXPECT(stat("blocks_used"), 0);
}

const struct test alloc_tests[] = {
	{ "a_buffer_has_whole_blocks_and_an_offset_above_2_to_the_40",
	  a_buffer_has_whole_blocks_and_an_offset_above_2_to_the_40 },
	{ "the_physical_address_is_aligned_as_asked", the_physical_address_is_aligned_as_asked },
	{ "an_alignment_that_no_free_address_has_is_out_of_memory",
	  an_alignment_that_no_free_address_has_is_out_of_memory },
	{ "what_does_not_fit_is_out_of_memory", what_does_not_fit_is_out_of_memory },
	{ "flags_make_the_buffers_attributes", flags_make_the_buffers_attributes },
	{ "bad_requests_are_invalid", bad_requests_are_invalid },
	{},
};
