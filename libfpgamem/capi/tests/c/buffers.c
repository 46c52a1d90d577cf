/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Devices, buffers, and where they are. */
#define _GNU_SOURCE

#include <stdlib.h>

#include "check.h"

static void versions_fit(fpgamem_device_t *device)
{
	(void)device;
	CHECK(fpgamem_api_version() == FPGAMEM_API_VERSION);
	CHECK(strcmp(fpgamem_version(), VERSION) == 0);
}

static void missing_node_is_told(fpgamem_device_t *unused)
{
	fpgamem_device_t *device = unused;
	fpgamem_error_t error;

	CHECK_FAILS(fpgamem_open_path("/nonexistent/fpgamem0", &device, &error), ENOENT, FPGAMEM_E_OPEN);
	CHECK_FAILS(fpgamem_open_path("/dev/null", &device, &error), ENOTTY, FPGAMEM_E_NOT_A_NODE);
	CHECK_FAILS(fpgamem_open_index(4000, &device, &error), ENOENT, FPGAMEM_E_OPEN);
	CHECK_FAILS(fpgamem_open_u_dma_buf("/nonexistent/udmabuf0", &device, &error), ENOENT,
		    FPGAMEM_E_OPEN);
	CHECK_FAILS(fpgamem_open_u_dma_buf("/dev/null", &device, &error), ENOTTY, FPGAMEM_E_NOT_A_NODE);
	CHECK(device == unused);
	CHECK(fpgamem_open_path("/nonexistent/fpgamem0", &device, &error) != 0);
	CHECK(strstr(error.message, "/nonexistent/fpgamem0"));
}

static void environment_names_the_node(fpgamem_device_t *unused)
{
	char *before = getenv("FPGAMEM_DEVICE");
	char *saved = before ? strdup(before) : NULL;
	fpgamem_device_t *device = unused;
	fpgamem_error_t error;

	setenv("FPGAMEM_DEVICE", "/nonexistent/by-variable", 1);
	CHECK(fpgamem_open(&device, &error) == ENOENT);
	CHECK(strstr(error.message, "/nonexistent/by-variable"));
	if (saved)
		setenv("FPGAMEM_DEVICE", saved, 1);
	else
		unsetenv("FPGAMEM_DEVICE");
	free(saved);
}

static void null_is_refused_or_nothing_to_do(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer;
	void *data;

	CHECK_FAILS(fpgamem_open_path(NULL, &device, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_open_emulated(NULL, NULL, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_alloc(NULL, 1, &buffer, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_alloc(device, 1, NULL, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_data(NULL, &data, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_hand_over(NULL, FPGAMEM_TO_DEVICE, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_sync_for_cpu(NULL, 0, 0, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_get_info(device, NULL, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK(fpgamem_data(NULL, &data, NULL) == EINVAL);
	CHECK(fpgamem_size(NULL) == 0 && fpgamem_device_addr(NULL) == 0);
	CHECK(!fpgamem_is_device_owned(NULL) && !fpgamem_is_emulated(NULL));
	fpgamem_free(NULL);
	fpgamem_close(NULL);
	fpgamem_abandoned(NULL, NULL, NULL);
}

static void new_buffer_is_zero_and_the_cpus(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 70000);
	unsigned char *bytes = bytes_of(buffer);
	fpgamem_info_t info;
	size_t sum = 0;

	CHECK(fpgamem_get_info(device, &info, NULL) == 0);
	CHECK(fpgamem_size(buffer) == 70000);
	CHECK(fpgamem_capacity(buffer) >= 70000 && fpgamem_capacity(buffer) % info.block_bytes == 0);
	CHECK(fpgamem_phys_addr(buffer) % info.block_bytes == 0);
	CHECK(!fpgamem_is_device_owned(buffer));
	for (size_t i = 0; i < 70000; i++)
		sum += bytes[i];
	CHECK(sum == 0);
	memset(bytes, 7, 70000);
	CHECK(bytes_of(buffer) == bytes && bytes[69999] == 7);
	fpgamem_free(buffer);
}

static void freed_blocks_are_free_again(fpgamem_device_t *device)
{
	fpgamem_info_t before, during, after;
	fpgamem_buffer_t *buffer;

	CHECK(fpgamem_get_info(device, &before, NULL) == 0);
	buffer = allocated(device, 1);
	CHECK(fpgamem_get_info(device, &during, NULL) == 0);
	fpgamem_free(buffer);
	CHECK(fpgamem_get_info(device, &after, NULL) == 0);
	CHECK(during.free_bytes == before.free_bytes - before.block_bytes);
	CHECK(during.nr_buffers == before.nr_buffers + 1);
	CHECK(after.free_bytes == before.free_bytes);
	CHECK(before.region_bytes >= before.free_bytes && before.line_bytes >= 16);
	CHECK(before.guarantees & FPGAMEM_GUARANTEES_ISOLATION);
}

static void buffer_outlives_its_device(fpgamem_device_t *device)
{
	fpgamem_device_t *other = NULL;
	fpgamem_buffer_t *buffer;
	int status = fpgamem_is_emulated(device) ? fpgamem_open_emulated(NULL, &other, NULL) :
						   fpgamem_open(&other, NULL);

	CHECK(status == 0);
	buffer = allocated(other, 100);
	fpgamem_close(other);
	memset(bytes_of(buffer), 3, 100);
	CHECK(fpgamem_hand_over(buffer, FPGAMEM_BIDIRECTIONAL, NULL) == 0);
	CHECK(fpgamem_take_back_unsafe(buffer, NULL) == 0);
	CHECK(bytes_of(buffer)[99] == 3);
	fpgamem_free(buffer);
}

static void impossible_buffers_are_refused(fpgamem_device_t *device)
{
	fpgamem_alloc_options_t odd = { .align = 3 }, reserved = { .reserved = { 0, 0, 0, 1 } };
	fpgamem_alloc_options_t port = { .port = 3 };
	fpgamem_buffer_t *buffer = NULL;
	fpgamem_info_t info;
	uint64_t largest;

	CHECK(fpgamem_get_info(device, &info, NULL) == 0);
	CHECK_FAILS(fpgamem_alloc(device, 0, &buffer, &error), EINVAL, FPGAMEM_E_LENGTH);
	CHECK_FAILS(fpgamem_alloc(device, (size_t)info.region_bytes + 1, &buffer, &error), EINVAL,
		    FPGAMEM_E_LENGTH);
	CHECK_FAILS(fpgamem_alloc_with(device, 1, &odd, &buffer, &error), EINVAL, FPGAMEM_E_ALIGNMENT);
	CHECK_FAILS(fpgamem_alloc_with(device, 1, &port, &buffer, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_alloc_with(device, 1, &reserved, &buffer, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_largest_free(device, 3, &largest, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK(buffer == NULL);
}

static void full_pool_says_what_would_fit(fpgamem_device_t *device)
{
	fpgamem_buffer_t *first = allocated(device, 1), *second = NULL;
	fpgamem_info_t info;
	fpgamem_error_t error;
	uint64_t largest;

	CHECK(fpgamem_get_info(device, &info, NULL) == 0);
	CHECK_FAILS(fpgamem_alloc(device, (size_t)info.region_bytes, &second, &error), ENOMEM,
		    FPGAMEM_E_NO_ROOM);
	CHECK(second == NULL);
	CHECK(fpgamem_largest_free(device, 1, &largest, &error) == 0);
	CHECK(largest > 0 && largest <= info.free_bytes);
	fpgamem_free(first);
}

static void options_are_heeded(fpgamem_device_t *device)
{
	fpgamem_alloc_options_t aligned = { .align = 1 << 16, .port = FPGAMEM_PORT_COHERENT };
	fpgamem_alloc_options_t combining = { .write_combine = true, .port = FPGAMEM_PORT_NONCOHERENT };
	fpgamem_buffer_t *buffer, *combined;

	CHECK(fpgamem_alloc_with(device, 100, &aligned, &buffer, NULL) == 0);
	CHECK(fpgamem_phys_addr(buffer) % (1 << 16) == 0);
	CHECK(fpgamem_alloc_with(device, 100, &combining, &combined, NULL) == 0);
	bytes_of(combined)[99] = 5;
	CHECK(fpgamem_hand_over(combined, FPGAMEM_TO_DEVICE, NULL) == 0);
	CHECK(fpgamem_take_back_unsafe(combined, NULL) == 0);
	CHECK(bytes_of(combined)[99] == 5);
	fpgamem_free(buffer);
	fpgamem_free(combined);
	CHECK(fpgamem_alloc_with(device, 100, NULL, &buffer, NULL) == 0);
	fpgamem_free(buffer);
}

const struct test buffer_tests[] = {
	{ "versions_fit", versions_fit, EVERYWHERE },
	{ "missing_node_is_told", missing_node_is_told, EVERYWHERE },
	{ "environment_names_the_node", environment_names_the_node, EVERYWHERE },
	{ "null_is_refused_or_nothing_to_do", null_is_refused_or_nothing_to_do, EVERYWHERE },
	{ "new_buffer_is_zero_and_the_cpus", new_buffer_is_zero_and_the_cpus, EVERYWHERE },
	{ "freed_blocks_are_free_again", freed_blocks_are_free_again, EVERYWHERE },
	{ "buffer_outlives_its_device", buffer_outlives_its_device, EVERYWHERE },
	{ "impossible_buffers_are_refused", impossible_buffers_are_refused, EVERYWHERE },
	{ "full_pool_says_what_would_fit", full_pool_says_what_would_fit, EVERYWHERE },
	{ "options_are_heeded", options_are_heeded, EVERYWHERE },
	{ NULL, NULL, EVERYWHERE },
};
