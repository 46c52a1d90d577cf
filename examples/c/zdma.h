/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bus master for the examples: a channel of ZynqMP's ZDMA, which UIO offers under the name "zdma", or
 * on an emulated device a model of one. It copies between device addresses as an accelerator would.
 */
#ifndef ZDMA_H
#define ZDMA_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <libfpgamem.h>

/* Registers of the channel: an address takes two, and its length the next. */
enum {
	ZDMA_ISR = 0x100,
	ZDMA_SRC = 0x128,
	ZDMA_DST = 0x138,
	ZDMA_CTRL2 = 0x200,
	ZDMA_WINDOW = 0x1000,
	/* Bits of the status; a bit is cleared by writing 1 to it. */
	ZDMA_ISR_ALL = 0xfff,
	ZDMA_ISR_DONE = 1 << 10,
	/* A copy that takes longer has failed. */
	ZDMA_PATIENCE_MS = 10000,
};

/* Stays where it is while it is open: the model is in it. */
struct zdma {
	fpgamem_registers_t *registers;
	uint32_t model[ZDMA_WINDOW / 4];
};

static inline uint32_t zdma_model_read(void *context, size_t offset)
{
	return ((const struct zdma *)context)->model[offset / 4];
}

static inline bool zdma_model_write(void *context, size_t offset, uint32_t value)
{
	uint32_t *words = ((struct zdma *)context)->model;

	if (offset == ZDMA_ISR)
		words[ZDMA_ISR / 4] &= ~value;
	else
		words[offset / 4] = value;
	return offset == ZDMA_CTRL2 && (value & 1);
}

/* Bytes pass through the channel in bursts. */
static inline int zdma_model_run(void *context, fpgamem_fpga_memory_t *memory)
{
	uint32_t *words = ((struct zdma *)context)->model;
	const uint32_t *src = words + ZDMA_SRC / 4, *dst = words + ZDMA_DST / 4;
	uint64_t from = (uint64_t)src[1] << 32 | src[0], to = (uint64_t)dst[1] << 32 | dst[0];
	unsigned char burst[64];

	for (uint32_t done = 0; done < src[2];) {
		uint32_t rest = src[2] - done;
		size_t len = rest < sizeof(burst) ? rest : sizeof(burst);

		if (fpgamem_fpga_read(memory, from + done, burst, len) ||
		    fpgamem_fpga_write(memory, to + done, burst, len))
			return 1;
		done += (uint32_t)len;
	}
	words[ZDMA_ISR / 4] |= ZDMA_ISR_DONE;
	return 0;
}

/* Opens the channel that belongs to the device, for zdma_close(); 0, or an errno. */
static inline int zdma_open(struct zdma *zdma, const fpgamem_device_t *device, fpgamem_error_t *error)
{
	fpgamem_register_model_t model;

	memset(zdma, 0, sizeof(*zdma));
	/* The promise: zdma_copy() gives it the addresses of device-owned buffers. */
	if (!fpgamem_is_emulated(device))
		return fpgamem_registers_open_unsafe("zdma", 0, &zdma->registers, error);
	memset(&model, 0, sizeof(model));
	model.context = zdma;
	model.bytes = ZDMA_WINDOW;
	model.read = zdma_model_read;
	model.write = zdma_model_write;
	model.run = zdma_model_run;
	return fpgamem_registers_emulated(device, &model, &zdma->registers, error);
}

static inline void zdma_close(struct zdma *zdma)
{
	fpgamem_registers_close(zdma->registers);
	zdma->registers = NULL;
}

static inline int zdma_program(struct zdma *zdma, size_t place, uint64_t addr, uint32_t bytes,
			       fpgamem_error_t *error)
{
	int status = fpgamem_registers_write_addr(zdma->registers, place, addr, error);

	return status ? status : fpgamem_registers_write32(zdma->registers, place + 8, bytes, error);
}

/* Copies and waits; 0, or an errno. When it returns 0, the channel has finished with both places. */
static inline int zdma_copy(struct zdma *zdma, uint64_t dst, uint64_t src, uint32_t bytes,
			    fpgamem_error_t *error)
{
	int status = fpgamem_registers_write32(zdma->registers, ZDMA_ISR, ZDMA_ISR_ALL, error);

	if (!status)
		status = zdma_program(zdma, ZDMA_SRC, src, bytes, error);
	if (!status)
		status = zdma_program(zdma, ZDMA_DST, dst, bytes, error);
	/* Behind the hand-over and the addresses: writes to registers keep the order. */
	if (!status)
		status = fpgamem_registers_write32(zdma->registers, ZDMA_CTRL2, 1, error);
	if (!status)
		status = fpgamem_registers_poll32(zdma->registers, ZDMA_ISR, ZDMA_ISR_DONE,
						  ZDMA_ISR_DONE, ZDMA_PATIENCE_MS, NULL, error);
	return status;
}

#endif
