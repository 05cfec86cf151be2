/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/udp_steer.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <string.h>

#include "base/rd.h"
#include "collector/udp.h"

#define FOLD 0x9E3779B1u /* 2^32 / golden ratio, odd */
/* Finalizer of MurmurHash3 (public domain): neighbours in a network land on all workers. */
#define MIX_1 0x85EBCA6Bu
#define MIX_2 0xC2B2AE35u

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

unsigned udp_owner(const struct addr *peer, unsigned worker_count)
{
	uint32_t h;

	if (worker_count < 2)
		return 0;
	if (peer->bytes != 16) {
		h = be32(peer->octets);
	} else if (memcmp(peer->octets, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		h = be32(peer->octets + 12);
	} else {
		h = be32(peer->octets) * FOLD ^ be32(peer->octets + 4);
		h = h * FOLD ^ be32(peer->octets + 8);
		h = h * FOLD ^ be32(peer->octets + 12);
	}
	h = (h ^ h >> 16) * MIX_1;
	h = (h ^ h >> 13) * MIX_2;
	h ^= h >> 16;
	return h % worker_count;
}

/* Loads from the IP header: the program's own data starts at the UDP payload. */
#define NET(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_NET_OFF + (at)))
#define ALU(op, k) BPF_STMT(BPF_ALU | (op) | BPF_K, (k))
#define TO_X BPF_STMT(BPF_MISC | BPF_TAX, 0)
#define XOR_X BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0)
#define JUMP(count) BPF_STMT(BPF_JMP | BPF_JA, (count))
#define IF_EQUAL(k, skip_true, skip_false)                                                         \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (skip_true), (skip_false))

enum err udp_steer_attach(int fd, unsigned worker_count)
{
	/* A load that fails ends the program with 0: worker 0 hands the stray over. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
		IF_EQUAL(ETH_P_IP, 0, 2),
		NET(12),
		JUMP(21),
		NET(8),
		IF_EQUAL(0, 0, 6), /* IPv4-mapped? */
		NET(12),
		IF_EQUAL(0, 0, 4),
		NET(16),
		IF_EQUAL(0xffff, 0, 2),
		NET(20),
		JUMP(13),
		NET(8),
		ALU(BPF_MUL, FOLD),
		TO_X,
		NET(12),
		XOR_X,
		ALU(BPF_MUL, FOLD),
		TO_X,
		NET(16),
		XOR_X,
		ALU(BPF_MUL, FOLD),
		TO_X,
		NET(20),
		XOR_X,
		TO_X,
		ALU(BPF_RSH, 16),
		XOR_X,
		ALU(BPF_MUL, MIX_1),
		TO_X,
		ALU(BPF_RSH, 13),
		XOR_X,
		ALU(BPF_MUL, MIX_2),
		TO_X,
		ALU(BPF_RSH, 16),
		XOR_X,
		ALU(BPF_MOD, worker_count),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) != 0)
		return ERR_IO;
	return ERR_OK;
}
