// SPDX-License-Identifier: MIT OR Apache-2.0
/* The status area, whose offset is 2^42. */

#include "check.h"

#define AREA FPGAMEM_MMAP_STATUS_OFFSET
#define READ_WRITE (PROT_READ | PROT_WRITE)

static void free_handle(int fd, uint32_t handle)
{
	struct fpgamem_free request = { .handle = handle };

	EXPECT(ioctl(fd, FPGAMEM_IOC_FREE, &request), 0);
}

static void every_answer_tells_the_word_of_a_buffer(void)
{
	int fd = node(NODE);
	struct fpgamem_alloc before = allocated(fd, BLOCK), after;
	struct fpgamem_buffer query = {};
	volatile uint32_t *words = (volatile uint32_t *)mapped(fd, PAGE, AREA);

	EXPECT(is_filled(words, PAGE, 0), true);
	fill(words, PAGE, 0xff);
	after = allocated(fd, BLOCK);
	EXPECT(before.status_slot, FPGAMEM_NO_SLOT);
	EXPECT(after.status_slot < PAGE / 4, true);
	/* A buffer's own word is 0 at first, the others are as they were. */
	for (unsigned i = 0; i < PAGE / 4; i++)
		EXPECT(words[i], i == after.status_slot ? 0 : UINT32_MAX);
	query.handle = after.handle;
	EXPECT(ioctl(fd, FPGAMEM_IOC_QUERY, &query), 0);
	EXPECT(query.status_slot, after.status_slot);
	EXPECT(place_of(fd, mapped(fd, PAGE, after.mmap_offset)).status_slot, after.status_slot);
	words[after.status_slot] = 0;
}

static void a_marked_buffer_is_quarantined_and_another_is_not(void)
{
	int fd = node(NODE);
	volatile uint32_t *words = (volatile uint32_t *)mapped(fd, PAGE, AREA);
	uint64_t before = stat("quarantined");
	struct fpgamem_alloc buffer = allocated(fd, BLOCK);

	words[buffer.status_slot] = 1;
	words[buffer.status_slot] = 0;
	free_handle(fd, buffer.handle);
	EXPECT(stat("quarantined") - before, 0);
	buffer = allocated(fd, BLOCK);
	words[buffer.status_slot] = 1U << 31;
	free_handle(fd, buffer.handle);
	EXPECT(stat("quarantined") - before, 1);
}

static void an_area_has_64_pages_at_most(void)
{
	int fd = node(NODE);
	size_t most = FPGAMEM_MAX_STATUS_BYTES;

	EXPECT(refusal_of_map(fd, most + PAGE, READ_WRITE, MAP_SHARED, AREA), -EINVAL);
	EXPECT(is_filled(mapped(fd, most, AREA), most, 0), true);
	EXPECT(refusal_of_map(fd, most + PAGE, READ_WRITE, MAP_SHARED, AREA), -EINVAL);
}

static void the_first_call_fixes_the_size(void)
{
	int fd = node(NODE);
	unsigned char *one = mapped(fd, 2 * PAGE, AREA);
	unsigned char *two = mapped(fd, PAGE, AREA);

	EXPECT(refusal_of_map(fd, 3 * PAGE, READ_WRITE, MAP_SHARED, AREA), -EINVAL);
	fill(one, PAGE, 0x42);
	EXPECT(is_filled(two, PAGE, 0x42), true);
}

static void other_mappings_of_it_are_refused(void)
{
	int fd = node(NODE);
	long reader = open_file(NODE, O_RDONLY);

	EXPECT(reader >= 0, true);
	EXPECT(refusal_of_map(fd, PAGE, READ_WRITE, MAP_PRIVATE, AREA), -EINVAL);
	EXPECT(refusal_of_map(fd, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, AREA), -EINVAL);
	EXPECT(refusal_of_map(fd, PAGE, READ_WRITE, MAP_SHARED, AREA + PAGE), -EINVAL);
	EXPECT(refusal_of_map((int)reader, PAGE, PROT_READ, MAP_SHARED, AREA), -EACCES);
	EXPECT(refusal_of_map(fd, PAGE, READ_WRITE, MAP_SHARED, AREA), 0);
}

static void its_addresses_are_in_no_buffer(void)
{
	int fd = node(NODE);
	unsigned char *words = mapped(fd, PAGE, AREA);
	struct fpgamem_user_to_phys place = { .user_addr = (uintptr_t)words };
	struct fpgamem_range range = { .addr = (uintptr_t)words, .len = 4 };

	EXPECT(ioctl(fd, FPGAMEM_IOC_USER_TO_PHYS, &place), -EFAULT);
	EXPECT(ioctl(fd, FPGAMEM_IOC_FLUSH, &range), -EFAULT);
	EXPECT(ioctl(fd, FPGAMEM_IOC_INVALIDATE, &range), -EFAULT);
}

/* A client with an area tells itself what the device has; what it left unmarked is free at once. */
static void of_a_killed_process_the_marked_buffer_alone_is_quarantined(void)
{
	uint64_t before = stat("quarantined");
	struct pipe ready = new_pipe();
	int child = start_child();

	if (!child) {
		int fd = node(NODE);
		volatile uint32_t *words = (volatile uint32_t *)mapped(fd, PAGE, AREA);
		uint32_t slot = allocated(fd, BLOCK).status_slot;

		allocated(fd, BLOCK);
		words[slot] = 1;
		tell(ready.to);
		await(new_pipe().from);
	}
	await(ready.from);
	EXPECT(stat("blocks_used"), 2);
	EXPECT(system_call(SYS_KILL, child, SIGKILL, 0, 0, 0, 0), 0);
	EXPECT(end_of(child), SIGKILL);
	EXPECT(stat("quarantined") - before, 1);
}

const struct test status_tests[] = {
	{ "every_answer_tells_the_word_of_a_buffer", every_answer_tells_the_word_of_a_buffer },
	{ "a_marked_buffer_is_quarantined_and_another_is_not",
	  a_marked_buffer_is_quarantined_and_another_is_not },
	{ "an_area_has_64_pages_at_most", an_area_has_64_pages_at_most },
	{ "the_first_call_fixes_the_size", the_first_call_fixes_the_size },
	{ "other_mappings_of_it_are_refused", other_mappings_of_it_are_refused },
	{ "its_addresses_are_in_no_buffer", its_addresses_are_in_no_buffer },
	{ "of_a_killed_process_the_marked_buffer_alone_is_quarantined",
	  of_a_killed_process_the_marked_buffer_alone_is_quarantined },
	{},
};
