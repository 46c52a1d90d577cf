/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Parts of one buffer. */
#include <stdint.h>

#include "check.h"

static uint64_t free_bytes(const fpgamem_device_t *device)
{
	fpgamem_info_t info = { 0 };

	CHECK(fpgamem_get_info(device, &info, NULL) == 0);
	return info.free_bytes;
}

static void parts_have_owners_of_their_own(fpgamem_device_t *device)
{
	fpgamem_buffer_t *low = allocated(device, 1000), *high = NULL;
	size_t capacity = fpgamem_capacity(low);
	unsigned char *bytes = bytes_of(low);
	uint64_t addr;
	void *data;

	for (int i = 0; i < 1000; i++)
		bytes[i] = (unsigned char)(i / 4);
	CHECK(fpgamem_split(low, 448, &high, NULL) == 0);
	CHECK(fpgamem_size(low) == 448 && fpgamem_size(high) == 552);
	CHECK(fpgamem_capacity(low) == 448 && fpgamem_capacity(high) == capacity - 448);
	CHECK(fpgamem_device_addr(high) == fpgamem_device_addr(low) + 448);
	CHECK(fpgamem_phys_addr(high) == fpgamem_phys_addr(low) + 448);
	CHECK(bytes_of(low) == bytes && bytes_of(high) == bytes + 448);
	CHECK_FAILS(fpgamem_device_addr_of(low, 448, &addr, &error), ERANGE, FPGAMEM_E_RANGE);
	CHECK_FAILS(fpgamem_sync_for_cpu(low, 440, 9, &error), ERANGE, FPGAMEM_E_RANGE);
	CHECK(fpgamem_sync_for_cpu(high, 551, 1, NULL) == 0);

	CHECK(fpgamem_hand_over(high, FPGAMEM_BIDIRECTIONAL, NULL) == 0);
	CHECK_FAILS(fpgamem_data(high, &data, &error), EBUSY, FPGAMEM_E_BUSY);
	CHECK(bytes_of(low)[447] == 111);
	CHECK_FAILS(fpgamem_join(low, high, &error), EBUSY, FPGAMEM_E_BUSY);
	CHECK_FAILS(fpgamem_join(high, low, &error), EBUSY, FPGAMEM_E_BUSY);
	CHECK(fpgamem_is_device_owned(high) && !fpgamem_is_device_owned(low));
	CHECK(fpgamem_take_back_unsafe(high, NULL) == 0);

	CHECK(fpgamem_join(low, high, NULL) == 0);
	CHECK(fpgamem_size(low) == 1000 && fpgamem_capacity(low) == capacity);
	CHECK(bytes_of(low) == bytes && bytes[999] == 249);
	CHECK(fpgamem_hand_over(low, FPGAMEM_TO_DEVICE, NULL) == 0);
	CHECK(fpgamem_take_back_unsafe(low, NULL) == 0);
	fpgamem_free(low);
}

static void refused_split_leaves_the_buffer(fpgamem_device_t *device)
{
	static const size_t wrong[] = { 0, 1, 63, 65, 1000, 1024, SIZE_MAX };
	fpgamem_buffer_t *buffer = allocated(device, 1000), *rest = NULL;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CHECK_FAILS(fpgamem_split(buffer, wrong[i], &rest, &error), EINVAL, FPGAMEM_E_SPLIT);
		CHECK(rest == NULL && fpgamem_size(buffer) == 1000);
		bytes_of(buffer)[999] = 1;
	}
	CHECK_FAILS(fpgamem_split(buffer, 64, NULL, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_split(NULL, 64, &rest, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK(fpgamem_hand_over(buffer, FPGAMEM_TO_DEVICE, NULL) == 0);
	CHECK_FAILS(fpgamem_split(buffer, 64, &rest, &error), EBUSY, FPGAMEM_E_BUSY);
	CHECK(fpgamem_is_device_owned(buffer) && rest == NULL);
	CHECK(fpgamem_take_back_unsafe(buffer, NULL) == 0);
	fpgamem_free(buffer);
}

static void refused_join_leaves_both(fpgamem_device_t *device)
{
	fpgamem_buffer_t *a = allocated(device, 1000), *b = NULL, *c = NULL;
	fpgamem_buffer_t *other = allocated(device, 1000);

	CHECK(fpgamem_split(a, 128, &b, NULL) == 0 && fpgamem_split(b, 128, &c, NULL) == 0);
	CHECK_FAILS(fpgamem_join(a, c, &error), EINVAL, FPGAMEM_E_NOT_ADJACENT);
	CHECK_FAILS(fpgamem_join(b, a, &error), EINVAL, FPGAMEM_E_NOT_ADJACENT);
	CHECK_FAILS(fpgamem_join(c, other, &error), EINVAL, FPGAMEM_E_NOT_ADJACENT);
	CHECK_FAILS(fpgamem_join(a, a, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_join(a, NULL, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_join(NULL, a, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	memset(bytes_of(a), 1, 128);
	memset(bytes_of(b), 2, 128);
	memset(bytes_of(c), 3, 744);
	CHECK(fpgamem_join(b, c, NULL) == 0 && fpgamem_join(a, b, NULL) == 0);
	CHECK(fpgamem_size(a) == 1000);
	CHECK(bytes_of(a)[127] == 1 && bytes_of(a)[128] == 2 && bytes_of(a)[256] == 3);
	fpgamem_free(a);
	fpgamem_free(other);
}

static void blocks_are_free_when_the_last_part_is(fpgamem_device_t *device)
{
	uint64_t before = free_bytes(device);
	fpgamem_buffer_t *low = allocated(device, 1 << 16), *high = NULL;
	uint64_t during = free_bytes(device);

	CHECK(during < before);
	CHECK(fpgamem_split(low, 1 << 15, &high, NULL) == 0);
	fpgamem_free(low);
	CHECK(free_bytes(device) == during);
	bytes_of(high)[0] = 1;
	fpgamem_free(high);
	CHECK(free_bytes(device) == before);
}

static void part_of_the_device_keeps_all_blocks(fpgamem_device_t *device)
{
	fpgamem_buffer_t *low = allocated(device, 1000), *high = NULL;
	uint64_t during = free_bytes(device), buffers = 0;

	CHECK(fpgamem_split(low, 64, &high, NULL) == 0);
	CHECK(fpgamem_hand_over(high, FPGAMEM_FROM_DEVICE, NULL) == 0);
	fpgamem_free(high);
	fpgamem_free(low);
	CHECK(free_bytes(device) == during);
	fpgamem_abandoned(device, &buffers, NULL);
	CHECK(buffers == 1);
}

static void pieces_of_an_arena_have_parts_too(fpgamem_device_t *device)
{
	fpgamem_buffer_t *piece, *other, *rest = NULL;
	fpgamem_arena_t *arena = NULL;

	CHECK(fpgamem_arena_open(device, NULL, &arena, NULL) == 0);
	CHECK(fpgamem_arena_alloc(arena, 256, &piece, NULL) == 0);
	CHECK(fpgamem_arena_alloc(arena, 256, &other, NULL) == 0);
	CHECK(fpgamem_split(piece, 64, &rest, NULL) == 0);
	bytes_of(rest)[191] = 9;
	/* A neighbour in the chunk is another allocation. */
	CHECK_FAILS(fpgamem_join(rest, other, &error), EINVAL, FPGAMEM_E_NOT_ADJACENT);
	CHECK(fpgamem_join(piece, rest, NULL) == 0 && bytes_of(piece)[255] == 9);
	fpgamem_free(piece);
	fpgamem_free(other);
	fpgamem_arena_close(arena);
}

const struct test part_tests[] = {
	{ "parts_have_owners_of_their_own", parts_have_owners_of_their_own, EVERYWHERE },
	{ "refused_split_leaves_the_buffer", refused_split_leaves_the_buffer, EVERYWHERE },
	{ "refused_join_leaves_both", refused_join_leaves_both, EVERYWHERE },
	{ "blocks_are_free_when_the_last_part_is", blocks_are_free_when_the_last_part_is, EVERYWHERE },
	{ "part_of_the_device_keeps_all_blocks", part_of_the_device_keeps_all_blocks, EVERYWHERE },
	{ "pieces_of_an_arena_have_parts_too", pieces_of_an_arena_have_parts_too, EVERYWHERE },
	{ NULL, NULL, EVERYWHERE },
};
