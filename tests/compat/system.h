/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* System calls of 32-bit and 64-bit Arm, for programs without a C library. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A call returns a negative one of these where it fails. */
#define EPERM 1
#define ENOENT 2
#define ENXIO 6
#define ENOMEM 12
#define EACCES 13
#define EFAULT 14
#define ENODEV 19
#define EINVAL 22
#define ENOTTY 25

#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2

#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_ANONYMOUS 32
#define MREMAP_MAYMOVE 1
#define MREMAP_FIXED 2

#define SIGKILL 9

#define PAGE 4096U

#ifdef __aarch64__
#define SYS_IOCTL 29
#define SYS_OPENAT 56
#define SYS_READ 63
#define SYS_WRITE 64
#define SYS_EXIT_GROUP 94
#define SYS_MMAP 222
#else
#define SYS_FORK 2
#define SYS_READ 3
#define SYS_WRITE 4
#define SYS_CLOSE 6
#define SYS_KILL 37
#define SYS_DUP2 63
#define SYS_MUNMAP 91
#define SYS_WAIT4 114
#define SYS_MPROTECT 125
#define SYS_MREMAP 163
#define SYS_MMAP2 192
#define SYS_SETUID32 213
#define SYS_EXIT_GROUP 248
#define SYS_OPENAT 322
#define SYS_READLINKAT 332
#define SYS_PIPE2 359
#define SYS_MEMFD_CREATE 385
#define SYS_EXECVEAT 387
#define SYS_IOCTL 54
#endif

#define AT_FDCWD (-100)
#define AT_EMPTY_PATH 0x1000

static inline long system_call(long number, long a, long b, long c, long d, long e, long f)
{
#ifdef __aarch64__
	register long which __asm__("x8") = number;
	register long r0 __asm__("x0") = a;
	register long r1 __asm__("x1") = b;
	register long r2 __asm__("x2") = c;
	register long r3 __asm__("x3") = d;
	register long r4 __asm__("x4") = e;
	register long r5 __asm__("x5") = f;
#else
	register long which __asm__("r7") = number;
	register long r0 __asm__("r0") = a;
	register long r1 __asm__("r1") = b;
	register long r2 __asm__("r2") = c;
	register long r3 __asm__("r3") = d;
	register long r4 __asm__("r4") = e;
	register long r5 __asm__("r5") = f;
#endif
	__asm__ volatile("svc 0"
			 : "+r"(r0)
			 : "r"(which), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5)
			 : "memory");
	return r0;
}

static inline long open_file(const char *path, int flags)
{
	return system_call(SYS_OPENAT, AT_FDCWD, (long)path, flags, 0, 0, 0);
}

static inline long read_file(int fd, void *to, size_t bytes)
{
	return system_call(SYS_READ, fd, (long)to, (long)bytes, 0, 0, 0);
}

static inline long write_file(int fd, const void *from, size_t bytes)
{
	return system_call(SYS_WRITE, fd, (long)from, (long)bytes, 0, 0, 0);
}

static inline long ioctl(int fd, uint32_t command, const void *argument)
{
	return system_call(SYS_IOCTL, fd, (long)command, (long)argument, 0, 0, 0);
}

/* Maps a file; the offset is in bytes, a multiple of PAGE below 2^44. */
static inline long map_file(int fd, size_t bytes, int protection, int flags, uint64_t offset)
{
#ifdef __aarch64__
	return system_call(SYS_MMAP, 0, (long)bytes, protection, flags, fd, (long)offset);
#else
	return system_call(SYS_MMAP2, 0, (long)bytes, protection, flags, fd, (long)(offset / PAGE));
#endif
}

/* Whether a call that returns an address has failed. */
static inline bool is_error(long result)
{
	return (unsigned long)result > -4096UL;
}

[[noreturn]] static inline void exit_now(int status)
{
	for (;;)
		system_call(SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0);
}

/* What a program of these begins with. Its result is the exit status. */
int program(int count, char **arguments);

#endif
