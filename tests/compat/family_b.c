// SPDX-License-Identifier: MIT OR Apache-2.0
/* What clients of paddle-mobile ask of the native node: distances of physical addresses. */

#include "check.h"

/* Where they map to allocate, and what they take for the start of the region. */
#define BASE 0x20000000ULL

#define INVALIDATE 0x4010460cU
#define FLUSH 0x4010460dU
#define VM_TO_PHYS 0xc010460fU

/* An address or a distance, and a length or an answer. */
struct argument {
	uint64_t first, second;
};

static long call(int fd, uint32_t command, uint64_t first, uint64_t second)
{
	struct argument argument = { first, second };

	return ioctl(fd, command, &argument);
}

static void mobile_buffers_are_known_by_their_distance(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, BASE);
	struct argument where = { (uintptr_t)at + 96, 0 };
	uint64_t flushed = FLUSHED, invalidated = INVALIDATED, distance;

	EXPECT(stat("blocks_used"), 1);
	EXPECT(ioctl(fd, VM_TO_PHYS, &where), 0);
	EXPECT(where.first, (uintptr_t)at + 96);
	EXPECT(where.second, place_of(fd, at + 96).phys_addr);
	distance = where.second - BASE;
	/* It begins in the middle of a line. */
	EXPECT(call(fd, FLUSH, distance, LINE), 0);
	EXPECT(FLUSHED - flushed, 2);
	EXPECT(INVALIDATED - invalidated, 0);
	EXPECT(call(fd, INVALIDATE, distance, LINE), 0);
	EXPECT(FLUSHED - flushed, 2);
	EXPECT(INVALIDATED - invalidated, 2);
}

static void mobile_distances_of_nothing_touch_no_line(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, BASE);
	uint64_t distance = place_of(fd, at).phys_addr - BASE;
	uint64_t unmapped = allocated(fd, BLOCK).phys_addr - BASE;
	const struct argument cases[] = {
		{ UPPER | distance, LINE },
		{ 1ULL << 63 | distance, LINE },
		{ unmapped, LINE },
		/* What a client computes from a failed translation. */
		{ 0 - BASE, LINE },
		{ distance, UPPER | LINE },
		{ distance, region().bytes + 1 },
		{ distance, UINT64_MAX },
	};
	uint64_t flushed = FLUSHED, invalidated = INVALIDATED;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		EXPECT(call(fd, FLUSH, cases[i].first, cases[i].second), -EFAULT);
		EXPECT(call(fd, INVALIDATE, cases[i].first, cases[i].second), -EFAULT);
	}
	EXPECT(ioctl(fd, FLUSH, NULL), -EFAULT);
	EXPECT(ioctl(fd, INVALIDATE, NULL), -EFAULT);
	EXPECT(FLUSHED, flushed);
	EXPECT(INVALIDATED, invalidated);
}

static void mobile_addresses_outside_of_buffers_are_faults(void)
{
	int fd = node(NODE);
	uintptr_t at = (uintptr_t)mapped(fd, BLOCK, BASE);
	const uint64_t addresses[] = { 0, (uintptr_t)&fd, UPPER | at, 1ULL << 63 | at };

	for (int i = 0; i < 4; i++)
		EXPECT(call(fd, VM_TO_PHYS, addresses[i], 0), -EFAULT);
	EXPECT(ioctl(fd, VM_TO_PHYS, NULL), -EFAULT);
	EXPECT(call(fd, VM_TO_PHYS, at, 0), 0);
}

static void mobile_numbers_of_32_bit_structures_are_unknown(void)
{
	static const uint32_t unknown[] = { 0x4008460c, 0x4008460d, 0xc008460f, 0x4010470d };
	int fd = node(NODE);

	for (int i = 0; i < 4; i++)
		EXPECT(call(fd, unknown[i], 0, 0), -ENOTTY);
}

static void mobile_clients_need_the_pools_property(void)
{
	int fd = node(OTHER_NODE);

	EXPECT(call(fd, FLUSH, 0, LINE), -ENOTTY);
	EXPECT(call(fd, INVALIDATE, 0, LINE), -ENOTTY);
	EXPECT(call(fd, VM_TO_PHYS, 0, 0), -ENOTTY);
	EXPECT(refusal_of_map(fd, PAGE, PROT_READ, MAP_SHARED, BASE), -EINVAL);
}

const struct test family_b_tests[] = {
	{ "mobile_buffers_are_known_by_their_distance",
	  mobile_buffers_are_known_by_their_distance },
	{ "mobile_distances_of_nothing_touch_no_line", mobile_distances_of_nothing_touch_no_line },
	{ "mobile_addresses_outside_of_buffers_are_faults",
	  mobile_addresses_outside_of_buffers_are_faults },
	{ "mobile_numbers_of_32_bit_structures_are_unknown",
	  mobile_numbers_of_32_bit_structures_are_unknown },
	{ "mobile_clients_need_the_pools_property", mobile_clients_need_the_pools_property },
	{},
};
