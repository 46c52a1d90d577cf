// SPDX-License-Identifier: MIT OR Apache-2.0
/* A 32-bit process beside a 64-bit one: what each sees of the other, and what they share. */

#include "check.h"

/* The 64-bit program. */
static const unsigned char peer_program[] = {
#embed PEER
};

struct peer {
	int process;
	int requests, answers;
};

/* Starts a peer, which gets the open file `fd` too. */
static struct peer start_peer(int fd)
{
	struct pipe requests = new_pipe(), answers = new_pipe();
	struct peer peer = { .requests = requests.to, .answers = answers.from };
	const char *arguments[] = { "peer", NULL };

	peer.process = start_child();
	if (!peer.process) {
		long file = system_call(SYS_MEMFD_CREATE, (long)"peer", 0, 0, 0, 0, 0);
		/* Out of the way of the numbers that the peer knows. */
		const int from[] = { requests.from, answers.to, fd, (int)file };

		EXPECT(write_file((int)file, peer_program, sizeof(peer_program)),
		       sizeof(peer_program));
		for (int i = 0; i < 4; i++)
			EXPECT(system_call(SYS_DUP2, from[i], 20 + i, 0, 0, 0, 0), 20 + i);
		for (int i = 0; i < 3; i++)
			EXPECT(system_call(SYS_DUP2, 20 + i, PEER_REQUESTS + i, 0, 0, 0, 0),
			       PEER_REQUESTS + i);
		/* So that it notices when this process ends. */
		for (int i = PEER_NODE + 1; i < 23; i++)
			system_call(SYS_CLOSE, i, 0, 0, 0, 0, 0);
		EXPECT(system_call(SYS_EXECVEAT, 23, (long)"", (long)arguments, 0, AT_EMPTY_PATH,
				   0),
		       0);
	}
	system_call(SYS_CLOSE, requests.from, 0, 0, 0, 0, 0);
	system_call(SYS_CLOSE, answers.to, 0, 0, 0, 0, 0);
	return peer;
}

static struct peer_message ask(const struct peer *peer, struct peer_message message)
{
	EXPECT(write_file(peer->requests, &message, sizeof(message)), sizeof(message));
	EXPECT(read_file(peer->answers, &message, sizeof(message)), sizeof(message));
	return message;
}

static void end_peer(const struct peer *peer)
{
	system_call(SYS_CLOSE, peer->requests, 0, 0, 0, 0, 0);
	EXPECT(end_of(peer->process), 0);
}

static void memory_of_a_64_bit_process_is_a_fault(void)
{
	int fd = node(NODE);
	struct peer peer = start_peer(fd);
	struct peer_message where = ask(&peer, (struct peer_message){ .kind = PEER_WHERE });
	uint64_t flushed = FLUSHED, invalidated = INVALIDATED;
	struct fpgamem_phys_to_user locate = { .phys_addr = where.phys_addr };

	EXPECT(where.result, 0);
	/* It lies where no pointer of this process reaches. */
	EXPECT(where.user_addr >> 32 != 0, true);
	for (int cut = 0; cut < 2; cut++) {
		uint64_t addr = cut ? (uint32_t)where.user_addr : where.user_addr;
		struct fpgamem_user_to_phys place = { .user_addr = addr };
		struct fpgamem_range range = { .addr = addr, .len = LINE };
		struct fpgamem_set_owner owner = { .addr = addr, .owner = FPGAMEM_OWNER_DEVICE };
		struct fpgamem_sync vector = {
			.ranges = (uintptr_t)&range,
			.count = 1,
			.op = FPGAMEM_SYNC_INVALIDATE,
		};

		EXPECT(ioctl(fd, FPGAMEM_IOC_USER_TO_PHYS, &place), -EFAULT);
		EXPECT(ioctl(fd, FPGAMEM_IOC_FLUSH, &range), -EFAULT);
		EXPECT(ioctl(fd, FPGAMEM_IOC_INVALIDATE, &range), -EFAULT);
		EXPECT(ioctl(fd, FPGAMEM_IOC_SYNC, &vector), -EFAULT);
		EXPECT(ioctl(fd, FPGAMEM_IOC_SET_OWNER, &owner), -EFAULT);
	}
	EXPECT(ioctl(fd, FPGAMEM_IOC_PHYS_TO_USER, &locate), -EFAULT);
	EXPECT(FLUSHED, flushed);
	EXPECT(INVALIDATED, invalidated);
	end_peer(&peer);
}

static void memory_of_this_process_is_a_fault_to_a_64_bit_one(void)
{
	int fd = node(NODE);
	unsigned char *at = mapped(fd, BLOCK, 0);
	uint64_t phys_addr = place_of(fd, at).phys_addr, flushed;
	struct peer peer = start_peer(fd);
	struct peer_message message = { .user_addr = (uintptr_t)at, .phys_addr = phys_addr };

	flushed = FLUSHED;
	for (uint32_t kind = PEER_USER_TO_PHYS; kind <= PEER_FLUSH; kind++) {
		message.kind = kind;
		EXPECT(ask(&peer, message).result, -EFAULT);
	}
	EXPECT(FLUSHED, flushed);
	end_peer(&peer);
}

static void neighbours_keep_their_bytes(void)
{
	int fd = node(NODE);
	struct peer peer = start_peer(fd);
	struct peer_message where = ask(&peer, (struct peer_message){ .kind = PEER_WHERE });
	unsigned char *at = mapped(fd, PEER_BYTES, 0);
	uint64_t phys_addr = place_of(fd, at).phys_addr;

	EXPECT(phys_addr + PEER_BYTES <= where.phys_addr ||
		       where.phys_addr + PEER_BYTES <= phys_addr,
	       true);
	EXPECT(is_filled(at, PEER_BYTES, 0), true);
	fill(at, PEER_BYTES, 0x5a);
	EXPECT(ask(&peer, (struct peer_message){ .kind = PEER_CHECK }).result, 0);
	end_peer(&peer);
	EXPECT(is_filled(at, PEER_BYTES, 0x5a), true);
	/* Nothing is left of what it wrote. */
	EXPECT(stat("blocks_used"), PEER_BYTES / BLOCK);
	EXPECT(is_filled(mapped(fd, 2 * PEER_BYTES, 0), 2 * PEER_BYTES, 0), true);
}

static void both_share_an_open_file_with_its_handles(void)
{
	int fd = node(NODE);
	volatile uint32_t *words = (volatile uint32_t *)mapped(fd, PAGE,
							       FPGAMEM_MMAP_STATUS_OFFSET);
	struct fpgamem_alloc buffer = allocated(fd, 2 * BLOCK);
	volatile uint32_t *at = (volatile uint32_t *)mapped(fd, 2 * BLOCK, buffer.mmap_offset);
	struct fpgamem_free drop = { .handle = buffer.handle };
	struct peer peer = start_peer(fd);
	struct peer_message query = { .kind = PEER_QUERY, .handle = buffer.handle };
	struct peer_message map = { .kind = PEER_MAP, .bytes = BLOCK };
	struct peer_message exchange = { .kind = PEER_EXCHANGE };
	uint64_t before = stat("quarantined");

	query = ask(&peer, query);
	EXPECT(query.result, 0);
	EXPECT(query.phys_addr, buffer.phys_addr);
	EXPECT(query.bytes, 2 * BLOCK);

	map.offset = buffer.mmap_offset + BLOCK;
	map = ask(&peer, map);
	EXPECT(map.result, 0);
	EXPECT(map.user_addr >> 32 != 0, true);
	EXPECT(map.phys_addr, buffer.phys_addr + BLOCK);
	at[BLOCK / 4 + 1] = 0x12345678;
	exchange.user_addr = map.user_addr + 4;
	exchange.word = 0x87654321;
	EXPECT(ask(&peer, exchange).result, 0x12345678);
	EXPECT(at[BLOCK / 4 + 1], 0x87654321);

	/* What one marks for the device is quarantined when the other drops the handle. */
	map = (struct peer_message){
		.kind = PEER_MAP,
		.bytes = PAGE,
		.offset = FPGAMEM_MMAP_STATUS_OFFSET,
	};
	map = ask(&peer, map);
	EXPECT(map.result, 0);
	exchange.user_addr = map.user_addr + 4 * buffer.status_slot;
	exchange.word = 1;
	EXPECT(ask(&peer, exchange).result, 0);
	EXPECT(words[buffer.status_slot], 1);
	end_peer(&peer);
	EXPECT(unmap((void *)at, 2 * BLOCK), 0);
	EXPECT(ioctl(fd, FPGAMEM_IOC_FREE, &drop), 0);
	EXPECT(stat("quarantined") - before, 1);
}

const struct test isolation_tests[] = {
	{ "memory_of_a_64_bit_process_is_a_fault", memory_of_a_64_bit_process_is_a_fault },
	{ "memory_of_this_process_is_a_fault_to_a_64_bit_one",
	  memory_of_this_process_is_a_fault_to_a_64_bit_one },
	{ "neighbours_keep_their_bytes", neighbours_keep_their_bytes },
	{ "both_share_an_open_file_with_its_handles", both_share_an_open_file_with_its_handles },
	{},
};
