/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the tests of the C library are made of. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <libfpgamem.h>

/* Where a test runs. */
enum place { EVERYWHERE, EMULATED, BOARD };

/* A test gets a device of its own: an emulated one, or that of the board. */
struct test {
	const char *name;
	void (*run)(fpgamem_device_t *device);
	enum place place;
};

extern const struct test buffer_tests[], owner_tests[], range_tests[], emulated_tests[],
	arena_tests[], part_tests[], register_tests[], fork_tests[], thread_tests[], syscall_tests[];

/* Notes that the running test has failed. */
void failed(const char *file, int line, const char *what);

/* Makes an emulated device; ends the program where that fails. */
fpgamem_device_t *emulated(uint32_t policy, uint64_t seed);

/* Allocates; ends the program where that fails. */
fpgamem_buffer_t *allocated(const fpgamem_device_t *device, size_t bytes);

/* The first byte; ends the program where it may not be had. */
unsigned char *bytes_of(const fpgamem_buffer_t *buffer);

#define CHECK(condition)                                    \
	do {                                                \
		if (!(condition))                           \
			failed(__FILE__, __LINE__, #condition); \
	} while (0)

/* A call fails with an errno and a code, and says so in the error too. `call` uses `error`. */
#define CHECK_FAILS(call, errno_wanted, code_wanted)                                  \
	do {                                                                          \
		fpgamem_error_t error;                                                \
		memset(&error, 0x55, sizeof(error));                                  \
		int status = (call);                                                  \
		if (status != (errno_wanted) || error.errno_value != status ||        \
		    error.code != (code_wanted) || !memchr(error.message, 0, sizeof(error.message)) || \
		    error.message[0] == '\0')                                         \
			failed(__FILE__, __LINE__, #call);                            \
	} while (0)

#endif
