// SPDX-License-Identifier: MIT OR Apache-2.0
/* What the tests of 32-bit programs are made of. */

#include "check.h"

const struct command commands[NR_COMMANDS] = {
	{ "INFO", FPGAMEM_IOC_INFO, sizeof(struct fpgamem_info), true },
	{ "ALLOC", FPGAMEM_IOC_ALLOC, sizeof(struct fpgamem_alloc), true },
	{ "FREE", FPGAMEM_IOC_FREE, sizeof(struct fpgamem_free), false },
	{ "QUERY", FPGAMEM_IOC_QUERY, sizeof(struct fpgamem_buffer), true },
	{ "USER_TO_PHYS", FPGAMEM_IOC_USER_TO_PHYS, sizeof(struct fpgamem_user_to_phys), true },
	{ "PHYS_TO_USER", FPGAMEM_IOC_PHYS_TO_USER, sizeof(struct fpgamem_phys_to_user), true },
	{ "FLUSH", FPGAMEM_IOC_FLUSH, sizeof(struct fpgamem_range), false },
	{ "INVALIDATE", FPGAMEM_IOC_INVALIDATE, sizeof(struct fpgamem_range), false },
	{ "SYNC", FPGAMEM_IOC_SYNC, sizeof(struct fpgamem_sync), false },
	{ "SET_OWNER", FPGAMEM_IOC_SET_OWNER, sizeof(struct fpgamem_set_owner), false },
};

void print(const char *text)
{
	size_t bytes = 0;

	while (text[bytes])
		bytes++;
	write_file(1, text, bytes);
}

bool same_text(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

void print_count(unsigned count)
{
	char text[12];
	char *next = text + sizeof(text) - 1;

	*next = 0;
	do
		*--next = (char)('0' + count % 10);
	while (count /= 10);
	print(next);
}

/* In hexadecimal, or an errno in decimal. */
static void print_number(uint64_t number)
{
	char text[20];
	char *next = text + sizeof(text) - 1;

	if ((int64_t)number < 0 && (int64_t)number > -4096) {
		print("-");
		print_count(-(unsigned)number);
		return;
	}
	*next = 0;
	do
		*--next = "0123456789abcdef"[number & 15];
	while (number >>= 4);
	print("0x");
	print(next);
}

void expect(const char *file, int line, const char *what, uint64_t got, uint64_t wanted)
{
	if (got == wanted)
		return;
	print("\n");
	print(file);
	print(", line ");
	print_count((unsigned)line);
	print(": ");
	print(what);
	print(" is ");
	print_number(got);
	print(" and not ");
	print_number(wanted);
	print("\n");
	exit_now(1);
}

/* Reads a file that fits, and puts a 0 behind it. */
static size_t contents_of(const char *path, char *to, size_t room)
{
	long fd = open_file(path, O_RDONLY);
	size_t bytes = 0;
	long more;

	EXPECT(fd >= 0, true);
	while ((more = read_file((int)fd, to + bytes, room - 1 - bytes)) > 0)
		bytes += (size_t)more;
	EXPECT(more, 0);
	to[bytes] = 0;
	system_call(SYS_CLOSE, fd, 0, 0, 0, 0, 0);
	return bytes;
}

struct extent region(void)
{
	unsigned char cells[20];
	struct extent extent = {};

	EXPECT(contents_of("/proc/device-tree/reserved-memory/fpgamem@40000000/reg", (char *)cells,
			   sizeof(cells)),
	       16);
	for (int i = 0; i < 8; i++) {
		extent.start = extent.start << 8 | cells[i];
		extent.bytes = extent.bytes << 8 | cells[8 + i];
	}
	return extent;
}

uint64_t stat(const char *key)
{
	static char text[2048];
	const char *line = text;

	contents_of("/sys/kernel/debug/fpgamem/fpgamem0/stats", text, sizeof(text));
	while (*line) {
		const char *wanted = key;
		uint64_t number = 0;

		while (*wanted && *line == *wanted)
			line++, wanted++;
		if (!*wanted && *line == ' ') {
			for (line++; *line >= '0' && *line <= '9'; line++)
				number = number * 10 + (uint64_t)(*line - '0');
			return number;
		}
		while (*line && *line++ != '\n')
			;
	}
	print(key);
	/* There is no line of it. */
	EXPECT(*line != 0, true);
	return 0;
}

int node(const char *path)
{
	long fd = open_file(path, O_RDWR);

	EXPECT(fd >= 0, true);
	return (int)fd;
}

struct fpgamem_alloc allocated(int fd, uint64_t len)
{
	struct fpgamem_alloc alloc = { .len = len };

	EXPECT(ioctl(fd, FPGAMEM_IOC_ALLOC, &alloc), 0);
	return alloc;
}

unsigned char *mapped(int fd, size_t bytes, uint64_t offset)
{
	long at = map_file(fd, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, offset);

	EXPECT(is_error(at) ? at : 0, 0);
	return (unsigned char *)at;
}

unsigned char *private_memory(size_t bytes, int protection)
{
	long at = map_file(-1, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, 0);

	EXPECT(is_error(at) ? at : 0, 0);
	return (unsigned char *)at;
}

long refusal_of_map(int fd, size_t bytes, int protection, int flags, uint64_t offset)
{
	long at = map_file(fd, bytes, protection, flags, offset);

	return is_error(at) ? at : 0;
}

long unmap(const void *at, size_t bytes)
{
	return system_call(SYS_MUNMAP, (long)at, (long)bytes, 0, 0, 0, 0);
}

struct fpgamem_user_to_phys place_of(int fd, const void *at)
{
	struct fpgamem_user_to_phys place = { .user_addr = (uintptr_t)at };

	EXPECT(ioctl(fd, FPGAMEM_IOC_USER_TO_PHYS, &place), 0);
	return place;
}

bool is_filled(const volatile void *at, size_t bytes, unsigned char byte)
{
	const volatile uint32_t *word = at;

	for (size_t i = 0; i < bytes / 4; i++)
		if (word[i] != byte * 0x01010101U)
			return false;
	return true;
}

void fill(volatile void *at, size_t bytes, unsigned char byte)
{
	volatile uint32_t *word = at;

	for (size_t i = 0; i < bytes / 4; i++)
		word[i] = byte * 0x01010101U;
}

int start_child(void)
{
	long child = system_call(SYS_FORK, 0, 0, 0, 0, 0, 0);

	EXPECT(child >= 0, true);
	return (int)child;
}

int end_of(int child)
{
	int status = -1;

	EXPECT(system_call(SYS_WAIT4, child, (long)&status, 0, 0, 0, 0), child);
	return status;
}

void await(int fd)
{
	char byte;

	EXPECT(read_file(fd, &byte, 1), 1);
}

void tell(int fd)
{
	EXPECT(write_file(fd, "", 1), 1);
}

struct pipe new_pipe(void)
{
	struct pipe ends;

	EXPECT(system_call(SYS_PIPE2, (long)&ends, 0, 0, 0, 0, 0), 0);
	return ends;
}

long write_text(const char *path, const char *text)
{
	long fd = open_file(path, O_WRONLY);
	size_t bytes = 0;
	long written;

	if (fd < 0)
		return fd;
	while (text[bytes])
		bytes++;
	written = write_file((int)fd, text, bytes);
	system_call(SYS_CLOSE, fd, 0, 0, 0, 0, 0);
	return written == (long)bytes ? 0 : written;
}
