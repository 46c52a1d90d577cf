/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lets a bus master copy one buffer to another, and compares.
 *
 *   transfer               on /dev/fpgamem0, or what FPGAMEM_DEVICE names, with the ZDMA
 *   transfer --emulated    without a board
 *
 * Exits with 0 if the copy is right, 1 if it is not, 2 if something failed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <libfpgamem.h>

#include "zdma.h"

#define BYTES 100000

/* Hands both buffers over, copies, and takes them back; an errno if that fails. */
static int transfer(struct zdma *zdma, fpgamem_buffer_t *source, fpgamem_buffer_t *target,
		    fpgamem_error_t *error)
{
	int status;

	status = fpgamem_hand_over(source, FPGAMEM_TO_DEVICE, error);
	if (status)
		return status;
	status = fpgamem_hand_over(target, FPGAMEM_FROM_DEVICE, error);
	if (status)
		return status;
	status = zdma_copy(zdma, fpgamem_device_addr(target), fpgamem_device_addr(source), BYTES, error);
	if (status)
		return status;
	/* The promise: the channel has reported that it is done with both. */
	status = fpgamem_take_back_unsafe(target, error);
	if (status)
		return status;
	return fpgamem_take_back_unsafe(source, error);
}

int main(int argc, char **argv)
{
	bool emulated = argc > 1 && strcmp(argv[1], "--emulated") == 0;
	fpgamem_buffer_t *source = NULL, *target = NULL;
	void *sent = NULL, *received = NULL;
	fpgamem_device_t *device = NULL;
	struct zdma zdma = { 0 };
	fpgamem_error_t error;
	int result = 2;

	if (emulated ? fpgamem_open_emulated(NULL, &device, &error) : fpgamem_open(&device, &error))
		goto out;
	if (zdma_open(&zdma, device, &error) ||
	    fpgamem_alloc(device, BYTES, &source, &error) ||
	    fpgamem_alloc(device, BYTES, &target, &error) ||
	    fpgamem_data(source, &sent, &error))
		goto out;
	for (size_t i = 0; i < BYTES; i++)
		((unsigned char *)sent)[i] = (unsigned char)(i * 7 + i / 256);
	printf("%d bytes from %#" PRIx64 " to %#" PRIx64 "\n", BYTES, fpgamem_device_addr(source),
	       fpgamem_device_addr(target));
	if (transfer(&zdma, source, target, &error))
		goto out;
	if (fpgamem_data(target, &received, &error))
		goto out;
	result = memcmp(sent, received, BYTES) != 0;
	printf("%s\n", result ? "they differ" : "they are the same");
out:
	if (result == 2)
		fprintf(stderr, "transfer: %s\n", error.message);
	zdma_close(&zdma);
	fpgamem_free(target);
	fpgamem_free(source);
	fpgamem_close(device);
	return result;
}
