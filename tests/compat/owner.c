// SPDX-License-Identifier: MIT OR Apache-2.0
/* FPGAMEM_IOC_SET_OWNER, FPGAMEM_IOC_QUIET and the quarantine. */

#include "check.h"

static long set_owner(int fd, uint64_t addr, uint32_t handle, uint32_t owner)
{
	struct fpgamem_set_owner request = { .addr = addr, .handle = handle, .owner = owner };

	return ioctl(fd, FPGAMEM_IOC_SET_OWNER, &request);
}

static void expect_quarantined(int fd, uint64_t bytes)
{
	struct fpgamem_info info;

	EXPECT(ioctl(fd, FPGAMEM_IOC_INFO, &info), 0);
	EXPECT(info.quarantined_bytes, bytes);
	EXPECT(info.free_bytes, region().bytes - bytes);
	EXPECT(info.nr_buffers, 0);
}

static void a_buffer_of_the_device_is_quarantined_until_it_is_quiet(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, 2 * BLOCK);
	struct fpgamem_free drop = { .handle = buffer.handle };
	uint64_t before = stat("quarantined");

	EXPECT(set_owner(fd, 0, buffer.handle, FPGAMEM_OWNER_DEVICE), 0);
	EXPECT(ioctl(fd, FPGAMEM_IOC_FREE, &drop), 0);
	expect_quarantined(fd, 2 * BLOCK);
	EXPECT(stat("quarantined") - before, 1);
	/* It has no argument, so any will do. */
	EXPECT(ioctl(fd, FPGAMEM_IOC_QUIET, (void *)UINT32_MAX), 0);
	expect_quarantined(fd, 0);
}

static void any_address_of_a_buffer_names_it(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, 2 * BLOCK, 0);

	EXPECT(set_owner(fd, (uintptr_t)at + 2 * BLOCK - 1, 0, FPGAMEM_OWNER_DEVICE), 0);
	EXPECT(unmap(at, 2 * BLOCK), 0);
	expect_quarantined(fd, 2 * BLOCK);
}

static void a_buffer_of_the_cpu_is_free_at_once(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, 0);

	EXPECT(set_owner(fd, (uintptr_t)at, 0, FPGAMEM_OWNER_DEVICE), 0);
	EXPECT(set_owner(fd, (uintptr_t)at, 0, FPGAMEM_OWNER_CPU), 0);
	EXPECT(unmap(at, BLOCK), 0);
	expect_quarantined(fd, 0);
}

static void bad_changes_of_owner_change_nothing(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc buffer = allocated(fd, BLOCK);
	unsigned char *at = mapped(fd, BLOCK, buffer.mmap_offset);
	uintptr_t address = (uintptr_t)at;
	struct fpgamem_free drop = { .handle = buffer.handle };
	static const uint64_t reserved[] = { 1, UPPER, 1ULL << 63 };

	EXPECT(set_owner(fd, address, 0, 2), -EINVAL);
	EXPECT(set_owner(fd, address, 0, UINT32_MAX), -EINVAL);
	EXPECT(set_owner(fd, address, buffer.handle, FPGAMEM_OWNER_DEVICE), -EINVAL);
	EXPECT(set_owner(fd, UPPER, buffer.handle, FPGAMEM_OWNER_DEVICE), -EINVAL);
	EXPECT(set_owner(fd, 0, buffer.handle + 1, FPGAMEM_OWNER_DEVICE), -ENOENT);
	EXPECT(set_owner(fd, 0, 0, FPGAMEM_OWNER_DEVICE), -EFAULT);
	EXPECT(set_owner(fd, (uintptr_t)&drop, 0, FPGAMEM_OWNER_DEVICE), -EFAULT);
	EXPECT(set_owner(fd, UPPER | address, 0, FPGAMEM_OWNER_DEVICE), -EFAULT);
	EXPECT(set_owner(fd, UINT64_MAX, 0, FPGAMEM_OWNER_DEVICE), -EFAULT);
	for (int i = 0; i < 3; i++) {
		struct fpgamem_set_owner request = {
			.handle = buffer.handle,
			.owner = FPGAMEM_OWNER_DEVICE,
			.reserved = reserved[i],
		};

		EXPECT(ioctl(fd, FPGAMEM_IOC_SET_OWNER, &request), -EINVAL);
	}
	EXPECT(unmap(at, BLOCK), 0);
	EXPECT(ioctl(fd, FPGAMEM_IOC_FREE, &drop), 0);
	expect_quarantined(fd, 0);
}

static void quiet_takes_a_capability(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, 0);
	uint64_t quieted = stat("quarantine_quieted");
	int child;

	EXPECT(set_owner(fd, (uintptr_t)at, 0, FPGAMEM_OWNER_DEVICE), 0);
	EXPECT(unmap(at, BLOCK), 0);
	child = start_child();
	if (!child) {
		EXPECT(system_call(SYS_SETUID32, 65534, 0, 0, 0, 0, 0), 0);
		EXPECT(ioctl(fd, FPGAMEM_IOC_QUIET, NULL), -EPERM);
		exit_now(0);
	}
	EXPECT(end_of(child), 0);
	EXPECT(stat("quarantine_quieted"), quieted);
}

/* A child that maps a buffer and ends in one way or the other. */
static void end_with_a_buffer(int fd, bool killed)
{
	struct pipe ready = new_pipe();
	int child = start_child();

	if (!child) {
		mapped(fd, BLOCK, 0);
		tell(ready.to);
		if (!killed)
			exit_now(3);
		await(new_pipe().from);
	}
	await(ready.from);
	if (killed)
		EXPECT(system_call(SYS_KILL, child, SIGKILL, 0, 0, 0, 0), 0);
	EXPECT(end_of(child), killed ? SIGKILL : 3 << 8);
}

static void the_buffers_of_a_killed_process_are_quarantined(void)
{
	int fd = node(NODE);

	end_with_a_buffer(fd, false);
	expect_quarantined(fd, 0);
	end_with_a_buffer(fd, true);
	expect_quarantined(fd, BLOCK);
}

const struct test owner_tests[] = {
	{ "a_buffer_of_the_device_is_quarantined_until_it_is_quiet",
	  a_buffer_of_the_device_is_quarantined_until_it_is_quiet },
	{ "any_address_of_a_buffer_names_it", any_address_of_a_buffer_names_it },
	{ "a_buffer_of_the_cpu_is_free_at_once", a_buffer_of_the_cpu_is_free_at_once },
	{ "bad_changes_of_owner_change_nothing", bad_changes_of_owner_change_nothing },
	{ "quiet_takes_a_capability", quiet_takes_a_capability },
	{ "the_buffers_of_a_killed_process_are_quarantined",
	  the_buffers_of_a_killed_process_are_quarantined },
	{},
};
