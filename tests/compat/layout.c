// SPDX-License-Identifier: MIT OR Apache-2.0
/* The structures are in a 32-bit program what they are in the kernel. */

#include <stddef.h>

#include <fpgamem.h>

_Static_assert(sizeof(void *) == 4, "this is a 32-bit program");

#define SIZE(name, bytes) _Static_assert(sizeof(struct name) == (bytes), #name)
#define PLACE(name, field, offset) \
	_Static_assert(offsetof(struct name, field) == (offset), #name "." #field)
#define NUMBER(command, number) _Static_assert(command == (number), #command)

SIZE(fpgamem_info, 248);
PLACE(fpgamem_info, abi, 0);
PLACE(fpgamem_info, flags, 4);
PLACE(fpgamem_info, features, 8);
PLACE(fpgamem_info, phys_addr, 16);
PLACE(fpgamem_info, device_addr, 24);
PLACE(fpgamem_info, region_bytes, 32);
PLACE(fpgamem_info, block_bytes, 40);
PLACE(fpgamem_info, free_bytes, 48);
PLACE(fpgamem_info, nr_buffers, 56);
PLACE(fpgamem_info, cache_line_bytes, 60);
PLACE(fpgamem_info, largest_free_bytes, 64);
PLACE(fpgamem_info, quarantined_bytes, 216);
PLACE(fpgamem_info, quarantine_ms, 224);
PLACE(fpgamem_info, reserved, 228);

SIZE(fpgamem_alloc, 72);
PLACE(fpgamem_alloc, len, 0);
PLACE(fpgamem_alloc, align, 8);
PLACE(fpgamem_alloc, flags, 16);
PLACE(fpgamem_alloc, handle, 20);
PLACE(fpgamem_alloc, alloc_bytes, 24);
PLACE(fpgamem_alloc, phys_addr, 32);
PLACE(fpgamem_alloc, device_addr, 40);
PLACE(fpgamem_alloc, mmap_offset, 48);
PLACE(fpgamem_alloc, status_slot, 56);
PLACE(fpgamem_alloc, reserved, 60);

SIZE(fpgamem_free, 8);
PLACE(fpgamem_free, handle, 0);
PLACE(fpgamem_free, reserved, 4);

SIZE(fpgamem_buffer, 56);
PLACE(fpgamem_buffer, handle, 0);
PLACE(fpgamem_buffer, flags, 4);
PLACE(fpgamem_buffer, alloc_bytes, 8);
PLACE(fpgamem_buffer, phys_addr, 16);
PLACE(fpgamem_buffer, device_addr, 24);
PLACE(fpgamem_buffer, mmap_offset, 32);
PLACE(fpgamem_buffer, status_slot, 40);
PLACE(fpgamem_buffer, reserved, 44);

SIZE(fpgamem_user_to_phys, 48);
PLACE(fpgamem_user_to_phys, user_addr, 0);
PLACE(fpgamem_user_to_phys, phys_addr, 8);
PLACE(fpgamem_user_to_phys, device_addr, 16);
PLACE(fpgamem_user_to_phys, contiguous_bytes, 24);
PLACE(fpgamem_user_to_phys, flags, 32);
PLACE(fpgamem_user_to_phys, status_slot, 36);
PLACE(fpgamem_user_to_phys, reserved, 40);

SIZE(fpgamem_phys_to_user, 32);
PLACE(fpgamem_phys_to_user, phys_addr, 0);
PLACE(fpgamem_phys_to_user, user_addr, 8);
PLACE(fpgamem_phys_to_user, contiguous_bytes, 16);
PLACE(fpgamem_phys_to_user, reserved, 24);

SIZE(fpgamem_range, 24);
PLACE(fpgamem_range, addr, 0);
PLACE(fpgamem_range, len, 8);
PLACE(fpgamem_range, handle, 16);
PLACE(fpgamem_range, reserved, 20);

SIZE(fpgamem_sync, 24);
PLACE(fpgamem_sync, ranges, 0);
PLACE(fpgamem_sync, count, 8);
PLACE(fpgamem_sync, op, 12);
PLACE(fpgamem_sync, reserved, 16);

SIZE(fpgamem_set_owner, 24);
PLACE(fpgamem_set_owner, addr, 0);
PLACE(fpgamem_set_owner, handle, 8);
PLACE(fpgamem_set_owner, owner, 12);
PLACE(fpgamem_set_owner, reserved, 16);

NUMBER(FPGAMEM_IOC_INFO, 0x80f8ba00);
NUMBER(FPGAMEM_IOC_ALLOC, 0xc048ba01);
NUMBER(FPGAMEM_IOC_FREE, 0x4008ba02);
NUMBER(FPGAMEM_IOC_QUERY, 0xc038ba03);
NUMBER(FPGAMEM_IOC_USER_TO_PHYS, 0xc030ba04);
NUMBER(FPGAMEM_IOC_PHYS_TO_USER, 0xc020ba05);
NUMBER(FPGAMEM_IOC_FLUSH, 0x4018ba06);
NUMBER(FPGAMEM_IOC_INVALIDATE, 0x4018ba07);
NUMBER(FPGAMEM_IOC_SYNC, 0x4018ba08);
NUMBER(FPGAMEM_IOC_SET_OWNER, 0x4018ba09);
NUMBER(FPGAMEM_IOC_QUIET, 0xba0a);
