/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calls from several threads at once. */
#define _GNU_SOURCE

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define THREADS 4
#define TURNS 2000

static fpgamem_buffer_t *shared[2];
static atomic_uint handed_over, taken_back, strange;
static atomic_bool stop;

/* Both buffers in the order of the number, and the other way round. */
static void *change_owners(void *number)
{
	int first = (int)((size_t)number % 2);
	fpgamem_buffer_t *order[] = { shared[first], shared[!first] };

	for (int turn = 0; turn < TURNS; turn++) {
		int status = fpgamem_hand_over_all(order, 2, FPGAMEM_BIDIRECTIONAL, NULL);

		if (status == 0)
			handed_over++;
		else if (status != EBUSY)
			strange++;
		status = fpgamem_take_back_all_unsafe(order, 2, NULL);
		if (status == 0)
			taken_back++;
		else if (status != EBUSY)
			strange++;
		if (fpgamem_sync_for_device(order[0], 0, 100, NULL) ||
		    fpgamem_sync_for_cpu(order[1], 0, 100, NULL))
			strange++;
	}
	return NULL;
}

static void each_change_of_owner_happens_once(fpgamem_device_t *device)
{
	pthread_t threads[THREADS];

	shared[0] = allocated(device, 100);
	shared[1] = allocated(device, 100);
	handed_over = taken_back = strange = 0;
	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, change_owners, (void *)i) == 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(strange == 0);
	CHECK(handed_over > 0 && handed_over == taken_back);
	CHECK(!fpgamem_is_device_owned(shared[0]) && !fpgamem_is_device_owned(shared[1]));
	fpgamem_free(shared[0]);
	fpgamem_free(shared[1]);
}

static void *allocate_and_free(void *device)
{
	for (int turn = 0; turn < 200; turn++) {
		fpgamem_buffer_t *buffer = allocated(device, 1000);
		unsigned char *data = bytes_of(buffer);
		fpgamem_place_t place;

		memset(data, turn, 1000);
		if (fpgamem_place_of(device, data + 999, &place, NULL) || data[999] != turn % 256)
			strange++;
		fpgamem_free(buffer);
	}
	return NULL;
}

static void threads_share_a_device(fpgamem_device_t *device)
{
	pthread_t threads[THREADS];
	fpgamem_info_t before, after;

	strange = 0;
	CHECK(fpgamem_get_info(device, &before, NULL) == 0);
	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, allocate_and_free, device) == 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(fpgamem_get_info(device, &after, NULL) == 0);
	CHECK(strange == 0 && before.free_bytes == after.free_bytes);
}

/* Sees a buffer of 1000 bytes, or its first 448, and never anything else. */
static void *look_at_sizes(void *buffer)
{
	while (!stop) {
		size_t bytes = fpgamem_size(buffer);

		if ((bytes != 1000 && bytes != 448) || fpgamem_sync_for_device(buffer, 0, 448, NULL))
			strange++;
	}
	return NULL;
}

static void sizes_are_right_while_a_thread_splits(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 1000), *rest;
	pthread_t threads[2];

	strange = 0;
	stop = false;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, look_at_sizes, buffer) == 0);
	for (int turn = 0; turn < TURNS; turn++) {
		CHECK(fpgamem_split(buffer, 448, &rest, NULL) == 0);
		CHECK(fpgamem_join(buffer, rest, NULL) == 0);
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK(strange == 0 && fpgamem_size(buffer) == 1000);
	fpgamem_free(buffer);
}

static void *sync_all_the_time(void *buffer)
{
	while (!stop)
		fpgamem_sync_for_device(buffer, 0, 100000, NULL);
	return NULL;
}

/* A child whose parent was in the middle of a call gets its answers all the same. */
static void child_does_not_wait_for_a_thread_it_has_not(fpgamem_device_t *device)
{
	fpgamem_buffer_t *buffer = allocated(device, 100000);
	bool wrong = false;
	pthread_t thread;
	void *data;

	stop = false;
	CHECK(pthread_create(&thread, NULL, sync_all_the_time, buffer) == 0);
	for (int turn = 0; turn < 50 && !wrong; turn++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			alarm(20);
			status = fpgamem_sync_for_cpu(buffer, 0, 1, NULL) != EPERM ||
				 fpgamem_data(buffer, &data, NULL) != EPERM;
			fpgamem_free(buffer);
			fpgamem_close(device);
			_exit(status);
		}
		wrong = pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
	}
	CHECK(!wrong);
	stop = true;
	pthread_join(thread, NULL);
	fpgamem_free(buffer);
}

const struct test thread_tests[] = {
	{ "each_change_of_owner_happens_once", each_change_of_owner_happens_once, EVERYWHERE },
	{ "threads_share_a_device", threads_share_a_device, EVERYWHERE },
	{ "sizes_are_right_while_a_thread_splits", sizes_are_right_while_a_thread_splits, EVERYWHERE },
	{ "child_does_not_wait_for_a_thread_it_has_not", child_does_not_wait_for_a_thread_it_has_not,
	  EVERYWHERE },
	{ NULL, NULL, EVERYWHERE },
};
