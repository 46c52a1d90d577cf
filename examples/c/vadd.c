/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Adds two vectors by a kernel as Vitis HLS makes them: pointers over AXI, everything else over
 * AXI-Lite, in the register layout of ap_ctrl_hs, and an interrupt at the end.
 *
 *   void vadd(const uint32_t *a, const uint32_t *b, uint32_t *sum, uint32_t n);
 *
 *   vadd               on /dev/fpgamem0, with the UIO device "vadd"
 *   vadd --emulated    without a board: the model of vadd_model.h computes
 *
 * Exits with 0 if the sums are right, 1 if they are not, 2 if something failed.
 */
#include <stdio.h>
#include <string.h>

#include <libfpgamem.h>

#include "vadd_model.h"

enum {
	LENGTH = 1000,
	BYTES = LENGTH * sizeof(uint32_t),
	/* A run that takes longer hangs. */
	PATIENCE_MS = 10000,
};

/* Tells the kernel what to add, starts it, and sleeps until it is done; an errno if that fails. */
static int add(fpgamem_registers_t *registers, fpgamem_buffer_t *const vectors[3], fpgamem_error_t *error)
{
	static const size_t pointers[] = { VADD_A, VADD_B, VADD_SUM };
	int status = 0;

	for (int i = 0; i < 3 && !status; i++)
		status = fpgamem_registers_write_addr(registers, pointers[i],
						      fpgamem_device_addr(vectors[i]), error);
	if (status || (status = fpgamem_registers_write32(registers, VADD_LENGTH, LENGTH, error)) ||
	    (status = fpgamem_registers_write32(registers, VADD_GLOBAL_INTERRUPT, 1, error)) ||
	    (status = fpgamem_registers_write32(registers, VADD_INTERRUPTS, VADD_DONE, error)) ||
	    (status = fpgamem_registers_enable_interrupt(registers, error)) ||
	    /* Behind the hand-over and the arguments: writes to registers keep the order. */
	    (status = fpgamem_registers_write32(registers, VADD_CONTROL, VADD_START, error)) ||
	    (status = fpgamem_registers_wait_interrupt(registers, PATIENCE_MS, error)))
		return status;
	return fpgamem_registers_write32(registers, VADD_INTERRUPT_STATUS, VADD_DONE, error);
}

int main(int argc, char **argv)
{
	bool emulated = argc > 1 && strcmp(argv[1], "--emulated") == 0;
	fpgamem_emulated_options_t options = { .policy = FPGAMEM_POLICY_EVICT, .seed = 1 };
	fpgamem_buffer_t *vectors[3] = { NULL, NULL, NULL };
	fpgamem_registers_t *registers = NULL;
	fpgamem_device_t *device = NULL;
	struct vadd_model model = { 0 };
	fpgamem_error_t error;
	uint32_t *numbers[3];
	int wrong = 0, status = 2;

	if (emulated) {
		fpgamem_register_model_t functions = vadd_model(&model);

		if (fpgamem_open_emulated(&options, &device, &error) ||
		    fpgamem_registers_emulated(device, &functions, &registers, &error))
			goto out;
	} else if (fpgamem_open(&device, &error) ||
		   /* The promise: the kernel writes to its third pointer alone, a device-owned buffer. */
		   fpgamem_registers_open_unsafe("vadd", 0, &registers, &error)) {
		goto out;
	}
	for (int i = 0; i < 3; i++) {
		void *data;

		if (fpgamem_alloc(device, BYTES, &vectors[i], &error) ||
		    fpgamem_data(vectors[i], &data, &error))
			goto out;
		numbers[i] = data;
	}
	for (uint32_t i = 0; i < LENGTH; i++) {
		numbers[0][i] = i;
		numbers[1][i] = 3 * i;
	}

	if (fpgamem_hand_over_all(vectors, 2, FPGAMEM_TO_DEVICE, &error) ||
	    fpgamem_hand_over(vectors[2], FPGAMEM_FROM_DEVICE, &error) ||
	    add(registers, vectors, &error) ||
	    /* The promise: the kernel has said by its interrupt that it is done. */
	    fpgamem_take_back_all_unsafe(vectors, 3, &error))
		goto out;
	for (uint32_t i = 0; i < LENGTH; i++)
		wrong += numbers[2][i] != numbers[0][i] + numbers[1][i];
	printf("%d sums, %d wrong\n", LENGTH, wrong);
	status = wrong != 0;
out:
	if (status == 2)
		fprintf(stderr, "vadd: %s\n", error.message);
	fpgamem_registers_close(registers);
	for (int i = 0; i < 3; i++)
		fpgamem_free(vectors[i]);
	fpgamem_close(device);
	return status;
}
