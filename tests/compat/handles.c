// SPDX-License-Identifier: MIT OR Apache-2.0
/* FPGAMEM_IOC_QUERY and FPGAMEM_IOC_FREE. */

#include "check.h"

static long query(int fd, uint32_t handle)
{
	struct fpgamem_buffer request = { .handle = handle };

	return ioctl(fd, FPGAMEM_IOC_QUERY, &request);
}

static long free_handle(int fd, uint32_t handle)
{
	struct fpgamem_free request = { .handle = handle };

	return ioctl(fd, FPGAMEM_IOC_FREE, &request);
}

static void a_handle_is_described_as_it_was_allocated(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, 3 * BLOCK);
	struct fpgamem_buffer answer = { .handle = buffer.handle };

	EXPECT(ioctl(fd, FPGAMEM_IOC_QUERY, &answer), 0);
	EXPECT(answer.handle, buffer.handle);
	EXPECT(answer.flags, 0);
	EXPECT(answer.alloc_bytes, 3 * BLOCK);
	EXPECT(answer.phys_addr, buffer.phys_addr);
	EXPECT(answer.device_addr, buffer.device_addr);
	EXPECT(answer.mmap_offset, buffer.mmap_offset);
	EXPECT(answer.status_slot, FPGAMEM_NO_SLOT);
}

static void unknown_handles_are_none(void)
{
	int fd = node(NODE), other = node(NODE);
	uint32_t handle = allocated(fd, 1).handle;
	const uint32_t unknown[] = { 0, handle + 1, UINT32_MAX };

	for (int i = 0; i < 3; i++) {
		EXPECT(query(fd, unknown[i]), -ENOENT);
		EXPECT(free_handle(fd, unknown[i]), -ENOENT);
	}
	EXPECT(query(other, handle), -ENOENT);
	EXPECT(free_handle(other, handle), -ENOENT);
	EXPECT(query(fd, handle), 0);
}

static void a_freed_handle_is_none(void)
{
	int fd = node(NODE);
	uint32_t handle = allocated(fd, 1).handle;

	EXPECT(free_handle(fd, handle), 0);
	EXPECT(query(fd, handle), -ENOENT);
	EXPECT(free_handle(fd, handle), -ENOENT);
	EXPECT(stat("blocks_used"), 0);
}

static void a_mapping_outlives_its_handle(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, 2 * BLOCK);
	unsigned char *at = mapped(fd, 2 * BLOCK, buffer.mmap_offset);

	EXPECT(free_handle(fd, buffer.handle), 0);
	EXPECT(stat("blocks_used"), 2);
	fill(at, 2 * BLOCK, 0x77);
	EXPECT(is_filled(at, 2 * BLOCK, 0x77), true);
	EXPECT(place_of(fd, at).phys_addr, buffer.phys_addr);
	/* Without a handle there is nothing to map at the offset. */
	EXPECT(refusal_of_map(fd, BLOCK, PROT_READ, MAP_SHARED, buffer.mmap_offset), -EINVAL);
	EXPECT(unmap(at, 2 * BLOCK), 0);
	EXPECT(stat("blocks_used"), 0);
}

static void reserved_fields_are_zero(void)
{
	int fd = node(NODE);
	uint32_t handle = allocated(fd, 1).handle;
	struct fpgamem_free request = { .handle = handle, .reserved = 1 };

	EXPECT(ioctl(fd, FPGAMEM_IOC_FREE, &request), -EINVAL);
	for (int i = 0; i < 3; i++) {
		struct fpgamem_buffer answer = { .handle = handle };

		answer.reserved[i] = 1;
		EXPECT(ioctl(fd, FPGAMEM_IOC_QUERY, &answer), -EINVAL);
	}
	EXPECT(query(fd, handle), 0);
}

const struct test handle_tests[] = {
	{ "a_handle_is_described_as_it_was_allocated", a_handle_is_described_as_it_was_allocated },
	{ "unknown_handles_are_none", unknown_handles_are_none },
	{ "a_freed_handle_is_none", a_freed_handle_is_none },
	{ "a_mapping_outlives_its_handle", a_mapping_outlives_its_handle },
	{ "reserved_fields_are_zero", reserved_fields_are_zero },
	{},
};
