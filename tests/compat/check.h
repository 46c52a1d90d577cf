/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the tests of 32-bit programs are made of. Each test is a process of its own. */
#ifndef CHECK_H
#define CHECK_H

#include <fpgamem.h>

#include "peer.h"
#include "system.h"

struct test {
	const char *name;
	void (*run)(void);
};

/* Each ends with a test without a name. */
extern const struct test info_tests[], alloc_tests[], handle_tests[], mapping_tests[],
	translation_tests[], sync_tests[], owner_tests[], status_tests[], process_tests[],
	isolation_tests[], family_a_tests[], family_b_tests[], unbinding_tests[];

#define NODE "/dev/fpgamem0"
/* The pool without quarantine, and without the property fpgamem,paddle. */
#define OTHER_NODE "/dev/fpgamem1"

/* What the test board's device tree says. */
#define BLOCK 16384U
#define QUARANTINE_MS 1000

/* Bytes of a cache line of the test board's CPU. */
#define LINE 64U

/* Bit 32: a kernel that takes only the lower half of a field does not see it. */
#define UPPER (1ULL << 32)

/* Ends the test unless both numbers are the same; negative ones are errnos. */
#define EXPECT(got, wanted) \
	expect(__FILE__, __LINE__, #got, (uint64_t)(int64_t)(got), (uint64_t)(int64_t)(wanted))

void expect(const char *file, int line, const char *what, uint64_t got, uint64_t wanted);

/* Writes text to the standard output. */
void print(const char *text);
void print_count(unsigned count);

bool same_text(const char *a, const char *b);

/* The whole region, from the device tree. */
struct extent {
	uint64_t start;
	uint64_t bytes;
};
struct extent region(void);

/* A number of the pool's debugfs file `stats`. */
uint64_t stat(const char *key);

/* Lines cleaned, and lines cleaned and invalidated, since the driver bound. */
#define FLUSHED stat("flush_lines")
#define INVALIDATED stat("invalidate_lines")

/* Opens a node, which must be there. */
int node(const char *path);

/* Allocates a buffer, which must fit. */
struct fpgamem_alloc allocated(int fd, uint64_t len);

/* Maps, readable and writable, which must succeed. */
unsigned char *mapped(int fd, size_t bytes, uint64_t offset);

/* Memory that is nobody's but this process's. */
unsigned char *private_memory(size_t bytes, int protection);

/* Why mmap fails; 0 where it does not. */
long refusal_of_map(int fd, size_t bytes, int protection, int flags, uint64_t offset);

long unmap(const void *at, size_t bytes);

/* The answer of USER_TO_PHYS about an address of a buffer. */
struct fpgamem_user_to_phys place_of(int fd, const void *at);

/* Whether every byte has that value. `bytes` is a multiple of 4. */
bool is_filled(const volatile void *at, size_t bytes, unsigned char byte);
void fill(volatile void *at, size_t bytes, unsigned char byte);

/* A child process; 0 in it. */
int start_child(void);

/* The status of a child as wait4() gives it. */
int end_of(int child);

/* Waits for one byte, and sends one: how parent and child take turns. */
void await(int fd);
void tell(int fd);

struct pipe {
	int from, to;
};
struct pipe new_pipe(void);

/* Writes text to a file that is there. */
long write_text(const char *path, const char *text);

/* The name of the platform device behind NODE. */
extern char device[64];

/* The commands whose argument is a structure, with its size and whether the kernel writes it. */
struct command {
	const char *name;
	uint32_t number;
	uint32_t bytes;
	bool answers;
};
#define NR_COMMANDS 10
extern const struct command commands[NR_COMMANDS];

#endif
