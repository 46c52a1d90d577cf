/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A child of fork has none of its parent's buffers. */
#define _GNU_SOURCE

#include <dirent.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "zdma.h"

static bool wrong_in_child;

/* Runs in a child, and says in the parent whether it found everything right. */
static bool in_child(bool (*body)(void *), void *context)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(60);
		/* What was wrong in the parent is another test's. */
		wrong_in_child = false;
		_exit(body(context) ? 0 : 1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

struct inherited {
	fpgamem_device_t *device;
	fpgamem_buffer_t *ours, *owned;
	fpgamem_arena_t *arena;
	unsigned char *data;
	struct zdma zdma;
};

/* The parent's `failed` would not tell the child. */
#undef CHECK
#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			failed(__FILE__, __LINE__, #condition);                \
			wrong_in_child = true;                                 \
		}                                                              \
	} while (0)

static void check_forked(int status, const fpgamem_error_t *error, int line)
{
	if (status != EPERM || error->code != FPGAMEM_E_FORKED) {
		failed(__FILE__, line, "not the error of a child");
		wrong_in_child = true;
	}
}

#define FORKED(call)                                          \
	do {                                                  \
		int status = (call);                          \
		check_forked(status, &error, __LINE__);       \
	} while (0)

/* Every call on registers that a child may not use; then closes them. */
static void use_and_close_registers(fpgamem_registers_t *registers)
{
	fpgamem_error_t error = { 0 };
	uint64_t wide;
	uint32_t value;

	FORKED(fpgamem_registers_read32(registers, 0, &value, &error));
	FORKED(fpgamem_registers_read64(registers, 0, &wide, &error));
	FORKED(fpgamem_registers_write32(registers, ZDMA_SRC, 0, &error));
	FORKED(fpgamem_registers_write64(registers, ZDMA_SRC, 0, &error));
	FORKED(fpgamem_registers_write_addr(registers, ZDMA_SRC, 0, &error));
	FORKED(fpgamem_registers_poll32(registers, 0, 0, 0, 0, NULL, &error));
	FORKED(fpgamem_registers_enable_interrupt(registers, &error));
	FORKED(fpgamem_registers_wait_interrupt(registers, 0, &error));
	fpgamem_registers_close(registers);
}

/* Every call on a buffer; then frees them, and uses the memory at their place. */
static bool child_uses_and_frees(void *context)
{
	struct inherited *it = context;
	fpgamem_buffer_t *both[] = { it->ours, it->owned };
	fpgamem_error_t error = { 0 };
	fpgamem_arena_usage_t usage;
	fpgamem_buffer_t *buffer;
	unsigned char *mapped;
	uint64_t addr;
	size_t offset;
	void *data;

	for (int i = 0; i < 2; i++) {
		fpgamem_range_t range = { both[i], 0, 1 };

		FORKED(fpgamem_data(both[i], &data, &error));
		FORKED(fpgamem_hand_over(both[i], FPGAMEM_TO_DEVICE, &error));
		FORKED(fpgamem_take_back_unsafe(both[i], &error));
		FORKED(fpgamem_hand_over_all(&both[i], 1, FPGAMEM_TO_DEVICE, &error));
		FORKED(fpgamem_take_back_all_unsafe(&both[i], 1, &error));
		FORKED(fpgamem_sync_for_device(both[i], 0, 1, &error));
		FORKED(fpgamem_sync_for_cpu(both[i], 0, 1, &error));
		FORKED(fpgamem_sync_ranges_for_device(&range, 1, &error));
		FORKED(fpgamem_sync_ranges_for_cpu(&range, 1, &error));
		FORKED(fpgamem_read(both[i], 0, &addr, 1, &error));
		FORKED(fpgamem_write(both[i], 0, &addr, 1, &error));
		FORKED(fpgamem_phys_addr_of(both[i], 0, &addr, &error));
		FORKED(fpgamem_device_addr_of(both[i], 0, &addr, &error));
		FORKED(fpgamem_offset_of(both[i], fpgamem_device_addr(both[i]), &offset, &error));
		FORKED(fpgamem_split(both[i], 64, &buffer, &error));
		FORKED(fpgamem_join(both[i], both[!i], &error));
		CHECK(!fpgamem_is_device_owned(both[i]));
	}
	FORKED(fpgamem_arena_alloc(it->arena, 1, &buffer, &error));
	FORKED(fpgamem_arena_usage(it->arena, &usage, &error));
	use_and_close_registers(it->zdma.registers);
	fpgamem_arena_trim(it->arena);
	/* What the child maps there is the child's. */
	mapped = mmap(it->data, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		      -1, 0);
	CHECK(mapped == it->data);
	memset(mapped, 0x77, 4096);
	fpgamem_free(it->ours);
	fpgamem_free(it->owned);
	CHECK(mapped[0] == 0x77 && mapped[4095] == 0x77);
	fpgamem_abandoned(it->device, &addr, NULL);
	CHECK(addr == 0);
	fpgamem_arena_close(it->arena);
	fpgamem_close(it->device);
	return !wrong_in_child;
}

static void child_neither_uses_nor_frees_its_parents(fpgamem_device_t *device)
{
	struct inherited it = { .device = device };
	fpgamem_info_t before, after;
	uint32_t value = 0;

	it.ours = allocated(device, 4096);
	it.owned = allocated(device, 4096);
	CHECK(zdma_open(&it.zdma, device, NULL) == 0);
	CHECK(fpgamem_registers_write32(it.zdma.registers, ZDMA_SRC, 0x40, NULL) == 0);
	CHECK(fpgamem_arena_open(device, NULL, &it.arena, NULL) == 0);
	it.data = bytes_of(it.ours);
	memset(it.data, 0x33, 4096);
	CHECK(fpgamem_hand_over(it.owned, FPGAMEM_BIDIRECTIONAL, NULL) == 0);
	CHECK(fpgamem_get_info(device, &before, NULL) == 0);
	CHECK(in_child(child_uses_and_frees, &it));
	CHECK(it.data[0] == 0x33 && it.data[4095] == 0x33);
	CHECK(fpgamem_get_info(device, &after, NULL) == 0);
	CHECK(before.free_bytes == after.free_bytes && before.nr_buffers == after.nr_buffers);
	CHECK(fpgamem_is_device_owned(it.owned));
	CHECK(fpgamem_take_back_unsafe(it.owned, NULL) == 0);
	CHECK(fpgamem_registers_read32(it.zdma.registers, ZDMA_SRC, &value, NULL) == 0 && value == 0x40);
	zdma_close(&it.zdma);
	fpgamem_free(it.ours);
	fpgamem_free(it.owned);
	fpgamem_arena_close(it.arena);
}

/* Counts the files that are open in this process; one more is open to count. */
static int open_files(void)
{
	DIR *files = opendir("/proc/self/fd");
	int count = 0;

	if (!files)
		return -1;
	while (readdir(files))
		count++;
	closedir(files);
	return count;
}

static bool child_closes_registers(void *context)
{
	int before = open_files();

	fpgamem_registers_close(context);
	CHECK(before > 0 && open_files() == before);
	return !wrong_in_child;
}

/* Taking them apart would close files, while another thread of the parent may have been using them. */
static void registers_that_a_child_closes_stay_whole(fpgamem_device_t *device)
{
	fpgamem_device_t *own = NULL;
	uint32_t value = 0;
	struct zdma zdma;

	/* What is behind a model goes with the last handle, which shall be the one of the registers. */
	if (fpgamem_is_emulated(device))
		own = emulated(FPGAMEM_POLICY_NEVER, 0);
	CHECK(zdma_open(&zdma, own ? own : device, NULL) == 0);
	fpgamem_close(own);
	CHECK(fpgamem_registers_write32(zdma.registers, ZDMA_SRC, 0x40, NULL) == 0);
	CHECK(in_child(child_closes_registers, zdma.registers));
	CHECK(fpgamem_registers_read32(zdma.registers, ZDMA_SRC, &value, NULL) == 0 && value == 0x40);
	zdma_close(&zdma);
}

static bool child_uses_its_own(void *context)
{
	const fpgamem_device_t *parents = context;
	fpgamem_device_t *device = NULL;
	fpgamem_buffer_t *buffer;
	int status = fpgamem_is_emulated(parents) ? fpgamem_open_emulated(NULL, &device, NULL) :
						    fpgamem_open(&device, NULL);

	CHECK(status == 0);
	buffer = allocated(device, 100);
	memset(bytes_of(buffer), 1, 100);
	CHECK(fpgamem_hand_over(buffer, FPGAMEM_TO_DEVICE, NULL) == 0);
	CHECK(fpgamem_take_back_unsafe(buffer, NULL) == 0);
	fpgamem_free(buffer);
	fpgamem_close(device);
	return !wrong_in_child;
}

static void child_has_devices_of_its_own(fpgamem_device_t *device)
{
	CHECK(in_child(child_uses_its_own, device));
}

static bool child_asks_the_device(void *context)
{
	const fpgamem_device_t *device = context;
	fpgamem_error_t error = { 0 };
	fpgamem_buffer_t *buffer;
	fpgamem_counts_t counts;
	fpgamem_info_t info;

	if (fpgamem_is_emulated(device)) {
		FORKED(fpgamem_get_info(device, &info, &error));
		FORKED(fpgamem_alloc(device, 1, &buffer, &error));
		FORKED(fpgamem_emulated_counts(device, &counts, &error));
	} else {
		CHECK(fpgamem_get_info(device, &info, NULL) == 0);
		buffer = allocated(device, 1);
		bytes_of(buffer)[0] = 1;
		fpgamem_free(buffer);
	}
	return !wrong_in_child;
}

static void child_has_the_node_but_no_emulated_device(fpgamem_device_t *device)
{
	CHECK(in_child(child_asks_the_device, device));
}

const struct test fork_tests[] = {
	{ "child_neither_uses_nor_frees_its_parents", child_neither_uses_nor_frees_its_parents, EVERYWHERE },
	{ "registers_that_a_child_closes_stay_whole", registers_that_a_child_closes_stay_whole, EVERYWHERE },
	{ "child_has_devices_of_its_own", child_has_devices_of_its_own, EVERYWHERE },
	{ "child_has_the_node_but_no_emulated_device", child_has_the_node_but_no_emulated_device, EVERYWHERE },
	{ NULL, NULL, EVERYWHERE },
};
