// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The driver's ABI from a 32-bit program, on the 64-bit kernel.
 *
 * Each test is a process of its own, after which nothing may be in use that was not before. Output
 * and options are those of Rust's test programs: --exact NAME runs one test.
 */

#include "check.h"

char device[64];

static const struct test *const groups[] = {
	info_tests,	   alloc_tests,	 handle_tests, mapping_tests, translation_tests,
	sync_tests,	   owner_tests,	 status_tests, process_tests, isolation_tests,
	family_a_tests, family_b_tests, unbinding_tests,
};
#define NR_GROUPS (sizeof(groups) / sizeof(groups[0]))

/* The next test that `only` does not leave out, after *group and *index; NULL at the end. */
static const struct test *next(unsigned *group, unsigned *index, const char *only)
{
	for (; *group < NR_GROUPS; ++*group, *index = 0) {
		const struct test *test;

		while ((test = &groups[*group][*index])->name) {
			++*index;
			if (!only || same_text(test->name, only))
				return test;
		}
	}
	return NULL;
}

/* Whether a test passes and leaves the pool as it found it. */
static bool passes(const struct test *test)
{
	uint64_t used = stat("blocks_used");
	uint64_t buffers = stat("buffers");
	int child = start_child();
	bool passed;
	int fd;

	if (!child) {
		test->run();
		exit_now(0);
	}
	passed = !end_of(child);
	/* A test that failed may have left the device unbound. */
	if (!passed)
		write_text("/sys/bus/platform/drivers/fpgamem/bind", device);
	fd = node(NODE);
	EXPECT(ioctl(fd, FPGAMEM_IOC_QUIET, NULL), 0);
	system_call(SYS_CLOSE, fd, 0, 0, 0, 0, 0);
	if (passed && (stat("blocks_used") != used || stat("buffers") != buffers)) {
		print("\nblocks are in use that were not before\n");
		passed = false;
	}
	return passed;
}

int program(int count, char **arguments)
{
	static const char link[] = "/sys/class/misc/fpgamem0/device";
	char target[256] = {};
	char *name = target;
	const char *only = NULL;
	const struct test *test;
	unsigned group, index, tests = 0, passed = 0;
	long bytes = system_call(SYS_READLINKAT, AT_FDCWD, (long)link, (long)target,
				 sizeof(target) - 1, 0, 0);

	EXPECT(bytes > 0, true);
	for (char *at = target; *at; at++)
		if (*at == '/')
			name = at + 1;
	for (unsigned i = 0; name[i] && i < sizeof(device) - 1; i++)
		device[i] = name[i];
	for (int i = 1; i + 1 < count; i++)
		if (same_text(arguments[i], "--exact"))
			only = arguments[i + 1];

	for (group = index = 0; next(&group, &index, only);)
		tests++;
	print("\nrunning ");
	print_count(tests);
	print(tests == 1 ? " test\n" : " tests\n");
	for (group = index = 0; (test = next(&group, &index, only));) {
		bool ok;

		print("test ");
		print(test->name);
		print(" ... ");
		ok = passes(test);
		print(ok ? "ok\n" : "FAILED\n");
		passed += ok;
	}
	print(passed == tests ? "\ntest result: ok. " : "\ntest result: FAILED. ");
	print_count(passed);
	print(" passed; ");
	print_count(tests - passed);
	print(" failed; 0 ignored\n\n");
	return passed == tests ? 0 : 101;
}
