// SPDX-License-Identifier: MIT OR Apache-2.0
/* Where the kernel enters a program, and what the compiler calls without being asked. */

#include "system.h"

#ifdef __aarch64__
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl start\n");
#else
__asm__(".globl _start\n_start:\n\tmov r0, sp\n\tbic sp, sp, #7\n\tbl start\n");
#endif

/* The kernel leaves the number of arguments on the stack, and then the arguments. */
[[noreturn, gnu::used]] void start(long *stack)
{
	exit_now(program((int)stack[0], (char **)(stack + 1)));
}

void *memset(void *to, int byte, size_t bytes)
{
	unsigned char *next = to;

	while (bytes--)
		*next++ = (unsigned char)byte;
	return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	unsigned char *next = to;
	const unsigned char *source = from;

	while (bytes--)
		*next++ = *source++;
	return to;
}
