// SPDX-License-Identifier: MIT OR Apache-2.0
/* FPGAMEM_IOC_INFO, and what all commands have in common. */

#include "check.h"

static void the_unused_pool_is_described(void)
{
	struct fpgamem_info info;
	struct extent all = region();

	for (size_t i = 0; i < sizeof(info); i++)
		((unsigned char *)&info)[i] = 0xff;
	EXPECT(ioctl(node(NODE), FPGAMEM_IOC_INFO, &info), 0);
	EXPECT(info.abi, 1);
	EXPECT(info.flags, 0);
	EXPECT(info.features, 0xf);
	EXPECT(info.phys_addr, all.start);
	EXPECT(info.device_addr, all.start);
	EXPECT(info.region_bytes, all.bytes);
	EXPECT(info.block_bytes, BLOCK);
	EXPECT(info.free_bytes, all.bytes);
	EXPECT(info.nr_buffers, 0);
	EXPECT(info.cache_line_bytes, LINE);
	/* The region begins at a multiple of the largest alignment. */
	for (int i = 0; i < FPGAMEM_NR_ALIGNMENTS; i++)
		EXPECT(info.largest_free_bytes[i], all.bytes);
	EXPECT(info.quarantined_bytes, 0);
	EXPECT(info.quarantine_ms, QUARANTINE_MS);
	for (int i = 0; i < 5; i++)
		EXPECT(info.reserved[i], 0);
}

static void a_buffer_is_missing_from_the_free_bytes(void)
{
	int fd = node(NODE);
	struct fpgamem_info info;

	allocated(fd, BLOCK + 1);
	EXPECT(ioctl(fd, FPGAMEM_IOC_INFO, &info), 0);
	EXPECT(info.nr_buffers, 1);
	EXPECT(info.free_bytes, region().bytes - 2 * BLOCK);
	EXPECT(info.quarantined_bytes, 0);
}

/* A command with an argument at `address`. */
static void expect_a_fault(uintptr_t address)
{
	int fd = node(NODE);
	uint64_t used = stat("blocks_used");

	for (int i = 0; i < NR_COMMANDS; i++) {
		long result = ioctl(fd, commands[i].number, (void *)address);

		if (result != -EFAULT)
			print(commands[i].name);
		EXPECT(result, -EFAULT);
	}
	EXPECT(stat("blocks_used"), used);
}

static void arguments_at_null_are_faults(void)
{
	expect_a_fault(0);
}

static void arguments_where_nothing_is_mapped_are_faults(void)
{
	unsigned char *page = private_memory(PAGE, PROT_READ | PROT_WRITE);

	EXPECT(unmap(page, PAGE), 0);
	expect_a_fault((uintptr_t)page);
}

/* The kernel's own addresses are above 4 GiB, and so is what follows the last byte here. */
static void arguments_at_the_end_of_the_address_space_are_faults(void)
{
	expect_a_fault(0xfffffff8);
	expect_a_fault(0xffffffff);
}

static void arguments_that_end_in_a_hole_are_faults(void)
{
	unsigned char *pages = private_memory(2 * PAGE, PROT_READ | PROT_WRITE);

	EXPECT(unmap(pages + PAGE, PAGE), 0);
	expect_a_fault((uintptr_t)(pages + PAGE - 4));
}

/* What is not written back may not have an effect, such as a handle that nobody knows. */
static void answers_to_read_only_memory_are_faults(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, 1);
	unsigned char *at = mapped(fd, BLOCK, buffer.mmap_offset);
	unsigned char *pages = private_memory(PAGE, PROT_READ | PROT_WRITE);
	uint64_t used = stat("blocks_used");

	for (int i = 0; i < NR_COMMANDS; i++) {
		if (!commands[i].answers)
			continue;
		EXPECT(system_call(SYS_MPROTECT, (long)pages, PAGE, PROT_READ | PROT_WRITE, 0, 0,
				   0),
		       0);
		fill(pages, PAGE, 0);
		switch (commands[i].number) {
		case FPGAMEM_IOC_ALLOC:
			*(uint64_t *)pages = BLOCK;
			break;
		case FPGAMEM_IOC_QUERY:
			*(uint32_t *)pages = buffer.handle;
			break;
		case FPGAMEM_IOC_USER_TO_PHYS:
			*(uint64_t *)pages = (uintptr_t)at;
			break;
		case FPGAMEM_IOC_PHYS_TO_USER:
			*(uint64_t *)pages = buffer.phys_addr;
			break;
		}
		/* The argument is good as far as it is read. */
		EXPECT(system_call(SYS_MPROTECT, (long)pages, PAGE, PROT_READ, 0, 0, 0), 0);
		EXPECT(ioctl(fd, commands[i].number, pages), -EFAULT);
		EXPECT(system_call(SYS_MPROTECT, (long)pages, PAGE, PROT_READ | PROT_WRITE, 0, 0,
				   0),
		       0);
		EXPECT(stat("blocks_used"), used);
	}
}

static void other_numbers_are_no_commands(void)
{
	int fd = node(NODE);
	unsigned char *page = private_memory(PAGE, PROT_READ | PROT_WRITE);

	for (uint32_t number = 0; number < 256; number++) {
		uint32_t known = number < NR_COMMANDS ? commands[number].number : 0;

		/* Every size that a structure with pointers might have in a program of 32 bits. */
		for (uint32_t bytes = 0; bytes < 256; bytes += 4)
			for (uint32_t direction = 0; direction < 4; direction++) {
				uint32_t command = direction << 30 | bytes << 16 |
						   FPGAMEM_IOC_TYPE << 8 | number;

				if (command != known && command != FPGAMEM_IOC_QUIET)
					EXPECT(ioctl(fd, command, page), -ENOTTY);
			}
	}
}

const struct test info_tests[] = {
	{ "the_unused_pool_is_described", the_unused_pool_is_described },
	{ "a_buffer_is_missing_from_the_free_bytes", a_buffer_is_missing_from_the_free_bytes },
	{ "arguments_at_null_are_faults", arguments_at_null_are_faults },
	{ "arguments_where_nothing_is_mapped_are_faults",
	  arguments_where_nothing_is_mapped_are_faults },
	{ "arguments_at_the_end_of_the_address_space_are_faults",
	  arguments_at_the_end_of_the_address_space_are_faults },
	{ "arguments_that_end_in_a_hole_are_faults", arguments_that_end_in_a_hole_are_faults },
	{ "answers_to_read_only_memory_are_faults", answers_to_read_only_memory_are_faults },
	{ "other_numbers_are_no_commands", other_numbers_are_no_commands },
	{},
};
