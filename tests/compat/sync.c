// SPDX-License-Identifier: MIT OR Apache-2.0
/* FPGAMEM_IOC_FLUSH, FPGAMEM_IOC_INVALIDATE and FPGAMEM_IOC_SYNC. */

#include "check.h"

#define BYTES (4 * BLOCK)

/* What a test has: a file, a buffer and its mapping. */
struct setup {
	int fd;
	struct fpgamem_alloc buffer;
	unsigned char *at;
};

static struct setup set_up(void)
{
	struct setup setup = { .fd = node(NODE) };

	setup.buffer = allocated(setup.fd, BYTES);
	setup.at = mapped(setup.fd, BYTES, setup.buffer.mmap_offset);
	return setup;
}

/* Both commands on a range, each of which touches so many lines, of its own kind alone. */
static void expect_lines(const struct setup *setup, struct fpgamem_range range, uint64_t lines)
{
	uint64_t flushed = FLUSHED, invalidated = INVALIDATED;

	EXPECT(ioctl(setup->fd, FPGAMEM_IOC_FLUSH, &range), 0);
	EXPECT(FLUSHED - flushed, lines);
	EXPECT(INVALIDATED - invalidated, 0);
	EXPECT(ioctl(setup->fd, FPGAMEM_IOC_INVALIDATE, &range), 0);
	EXPECT(FLUSHED - flushed, lines);
	EXPECT(INVALIDATED - invalidated, lines);
}

static void lines_are_counted_by_address(void)
{
	struct setup setup = set_up();
	uintptr_t at = (uintptr_t)setup.at;

	expect_lines(&setup, (struct fpgamem_range){ .addr = at, .len = BYTES }, BYTES / LINE);
	expect_lines(&setup, (struct fpgamem_range){ .addr = at, .len = 1 }, 1);
	expect_lines(&setup, (struct fpgamem_range){ .addr = at + LINE - 1, .len = 2 }, 2);
	expect_lines(&setup, (struct fpgamem_range){ .addr = at + BYTES - 1, .len = 1 }, 1);
}

static void lines_are_counted_by_handle(void)
{
	struct setup setup = set_up();
	uint32_t handle = setup.buffer.handle;

	EXPECT(unmap(setup.at, BYTES), 0);
	expect_lines(&setup, (struct fpgamem_range){ .handle = handle, .len = BYTES },
		     BYTES / LINE);
	expect_lines(&setup,
		     (struct fpgamem_range){ .handle = handle, .addr = BYTES - 1, .len = 1 }, 1);
}

static void what_was_written_survives(void)
{
	struct setup setup = set_up();
	struct fpgamem_range range = { .addr = (uintptr_t)setup.at, .len = BYTES };

	fill(setup.at, BYTES, 0x3c);
	EXPECT(ioctl(setup.fd, FPGAMEM_IOC_INVALIDATE, &range), 0);
	EXPECT(is_filled(setup.at, BYTES, 0x3c), true);
}

/* Bad ranges, and why; `at` and `handle` are of a buffer of BYTES. */
struct bad_range {
	struct fpgamem_range range;
	long errno;
};
#define NR_BAD_RANGES 17

static void bad_ranges(const struct setup *setup, struct bad_range *to)
{
	uintptr_t at = (uintptr_t)setup->at;
	uint32_t handle = setup->buffer.handle;
	const struct bad_range all[NR_BAD_RANGES] = {
		{ { .addr = at, .len = 0 }, -EINVAL },
		{ { .addr = at, .len = LINE, .reserved = 1 }, -EINVAL },
		{ { .handle = handle, .len = 0 }, -EINVAL },
		{ { .handle = handle, .len = LINE, .reserved = 1U << 31 }, -EINVAL },
		{ { .handle = handle + 1, .len = LINE }, -ENOENT },
		{ { .addr = (uintptr_t)setup, .len = 1 }, -EFAULT },
		{ { .addr = at, .len = BYTES + 1 }, -EFAULT },
		{ { .addr = at, .len = UINT64_MAX }, -EFAULT },
		/* The lower halves are good. */
		{ { .addr = UPPER | at, .len = LINE }, -EFAULT },
		{ { .addr = 0xffffffffULL << 32 | at, .len = LINE }, -EFAULT },
		{ { .addr = at, .len = UPPER | LINE }, -EFAULT },
		{ { .addr = at, .len = 1ULL << 63 | LINE }, -EFAULT },
		{ { .handle = handle, .addr = UPPER, .len = LINE }, -EFAULT },
		{ { .handle = handle, .len = UPPER | LINE }, -EFAULT },
		{ { .handle = handle, .addr = BYTES, .len = 1 }, -EFAULT },
		{ { .handle = handle, .addr = LINE, .len = BYTES }, -EFAULT },
		{ { .handle = handle, .addr = LINE, .len = UINT64_MAX }, -EFAULT },
	};

	for (int i = 0; i < NR_BAD_RANGES; i++)
		to[i] = all[i];
}

static void bad_ranges_touch_no_line(void)
{
	struct setup setup = set_up();
	struct bad_range cases[NR_BAD_RANGES];
	uint64_t flushed = FLUSHED, invalidated = INVALIDATED;

	bad_ranges(&setup, cases);
	for (int i = 0; i < NR_BAD_RANGES; i++) {
		EXPECT(ioctl(setup.fd, FPGAMEM_IOC_FLUSH, &cases[i].range), cases[i].errno);
		EXPECT(ioctl(setup.fd, FPGAMEM_IOC_INVALIDATE, &cases[i].range), cases[i].errno);
	}
	EXPECT(FLUSHED, flushed);
	EXPECT(INVALIDATED, invalidated);
}

static long sync_ranges(int fd, uint32_t op, const struct fpgamem_range *ranges, uint32_t count)
{
	struct fpgamem_sync vector = { .ranges = (uintptr_t)ranges, .count = count, .op = op };

	return ioctl(fd, FPGAMEM_IOC_SYNC, &vector);
}

static void a_vector_maintains_all_its_ranges(void)
{
	struct setup setup = set_up();
	const struct fpgamem_range ranges[] = {
		{ .addr = (uintptr_t)setup.at + 3 * LINE, .len = LINE },
		{ .handle = setup.buffer.handle, .len = BYTES },
		{ .addr = (uintptr_t)setup.at + 1, .len = LINE },
	};
	uint64_t flushed = FLUSHED, invalidated = INVALIDATED;

	EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_FLUSH, ranges, 3), 0);
	EXPECT(FLUSHED - flushed, 1 + BYTES / LINE + 2);
	EXPECT(INVALIDATED - invalidated, 0);
	EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_INVALIDATE, ranges, 3), 0);
	EXPECT(FLUSHED - flushed, 1 + BYTES / LINE + 2);
	EXPECT(INVALIDATED - invalidated, 1 + BYTES / LINE + 2);
}

/* One more than there may be. */
static struct fpgamem_range many[FPGAMEM_MAX_RANGES + 1];

static void a_vector_has_1_to_1024_ranges(void)
{
	struct setup setup = set_up();
	uint64_t flushed = FLUSHED;

	for (int i = 0; i <= FPGAMEM_MAX_RANGES; i++)
		many[i] = (struct fpgamem_range){ .addr = (uintptr_t)setup.at, .len = LINE };
	EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_FLUSH, many, FPGAMEM_MAX_RANGES), 0);
	EXPECT(FLUSHED - flushed, FPGAMEM_MAX_RANGES);
	EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_FLUSH, many, 0), -EINVAL);
	EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_FLUSH, many, FPGAMEM_MAX_RANGES + 1), -EINVAL);
	EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_FLUSH, many, UINT32_MAX), -EINVAL);
	EXPECT(FLUSHED - flushed, FPGAMEM_MAX_RANGES);
}

static void a_pointer_with_an_upper_half_is_a_fault(void)
{
	struct setup setup = set_up();
	const struct fpgamem_range range = { .addr = (uintptr_t)setup.at, .len = LINE };
	struct fpgamem_sync vector = { .count = 1, .op = FPGAMEM_SYNC_FLUSH };
	uint64_t flushed = FLUSHED;
	static const uint64_t halves[] = { UPPER, 1ULL << 47, 1ULL << 63, 0xffffffffULL << 32 };

	for (int i = 0; i < 4; i++) {
		vector.ranges = halves[i] | (uintptr_t)&range;
		EXPECT(ioctl(setup.fd, FPGAMEM_IOC_SYNC, &vector), -EFAULT);
	}
	EXPECT(FLUSHED, flushed);
	vector.ranges = (uintptr_t)&range;
	EXPECT(ioctl(setup.fd, FPGAMEM_IOC_SYNC, &vector), 0);
	EXPECT(FLUSHED - flushed, 1);
}

static void a_vector_that_cannot_be_read_is_a_fault(void)
{
	struct setup setup = set_up();
	unsigned char *pages = private_memory(2 * PAGE, PROT_READ | PROT_WRITE);
	struct fpgamem_range *last = (struct fpgamem_range *)(pages + PAGE) - 1;
	uint64_t flushed = FLUSHED;

	EXPECT(unmap(pages + PAGE, PAGE), 0);
	*last = (struct fpgamem_range){ .addr = (uintptr_t)setup.at, .len = LINE };
	EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_FLUSH, NULL, 1), -EFAULT);
	EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_FLUSH, last, 2), -EFAULT);
	EXPECT(FLUSHED, flushed);
	EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_FLUSH, last, 1), 0);
}

static void other_operations_and_reserved_bits_are_invalid(void)
{
	struct setup setup = set_up();
	const struct fpgamem_range range = { .addr = (uintptr_t)setup.at, .len = LINE };
	struct fpgamem_sync vector = { .ranges = (uintptr_t)&range, .count = 1 };
	static const uint32_t operations[] = { 0, 3, UINT32_MAX };
	static const uint64_t reserved[] = { 1, UPPER, 1ULL << 63 };

	for (int i = 0; i < 3; i++)
		EXPECT(sync_ranges(setup.fd, operations[i], &range, 1), -EINVAL);
	vector.op = FPGAMEM_SYNC_FLUSH;
	for (int i = 0; i < 3; i++) {
		vector.reserved = reserved[i];
		EXPECT(ioctl(setup.fd, FPGAMEM_IOC_SYNC, &vector), -EINVAL);
	}
}

static void one_bad_range_keeps_the_others_untouched(void)
{
	struct setup setup = set_up();
	struct bad_range cases[NR_BAD_RANGES];
	uint64_t flushed = FLUSHED, invalidated = INVALIDATED;

	bad_ranges(&setup, cases);
	for (int i = 0; i < NR_BAD_RANGES; i++) {
		const struct fpgamem_range good = { .addr = (uintptr_t)setup.at, .len = LINE };
		const struct fpgamem_range ranges[] = { good, cases[i].range, good };

		EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_FLUSH, ranges, 3), cases[i].errno);
		EXPECT(sync_ranges(setup.fd, FPGAMEM_SYNC_INVALIDATE, ranges, 3), cases[i].errno);
	}
	EXPECT(FLUSHED, flushed);
	EXPECT(INVALIDATED, invalidated);
}

const struct test sync_tests[] = {
	{ "lines_are_counted_by_address", lines_are_counted_by_address },
	{ "lines_are_counted_by_handle", lines_are_counted_by_handle },
	{ "what_was_written_survives", what_was_written_survives },
	{ "bad_ranges_touch_no_line", bad_ranges_touch_no_line },
	{ "a_vector_maintains_all_its_ranges", a_vector_maintains_all_its_ranges },
	{ "a_vector_has_1_to_1024_ranges", a_vector_has_1_to_1024_ranges },
	{ "a_pointer_with_an_upper_half_is_a_fault", a_pointer_with_an_upper_half_is_a_fault },
	{ "a_vector_that_cannot_be_read_is_a_fault", a_vector_that_cannot_be_read_is_a_fault },
	{ "other_operations_and_reserved_bits_are_invalid",
	  other_operations_and_reserved_bits_are_invalid },
	{ "one_bad_range_keeps_the_others_untouched", one_bad_range_keeps_the_others_untouched },
	{},
};
