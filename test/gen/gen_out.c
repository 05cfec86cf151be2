/* SPDX-License-Identifier: Apache-2.0 */
#include "test/gen/gen_out.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/wr.h"

#define SEND_BUFFER_OCTETS (1 << 20)
#define FRAME_HEAD_OCTETS 42 /* Ethernet 14, IPv4 20, UDP 8 */
#define PCAP_SNAPLEN 262144
#define PCAP_PORT_FIRST 49152
#define PCAP_PORTS 16384
#define SPARE_FILES 16

static enum err raise_file_limit(uint32_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return ERR_IO;
	if (limit.rlim_cur >= wanted + SPARE_FILES)
		return ERR_OK;
	limit.rlim_cur = wanted + SPARE_FILES;
	if (limit.rlim_max < limit.rlim_cur)
		limit.rlim_max = limit.rlim_cur;
	return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? ERR_OK : ERR_IO;
}

static enum err open_socket(const struct gen_out_conf *conf, uint32_t exporter, int *out)
{
	int type = conf->is_stream ? SOCK_STREAM : SOCK_DGRAM;
	int fd = socket(conf->to.ss_family, type | SOCK_CLOEXEC, 0);
	int size = SEND_BUFFER_OCTETS;
	struct sockaddr_in from = { .sin_family = AF_INET };
	int saved;

	if (fd < 0)
		return ERR_IO;
	from.sin_addr.s_addr = htonl(conf->base + exporter);
	if (!conf->is_stream)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* a wish */
	if (conf->base != 0 && bind(fd, (const struct sockaddr *)&from, sizeof(from)) != 0)
		goto fail;
	if (connect(fd, (const struct sockaddr *)&conf->to, conf->to_octets) != 0)
		goto fail;
	*out = fd;
	return ERR_OK;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return ERR_IO;
}

static enum err open_live(struct gen_out *out, const char **what)
{
	const struct gen_out_conf *conf = &out->conf;

	*what = "memory";
	out->fd = malloc(conf->exporters * sizeof(*out->fd));
	out->batch = malloc(GEN_BATCH_MESSAGES * conf->message_octets);
	out->message = calloc(GEN_BATCH_MESSAGES, sizeof(*out->message));
	out->part = calloc(GEN_BATCH_MESSAGES, sizeof(*out->part));
	if (out->fd == NULL || out->batch == NULL || out->message == NULL || out->part == NULL)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < conf->exporters; i++)
		out->fd[i] = -1;
	for (unsigned i = 0; i < GEN_BATCH_MESSAGES; i++) {
		out->part[i].iov_base = out->batch + i * conf->message_octets;
		out->message[i].msg_hdr.msg_iov = &out->part[i];
		out->message[i].msg_hdr.msg_iovlen = 1;
	}
	*what = "the limit of open files";
	TRY(raise_file_limit(conf->exporters));
	*what = "a socket at an exporter's address";
	for (uint32_t i = 0; i < conf->exporters; i++)
		TRY(open_socket(conf, i, &out->fd[i]));
	return ERR_OK;
}

static enum err open_pcap(struct gen_out *out)
{
	const uint32_t head[] = { 0xa1b2c3d4, 4u << 16 | 2, 0, 0, PCAP_SNAPLEN, 1 };

	out->pcap = fopen(out->conf.pcap_path, "wbe");
	if (out->pcap == NULL)
		return ERR_IO;
	(void)setvbuf(out->pcap, NULL, _IOFBF, 1 << 20);
	return fwrite(head, sizeof(head), 1, out->pcap) == 1 ? ERR_OK : ERR_IO;
}

enum err gen_out_open(struct gen_out *out, const struct gen_out_conf *conf, const char **what)
{
	memset(out, 0, sizeof(*out));
	out->conf = *conf;
	if (conf->is_live)
		TRY(open_live(out, what));
	*what = "the capture file";
	return conf->pcap_path != NULL ? open_pcap(out) : ERR_OK;
}

/* RFC 1071 over 16-bit words in the order of the wire. */
static uint64_t sum16(uint64_t sum, const uint8_t *p, size_t count)
{
	for (; count >= 2; p += 2, count -= 2)
		sum += (uint64_t)p[0] << 8 | p[1];
	if (count == 1)
		sum += (uint64_t)p[0] << 8;
	return sum;
}

static uint16_t sum_fold(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void frame_head(const struct gen_out *out, uint32_t exporter, const uint8_t *octets,
		       size_t count, uint8_t head[FRAME_HEAD_OCTETS])
{
	static const uint8_t ethernet[14] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0 };
	struct wr w = wr_of(head, FRAME_HEAD_OCTETS);
	const struct sockaddr_in *to = (const struct sockaddr_in *)(const void *)&out->conf.to;
	uint16_t udp_octets = (uint16_t)(count + 8);
	uint64_t sum;
	uint16_t check;

	wr_bytes(&w, ethernet, sizeof(ethernet));
	wr_u16(&w, 0x4500);
	wr_u16(&w, (uint16_t)(count + 28));
	wr_u16(&w, (uint16_t)out->messages);
	wr_u16(&w, count + 28 <= 1500 ? 0x4000 : 0);
	wr_u16(&w, 64 << 8 | IPPROTO_UDP);
	wr_u16(&w, 0);
	wr_u32(&w, out->conf.base + exporter);
	wr_u32(&w, ntohl(to->sin_addr.s_addr));
	wr_u16(&w, (uint16_t)(PCAP_PORT_FIRST + exporter % PCAP_PORTS));
	wr_u16(&w, ntohs(to->sin_port));
	wr_u16(&w, udp_octets);
	wr_u16(&w, 0);
	check = sum_fold(sum16(0, head + 14, 20));
	w = wr_of(head + 24, 2);
	wr_u16(&w, check);
	sum = sum16(IPPROTO_UDP + (uint64_t)udp_octets, head + 26, 16); /* addresses, UDP header */
	check = sum_fold(sum16(sum, octets, count));
	w = wr_of(head + 40, 2);
	wr_u16(&w, check == 0 ? 0xffff : check);
}

static enum err write_frame(struct gen_out *out, uint32_t exporter, const uint8_t *octets,
			    size_t count, int64_t time_ms)
{
	uint8_t head[FRAME_HEAD_OCTETS];
	uint32_t frame_octets = (uint32_t)(count + sizeof(head));
	uint32_t record[4] = { (uint32_t)(time_ms / 1000), (uint32_t)(time_ms % 1000 * 1000),
			       frame_octets, frame_octets };

	frame_head(out, exporter, octets, count, head);
	if (fwrite(record, sizeof(record), 1, out->pcap) != 1)
		return ERR_IO;
	if (fwrite(head, sizeof(head), 1, out->pcap) != 1)
		return ERR_IO;
	return fwrite(octets, count, 1, out->pcap) == 1 ? ERR_OK : ERR_IO;
}

/* Parts from octet `at` of the batch on, no more than `most` octets; returns how many parts. */
static size_t parts_from(const struct gen_out *out, size_t at, size_t most,
			 struct iovec parts[GEN_BATCH_MESSAGES])
{
	size_t count = 0;

	for (unsigned i = 0; i < out->batch_count && most > 0; i++) {
		const struct iovec *from = &out->part[i];
		size_t octets;

		if (at >= from->iov_len) {
			at -= from->iov_len;
			continue;
		}
		octets = from->iov_len - at < most ? from->iov_len - at : most;
		parts[count].iov_base = (uint8_t *)from->iov_base + at;
		parts[count++].iov_len = octets;
		most -= octets;
		at = 0;
	}
	return count;
}

/* The kernel takes what it has room for; the rest follows. */
static enum err flush_stream(struct gen_out *out)
{
	struct iovec parts[GEN_BATCH_MESSAGES];
	struct msghdr h = { .msg_iov = parts };
	size_t most = out->conf.cut != 0 ? out->conf.cut : SIZE_MAX;
	size_t at = 0;

	while ((h.msg_iovlen = parts_from(out, at, most, parts)) > 0) {
		ssize_t n = sendmsg(out->fd[out->batch_exporter], &h, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return ERR_IO;
		at += n > 0 ? (size_t)n : 0;
	}
	out->batch_count = 0;
	return ERR_OK;
}

enum err gen_out_flush(struct gen_out *out)
{
	static const struct timespec pause = { 0, 100000 };
	unsigned sent = 0;

	if (out->conf.is_stream)
		return flush_stream(out);
	while (sent < out->batch_count) {
		int got = sendmmsg(out->fd[out->batch_exporter], out->message + sent,
				   out->batch_count - sent, 0);

		if (got > 0) {
			sent += (unsigned)got;
		} else if (errno == ECONNREFUSED) { /* an earlier one; now once more */
			out->refused++;
		} else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
			out->retries++;
			(void)nanosleep(&pause, NULL);
		} else if (errno != EINTR) {
			return ERR_IO;
		}
	}
	out->batch_count = 0;
	return ERR_OK;
}

enum err gen_out_push(struct gen_out *out, uint32_t exporter, const uint8_t *octets, size_t count,
		      int64_t time_ms)
{
	if (out->conf.pcap_path != NULL)
		TRY(write_frame(out, exporter, octets, count, time_ms));
	if (out->conf.is_live) {
		if (out->batch_count == GEN_BATCH_MESSAGES || out->batch_exporter != exporter)
			TRY(gen_out_flush(out));
		out->batch_exporter = exporter;
		memcpy(out->part[out->batch_count].iov_base, octets, count);
		out->part[out->batch_count++].iov_len = count;
	}
	out->messages++;
	out->octets += count;
	return ERR_OK;
}

enum err gen_out_close(struct gen_out *out)
{
	enum err e = ERR_OK;

	if (out->pcap != NULL && fclose(out->pcap) != 0)
		e = ERR_IO;
	for (uint32_t i = 0; out->fd != NULL && i < out->conf.exporters; i++)
		if (out->fd[i] >= 0)
			close(out->fd[i]);
	free(out->fd);
	free(out->batch);
	free(out->message);
	free(out->part);
	memset(out, 0, sizeof(*out));
	return e;
}
