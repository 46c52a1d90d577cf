// SPDX-License-Identifier: MIT OR Apache-2.0
/* A 64-bit process with a buffer, which does what 32-bit tests ask it to. */

#include <fpgamem.h>

#include "peer.h"
#include "system.h"

static int node;
static unsigned char *buffer;

static int32_t user_to_phys(struct peer_message *message)
{
	struct fpgamem_user_to_phys request = { .user_addr = message->user_addr };
	long result = ioctl(node, FPGAMEM_IOC_USER_TO_PHYS, &request);

	message->phys_addr = request.phys_addr;
	return (int32_t)result;
}

static int32_t map(struct peer_message *message)
{
	long at = map_file(PEER_NODE, message->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			   message->offset);

	if (is_error(at))
		return (int32_t)at;
	message->user_addr = (uint64_t)at;
	/* The status area is no buffer. */
	user_to_phys(message);
	return 0;
}

static int32_t query(struct peer_message *message)
{
	struct fpgamem_buffer request = { .handle = message->handle };
	long result = ioctl(PEER_NODE, FPGAMEM_IOC_QUERY, &request);

	message->phys_addr = request.phys_addr;
	message->bytes = request.alloc_bytes;
	return (int32_t)result;
}

static int32_t answer(struct peer_message *message)
{
	struct fpgamem_phys_to_user locate = { .phys_addr = message->phys_addr };
	struct fpgamem_range range = { .addr = message->user_addr, .len = 64 };
	volatile uint32_t *word = (volatile uint32_t *)message->user_addr;
	int32_t result;

	switch (message->kind) {
	case PEER_WHERE:
		message->user_addr = (uint64_t)buffer;
		return user_to_phys(message);
	case PEER_CHECK:
		for (unsigned i = 0; i < PEER_BYTES; i++)
			if (buffer[i] != PEER_BYTE)
				return 1;
		return 0;
	case PEER_USER_TO_PHYS:
		return user_to_phys(message);
	case PEER_PHYS_TO_USER:
		result = (int32_t)ioctl(node, FPGAMEM_IOC_PHYS_TO_USER, &locate);
		message->user_addr = locate.user_addr;
		return result;
	case PEER_FLUSH:
		return (int32_t)ioctl(node, FPGAMEM_IOC_FLUSH, &range);
	case PEER_MAP:
		return map(message);
	case PEER_EXCHANGE:
		result = (int32_t)*word;
		*word = message->word;
		return result;
	case PEER_QUERY:
		return query(message);
	default:
		return -ENOTTY;
	}
}

int program(int count, char **arguments)
{
	struct peer_message message;
	long result = open_file("/dev/fpgamem0", O_RDWR);

	(void)count;
	(void)arguments;
	if (result < 0)
		return 2;
	node = (int)result;
	result = map_file(node, PEER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (is_error(result))
		return 3;
	buffer = (unsigned char *)result;
	for (unsigned i = 0; i < PEER_BYTES; i++)
		buffer[i] = PEER_BYTE;
	while (read_file(PEER_REQUESTS, &message, sizeof(message)) == sizeof(message)) {
		message.result = answer(&message);
		if (write_file(PEER_ANSWERS, &message, sizeof(message)) != sizeof(message))
			return 4;
	}
	return 0;
}
