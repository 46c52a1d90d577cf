/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What takes no system call: a tracer counts those of a child. */
#define _GNU_SOURCE

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "zdma.h"

/* What the child calls before and after the part that counts. */
#define MARK SYS_getpgid

/* A sanitizer's allocator takes memory of the system now and then, for 100 rounds. */
#ifdef __SANITIZE_ADDRESS__
#define ALLOWED 5
#else
#define ALLOWED 0
#endif

/* The child: a device of its own, and one round of everything first, which may need memory. */
static int round_of_calls(fpgamem_device_t *device, fpgamem_buffer_t *buffer,
			  fpgamem_registers_t *registers)
{
	fpgamem_range_t ranges[] = { { buffer, 0, 100 }, { buffer, 500, 1 } };
	unsigned char bytes[16];
	fpgamem_place_t place;
	void *data, *address;
	uint32_t value;
	uint64_t addr;

	return fpgamem_data(buffer, &data, NULL) ||
	       fpgamem_hand_over(buffer, FPGAMEM_BIDIRECTIONAL, NULL) ||
	       fpgamem_sync_for_device(buffer, 0, 100, NULL) ||
	       fpgamem_sync_for_cpu(buffer, 64, 100, NULL) ||
	       fpgamem_sync_ranges_for_device(ranges, 2, NULL) ||
	       fpgamem_read(buffer, 3, bytes, sizeof(bytes), NULL) ||
	       fpgamem_write(buffer, 3, bytes, sizeof(bytes), NULL) ||
	       fpgamem_registers_write_addr(registers, ZDMA_SRC, fpgamem_device_addr(buffer), NULL) ||
	       fpgamem_registers_read32(registers, ZDMA_SRC, &value, NULL) ||
	       fpgamem_take_back_unsafe(buffer, NULL) ||
	       fpgamem_phys_addr_of(buffer, 99, &addr, NULL) ||
	       fpgamem_place_of(device, data, &place, NULL) ||
	       fpgamem_address_of(device, addr, &address, NULL, NULL);
}

static void child(bool on_emulated)
{
	fpgamem_device_t *device;
	fpgamem_buffer_t *buffer;
	struct zdma zdma;
	int status;

	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	status = on_emulated ? fpgamem_open_emulated(NULL, &device, NULL) : fpgamem_open(&device, NULL);
	if (status || zdma_open(&zdma, device, NULL))
		_exit(2);
	buffer = allocated(device, 1000);
	status = round_of_calls(device, buffer, zdma.registers);
	syscall(MARK, 0);
	for (int turn = 0; turn < 100; turn++)
		status |= round_of_calls(device, buffer, zdma.registers);
	syscall(MARK, 0);
	_exit(status != 0);
}

/* Counts the child's calls between the marks; gives its exit status. */
static int trace(pid_t pid, unsigned int *marks, unsigned int *calls)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		struct __ptrace_syscall_info info;

		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid)
			return -1;
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
			return -1;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) <= 0)
			return -1;
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
			continue;
		if (info.entry.nr == MARK)
			++*marks;
		else if (*marks == 1)
			++*calls;
	}
}

static void owners_syncs_addresses_and_registers_take_no_system_call(fpgamem_device_t *device)
{
	unsigned int marks = 0, calls = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child(fpgamem_is_emulated(device));
	CHECK(pid > 0 && trace(pid, &marks, &calls) == 0);
	CHECK(marks == 2);
	CHECK(calls <= ALLOWED);
}

const struct test syscall_tests[] = {
	{ "owners_syncs_addresses_and_registers_take_no_system_call",
	  owners_syncs_addresses_and_registers_take_no_system_call, EVERYWHERE },
	{ NULL, NULL, EVERYWHERE },
};
