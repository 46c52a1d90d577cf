/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Small buffers that share allocations. */
#include "check.h"

#define TENSORS 100

static fpgamem_arena_t *opened(const fpgamem_device_t *device)
{
	fpgamem_arena_t *arena = NULL;

	CHECK(fpgamem_arena_open(device, NULL, &arena, NULL) == 0);
	return arena;
}

static void small_buffers_share_blocks(fpgamem_device_t *device)
{
	fpgamem_arena_t *arena = opened(device);
	fpgamem_buffer_t *tensors[TENSORS];
	fpgamem_arena_usage_t usage;
	fpgamem_info_t before, during, after;

	CHECK(fpgamem_get_info(device, &before, NULL) == 0);
	for (int i = 0; i < TENSORS; i++) {
		CHECK(fpgamem_arena_alloc(arena, 272, &tensors[i], NULL) == 0);
		memset(bytes_of(tensors[i]), i + 1, 272);
	}
	CHECK(fpgamem_arena_usage(arena, &usage, NULL) == 0);
	CHECK(usage.buffers == TENSORS && usage.bytes == TENSORS * 272);
	CHECK(usage.mappings == 1 && usage.allocations == 1 && usage.held_bytes == 512 << 10);
	CHECK(fpgamem_get_info(device, &during, NULL) == 0);
	CHECK(before.free_bytes - during.free_bytes == 512 << 10);

	CHECK(fpgamem_hand_over_all(tensors, TENSORS, FPGAMEM_TO_DEVICE, NULL) == 0);
	CHECK(fpgamem_take_back_all_unsafe(tensors, TENSORS, NULL) == 0);
	for (int i = 0; i < TENSORS; i++) {
		unsigned char *bytes = bytes_of(tensors[i]);

		CHECK(fpgamem_size(tensors[i]) == 272 && fpgamem_device_addr(tensors[i]) % 64 == 0);
		CHECK(bytes[0] == i + 1 && bytes[271] == i + 1);
		fpgamem_free(tensors[i]);
	}
	fpgamem_arena_trim(arena);
	CHECK(fpgamem_get_info(device, &after, NULL) == 0);
	CHECK(after.free_bytes == before.free_bytes);
	fpgamem_arena_close(arena);
}

static void piece_outlives_its_arena(fpgamem_device_t *device)
{
	fpgamem_arena_t *arena = opened(device);
	fpgamem_buffer_t *piece;

	CHECK(fpgamem_arena_alloc(arena, 100, &piece, NULL) == 0);
	fpgamem_arena_close(arena);
	memset(bytes_of(piece), 1, 100);
	CHECK(bytes_of(piece)[99] == 1);
	fpgamem_free(piece);
}

static void freed_buffers_are_reused_as_they_are(fpgamem_device_t *device)
{
	fpgamem_arena_options_t reusing = { .reuse_bytes = 1 << 20 };
	fpgamem_arena_usage_t usage;
	fpgamem_buffer_t *buffer;
	fpgamem_arena_t *arena;
	uint64_t place;

	CHECK(fpgamem_arena_open(device, &reusing, &arena, NULL) == 0);
	CHECK(fpgamem_arena_alloc(arena, 1 << 20, &buffer, NULL) == 0);
	memset(bytes_of(buffer), 7, 1 << 20);
	place = fpgamem_phys_addr(buffer);
	fpgamem_free(buffer);
	CHECK(fpgamem_arena_alloc(arena, 1 << 20, &buffer, NULL) == 0);
	CHECK(fpgamem_phys_addr(buffer) == place);
	CHECK(bytes_of(buffer)[(1 << 20) - 1] == 7);
	fpgamem_free(buffer);
	CHECK(fpgamem_arena_usage(arena, &usage, NULL) == 0);
	CHECK(usage.held_bytes == 1 << 20 && usage.allocations == 1);
	fpgamem_arena_trim(arena);
	CHECK(fpgamem_arena_usage(arena, &usage, NULL) == 0 && usage.held_bytes == 0);
	fpgamem_arena_close(arena);
}

static void options_of_arenas_are_heeded(fpgamem_device_t *device)
{
	fpgamem_arena_options_t small = { .chunk_bytes = 1 << 16, .largest_piece = 1000 };
	fpgamem_arena_options_t reserved = { .reserved = { 1, 0, 0 } };
	fpgamem_arena_options_t port = { .alloc = { .port = 9 } };
	fpgamem_buffer_t *piece, *own;
	fpgamem_arena_usage_t usage;
	fpgamem_arena_t *arena = NULL;

	CHECK_FAILS(fpgamem_arena_open(device, &reserved, &arena, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_arena_open(device, &port, &arena, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_arena_open(NULL, NULL, &arena, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_arena_alloc(NULL, 1, &piece, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_arena_usage(NULL, &usage, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	fpgamem_arena_trim(NULL);
	fpgamem_arena_close(NULL);
	CHECK(arena == NULL);

	CHECK(fpgamem_arena_open(device, &small, &arena, NULL) == 0);
	CHECK_FAILS(fpgamem_arena_alloc(arena, 0, &piece, &error), EINVAL, FPGAMEM_E_LENGTH);
	CHECK(fpgamem_arena_alloc(arena, 1000, &piece, NULL) == 0);
	CHECK(fpgamem_arena_alloc(arena, 1001, &own, NULL) == 0);
	CHECK(fpgamem_arena_usage(arena, &usage, NULL) == 0);
	CHECK(usage.mappings == 2 && usage.held_bytes == (1 << 16) + fpgamem_capacity(own));
	fpgamem_free(piece);
	fpgamem_free(own);
	fpgamem_arena_close(arena);
}

const struct test arena_tests[] = {
	{ "small_buffers_share_blocks", small_buffers_share_blocks, EVERYWHERE },
	{ "piece_outlives_its_arena", piece_outlives_its_arena, EVERYWHERE },
	{ "freed_buffers_are_reused_as_they_are", freed_buffers_are_reused_as_they_are, EVERYWHERE },
	{ "options_of_arenas_are_heeded", options_of_arenas_are_heeded, EVERYWHERE },
	{ NULL, NULL, EVERYWHERE },
};
