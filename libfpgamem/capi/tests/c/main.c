/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Runs the tests of the C library, on the emulated device with --emulated, else on the board's, and
 * prints what Rust's test programs print.
 */
#include <stdlib.h>

#include "check.h"

static const char *current;
static bool current_failed;
static unsigned int passed, wrong;

void failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s: %s:%d: %s\n", current, file, line, what);
	current_failed = true;
}

static void give_up(const char *what, const fpgamem_error_t *error)
{
	fprintf(stderr, "%s: %s: %s\n", current, what, error->message);
	exit(1);
}

fpgamem_device_t *emulated(uint32_t policy, uint64_t seed)
{
	fpgamem_emulated_options_t options = { .region_bytes = 1 << 20, .policy = policy, .seed = seed };
	fpgamem_device_t *device;
	fpgamem_error_t error;

	if (fpgamem_open_emulated(&options, &device, &error))
		give_up("no emulated device", &error);
	return device;
}

fpgamem_buffer_t *allocated(const fpgamem_device_t *device, size_t bytes)
{
	fpgamem_buffer_t *buffer;
	fpgamem_error_t error;

	if (fpgamem_alloc(device, bytes, &buffer, &error))
		give_up("no buffer", &error);
	return buffer;
}

unsigned char *bytes_of(const fpgamem_buffer_t *buffer)
{
	fpgamem_error_t error;
	void *data;

	if (fpgamem_data(buffer, &data, &error))
		give_up("no data", &error);
	return data;
}

static void run(const struct test *test, bool on_emulated)
{
	fpgamem_device_t *device;
	fpgamem_error_t error;

	if (test->place == (on_emulated ? BOARD : EMULATED))
		return;
	current = test->name;
	current_failed = false;
	if (on_emulated)
		device = emulated(FPGAMEM_POLICY_NEVER, 0);
	else if (fpgamem_open(&device, &error))
		give_up("no device", &error);
	test->run(device);
	fpgamem_close(device);
	printf("test %s ... %s\n", current, current_failed ? "FAILED" : "ok");
	fflush(stdout);
	if (current_failed)
		wrong++;
	else
		passed++;
}

int main(int argc, char **argv)
{
	const struct test *groups[] = { buffer_tests, owner_tests, range_tests,
					emulated_tests, arena_tests, part_tests,
					register_tests, fork_tests, thread_tests,
					syscall_tests };
	bool on_emulated = false;

	for (int i = 1; i < argc; i++)
		on_emulated |= strcmp(argv[i], "--emulated") == 0;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		for (const struct test *test = groups[i]; test->name; test++)
			run(test, on_emulated);
	printf("\ntest result: %s. %u passed; %u failed; 0 ignored\n", wrong ? "FAILED" : "ok", passed,
	       wrong);
	return wrong != 0;
}
