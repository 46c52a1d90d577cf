/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The registers of the kernel of vadd.c, and what it computes, for an emulated device. */
#ifndef VADD_MODEL_H
#define VADD_MODEL_H

#include <libfpgamem.h>

enum {
	/* Starts the kernel (bit 0); says that it is done (bit 1, cleared by reading) or idle (bit 2). */
	VADD_CONTROL = 0x00,
	/* Lets interrupts out (bit 0). */
	VADD_GLOBAL_INTERRUPT = 0x04,
	/* Which events are interrupts: the end of a run (bit 0). */
	VADD_INTERRUPTS = 0x08,
	/* Which have happened; writing a bit toggles it. */
	VADD_INTERRUPT_STATUS = 0x0c,
	/* The arguments, 64 bits each: two registers and a gap. */
	VADD_A = 0x10,
	VADD_B = 0x1c,
	VADD_SUM = 0x28,
	/* Length in numbers. */
	VADD_LENGTH = 0x34,
	VADD_WINDOW = 0x40,

	VADD_START = 1 << 0,
	VADD_RUN_DONE = 1 << 1,
	VADD_IDLE = 1 << 2,
	VADD_DONE = 1 << 0,
};

struct vadd_model {
	uint32_t words[VADD_WINDOW / 4];
	bool done;
};

static inline uint32_t vadd_model_read(void *context, size_t offset)
{
	struct vadd_model *model = context;
	bool done = model->done;

	if (offset != VADD_CONTROL)
		return model->words[offset / 4];
	model->done = false;
	return done ? VADD_IDLE | VADD_RUN_DONE : VADD_IDLE;
}

static inline bool vadd_model_write(void *context, size_t offset, uint32_t value)
{
	struct vadd_model *model = context;

	if (offset == VADD_CONTROL)
		return value & VADD_START;
	if (offset == VADD_INTERRUPT_STATUS)
		model->words[offset / 4] ^= value;
	else
		model->words[offset / 4] = value;
	return false;
}

/* The place of a number of a vector. */
static inline uint64_t vadd_model_place(const struct vadd_model *model, size_t pointer, uint32_t index)
{
	const uint32_t *words = model->words + pointer / 4;

	return ((uint64_t)words[1] << 32 | words[0]) + (uint64_t)index * sizeof(uint32_t);
}

static inline int vadd_model_run(void *context, fpgamem_fpga_memory_t *memory)
{
	struct vadd_model *model = context;

	for (uint32_t i = 0; i < model->words[VADD_LENGTH / 4]; i++) {
		uint32_t a, b, sum;

		if (fpgamem_fpga_read(memory, vadd_model_place(model, VADD_A, i), &a, sizeof(a)) ||
		    fpgamem_fpga_read(memory, vadd_model_place(model, VADD_B, i), &b, sizeof(b)))
			return 1;
		sum = a + b;
		if (fpgamem_fpga_write(memory, vadd_model_place(model, VADD_SUM, i), &sum, sizeof(sum)))
			return 1;
	}
	model->done = true;
	model->words[VADD_INTERRUPT_STATUS / 4] |= model->words[VADD_INTERRUPTS / 4] & VADD_DONE;
	return 0;
}

static inline bool vadd_model_interrupt(void *context)
{
	const struct vadd_model *model = context;

	return (model->words[VADD_GLOBAL_INTERRUPT / 4] & 1) && model->words[VADD_INTERRUPT_STATUS / 4];
}

/* What fpgamem_registers_emulated() wants; the model stays where it is until those are closed. */
static inline fpgamem_register_model_t vadd_model(struct vadd_model *model)
{
	return (fpgamem_register_model_t){
		.context = model,
		.bytes = VADD_WINDOW,
		.read = vadd_model_read,
		.write = vadd_model_write,
		.run = vadd_model_run,
		.interrupt = vadd_model_interrupt,
	};
}

#endif
