/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bus master for the examples: a channel of ZynqMP's ZDMA, which UIO offers under the name "zdma", or
 * on an emulated device a model of one. It copies between device addresses as an accelerator would.
 */
#ifndef ZDMA_H
#define ZDMA_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libfpgamem.h>

/* Registers of the channel, as indices of 32-bit words. */
enum {
	ZDMA_ISR = 0x100 / 4,
	ZDMA_SRC = 0x128 / 4,
	ZDMA_DST = 0x138 / 4,
	ZDMA_CTRL2 = 0x200 / 4,
	ZDMA_ISR_ALL = 0xfff,
	ZDMA_ISR_DONE = 1 << 10,
	ZDMA_ISR_FAILED = 0x3f9,
	ZDMA_WINDOW = 0x1000,
};

struct zdma {
	const fpgamem_device_t *emulated;
	volatile uint32_t *registers;
};

/* One copy. */
struct zdma_job {
	uint64_t dst, src;
	uint32_t bytes;
};

static inline bool zdma_map(struct zdma *zdma, int number)
{
	char path[64], name[16] = "";
	void *window;
	FILE *file;
	int fd;

	snprintf(path, sizeof(path), "/sys/class/uio/uio%d/name", number);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = '\0';
	fclose(file);
	if (strcmp(name, "zdma\n") != 0)
		return false;
	snprintf(path, sizeof(path), "/dev/uio%d", number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	window = mmap(NULL, ZDMA_WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (window == MAP_FAILED)
		return false;
	zdma->registers = (volatile uint32_t *)window;
	return true;
}

/* Finds the channel that belongs to the device; false if there is none. */
static inline bool zdma_open(struct zdma *zdma, const fpgamem_device_t *device)
{
	zdma->emulated = fpgamem_is_emulated(device) ? device : NULL;
	zdma->registers = NULL;
	if (zdma->emulated)
		return true;
	for (int number = 0; number < 16; number++)
		if (zdma_map(zdma, number))
			return true;
	return false;
}

/* What the emulated channel does: bytes pass through it in bursts. */
static inline int zdma_model(void *context, fpgamem_fpga_memory_t *memory)
{
	const struct zdma_job *job = (const struct zdma_job *)context;
	unsigned char burst[64];

	for (uint32_t done = 0; done < job->bytes;) {
		uint32_t rest = job->bytes - done;
		size_t len = rest < sizeof(burst) ? rest : sizeof(burst);

		if (fpgamem_fpga_read(memory, job->src + done, burst, len) ||
		    fpgamem_fpga_write(memory, job->dst + done, burst, len))
			return 1;
		done += (uint32_t)len;
	}
	return 0;
}

static inline void zdma_program(volatile uint32_t *base, uint64_t addr, uint32_t bytes)
{
	base[0] = (uint32_t)addr;
	base[1] = (uint32_t)(addr >> 32);
	base[2] = bytes;
}

/* Copies and waits. When it returns true, the channel has finished with both places. */
static inline bool zdma_copy(struct zdma *zdma, uint64_t dst, uint64_t src, uint32_t bytes)
{
	struct zdma_job job = { dst, src, bytes };
	volatile uint32_t *registers = zdma->registers;
	fpgamem_error_t error;
	uint32_t isr;

	if (zdma->emulated) {
		if (fpgamem_emulated_run(zdma->emulated, zdma_model, &job, &error) == 0)
			return true;
		fprintf(stderr, "zdma: %s\n", error.message);
		return false;
	}
	registers[ZDMA_ISR] = ZDMA_ISR_ALL;
	zdma_program(registers + ZDMA_SRC, src, bytes);
	zdma_program(registers + ZDMA_DST, dst, bytes);
	registers[ZDMA_CTRL2] = 1;
	do
		isr = registers[ZDMA_ISR];
	while (!(isr & (ZDMA_ISR_DONE | ZDMA_ISR_FAILED)));
	if (isr & ZDMA_ISR_FAILED)
		fprintf(stderr, "zdma: the channel reports %#x\n", (unsigned int)isr);
	return !(isr & ZDMA_ISR_FAILED);
}

#endif
