// SPDX-License-Identifier: MIT OR Apache-2.0
/* The node of Paddle-Lite's clients, by numbers and structures of 64-bit ones. */

#include "check.h"

#define PADDLE_NODE "/dev/fpgadrv0"
#define READ_WRITE (PROT_READ | PROT_WRITE)

#define VERSION 0x40104701U
#define INVALIDATE 0x4010470cU
#define FLUSH 0x4010470dU
#define DEVICE_INFO 0x40284764U
/* Of clients whose magic number overflows its field. */
#define OLD_INVALIDATE 0x5057410cU
#define OLD_FLUSH 0x5057410dU

#define REGISTERS 0x80000000ULL
/* A register of the idle DMA channel behind the node, and what it holds after reset. */
#define DATA_ATTRIBUTES 0x120U
#define DATA_ATTRIBUTES_RESET 0x0483d20fU

/* A user address and a length; the old numbers promise more. */
struct argument {
	uint64_t address;
	uint64_t size;
	unsigned char more[96];
};

static long call(int fd, uint32_t command, uint64_t address, uint64_t size)
{
	struct argument argument = { .address = address, .size = size };

	return ioctl(fd, command, &argument);
}

static const uint32_t maintenance[] = { FLUSH, OLD_FLUSH, INVALIDATE, OLD_INVALIDATE };

/* Each command maintains so many lines, of its own kind alone. */
static void expect_lines(int fd, uint64_t address, uint64_t size, uint64_t lines)
{
	for (int i = 0; i < 4; i++) {
		uint64_t flushed = FLUSHED, invalidated = INVALIDATED;

		EXPECT(call(fd, maintenance[i], address, size), 0);
		EXPECT(FLUSHED - flushed, i < 2 ? lines : 0);
		EXPECT(INVALIDATED - invalidated, i < 2 ? 0 : lines);
	}
}

static void paddle_mapping_offset_0_allocates(void)
{
	int fd = node(PADDLE_NODE);
	unsigned char *at = mapped(fd, BLOCK + 1, 0);

	EXPECT(stat("blocks_used"), 2);
	EXPECT(is_filled(at, BLOCK + PAGE, 0), true);
	EXPECT(place_of(node(NODE), at).contiguous_bytes, BLOCK + PAGE);
	EXPECT(unmap(at, BLOCK + 1), 0);
	EXPECT(stat("blocks_used"), 0);
}

static void paddle_ranges_may_run_past_their_buffers(void)
{
	int fd = node(PADDLE_NODE);
	unsigned char *at = mapped(fd, BLOCK, 0);

	expect_lines(fd, (uintptr_t)at, BLOCK, BLOCK / LINE);
	expect_lines(fd, (uintptr_t)at + LINE - 1, 2, 2);
	/* Nothing of the pool follows the first page. */
	EXPECT(unmap(at + PAGE, BLOCK - PAGE), 0);
	expect_lines(fd, (uintptr_t)at + PAGE - 1, 44, 1);
	EXPECT(call(fd, FLUSH, (uintptr_t)at, 0), 0);
}

static void paddle_ranges_that_begin_nowhere_or_never_end_touch_nothing(void)
{
	int fd = node(PADDLE_NODE);
	uintptr_t at = (uintptr_t)mapped(fd, BLOCK, 0);
	const struct {
		uint64_t address, size;
	} cases[] = {
		{ 0, LINE },
		{ (uintptr_t)&fd, LINE },
		{ at, region().bytes + 1 },
		{ at, UPPER | LINE },
		{ at, UINT64_MAX },
		{ UPPER | at, LINE },
		{ 1ULL << 63 | at, LINE },
		{ UINT64_MAX, 1 },
	};
	uint64_t flushed = FLUSHED, invalidated = INVALIDATED;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int j = 0; j < 4; j++)
			EXPECT(call(fd, maintenance[j], cases[i].address, cases[i].size),
			       -EFAULT);
	for (int j = 0; j < 4; j++)
		EXPECT(ioctl(fd, maintenance[j], NULL), -EFAULT);
	EXPECT(FLUSHED, flushed);
	EXPECT(INVALIDATED, invalidated);
}

static void paddle_device_info_is_40_bytes(void)
{
	int fd = node(PADDLE_NODE);
	uint32_t info[11];
	static const uint32_t wanted[11] = { 2048, 1, 900, 4, 4096, 0, 0, 0, 0, 0, UINT32_MAX };

	fill(info, sizeof(info), 0xff);
	EXPECT(ioctl(fd, DEVICE_INFO, info), 0);
	for (int i = 0; i < 11; i++)
		EXPECT(info[i], wanted[i]);
	EXPECT(ioctl(fd, DEVICE_INFO, NULL), -EFAULT);
	EXPECT(ioctl(fd, DEVICE_INFO, private_memory(PAGE, PROT_READ)), -EFAULT);
}

static void paddle_version_goes_where_a_32_bit_pointer_says(void)
{
	int fd = node(PADDLE_NODE);
	char text[4] = "xxx";

	EXPECT(call(fd, VERSION, (uintptr_t)text, 0), 0);
	EXPECT(same_text(text, "xxx"), true);
	EXPECT(call(fd, VERSION, (uintptr_t)text, 1), 0);
	EXPECT(text[0], 0);
	EXPECT(text[1], 'x');
	EXPECT(call(fd, VERSION, (uintptr_t)text, UINT64_MAX), 0);
	EXPECT(same_text(text, "1"), true);
	EXPECT(text[2], 'x');
	EXPECT(call(fd, VERSION, UPPER | (uintptr_t)text, sizeof(text)), -EFAULT);
	EXPECT(call(fd, VERSION, UINT64_MAX, sizeof(text)), -EFAULT);
	EXPECT(call(fd, VERSION, 0, sizeof(text)), -EFAULT);
	EXPECT(ioctl(fd, VERSION, NULL), -EFAULT);
}

static void paddle_registers_are_at_2_to_the_31(void)
{
	int fd = node(PADDLE_NODE);
	unsigned char *at = mapped(fd, PAGE, REGISTERS);

	EXPECT(*(volatile uint32_t *)(at + DATA_ATTRIBUTES), DATA_ATTRIBUTES_RESET);
	EXPECT(stat("blocks_used"), 0);
	EXPECT(refusal_of_map(fd, 2 * PAGE, READ_WRITE, MAP_SHARED, REGISTERS), -EINVAL);
	EXPECT(refusal_of_map(fd, PAGE, READ_WRITE, MAP_PRIVATE, REGISTERS), -EINVAL);
}

static void paddle_mappings_fail_as_clients_expect(void)
{
	int fd = node(PADDLE_NODE);
	static const uint64_t offsets[] = {
		PAGE,
		REGISTERS + PAGE,
		UPPER | REGISTERS,
		FPGAMEM_MMAP_OFFSET_BASE,
		FPGAMEM_MMAP_STATUS_OFFSET,
		(1ULL << 44) - PAGE,
	};

	for (int i = 0; i < 6; i++)
		EXPECT(refusal_of_map(fd, PAGE, READ_WRITE, MAP_SHARED, offsets[i]), -ENXIO);
	EXPECT(refusal_of_map(fd, PAGE, READ_WRITE, MAP_PRIVATE, 0), -EINVAL);
	EXPECT(refusal_of_map(fd, (size_t)region().bytes + PAGE, READ_WRITE, MAP_SHARED, 0),
	       -ENOMEM);
}

static void paddle_numbers_of_32_bit_structures_are_unknown(void)
{
	/* Two pointers or lengths of four bytes each; calls of the accelerator; native ones. */
	static const uint32_t unknown[] = {
		0x40084701,	  0x4008470c,		0x4008470d,
		0x40a04715,	  0x40604718,		FPGAMEM_IOC_INFO,
		FPGAMEM_IOC_ALLOC, FPGAMEM_IOC_QUIET,	0x4010460c,
	};
	int fd = node(PADDLE_NODE);
	struct argument argument = {};

	for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		EXPECT(ioctl(fd, unknown[i], &argument), -ENOTTY);
}

const struct test family_a_tests[] = {
	{ "paddle_mapping_offset_0_allocates", paddle_mapping_offset_0_allocates },
	{ "paddle_ranges_may_run_past_their_buffers", paddle_ranges_may_run_past_their_buffers },
	{ "paddle_ranges_that_begin_nowhere_or_never_end_touch_nothing",
	  paddle_ranges_that_begin_nowhere_or_never_end_touch_nothing },
	{ "paddle_device_info_is_40_bytes", paddle_device_info_is_40_bytes },
	{ "paddle_version_goes_where_a_32_bit_pointer_says",
	  paddle_version_goes_where_a_32_bit_pointer_says },
	{ "paddle_registers_are_at_2_to_the_31", paddle_registers_are_at_2_to_the_31 },
	{ "paddle_mappings_fail_as_clients_expect", paddle_mappings_fail_as_clients_expect },
	{ "paddle_numbers_of_32_bit_structures_are_unknown",
	  paddle_numbers_of_32_bit_structures_are_unknown },
	{},
};
