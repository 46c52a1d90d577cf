// SPDX-License-Identifier: MIT OR Apache-2.0
/* FPGAMEM_IOC_USER_TO_PHYS and FPGAMEM_IOC_PHYS_TO_USER. */

#include "check.h"

static long locate(int fd, uint64_t phys_addr, uint64_t *user_addr, uint64_t *bytes)
{
	struct fpgamem_phys_to_user request = { .phys_addr = phys_addr };
	long result = ioctl(fd, FPGAMEM_IOC_PHYS_TO_USER, &request);

	*user_addr = request.user_addr;
	*bytes = request.contiguous_bytes;
	return result;
}

static long translate(int fd, uint64_t user_addr)
{
	struct fpgamem_user_to_phys request = { .user_addr = user_addr };

	return ioctl(fd, FPGAMEM_IOC_USER_TO_PHYS, &request);
}

static void every_byte_translates_both_ways(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, 2 * BLOCK);
	unsigned char *at = mapped(fd, 2 * BLOCK, buffer.mmap_offset);
	static const uint32_t places[] = { 0, 1, PAGE - 1, PAGE, BLOCK + 77, 2 * BLOCK - 1 };

	for (int i = 0; i < 6; i++) {
		struct fpgamem_user_to_phys place = place_of(fd, at + places[i]);
		uint64_t user_addr, bytes;

		EXPECT(place.user_addr, (uintptr_t)at + places[i]);
		EXPECT(place.phys_addr, buffer.phys_addr + places[i]);
		EXPECT(place.device_addr, buffer.device_addr + places[i]);
		EXPECT(place.contiguous_bytes, 2 * BLOCK - places[i]);
		EXPECT(place.flags, 0);
		EXPECT(place.status_slot, FPGAMEM_NO_SLOT);
		EXPECT(locate(fd, buffer.phys_addr + places[i], &user_addr, &bytes), 0);
		EXPECT(user_addr, (uintptr_t)at + places[i]);
		EXPECT(bytes, 2 * BLOCK - places[i]);
	}
}

static void of_two_mappings_the_lower_is_found(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, 2 * BLOCK);
	unsigned char *one = mapped(fd, 2 * BLOCK, buffer.mmap_offset);
	unsigned char *two = mapped(fd, BLOCK, buffer.mmap_offset + BLOCK);
	unsigned char *lower = one + BLOCK < two ? one + BLOCK : two;
	uint64_t user_addr, bytes;

	EXPECT(place_of(fd, two).phys_addr, buffer.phys_addr + BLOCK);
	EXPECT(place_of(fd, one + BLOCK).phys_addr, buffer.phys_addr + BLOCK);
	EXPECT(locate(fd, buffer.phys_addr + BLOCK, &user_addr, &bytes), 0);
	EXPECT(user_addr, (uintptr_t)lower);
	EXPECT(bytes, BLOCK);
	EXPECT(locate(fd, buffer.phys_addr, &user_addr, &bytes), 0);
	EXPECT(user_addr, (uintptr_t)one);
}

static void the_attribute_of_a_buffer_is_told(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = { .len = 1, .flags = FPGAMEM_ALLOC_WRITE_COMBINE };

	EXPECT(ioctl(fd, FPGAMEM_IOC_ALLOC, &buffer), 0);
	EXPECT(place_of(fd, mapped(fd, PAGE, buffer.mmap_offset)).flags,
	       FPGAMEM_BUFFER_WRITE_COMBINE);
}

static void addresses_outside_of_buffers_are_faults(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, 0);
	unsigned char *foreign = private_memory(PAGE, PROT_READ | PROT_WRITE);
	uintptr_t address = (uintptr_t)at;
	const uint64_t addresses[] = {
		0,
		(uintptr_t)foreign,
		(uintptr_t)&foreign,
		0xffffffff,
		/* No pointer of this process has an upper half. */
		UPPER,
		UPPER | address,
		1ULL << 63 | address,
		0xffffffffULL << 32 | address,
		UINT64_MAX,
	};

	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		EXPECT(translate(fd, addresses[i]), -EFAULT);
	EXPECT(translate(fd, address), 0);
	/* The mapping is another pool's. */
	EXPECT(translate(node(OTHER_NODE), address), -EFAULT);
}

static void physical_addresses_that_are_not_mapped_are_faults(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, 0);
	struct fpgamem_alloc unmapped = allocated(fd, BLOCK);
	uint64_t phys_addr = place_of(fd, at).phys_addr;
	struct extent all = region();
	const uint64_t addresses[] = {
		0,
		unmapped.phys_addr,
		all.start - 1,
		all.start + all.bytes,
		/* The lower half is mapped. */
		UPPER | phys_addr,
		1ULL << 63 | phys_addr,
		UINT64_MAX,
	};
	uint64_t user_addr, bytes;

	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		EXPECT(locate(fd, addresses[i], &user_addr, &bytes), -EFAULT);
	EXPECT(locate(fd, phys_addr, &user_addr, &bytes), 0);
	EXPECT(locate(node(OTHER_NODE), phys_addr, &user_addr, &bytes), -EFAULT);
}

static void reserved_fields_of_translations_are_zero(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, 0);
	static const uint64_t values[] = { 1, UPPER, 1ULL << 63 };

	for (int i = 0; i < 3; i++) {
		struct fpgamem_user_to_phys place = {
			.user_addr = (uintptr_t)at,
			.reserved = values[i],
		};
		struct fpgamem_phys_to_user user = {
			.phys_addr = place_of(fd, at).phys_addr,
			.reserved = values[i],
		};

		EXPECT(ioctl(fd, FPGAMEM_IOC_USER_TO_PHYS, &place), -EINVAL);
		EXPECT(ioctl(fd, FPGAMEM_IOC_PHYS_TO_USER, &user), -EINVAL);
	}
}

const struct test translation_tests[] = {
	{ "every_byte_translates_both_ways", every_byte_translates_both_ways },
	{ "of_two_mappings_the_lower_is_found", of_two_mappings_the_lower_is_found },
	{ "the_attribute_of_a_buffer_is_told", the_attribute_of_a_buffer_is_told },
	{ "addresses_outside_of_buffers_are_faults", addresses_outside_of_buffers_are_faults },
	{ "physical_addresses_that_are_not_mapped_are_faults",
	  physical_addresses_that_are_not_mapped_are_faults },
	{ "reserved_fields_of_translations_are_zero", reserved_fields_of_translations_are_zero },
	{},
};
