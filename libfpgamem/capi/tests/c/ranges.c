/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Parts of buffers: translation, cache maintenance, copies. */
#include "check.h"

static void every_byte_has_its_addresses(fpgamem_device_t *device)
{
	static const size_t offsets[] = { 0, 1, 4097, 69999 };
	fpgamem_buffer_t *other = allocated(device, 1), *buffer = allocated(device, 70000);
	unsigned char *data = bytes_of(buffer);
	uint64_t phys, dev, rest;
	fpgamem_place_t place;
	void *address;
	size_t offset;

	for (size_t i = 0; i < 4; i++) {
		CHECK(fpgamem_phys_addr_of(buffer, offsets[i], &phys, NULL) == 0);
		CHECK(phys == fpgamem_phys_addr(buffer) + offsets[i]);
		CHECK(fpgamem_device_addr_of(buffer, offsets[i], &dev, NULL) == 0);
		CHECK(dev == fpgamem_device_addr(buffer) + offsets[i]);
		CHECK(fpgamem_offset_of(buffer, dev, &offset, NULL) == 0 && offset == offsets[i]);
		CHECK(fpgamem_place_of(device, data + offsets[i], &place, NULL) == 0);
		CHECK(place.phys_addr == phys && place.device_addr == dev);
		CHECK(place.contiguous_bytes == fpgamem_capacity(buffer) - offsets[i]);
		CHECK(fpgamem_address_of(device, phys, &address, &rest, NULL) == 0);
		CHECK(address == data + offsets[i] && rest == place.contiguous_bytes);
		CHECK(fpgamem_address_of(device, phys, &address, NULL, NULL) == 0);
	}
	fpgamem_free(other);
	fpgamem_free(buffer);
}

static void what_is_no_buffer_has_no_address(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 100);
	unsigned char *data = bytes_of(buffer);
	uint64_t phys = fpgamem_phys_addr(buffer), addr;
	fpgamem_place_t place;
	void *address;
	size_t offset;

	CHECK_FAILS(fpgamem_phys_addr_of(buffer, 100, &addr, &error), ERANGE, FPGAMEM_E_RANGE);
	CHECK_FAILS(fpgamem_device_addr_of(buffer, SIZE_MAX, &addr, &error), ERANGE, FPGAMEM_E_RANGE);
	CHECK_FAILS(fpgamem_offset_of(buffer, fpgamem_device_addr(buffer) + 100, &offset, &error),
		    EFAULT, FPGAMEM_E_NOT_FOUND);
	CHECK_FAILS(fpgamem_offset_of(buffer, 0, &offset, &error), EFAULT, FPGAMEM_E_NOT_FOUND);
	CHECK_FAILS(fpgamem_place_of(device, &place, &place, &error), EFAULT, FPGAMEM_E_NOT_FOUND);
	CHECK_FAILS(fpgamem_place_of(device, NULL, &place, &error), EFAULT, FPGAMEM_E_NOT_FOUND);
	fpgamem_free(buffer);
	CHECK_FAILS(fpgamem_place_of(device, data, &place, &error), EFAULT, FPGAMEM_E_NOT_FOUND);
	CHECK_FAILS(fpgamem_address_of(device, phys, &address, NULL, &error), EFAULT,
		    FPGAMEM_E_NOT_FOUND);
}

static void ranges_inside_are_synced_and_others_refused(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 1000);

	for (int owned = 0; owned < 2; owned++) {
		CHECK(fpgamem_sync_for_device(buffer, 0, 1000, NULL) == 0);
		CHECK(fpgamem_sync_for_cpu(buffer, 999, 1, NULL) == 0);
		CHECK(fpgamem_sync_for_cpu(buffer, 1000, 0, NULL) == 0);
		CHECK_FAILS(fpgamem_sync_for_device(buffer, 0, 1001, &error), ERANGE, FPGAMEM_E_RANGE);
		CHECK_FAILS(fpgamem_sync_for_cpu(buffer, 1001, 0, &error), ERANGE, FPGAMEM_E_RANGE);
		CHECK_FAILS(fpgamem_sync_for_cpu(buffer, 2, SIZE_MAX, &error), ERANGE, FPGAMEM_E_RANGE);
		if (!owned)
			CHECK(fpgamem_hand_over(buffer, FPGAMEM_BIDIRECTIONAL, NULL) == 0);
	}
	CHECK(fpgamem_take_back_unsafe(buffer, NULL) == 0);
	fpgamem_free(buffer);
}

static void many_ranges_of_many_buffers_are_synced(fpgamem_device_t *device)
{
	fpgamem_buffer_t *a = allocated(device, 1000), *b = allocated(device, 1000);
	fpgamem_range_t ranges[] = { { b, 64, 64 }, { a, 0, 1 }, { b, 0, 0 }, { a, 900, 100 } };
	fpgamem_range_t beyond[] = { { a, 0, 64 }, { b, 990, 11 } };
	fpgamem_range_t null = { NULL, 0, 0 };

	bytes_of(a)[0] = 1;
	CHECK(fpgamem_hand_over(b, FPGAMEM_BIDIRECTIONAL, NULL) == 0);
	CHECK(fpgamem_sync_ranges_for_device(ranges, 4, NULL) == 0);
	CHECK(fpgamem_sync_ranges_for_cpu(ranges, 4, NULL) == 0);
	CHECK(bytes_of(a)[0] == 1);
	CHECK(fpgamem_sync_ranges_for_cpu(NULL, 0, NULL) == 0);
	CHECK_FAILS(fpgamem_sync_ranges_for_device(beyond, 2, &error), ERANGE, FPGAMEM_E_RANGE);
	CHECK_FAILS(fpgamem_sync_ranges_for_cpu(&null, 1, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_sync_ranges_for_cpu(NULL, 1, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK(fpgamem_take_back_unsafe(b, NULL) == 0);
	fpgamem_free(a);
	fpgamem_free(b);
}

static void copies_are_the_bytes_whoever_owns_them(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 1000);
	unsigned char there[300], back[300];

	for (int owned = 0; owned < 2; owned++) {
		memset(there, 3 + owned, sizeof(there));
		CHECK(fpgamem_write(buffer, 700, there, 300, NULL) == 0);
		CHECK(fpgamem_read(buffer, 700, back, 300, NULL) == 0);
		CHECK(memcmp(there, back, 300) == 0);
		CHECK(fpgamem_read(buffer, 699, back, 1, NULL) == 0 && back[0] == 0);
		CHECK(fpgamem_read(buffer, 1000, NULL, 0, NULL) == 0);
		CHECK_FAILS(fpgamem_write(buffer, 701, there, 300, &error), ERANGE, FPGAMEM_E_RANGE);
		CHECK_FAILS(fpgamem_read(buffer, 701, back, 300, &error), ERANGE, FPGAMEM_E_RANGE);
		CHECK_FAILS(fpgamem_read(buffer, 0, NULL, 1, &error), EINVAL, FPGAMEM_E_ARGUMENT);
		if (!owned)
			CHECK(fpgamem_hand_over(buffer, FPGAMEM_BIDIRECTIONAL, NULL) == 0);
	}
	CHECK(fpgamem_take_back_unsafe(buffer, NULL) == 0);
	CHECK(bytes_of(buffer)[999] == 4);
	fpgamem_free(buffer);
}

const struct test range_tests[] = {
	{ "every_byte_has_its_addresses", every_byte_has_its_addresses, EVERYWHERE },
	{ "what_is_no_buffer_has_no_address", what_is_no_buffer_has_no_address, EVERYWHERE },
	{ "ranges_inside_are_synced_and_others_refused", ranges_inside_are_synced_and_others_refused,
	  EVERYWHERE },
	{ "many_ranges_of_many_buffers_are_synced", many_ranges_of_many_buffers_are_synced, EVERYWHERE },
	{ "copies_are_the_bytes_whoever_owns_them", copies_are_the_bytes_whoever_owns_them, EVERYWHERE },
	{ NULL, NULL, EVERYWHERE },
};
