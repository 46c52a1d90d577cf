/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Changes of owner. */
#include "check.h"

static const uint32_t directions[] = { FPGAMEM_TO_DEVICE, FPGAMEM_FROM_DEVICE,
				       FPGAMEM_BIDIRECTIONAL };

static void device_owned_buffer_has_no_data(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 1000);
	void *data;

	for (size_t i = 0; i < 3; i++) {
		data = &data;
		CHECK(fpgamem_hand_over(buffer, directions[i], NULL) == 0);
		CHECK(fpgamem_is_device_owned(buffer));
		CHECK_FAILS(fpgamem_data(buffer, &data, &error), EBUSY, FPGAMEM_E_BUSY);
		CHECK(data == &data);
		CHECK(fpgamem_take_back_unsafe(buffer, NULL) == 0);
		CHECK(!fpgamem_is_device_owned(buffer));
		CHECK(fpgamem_data(buffer, &data, NULL) == 0);
	}
	fpgamem_free(buffer);
}

static void second_hand_over_is_refused(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 1000);

	CHECK_FAILS(fpgamem_take_back_unsafe(buffer, &error), EBUSY, FPGAMEM_E_BUSY);
	CHECK_FAILS(fpgamem_hand_over(buffer, 3, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK(!fpgamem_is_device_owned(buffer));
	CHECK(fpgamem_hand_over(buffer, FPGAMEM_TO_DEVICE, NULL) == 0);
	CHECK_FAILS(fpgamem_hand_over(buffer, FPGAMEM_TO_DEVICE, &error), EBUSY, FPGAMEM_E_BUSY);
	CHECK(fpgamem_is_device_owned(buffer));
	CHECK(fpgamem_take_back_unsafe(buffer, NULL) == 0);
	CHECK_FAILS(fpgamem_take_back_unsafe(buffer, &error), EBUSY, FPGAMEM_E_BUSY);
	fpgamem_free(buffer);
}

static void freed_device_owned_buffer_goes_to_nobody(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 1000), *next;
	uint64_t phys = fpgamem_phys_addr(buffer), buffers, bytes;
	size_t capacity = fpgamem_capacity(buffer);
	unsigned char *data = bytes_of(buffer);
	fpgamem_info_t before, after;

	data[5] = 9;
	CHECK(fpgamem_get_info(device, &before, NULL) == 0);
	CHECK(fpgamem_hand_over(buffer, FPGAMEM_BIDIRECTIONAL, NULL) == 0);
	fpgamem_free(buffer);
	fpgamem_abandoned(device, &buffers, &bytes);
	CHECK(buffers == 1 && bytes == capacity);
	CHECK(fpgamem_get_info(device, &after, NULL) == 0);
	CHECK(after.free_bytes == before.free_bytes);
	next = allocated(device, 1000);
	CHECK(fpgamem_phys_addr(next) != phys);
	/* It stays mapped. */
	CHECK(*(volatile unsigned char *)(data + 5) == 9);
	fpgamem_free(next);
}

static void all_or_none_are_handed_over(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffers[3];

	for (int i = 0; i < 3; i++)
		buffers[i] = allocated(device, 100);
	CHECK(fpgamem_hand_over(buffers[1], FPGAMEM_TO_DEVICE, NULL) == 0);
	CHECK_FAILS(fpgamem_hand_over_all(buffers, 3, FPGAMEM_TO_DEVICE, &error), EBUSY, FPGAMEM_E_BUSY);
	CHECK_FAILS(fpgamem_take_back_all_unsafe(buffers, 3, &error), EBUSY, FPGAMEM_E_BUSY);
	CHECK(!fpgamem_is_device_owned(buffers[0]) && !fpgamem_is_device_owned(buffers[2]));
	CHECK(fpgamem_is_device_owned(buffers[1]));
	CHECK(fpgamem_take_back_unsafe(buffers[1], NULL) == 0);

	CHECK(fpgamem_hand_over_all(buffers, 3, FPGAMEM_FROM_DEVICE, NULL) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(fpgamem_is_device_owned(buffers[i]));
	CHECK(fpgamem_take_back_all_unsafe(buffers, 3, NULL) == 0);
	for (int i = 0; i < 3; i++) {
		CHECK(!fpgamem_is_device_owned(buffers[i]));
		bytes_of(buffers[i])[99] = 1;
		fpgamem_free(buffers[i]);
	}
}

static void array_has_each_buffer_once(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 100), *null = NULL;
	fpgamem_buffer_t *twice[] = { buffer, buffer };

	CHECK_FAILS(fpgamem_hand_over_all(twice, 2, FPGAMEM_TO_DEVICE, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_hand_over_all(&null, 1, FPGAMEM_TO_DEVICE, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_hand_over_all(NULL, 1, FPGAMEM_TO_DEVICE, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK(fpgamem_hand_over_all(NULL, 0, FPGAMEM_TO_DEVICE, NULL) == 0);
	CHECK(fpgamem_take_back_all_unsafe(NULL, 0, NULL) == 0);
	CHECK(!fpgamem_is_device_owned(buffer));
	fpgamem_free(buffer);
}

const struct test owner_tests[] = {
	{ "device_owned_buffer_has_no_data", device_owned_buffer_has_no_data, EVERYWHERE },
	{ "second_hand_over_is_refused", second_hand_over_is_refused, EVERYWHERE },
	{ "freed_device_owned_buffer_goes_to_nobody", freed_device_owned_buffer_goes_to_nobody, EVERYWHERE },
	{ "all_or_none_are_handed_over", all_or_none_are_handed_over, EVERYWHERE },
	{ "array_has_each_buffer_once", array_has_each_buffer_once, EVERYWHERE },
	{ NULL, NULL, EVERYWHERE },
};
