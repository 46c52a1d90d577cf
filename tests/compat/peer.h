/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a test asks of a 64-bit process, its peer, over a pipe. */
#ifndef PEER_H
#define PEER_H

#include <stdint.h>

/* The peer's descriptors. The last one is a file of the node that the test has opened. */
#define PEER_REQUESTS 3
#define PEER_ANSWERS 4
#define PEER_NODE 5

/* Bytes of the buffer that the peer holds, and what it fills it with. */
#define PEER_BYTES 65536U
#define PEER_BYTE 0xb4

enum peer_request_kind {
	/* Where the peer's own buffer is: user_addr and phys_addr. */
	PEER_WHERE,
	/* The result is 0 if every byte of that buffer is still PEER_BYTE. */
	PEER_CHECK,
	/* USER_TO_PHYS of user_addr. */
	PEER_USER_TO_PHYS,
	/* PHYS_TO_USER of phys_addr. */
	PEER_PHYS_TO_USER,
	/* FLUSH of the 64 bytes at user_addr. */
	PEER_FLUSH,
	/* Maps `bytes` at `offset` of PEER_NODE: user_addr, and phys_addr where it is a buffer. */
	PEER_MAP,
	/* The result is the 32-bit word at user_addr, which becomes `word`. */
	PEER_EXCHANGE,
	/* QUERY of `handle` on PEER_NODE: phys_addr and bytes. */
	PEER_QUERY,
};

struct peer_message {
	uint32_t kind;
	uint32_t handle;
	uint64_t user_addr;
	uint64_t phys_addr;
	uint64_t offset;
	uint64_t bytes;
	uint32_t word;
	/* 0, a negative errno, or what the request asks for. */
	int32_t result;
};

_Static_assert(sizeof(struct peer_message) == 48, "it is the same in both processes");

#endif
