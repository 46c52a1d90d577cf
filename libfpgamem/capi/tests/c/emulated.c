/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The accelerator as a callback. */
#include "check.h"

/* Adds 1 to bytes. */
struct add_one {
	uint64_t from, to;
	size_t bytes;
	int answer;
};

static int add_one(void *context, fpgamem_fpga_memory_t *memory)
{
	const struct add_one *job = context;
	unsigned char bytes[256];

	if (fpgamem_fpga_read(memory, job->from, bytes, job->bytes))
		return 1;
	for (size_t i = 0; i < job->bytes; i++)
		bytes[i]++;
	if (fpgamem_fpga_write(memory, job->to, bytes, job->bytes))
		return 1;
	return job->answer;
}

static void model_sees_what_was_handed_over(fpgamem_device_t *unused)
{
	static const uint32_t policies[] = { FPGAMEM_POLICY_NEVER, FPGAMEM_POLICY_EVICT,
					     FPGAMEM_POLICY_PREFETCH };

	(void)unused;
	for (uint64_t seed = 0; seed < 30; seed++) {
		fpgamem_device_t *device = emulated(policies[seed % 3], seed);
		fpgamem_buffer_t *from = allocated(device, 256), *to = allocated(device, 256);
		struct add_one job = { fpgamem_device_addr(from), fpgamem_device_addr(to), 256, 0 };

		memset(bytes_of(from), 41, 256);
		CHECK(fpgamem_hand_over(from, FPGAMEM_TO_DEVICE, NULL) == 0);
		CHECK(fpgamem_hand_over(to, FPGAMEM_FROM_DEVICE, NULL) == 0);
		CHECK(fpgamem_emulated_run(device, add_one, &job, NULL) == 0);
		CHECK(fpgamem_take_back_unsafe(to, NULL) == 0);
		CHECK(fpgamem_take_back_unsafe(from, NULL) == 0);
		CHECK(bytes_of(to)[0] == 42 && bytes_of(to)[255] == 42);
		fpgamem_free(from);
		fpgamem_free(to);
		fpgamem_close(device);
	}
}

static void model_does_not_see_what_was_not_synced(fpgamem_device_t *device)
{
	fpgamem_buffer_t *from = allocated(device, 256), *to = allocated(device, 256);
	struct add_one job = { fpgamem_device_addr(from), fpgamem_device_addr(to), 256, 0 };

	memset(bytes_of(from), 41, 256);
	CHECK(fpgamem_sync_for_device(from, 64, 64, NULL) == 0);
	CHECK(fpgamem_emulated_run(device, add_one, &job, NULL) == 0);
	CHECK(bytes_of(to)[64] == 0);
	CHECK(fpgamem_sync_for_cpu(to, 0, 256, NULL) == 0);
	CHECK(bytes_of(to)[63] == 1 && bytes_of(to)[64] == 42 && bytes_of(to)[128] == 1);
	fpgamem_free(from);
	fpgamem_free(to);
}

static void ranges_maintain_exactly_their_lines(fpgamem_device_t *device)
{
	fpgamem_buffer_t *a = allocated(device, 1000), *b = allocated(device, 1000);
	fpgamem_range_t ranges[] = { { b, 60, 8 }, { a, 0, 1 }, { b, 128, 64 }, { a, 5, 0 } };
	fpgamem_counts_t before, after;

	CHECK(fpgamem_emulated_counts(device, &before, NULL) == 0);
	CHECK(fpgamem_sync_ranges_for_device(ranges, 4, NULL) == 0);
	CHECK(fpgamem_emulated_counts(device, &after, NULL) == 0);
	CHECK(after.cleaned - before.cleaned == 4 && after.invalidated == before.invalidated);
	CHECK(fpgamem_sync_ranges_for_cpu(ranges, 4, NULL) == 0);
	CHECK(fpgamem_emulated_counts(device, &after, NULL) == 0);
	CHECK(after.invalidated - before.invalidated == 4);
	fpgamem_free(a);
	fpgamem_free(b);
}

static void failed_model_is_told(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 256);
	struct add_one job = { fpgamem_device_addr(buffer), fpgamem_device_addr(buffer), 256, 7 };
	fpgamem_error_t error;

	CHECK_FAILS(fpgamem_emulated_run(device, add_one, &job, &error), EIO, FPGAMEM_E_MODEL);
	CHECK(fpgamem_emulated_run(device, add_one, &job, &error) == EIO);
	CHECK(strstr(error.message, "returned 7"));
	job.to = 0x1234;
	CHECK_FAILS(fpgamem_emulated_run(device, add_one, &job, &error), EIO, FPGAMEM_E_BUS);
	CHECK(fpgamem_emulated_run(device, add_one, &job, &error) == EIO);
	CHECK(strstr(error.message, "0x1234"));
	CHECK_FAILS(fpgamem_emulated_run(device, NULL, &job, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	fpgamem_free(buffer);
}

static void impossible_regions_are_refused(fpgamem_device_t *unused)
{
	fpgamem_emulated_options_t blocks = { .block_bytes = 5000 }, policy = { .policy = 9 };
	fpgamem_emulated_options_t reserved = { .reserved = { 1, 0, 0, 0 } };
	fpgamem_device_t *device = unused;

	CHECK_FAILS(fpgamem_open_emulated(&blocks, &device, &error), EINVAL, FPGAMEM_E_REGION);
	CHECK_FAILS(fpgamem_open_emulated(&policy, &device, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_open_emulated(&reserved, &device, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK(device == unused);
}

const struct test emulated_tests[] = {
	{ "model_sees_what_was_handed_over", model_sees_what_was_handed_over, EMULATED },
	{ "model_does_not_see_what_was_not_synced", model_does_not_see_what_was_not_synced, EMULATED },
	{ "ranges_maintain_exactly_their_lines", ranges_maintain_exactly_their_lines, EMULATED },
	{ "failed_model_is_told", failed_model_is_told, EMULATED },
	{ "impossible_regions_are_refused", impossible_regions_are_refused, EMULATED },
	{ NULL, NULL, EVERYWHERE },
};
