// SPDX-License-Identifier: MIT OR Apache-2.0
/* mmap2, whose offsets are pages, munmap in parts, mremap and mprotect. */

#include "check.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

static void mapping_offset_0_allocates_zeroes(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK + 1, 0);

	EXPECT(stat("blocks_used"), 2);
	EXPECT(is_filled(at, BLOCK + PAGE, 0), true);
	fill(at, BLOCK + PAGE, 0xa5);
	EXPECT(is_filled(at, BLOCK + PAGE, 0xa5), true);
	EXPECT(unmap(at, BLOCK + 1), 0);
	EXPECT(stat("blocks_used"), 0);
	/* The same blocks, for somebody else. */
	EXPECT(is_filled(mapped(fd, 2 * BLOCK, 0), 2 * BLOCK, 0), true);
}

static void a_handle_is_mapped_twice(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, 4 * BLOCK);
	unsigned char *one = mapped(fd, 4 * BLOCK, buffer.mmap_offset);
	unsigned char *two = mapped(fd, 4 * BLOCK, buffer.mmap_offset);

	EXPECT(one != two, true);
	fill(one, 4 * BLOCK, 0x11);
	EXPECT(is_filled(two, 4 * BLOCK, 0x11), true);
	fill(two + BLOCK, BLOCK, 0x22);
	EXPECT(is_filled(one + BLOCK, BLOCK, 0x22), true);
	EXPECT(stat("blocks_used"), 4);
	EXPECT(stat("buffers"), 1);
	EXPECT(unmap(one, 4 * BLOCK), 0);
	EXPECT(is_filled(two, BLOCK, 0x11), true);
}

static void a_page_of_a_handle_is_mapped_alone(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, 2 * BLOCK);
	unsigned char *all = mapped(fd, 2 * BLOCK, buffer.mmap_offset);
	unsigned char *page = mapped(fd, PAGE, buffer.mmap_offset + 5 * PAGE);

	fill(page, PAGE, 0x33);
	EXPECT(is_filled(all + 5 * PAGE, PAGE, 0x33), true);
	EXPECT(is_filled(all + 4 * PAGE, PAGE, 0), true);
	EXPECT(place_of(fd, page).phys_addr, buffer.phys_addr + 5 * PAGE);
}

static void other_offsets_are_invalid(void)
{
	int fd = node(NODE), other = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, BLOCK);
	uint64_t offset = buffer.mmap_offset;
	const uint64_t offsets[] = {
		PAGE,
		buffer.phys_addr,
		/* The lower half, as of a kernel that cuts 64 bits. */
		offset & (UPPER - 1),
		FPGAMEM_MMAP_OFFSET_BASE - PAGE,
		offset + BLOCK,
		offset + UPPER,
		offset + region().bytes,
		(1ULL << 41) + offset,
		FPGAMEM_MMAP_STATUS_OFFSET + PAGE,
		/* The highest that there is. */
		(1ULL << 44) - PAGE,
	};

	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		/* 0 allocates. */
		if (offsets[i])
			EXPECT(refusal_of_map(fd, PAGE, READ_WRITE, MAP_SHARED, offsets[i]),
			       -EINVAL);
	/* Longer than the buffer, and of another open file. */
	EXPECT(refusal_of_map(fd, BLOCK + PAGE, READ_WRITE, MAP_SHARED, offset), -EINVAL);
	EXPECT(refusal_of_map(fd, BLOCK, READ_WRITE, MAP_SHARED, offset + PAGE), -EINVAL);
	EXPECT(refusal_of_map(other, BLOCK, READ_WRITE, MAP_SHARED, offset), -EINVAL);
	EXPECT(refusal_of_map(fd, BLOCK, READ_WRITE, MAP_SHARED, offset), 0);
}

static void lengths_are_from_1_to_the_region(void)
{
	int fd = node(NODE);
	uint64_t all = region().bytes;

	EXPECT(refusal_of_map(fd, 0, READ_WRITE, MAP_SHARED, 0), -EINVAL);
	EXPECT(refusal_of_map(fd, (size_t)all + PAGE, READ_WRITE, MAP_SHARED, 0), -EINVAL);
	/* The address space has no room for it. */
	EXPECT(refusal_of_map(fd, 0xfffff000, READ_WRITE, MAP_SHARED, 0), -ENOMEM);
	allocated(fd, 1);
	EXPECT(refusal_of_map(fd, (size_t)all, READ_WRITE, MAP_SHARED, 0), -ENOMEM);
	EXPECT(stat("blocks_used"), 1);
}

static void private_and_executable_mappings_are_invalid(void)
{
	int fd = node(NODE);
	uint64_t offset = allocated(fd, BLOCK).mmap_offset;
	const uint64_t offsets[] = { 0, offset };

	for (int i = 0; i < 2; i++) {
		EXPECT(refusal_of_map(fd, BLOCK, READ_WRITE, MAP_PRIVATE, offsets[i]), -EINVAL);
		EXPECT(refusal_of_map(fd, BLOCK, PROT_READ | PROT_EXEC, MAP_SHARED, offsets[i]),
		       -EINVAL);
	}
	EXPECT(stat("blocks_used"), 1);
}

static void protections_go_as_far_as_the_files(void)
{
	long reader = open_file(NODE, O_RDONLY);
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, 0);

	EXPECT(reader >= 0, true);
	EXPECT(refusal_of_map((int)reader, BLOCK, READ_WRITE, MAP_SHARED, 0), -EACCES);
	EXPECT(refusal_of_map((int)reader, BLOCK, PROT_READ, MAP_SHARED, 0), 0);
	EXPECT(system_call(SYS_MPROTECT, (long)at, BLOCK, PROT_READ | PROT_EXEC, 0, 0, 0),
	       -EACCES);
	EXPECT(system_call(SYS_MPROTECT, (long)at, BLOCK, PROT_READ, 0, 0, 0), 0);
	EXPECT(is_filled(at, BLOCK, 0), true);
}

/* A buffer of eight blocks that a mapping alone keeps. */
static unsigned char *eight_blocks(int fd)
{
	unsigned char *at = mapped(fd, 8 * BLOCK, 0);

	for (unsigned i = 0; i < 8; i++)
		fill(at + i * BLOCK, BLOCK, (unsigned char)(i + 1));
	return at;
}

static void what_is_left_of_a_mapping_keeps_the_whole_buffer(void)
{
	int fd = node(NODE);
	unsigned char *at = eight_blocks(fd);
	uint64_t phys_addr = place_of(fd, at).phys_addr;
	struct fpgamem_user_to_phys place;

	/* The head, the tail, the middle. */
	EXPECT(unmap(at, BLOCK), 0);
	EXPECT(stat("blocks_used"), 8);
	EXPECT(unmap(at + 7 * BLOCK, BLOCK), 0);
	EXPECT(stat("blocks_used"), 8);
	EXPECT(unmap(at + 3 * BLOCK, 2 * BLOCK), 0);
	EXPECT(stat("blocks_used"), 8);

	place = place_of(fd, at + BLOCK);
	EXPECT(place.phys_addr, phys_addr + BLOCK);
	EXPECT(place.contiguous_bytes, 2 * BLOCK);
	place = place_of(fd, at + 5 * BLOCK + 12);
	EXPECT(place.phys_addr, phys_addr + 5 * BLOCK + 12);
	EXPECT(place.contiguous_bytes, 2 * BLOCK - 12);
	for (unsigned i = 1; i < 7; i++)
		if (i != 3 && i != 4)
			EXPECT(is_filled(at + i * BLOCK, BLOCK, (unsigned char)(i + 1)), true);

	EXPECT(unmap(at + BLOCK, 2 * BLOCK), 0);
	EXPECT(unmap(at + 5 * BLOCK, BLOCK), 0);
	EXPECT(stat("blocks_used"), 8);
	EXPECT(unmap(at + 6 * BLOCK, BLOCK), 0);
	EXPECT(stat("blocks_used"), 0);
}

static void holes_and_other_buffers_are_not_translated(void)
{
	int fd = node(NODE);
	unsigned char *at = eight_blocks(fd);
	uint64_t phys_addr = place_of(fd, at).phys_addr;
	struct fpgamem_user_to_phys place = { .user_addr = (uintptr_t)at + 3 * BLOCK };
	struct fpgamem_phys_to_user locate = { .phys_addr = phys_addr + 3 * BLOCK };
	struct fpgamem_range across = { .addr = (uintptr_t)at + 3 * BLOCK - LINE, .len = 2 * LINE };

	EXPECT(unmap(at + 3 * BLOCK, BLOCK), 0);
	EXPECT(ioctl(fd, FPGAMEM_IOC_USER_TO_PHYS, &place), -EFAULT);
	EXPECT(ioctl(fd, FPGAMEM_IOC_PHYS_TO_USER, &locate), -EFAULT);
	EXPECT(ioctl(fd, FPGAMEM_IOC_FLUSH, &across), -EFAULT);
	EXPECT(ioctl(fd, FPGAMEM_IOC_INVALIDATE, &across), -EFAULT);
}

static void a_mapping_can_be_moved_but_not_grown(void)
{
	int fd = node(NODE);
	unsigned char *at = eight_blocks(fd);
	uint64_t phys_addr = place_of(fd, at).phys_addr;
	unsigned char *there = private_memory(8 * BLOCK, PROT_READ);
	struct fpgamem_user_to_phys place = { .user_addr = (uintptr_t)at };
	struct fpgamem_phys_to_user locate = { .phys_addr = phys_addr + 4 };

	EXPECT(system_call(SYS_MREMAP, (long)at, 8 * BLOCK, 9 * BLOCK, MREMAP_MAYMOVE, 0, 0),
	       -EFAULT);
	EXPECT(system_call(SYS_MREMAP, (long)at, 8 * BLOCK, 8 * BLOCK,
			   MREMAP_MAYMOVE | MREMAP_FIXED, (long)there, 0),
	       (long)there);
	EXPECT(is_filled(there, BLOCK, 1), true);
	EXPECT(place_of(fd, there).phys_addr, phys_addr);
	EXPECT(ioctl(fd, FPGAMEM_IOC_USER_TO_PHYS, &place), -EFAULT);
	EXPECT(ioctl(fd, FPGAMEM_IOC_PHYS_TO_USER, &locate), 0);
	EXPECT(locate.user_addr, (uintptr_t)there + 4);
	EXPECT(locate.contiguous_bytes, 8 * BLOCK - 4);
	EXPECT(stat("blocks_used"), 8);
}

const struct test mapping_tests[] = {
	{ "mapping_offset_0_allocates_zeroes", mapping_offset_0_allocates_zeroes },
	{ "a_handle_is_mapped_twice", a_handle_is_mapped_twice },
	{ "a_page_of_a_handle_is_mapped_alone", a_page_of_a_handle_is_mapped_alone },
	{ "other_offsets_are_invalid", other_offsets_are_invalid },
	{ "lengths_are_from_1_to_the_region", lengths_are_from_1_to_the_region },
	{ "private_and_executable_mappings_are_invalid",
	  private_and_executable_mappings_are_invalid },
	{ "protections_go_as_far_as_the_files", protections_go_as_far_as_the_files },
	{ "what_is_left_of_a_mapping_keeps_the_whole_buffer",
	  what_is_left_of_a_mapping_keeps_the_whole_buffer },
	{ "holes_and_other_buffers_are_not_translated",
	  holes_and_other_buffers_are_not_translated },
	{ "a_mapping_can_be_moved_but_not_grown", a_mapping_can_be_moved_but_not_grown },
	{},
};
