// SPDX-License-Identifier: MIT OR Apache-2.0
/* fork: who shares a buffer, and how long it lives. */

#include "check.h"

static void a_child_shares_what_is_mapped(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, 2 * BLOCK);
	unsigned char *at = mapped(fd, 2 * BLOCK, buffer.mmap_offset);
	int child;

	fill(at, 2 * BLOCK, 1);
	child = start_child();
	if (!child) {
		struct fpgamem_range range = { .addr = (uintptr_t)at, .len = 2 * BLOCK };
		struct fpgamem_phys_to_user locate = { .phys_addr = buffer.phys_addr };

		EXPECT(is_filled(at, 2 * BLOCK, 1), true);
		fill(at, BLOCK, 2);
		EXPECT(ioctl(fd, FPGAMEM_IOC_FLUSH, &range), 0);
		EXPECT(place_of(fd, at).phys_addr, buffer.phys_addr);
		EXPECT(ioctl(fd, FPGAMEM_IOC_PHYS_TO_USER, &locate), 0);
		EXPECT(locate.user_addr, (uintptr_t)at);
		/* A mapping of its own is its own alone. */
		mapped(fd, BLOCK, buffer.mmap_offset);
		EXPECT(unmap(at, 2 * BLOCK), 0);
		exit_now(0);
	}
	EXPECT(end_of(child), 0);
	EXPECT(is_filled(at, BLOCK, 2), true);
	EXPECT(is_filled(at + BLOCK, BLOCK, 1), true);
	EXPECT(stat("blocks_used"), 2);
}

static void a_child_can_free_the_handle(void)
{
	int fd = node(NODE);
	struct fpgamem_free drop = { .handle = allocated(fd, BLOCK).handle };
	int child = start_child();

	if (!child) {
		EXPECT(ioctl(fd, FPGAMEM_IOC_FREE, &drop), 0);
		exit_now(0);
	}
	EXPECT(end_of(child), 0);
	EXPECT(ioctl(fd, FPGAMEM_IOC_FREE, &drop), -ENOENT);
	EXPECT(stat("blocks_used"), 0);
}

static void a_buffer_outlives_the_parent_that_mapped_it(void)
{
	struct pipe parent_gone = new_pipe(), done = new_pipe();
	int parent = start_child();

	if (!parent) {
		int fd = node(NODE);
		unsigned char *at = mapped(fd, 2 * BLOCK, 0);
		uint64_t phys_addr = place_of(fd, at).phys_addr;

		fill(at, 2 * BLOCK, 7);
		if (start_child())
			exit_now(0);
		await(parent_gone.from);
		EXPECT(is_filled(at, 2 * BLOCK, 7), true);
		EXPECT(place_of(fd, at).phys_addr, phys_addr);
		/* A piece of it is enough. */
		EXPECT(unmap(at, BLOCK), 0);
		tell(done.to);
		await(parent_gone.from);
		EXPECT(unmap(at + BLOCK, BLOCK), 0);
		tell(done.to);
		exit_now(0);
	}
	EXPECT(end_of(parent), 0);
	EXPECT(stat("blocks_used"), 2);
	tell(parent_gone.to);
	await(done.from);
	EXPECT(stat("blocks_used"), 2);
	tell(parent_gone.to);
	await(done.from);
	EXPECT(stat("blocks_used"), 0);
}

static void a_buffer_outlives_the_child_that_shared_it(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, 0);
	int child = start_child();

	if (!child)
		exit_now(0);
	EXPECT(end_of(child), 0);
	EXPECT(stat("blocks_used"), 1);
	EXPECT(is_filled(at, BLOCK, 0), true);
	EXPECT(unmap(at, BLOCK), 0);
	EXPECT(stat("blocks_used"), 0);
}

static void a_mapping_made_after_fork_is_none_of_the_other(void)
{
	int fd = node(NODE);
	struct pipe addresses = new_pipe(), done = new_pipe();
	struct fpgamem_user_to_phys place, own;
	struct fpgamem_phys_to_user locate = {};
	int child = start_child();

	if (!child) {
		place = place_of(fd, mapped(fd, BLOCK, 0));
		EXPECT(write_file(addresses.to, &place, sizeof(place)), sizeof(place));
		await(done.from);
		exit_now(0);
	}
	EXPECT(read_file(addresses.from, &place, sizeof(place)), sizeof(place));
	own.user_addr = place.user_addr;
	own.reserved = 0;
	EXPECT(ioctl(fd, FPGAMEM_IOC_USER_TO_PHYS, &own), -EFAULT);
	locate.phys_addr = place.phys_addr;
	EXPECT(ioctl(fd, FPGAMEM_IOC_PHYS_TO_USER, &locate), -EFAULT);
	tell(done.to);
	EXPECT(end_of(child), 0);
}

const struct test process_tests[] = {
	{ "a_child_shares_what_is_mapped", a_child_shares_what_is_mapped },
	{ "a_child_can_free_the_handle", a_child_can_free_the_handle },
	{ "a_buffer_outlives_the_parent_that_mapped_it",
	  a_buffer_outlives_the_parent_that_mapped_it },
	{ "a_buffer_outlives_the_child_that_shared_it",
	  a_buffer_outlives_the_child_that_shared_it },
	{ "a_mapping_made_after_fork_is_none_of_the_other",
	  a_mapping_made_after_fork_is_none_of_the_other },
	{},
};
