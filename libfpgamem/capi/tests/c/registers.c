/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Registers and interrupts: of a channel of the ZDMA, and of models. */
#define _GNU_SOURCE

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "vadd_model.h"
#include "zdma.h"

/* Bits of the ZDMA's status become interrupts by writing them here, and none by writing them there. */
#define ZDMA_IEN 0x108
#define ZDMA_IDS 0x10c

static uint32_t value_of(const fpgamem_registers_t *registers, size_t offset)
{
	uint32_t value = 0;

	CHECK(fpgamem_registers_read32(registers, offset, &value, NULL) == 0);
	return value;
}

static void write_to(const fpgamem_registers_t *registers, size_t offset, uint32_t value)
{
	CHECK(fpgamem_registers_write32(registers, offset, value, NULL) == 0);
}

/* The channel of the board, which keeps its interrupts in and has none, or a model. */
static struct zdma *channel(const fpgamem_device_t *device)
{
	static struct zdma zdma;

	CHECK(zdma_open(&zdma, device, NULL) == 0);
	write_to(zdma.registers, ZDMA_IDS, ZDMA_ISR_ALL);
	write_to(zdma.registers, ZDMA_ISR, ZDMA_ISR_ALL);
	return &zdma;
}

static long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void write_starts_what_was_handed_over(fpgamem_device_t *device)
{
	fpgamem_buffer_t *from = allocated(device, 5000), *to = allocated(device, 5000);
	struct zdma *zdma = channel(device);

	for (int turn = 1; turn < 4; turn++) {
		memset(bytes_of(from), turn, 5000);
		memset(bytes_of(to), 0x55, 5000);
		CHECK(fpgamem_hand_over(from, FPGAMEM_TO_DEVICE, NULL) == 0);
		CHECK(fpgamem_hand_over(to, FPGAMEM_FROM_DEVICE, NULL) == 0);
		CHECK(zdma_copy(zdma, fpgamem_device_addr(to), fpgamem_device_addr(from), 5000, NULL) == 0);
		CHECK(fpgamem_take_back_unsafe(to, NULL) == 0);
		CHECK(fpgamem_take_back_unsafe(from, NULL) == 0);
		CHECK(bytes_of(to)[0] == turn && bytes_of(to)[4999] == turn);
	}
	zdma_close(zdma);
	fpgamem_free(from);
	fpgamem_free(to);
}

/* The model sees memory as the FPGA does. */
static void model_with_registers_misses_what_was_not_synced(fpgamem_device_t *device)
{
	fpgamem_buffer_t *from = allocated(device, 64), *to = allocated(device, 64);
	struct zdma *zdma = channel(device);

	memset(bytes_of(from), 7, 64);
	CHECK(zdma_copy(zdma, fpgamem_device_addr(to), fpgamem_device_addr(from), 64, NULL) == 0);
	CHECK(fpgamem_sync_for_cpu(to, 0, 64, NULL) == 0);
	CHECK(bytes_of(to)[0] == 0);
	zdma_close(zdma);
	fpgamem_free(from);
	fpgamem_free(to);
}

static void registers_keep_what_they_are_given(fpgamem_device_t *device)
{
	struct zdma *zdma = channel(device);
	uint64_t wide = 0;

	CHECK(fpgamem_registers_size(zdma->registers) == ZDMA_WINDOW);
	CHECK(fpgamem_registers_write64(zdma->registers, ZDMA_SRC, 0x112345680, NULL) == 0);
	CHECK(value_of(zdma->registers, ZDMA_SRC) == 0x12345680);
	CHECK(value_of(zdma->registers, ZDMA_SRC + 4) == 1);
	CHECK(fpgamem_registers_write_addr(zdma->registers, ZDMA_SRC, 0x287654300, NULL) == 0);
	CHECK(fpgamem_registers_read64(zdma->registers, ZDMA_SRC, &wide, NULL) == 0);
	CHECK(wide == 0x287654300);
	zdma_close(zdma);
}

static void what_is_no_register_is_refused(fpgamem_device_t *device)
{
	static const size_t narrow[] = { 1, 2, ZDMA_WINDOW, ZDMA_WINDOW + 4, SIZE_MAX, SIZE_MAX - 3 };
	static const size_t wide[] = { 4, 12, ZDMA_WINDOW - 4, ZDMA_WINDOW, SIZE_MAX - 7 };
	struct zdma *zdma = channel(device);
	fpgamem_registers_t *it = zdma->registers;
	fpgamem_error_t error;
	uint64_t value64;
	uint32_t value;

	for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++) {
		CHECK_FAILS(fpgamem_registers_read32(it, narrow[i], &value, &error), ERANGE,
			    FPGAMEM_E_REGISTER);
		CHECK_FAILS(fpgamem_registers_write32(it, narrow[i], 1, &error), ERANGE,
			    FPGAMEM_E_REGISTER);
		CHECK_FAILS(fpgamem_registers_poll32(it, narrow[i], 0, 0, 0, NULL, &error), ERANGE,
			    FPGAMEM_E_REGISTER);
	}
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
		CHECK_FAILS(fpgamem_registers_read64(it, wide[i], &value64, &error), ERANGE,
			    FPGAMEM_E_REGISTER);
		CHECK_FAILS(fpgamem_registers_write64(it, wide[i], 1, &error), ERANGE,
			    FPGAMEM_E_REGISTER);
	}
	CHECK_FAILS(fpgamem_registers_write_addr(it, ZDMA_WINDOW - 4, 1, &error), ERANGE,
		    FPGAMEM_E_REGISTER);
	CHECK(fpgamem_registers_read64(it, ZDMA_WINDOW - 4, &value64, &error) == ERANGE);
	CHECK(strstr(error.message, "0xffc") && strstr(error.message, "0x1000"));
	zdma_close(zdma);
}

static void null_registers_are_refused_or_nothing_to_do(fpgamem_device_t *device)
{
	struct zdma *zdma = channel(device);
	fpgamem_registers_t *registers = NULL;
	uint32_t value;

	CHECK_FAILS(fpgamem_registers_open_unsafe(NULL, 0, &registers, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_registers_open_unsafe("\xff", 0, &registers, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_registers_emulated(device, NULL, &registers, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_registers_read32(NULL, 0, &value, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_registers_read32(zdma->registers, 0, NULL, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_registers_read64(zdma->registers, 0, NULL, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_registers_write32(NULL, 0, 1, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_registers_enable_interrupt(NULL, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK_FAILS(fpgamem_registers_wait_interrupt(NULL, 0, &error), EINVAL, FPGAMEM_E_ARGUMENT);
	CHECK(registers == NULL && fpgamem_registers_size(NULL) == 0);
	fpgamem_registers_close(NULL);
	zdma_close(zdma);
}

static void unknown_name_is_told(fpgamem_device_t *device)
{
	fpgamem_registers_t *registers = NULL;
	fpgamem_error_t error;

	CHECK_FAILS(fpgamem_registers_open_unsafe("nothing", 0, &registers, &error), ENODEV,
		    FPGAMEM_E_NO_REGISTERS);
	CHECK(fpgamem_registers_open_unsafe("nothing", 0, &registers, &error) == ENODEV);
	CHECK(strstr(error.message, "\"nothing\""));
	CHECK_FAILS(fpgamem_registers_open_node_unsafe("/dev/null", 0, &registers, &error), ENOTTY,
		    FPGAMEM_E_NOT_A_NODE);
	CHECK_FAILS(fpgamem_registers_open_node_unsafe(NULL, 0, &registers, &error), EINVAL,
		    FPGAMEM_E_ARGUMENT);
	CHECK(fpgamem_registers_open_node_unsafe("/dev/null", 0, &registers, &error) != 0);
	CHECK(strstr(error.message, "/dev/null"));
	if (fpgamem_is_emulated(device))
		return;
	CHECK(strstr(error.message, "zdma"));
	CHECK_FAILS(fpgamem_registers_open_unsafe("zdma", 7, &registers, &error), ENOENT,
		    FPGAMEM_E_OPEN);
	CHECK(registers == NULL);
}

/* The board has few. */
static void node_and_name_are_the_same_registers(fpgamem_device_t *device)
{
	struct zdma *zdma = channel(device);
	fpgamem_registers_t *registers = NULL;
	bool found = false;

	write_to(zdma->registers, ZDMA_SRC, 0x12340);
	for (int number = 0; number < 4; number++) {
		char path[16];

		snprintf(path, sizeof(path), "/dev/uio%d", number);
		if (fpgamem_registers_open_node_unsafe(path, 0, &registers, NULL))
			continue;
		found |= fpgamem_registers_size(registers) == ZDMA_WINDOW &&
			 value_of(registers, ZDMA_SRC) == 0x12340;
		fpgamem_registers_close(registers);
	}
	CHECK(found);
	zdma_close(zdma);
}

static void polling_ends_with_the_value_or_the_time(fpgamem_device_t *device)
{
	struct zdma *zdma = channel(device);
	fpgamem_error_t error;
	uint32_t value = 0;
	long start;

	write_to(zdma->registers, ZDMA_SRC, 0x540);
	CHECK(fpgamem_registers_poll32(zdma->registers, ZDMA_SRC, 0xf00, 0x500, 0, &value, NULL) == 0);
	CHECK(value == 0x540);
	start = milliseconds();
	CHECK_FAILS(fpgamem_registers_poll32(zdma->registers, ZDMA_SRC, 0xf00, 0x600, 30, NULL, &error),
		    ETIMEDOUT, FPGAMEM_E_TIMEOUT);
	CHECK(milliseconds() - start >= 30);
	CHECK(fpgamem_registers_poll32(zdma->registers, ZDMA_SRC, 0xf00, 0x600, 0, NULL, &error));
	CHECK(strstr(error.message, "0x540"));
	zdma_close(zdma);
}

static void end_of_a_copy_is_an_interrupt(fpgamem_device_t *device)
{
	fpgamem_buffer_t *from = allocated(device, 70000), *to = allocated(device, 70000);
	struct zdma *zdma = channel(device);
	fpgamem_registers_t *it = zdma->registers;
	long start = milliseconds();

	write_to(it, ZDMA_IEN, ZDMA_ISR_DONE);
	CHECK(fpgamem_registers_enable_interrupt(it, NULL) == 0);
	CHECK_FAILS(fpgamem_registers_wait_interrupt(it, 50, &error), ETIMEDOUT, FPGAMEM_E_TIMEOUT);
	CHECK(milliseconds() - start >= 50);
	for (int turn = 0; turn < 3; turn++) {
		CHECK(fpgamem_hand_over(from, FPGAMEM_TO_DEVICE, NULL) == 0);
		CHECK(fpgamem_hand_over(to, FPGAMEM_FROM_DEVICE, NULL) == 0);
		CHECK(zdma_program(zdma, ZDMA_SRC, fpgamem_device_addr(from), 70000, NULL) == 0);
		CHECK(zdma_program(zdma, ZDMA_DST, fpgamem_device_addr(to), 70000, NULL) == 0);
		write_to(it, ZDMA_CTRL2, 1);
		CHECK(fpgamem_registers_wait_interrupt(it, ZDMA_PATIENCE_MS, NULL) == 0);
		CHECK(value_of(it, ZDMA_ISR) & ZDMA_ISR_DONE);
		write_to(it, ZDMA_ISR, ZDMA_ISR_ALL);
		CHECK(fpgamem_take_back_unsafe(from, NULL) == 0);
		CHECK(fpgamem_take_back_unsafe(to, NULL) == 0);
		CHECK(fpgamem_registers_enable_interrupt(it, NULL) == 0);
	}
	write_to(it, ZDMA_IDS, ZDMA_ISR_ALL);
	zdma_close(zdma);
	fpgamem_free(from);
	fpgamem_free(to);
}

static void *wait_for_an_interrupt(void *registers)
{
	/* How it ended, as an address. */
	return (void *)(size_t)fpgamem_registers_wait_interrupt(registers, 2000, NULL);
}

static void one_thread_waits_and_others_use_the_registers(fpgamem_device_t *device)
{
	struct zdma *zdma = channel(device);
	void *ended = NULL;
	pthread_t thread;
	long start = milliseconds();

	CHECK(fpgamem_registers_enable_interrupt(zdma->registers, NULL) == 0);
	CHECK(pthread_create(&thread, NULL, wait_for_an_interrupt, zdma->registers) == 0);
	usleep(300000);
	write_to(zdma->registers, ZDMA_SRC, 0x1240);
	CHECK(value_of(zdma->registers, ZDMA_SRC) == 0x1240);
	CHECK_FAILS(fpgamem_registers_wait_interrupt(zdma->registers, 1, &error), EBUSY, FPGAMEM_E_BUSY);
	CHECK(milliseconds() - start < 2000);
	CHECK(pthread_join(thread, &ended) == 0 && (size_t)ended == ETIMEDOUT);
	zdma_close(zdma);
}

static void models_are_for_emulated_devices(fpgamem_device_t *device)
{
	struct vadd_model model = { 0 };
	fpgamem_register_model_t functions = vadd_model(&model);
	fpgamem_registers_t *registers = NULL;

	CHECK_FAILS(fpgamem_registers_emulated(device, &functions, &registers, &error), EOPNOTSUPP,
		    FPGAMEM_E_NOT_EMULATED);
	CHECK(registers == NULL);
}

/* A kernel that adds numbers, with nothing to add yet. */
static fpgamem_registers_t *kernel(const fpgamem_device_t *device, struct vadd_model *model)
{
	fpgamem_register_model_t functions = vadd_model(model);
	fpgamem_registers_t *registers = NULL;

	CHECK(fpgamem_registers_emulated(device, &functions, &registers, NULL) == 0);
	return registers;
}

static int answer_of_model;

static int run_answers(void *context, fpgamem_fpga_memory_t *memory)
{
	(void)context;
	(void)memory;
	return answer_of_model;
}

static void failed_model_with_registers_is_told(fpgamem_device_t *device)
{
	struct vadd_model model = { 0 };
	fpgamem_register_model_t functions = vadd_model(&model);
	fpgamem_registers_t *registers = kernel(device, &model);
	fpgamem_error_t error;

	write_to(registers, VADD_A + 4, 0x12);
	write_to(registers, VADD_LENGTH, 1);
	CHECK_FAILS(fpgamem_registers_write32(registers, VADD_CONTROL, VADD_START, &error), EIO,
		    FPGAMEM_E_BUS);
	CHECK(fpgamem_registers_write32(registers, VADD_CONTROL, VADD_START, &error) == EIO);
	CHECK(strstr(error.message, "0x1200000000"));
	fpgamem_registers_close(registers);

	functions.run = run_answers;
	CHECK(fpgamem_registers_emulated(device, &functions, &registers, NULL) == 0);
	answer_of_model = 7;
	CHECK(fpgamem_registers_write32(registers, VADD_CONTROL, VADD_START, &error) == EIO);
	CHECK(error.code == FPGAMEM_E_MODEL && strstr(error.message, "returned 7"));
	/* What one run answered is not the answer of another write. */
	write_to(registers, VADD_LENGTH, 1);
	answer_of_model = 0;
	write_to(registers, VADD_CONTROL, VADD_START);
	fpgamem_registers_close(registers);
}

static void incomplete_models_are_refused(fpgamem_device_t *device)
{
	struct vadd_model model = { 0 };
	fpgamem_register_model_t lacking[] = { vadd_model(&model), vadd_model(&model),
					       vadd_model(&model), vadd_model(&model) };
	fpgamem_register_model_t silent = vadd_model(&model);
	fpgamem_registers_t *registers = NULL;

	lacking[0].read = NULL;
	lacking[1].write = NULL;
	lacking[2].run = NULL;
	lacking[3].reserved[3] = 1;
	for (int i = 0; i < 4; i++)
		CHECK_FAILS(fpgamem_registers_emulated(device, &lacking[i], &registers, &error), EINVAL,
			    FPGAMEM_E_ARGUMENT);
	CHECK(registers == NULL);
	silent.interrupt = NULL;
	CHECK(fpgamem_registers_emulated(device, &silent, &registers, NULL) == 0);
	CHECK(fpgamem_registers_enable_interrupt(registers, NULL) == 0);
	CHECK_FAILS(fpgamem_registers_wait_interrupt(registers, 1, &error), ETIMEDOUT,
		    FPGAMEM_E_TIMEOUT);
	fpgamem_registers_close(registers);
}

static void interrupt_of_a_model_comes_once_when_enabled(fpgamem_device_t *device)
{
	struct vadd_model model = { 0 };
	fpgamem_registers_t *registers = kernel(device, &model);

	write_to(registers, VADD_GLOBAL_INTERRUPT, 1);
	write_to(registers, VADD_INTERRUPTS, VADD_DONE);
	write_to(registers, VADD_CONTROL, VADD_START);
	CHECK(fpgamem_registers_wait_interrupt(registers, 0, NULL) == ETIMEDOUT);
	CHECK(fpgamem_registers_enable_interrupt(registers, NULL) == 0);
	CHECK(fpgamem_registers_wait_interrupt(registers, 0, NULL) == 0);
	CHECK(fpgamem_registers_wait_interrupt(registers, 0, NULL) == ETIMEDOUT);
	CHECK(value_of(registers, VADD_CONTROL) == (VADD_IDLE | VADD_RUN_DONE));
	CHECK(value_of(registers, VADD_CONTROL) == VADD_IDLE);
	fpgamem_registers_close(registers);
}

const struct test register_tests[] = {
	{ "write_starts_what_was_handed_over", write_starts_what_was_handed_over, EVERYWHERE },
	{ "model_with_registers_misses_what_was_not_synced",
	  model_with_registers_misses_what_was_not_synced, EMULATED },
	{ "registers_keep_what_they_are_given", registers_keep_what_they_are_given, EVERYWHERE },
	{ "what_is_no_register_is_refused", what_is_no_register_is_refused, EVERYWHERE },
	{ "null_registers_are_refused_or_nothing_to_do", null_registers_are_refused_or_nothing_to_do,
	  EVERYWHERE },
	{ "unknown_name_is_told", unknown_name_is_told, EVERYWHERE },
	{ "node_and_name_are_the_same_registers", node_and_name_are_the_same_registers, BOARD },
	{ "polling_ends_with_the_value_or_the_time", polling_ends_with_the_value_or_the_time, EVERYWHERE },
	{ "end_of_a_copy_is_an_interrupt", end_of_a_copy_is_an_interrupt, BOARD },
	{ "one_thread_waits_and_others_use_the_registers",
	  one_thread_waits_and_others_use_the_registers, BOARD },
	{ "models_are_for_emulated_devices", models_are_for_emulated_devices, BOARD },
	{ "failed_model_with_registers_is_told", failed_model_with_registers_is_told, EMULATED },
	{ "incomplete_models_are_refused", incomplete_models_are_refused, EMULATED },
	{ "interrupt_of_a_model_comes_once_when_enabled", interrupt_of_a_model_comes_once_when_enabled,
	  EMULATED },
	{ NULL, NULL, EVERYWHERE },
};
