/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_out.h - where messages go: one UDP socket or TCP connection per exporter, a capture file, or both.
 *
 * gen_out_open(); gen_out_push() each message, gen_out_flush() before a pause; gen_out_close().
 * A send that the kernel refuses for now is tried again until it is taken.
 *
 * Owner: the main loop.  Lifetime: the run.
 */
#ifndef TEST_GEN_GEN_OUT_H
#define TEST_GEN_GEN_OUT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/err.h"

#define GEN_BATCH_MESSAGES 64

struct gen_out_conf {
	bool is_live;
	bool is_stream;
	size_t cut; /* octets of a write to a stream, at most; 0: any */
	struct sockaddr_storage to;
	socklen_t to_octets;
	const char *pcap_path; /* NULL: none */
	uint32_t base;	       /* address of exporter 0, host order; 0: whatever the kernel takes */
	uint32_t exporters;
	size_t message_octets;
};

struct gen_out {
	struct gen_out_conf conf;
	int *fd; /* per exporter, -1 when closed */
	FILE *pcap;
	uint8_t *batch; /* GEN_BATCH_MESSAGES buffers */
	struct mmsghdr *message;
	struct iovec *part;
	uint32_t batch_exporter;
	unsigned batch_count;
	uint64_t messages;
	uint64_t octets;
	uint64_t retries; /* sends that the kernel refused for now */
	uint64_t refused; /* times the other side had no socket */
};

/* On failure `what` names it, and errno says how. */
enum err gen_out_open(struct gen_out *out, const struct gen_out_conf *conf, const char **what);
enum err gen_out_push(struct gen_out *out, uint32_t exporter, const uint8_t *octets, size_t count,
		      int64_t time_ms);
enum err gen_out_flush(struct gen_out *out);
/* ERR_IO when the capture could not be written. */
enum err gen_out_close(struct gen_out *out);

#endif
