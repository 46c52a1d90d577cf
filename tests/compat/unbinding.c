// SPDX-License-Identifier: MIT OR Apache-2.0
/* What becomes of a 32-bit client when the device is unbound. */

#include "check.h"

static void without_its_device_a_file_does_nothing_and_a_mapping_stays(void)
{
	int fd = node(NODE);
	long paddle = open_file("/dev/fpgadrv0", O_RDWR);
	unsigned char *at = mapped(fd, BLOCK, 0);
	unsigned char *page = private_memory(PAGE, PROT_READ | PROT_WRITE);

	EXPECT(paddle >= 0, true);
	fill(at, BLOCK, 0x66);
	EXPECT(write_text("/sys/bus/platform/drivers/fpgamem/unbind", device), 0);
	for (int i = 0; i < NR_COMMANDS; i++)
		EXPECT(ioctl(fd, commands[i].number, page), -ENODEV);
	EXPECT(ioctl(fd, FPGAMEM_IOC_QUIET, NULL), -ENODEV);
	EXPECT(ioctl((int)paddle, 0x4010470d, page), -ENODEV);
	EXPECT(refusal_of_map(fd, PAGE, PROT_READ, MAP_SHARED, 0), -ENODEV);
	EXPECT(refusal_of_map(fd, PAGE, PROT_READ, MAP_SHARED, FPGAMEM_MMAP_STATUS_OFFSET),
	       -ENODEV);
	EXPECT(refusal_of_map((int)paddle, PAGE, PROT_READ, MAP_SHARED, 0), -ENODEV);
	EXPECT(open_file(NODE, O_RDWR), -ENOENT);
	EXPECT(is_filled(at, BLOCK, 0x66), true);

	EXPECT(write_text("/sys/bus/platform/drivers/fpgamem/bind", device), 0);
	/* The new device knows of the block that the mapping keeps. */
	EXPECT(stat("blocks_used"), 1);
	EXPECT(unmap(at, BLOCK), 0);
	EXPECT(stat("blocks_used"), 0);
}

const struct test unbinding_tests[] = {
	{ "without_its_device_a_file_does_nothing_and_a_mapping_stays",
	  without_its_device_a_file_does_nothing_and_a_mapping_stays },
	{},
};
