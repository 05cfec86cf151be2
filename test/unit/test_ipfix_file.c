/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each message of an IPFIX file comes out, packed or not, and every octet that is none is said and counted; withdrawals
 * hold in it.
 * Method: a file of five messages, packed by the libraries' own writers in one piece and in several; broken in its middle, cut
 * at every octet and with every octet changed, read whole and through a pipe: messages handed on and stretches skipped must add
 * up to units, and their octets to the file.  A collector reads templates, withdrawals and data.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/log.h"
#include "base/rd.h"
#include "base/wr.h"
#include "collector/collector.h"
#include "collector/replay.h"

#define MESSAGES 5
#define FILE_BYTES (1u << 20)
#define AT_S 1769862896u /* 2026-01-31T12:34:56Z */
#define NONE 99

static uint8_t file_octets[FILE_BYTES];
static uint8_t packed[FILE_BYTES];

/* A header, and what a function puts behind it. */
static void put_message(struct wr *w, uint32_t sequence, const uint8_t *sets, size_t bytes)
{
	wr_u16(w, 10);
	wr_u16(w, (uint16_t)(16 + bytes));
	wr_u32(w, AT_S + sequence);
	wr_u32(w, sequence);
	wr_u32(w, 7);
	wr_bytes(w, sets, bytes);
}

static const uint8_t define_256[] = { 0, 2, 0, 12, 1, 0, 0, 1, 0, 1, 0, 4 };
static const uint8_t data_256[] = { 1, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2 };

/* Five messages of 40 octets: definition and two records each. */
static size_t put_file(void)
{
	struct wr w = wr_of(file_octets, sizeof(file_octets));
	uint8_t sets[sizeof(define_256) + sizeof(data_256)];

	memcpy(sets, define_256, sizeof(define_256));
	memcpy(sets + sizeof(define_256), data_256, sizeof(data_256));
	for (uint32_t i = 0; i < MESSAGES; i++)
		put_message(&w, i, sets, sizeof(sets));
	return wr_used(&w);
}

struct result {
	enum err e;
	struct why why;
	struct stat_set *stat;
	uint64_t calls;
	uint64_t octets;
	uint32_t sequences[MESSAGES + 1];
};

static void take(void *ctx, const uint8_t *octets, size_t bytes, const struct origin *origin)
{
	struct result *r = ctx;

	assert_true(bytes >= 16);
	assert_int_equal(origin->transport, TRANSPORT_FILE);
	assert_int_equal(origin->receive_ms, (int64_t)be32(octets + 4) * 1000);
	assert_int_equal(origin->peer.bytes, 4);
	if (r->calls <= MESSAGES)
		r->sequences[r->calls] = be32(octets + 8);
	r->calls++;
	r->octets += bytes;
}

static int descriptor_of(const uint8_t *octets, size_t bytes)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, octets, bytes), bytes);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void replay(struct result *r, const uint8_t *octets, size_t bytes)
{
	int fd = descriptor_of(octets, bytes);

	memset(r, 0, sizeof(*r));
	assert_int_equal(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &r->stat), ERR_OK);
	r->e = replay_fd(fd, "file", NULL, take, r, r->stat, &r->why);
	(void)close(fd);
	assert_int_equal(stat_get(r->stat, STAT_UNITS_REPLAY),
			 r->calls + stat_get(r->stat, STAT_UNIT_GARBAGE));
	assert_int_equal(stat_get(r->stat, STAT_OCTETS), r->octets);
}

static void end(struct result *r)
{
	stat_set_free(r->stat);
}

static void check_whole(const uint8_t *octets, size_t bytes)
{
	struct result r;

	replay(&r, octets, bytes);
	assert_string_equal(r.why.text, "");
	assert_int_equal(r.e, ERR_OK);
	assert_int_equal(r.calls, MESSAGES);
	assert_int_equal(stat_get(r.stat, STAT_UNIT_GARBAGE), 0);
	for (uint32_t i = 0; i < MESSAGES; i++)
		assert_int_equal(r.sequences[i], i);
	end(&r);
}

static size_t pack_gzip(const uint8_t *octets, size_t bytes, uint8_t *out)
{
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (uint8_t *)octets;
	z.avail_in = (uInt)bytes;
	z.next_out = out;
	z.avail_out = FILE_BYTES / 2;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	return z.total_out;
}

static size_t pack_zstd(const uint8_t *octets, size_t bytes, uint8_t *out)
{
	size_t n = ZSTD_compress(out, FILE_BYTES / 2, octets, bytes, 3);

	assert_false(ZSTD_isError(n));
	return n;
}

typedef size_t pack_fn(const uint8_t *octets, size_t bytes, uint8_t *out);
static pack_fn *const packers[] = { pack_gzip, pack_zstd };

static void messages_in_order(void **state)
{
	(void)state;
	check_whole(file_octets, put_file());
}

static void packed_files(void **state)
{
	size_t bytes = put_file();

	(void)state;
	for (size_t p = 0; p < 2; p++) {
		size_t n = packers[p](file_octets, bytes, packed);

		check_whole(packed, n);
		/* Two members, or frames, that meet within a message. */
		n = packers[p](file_octets, 50, packed);
		n += packers[p](file_octets + 50, bytes - 50, packed + n);
		check_whole(packed, n);
	}
}

/* Zeros behind the last member say nothing, however many; what stands behind them is not read as anything. */
static void padded_gzip(void **state)
{
	static const size_t zeros[] = { 1, 2, 511, 65536, 100000 };
	size_t bytes = put_file();
	size_t n = pack_gzip(file_octets, bytes, packed);
	size_t room = n + 100000 + n;
	uint8_t *padded = calloc(1, room);

	(void)state;
	if (padded == NULL)
		fail_msg("no memory");
	memcpy(padded, packed, n);
	for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++) {
		struct result r;

		check_whole(padded, n + zeros[i]);
		log_set_level(LOG_LEVEL_ERROR);
		memcpy(padded + n + zeros[i], packed, n); /* a member; its first octet alone */
		for (size_t more = 1; more <= n; more += n - 1) {
			replay(&r, padded, n + zeros[i] + more);
			assert_int_equal(r.e, ERR_FORMAT);
			assert_non_null(strstr(r.why.text, "behind the padding"));
			end(&r);
		}
		log_set_level(LOG_LEVEL_INFO);
		memset(padded + n + zeros[i], 0, n);
	}
	free(padded);
}

/* Much more than a page of either side, and that of nothing but one octet. */
static void large_packed_files(void **state)
{
	size_t room = 8u << 20;
	uint8_t *octets = malloc(room);
	uint8_t *out = malloc(room);
	uint64_t count = 0;
	struct wr w;

	(void)state;
	if (octets == NULL || out == NULL)
		fail_msg("no memory");
	w = wr_of(octets, room);
	while (wr_used(&w) + 28 <= room) {
		put_message(&w, (uint32_t)(count * 2654435761u), data_256, sizeof(data_256));
		count++;
	}
	for (size_t p = 0; p < 2; p++) {
		size_t n;
		struct result r;

		if (p == 0) {
			z_stream z = { .next_in = octets, .avail_in = (uInt)wr_used(&w),
				       .next_out = out, .avail_out = (uInt)room };

			assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, 0), Z_OK);
			assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
			n = z.total_out;
			assert_int_equal(deflateEnd(&z), Z_OK);
		} else {
			n = ZSTD_compress(out, room, octets, wr_used(&w), 1);
			assert_false(ZSTD_isError(n));
		}
		replay(&r, out, n);
		assert_int_equal(r.e, ERR_OK);
		assert_int_equal(r.calls, count);
		assert_int_equal(r.octets, wr_used(&w));
		end(&r);
	}
	free(octets);
	free(out);
}

static void broken_packed_files(void **state)
{
	size_t bytes = put_file();

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	for (size_t p = 0; p < 2; p++) {
		size_t n = packers[p](file_octets, bytes, packed);

		for (size_t cut = 4; cut < n; cut++) {
			struct result r;

			replay(&r, packed, cut);
			assert_true(r.e == ERR_TRUNC);
			assert_non_null(strstr(r.why.text, "compressed data"));
			end(&r);
		}
		for (size_t at = 4; at < n; at++) {
			struct result r;

			packed[at] ^= 0x55;
			replay(&r, packed, n);
			assert_true(r.e == ERR_OK || r.why.text[0] != '\0');
			end(&r);
			packed[at] ^= 0x55;
		}
	}
	log_set_level(LOG_LEVEL_INFO);
}

static void octets_between_messages(void **state)
{
	static const struct {
		const char *what;
		size_t at;
		uint64_t value; /* NONE: seven octets are put in */
		uint64_t calls;
		uint64_t garbage;
		uint64_t first_gone;
	} cases[] = {
		{ "length past the file", 42, 0x7f, MESSAGES - 1, 1, 1 },
		{ "length 0", 43, 0, MESSAGES - 1, 1, 1 },
		{ "length a bit more", 43, 60, MESSAGES - 1, 1, 1 },
		{ "another version", 41, 9, MESSAGES - 1, 1, 1 },
		{ "last one's length", 162, 1, MESSAGES - 1, 1, 4 },
		/* Where the next begins shows that the length was right: malformed, for the collector to say. */
		{ "a set's length", 59, 200, MESSAGES, 0, MESSAGES },
		{ "octets put in", 40, NONE, MESSAGES, 1, MESSAGES },
		{ "octets behind", 200, NONE, MESSAGES, 1, MESSAGES },
	};

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t bytes = put_file();
		struct result r;

		if (cases[i].value == NONE) {
			memmove(file_octets + cases[i].at + 7, file_octets + cases[i].at,
				bytes - cases[i].at);
			memset(file_octets + cases[i].at, 0xEE, 7);
			bytes += 7;
		} else {
			file_octets[cases[i].at] = (uint8_t)cases[i].value;
		}
		replay(&r, file_octets, bytes);
		if (r.e != ERR_OK || r.calls != cases[i].calls ||
		    stat_get(r.stat, STAT_UNIT_GARBAGE) != cases[i].garbage)
			fail_msg("%s: %s, %llu messages, %llu skipped", cases[i].what, r.why.text,
				 (unsigned long long)r.calls,
				 (unsigned long long)stat_get(r.stat, STAT_UNIT_GARBAGE));
		for (uint32_t k = 0; k < r.calls; k++)
			assert_int_equal(r.sequences[k], k + (k >= cases[i].first_gone));
		end(&r);
	}
	log_set_level(LOG_LEVEL_INFO);
}

/* A change costs no message but its own and, where it makes its length a sound one, the next. */
static void every_cut_and_change(void **state)
{
	size_t bytes = put_file();
	struct result r;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	for (size_t cut = 20; cut < bytes; cut++) {
		replay(&r, file_octets, cut);
		assert_int_equal(r.e, ERR_OK);
		assert_int_equal(r.calls, cut / 40);
		assert_int_equal(stat_get(r.stat, STAT_UNIT_GARBAGE), cut % 40 != 0);
		end(&r);
	}
	for (size_t at = 4; at < bytes; at++) {
		for (unsigned value = 1; value < 256; value += 7) {
			file_octets[at] ^= (uint8_t)value;
			replay(&r, file_octets, bytes);
			assert_int_equal(r.e, ERR_OK);
			assert_true(r.calls >= MESSAGES - 2);
			end(&r);
			file_octets[at] ^= (uint8_t)value;
		}
	}
	log_set_level(LOG_LEVEL_INFO);
}

/* ---- withdrawals ---------------------------------------------------------------------------- */

static size_t on_records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
			 const struct record *records, size_t count, enum collector_stat *reason)
{
	uint64_t *seen = ctx;

	(void)m;
	(void)s;
	(void)t;
	*reason = STAT_REC_PLAN;
	for (size_t i = 0; i < count; i++)
		*seen += be32(records[i].octets);
	return 0;
}

static void on_options(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		       const struct record *records, size_t count)
{
	(void)ctx;
	(void)m;
	(void)s;
	(void)t;
	(void)records;
	(void)count;
}

static void on_message(void *ctx, const struct message *m, struct session *s)
{
	(void)ctx;
	(void)m;
	(void)s;
}

static void on_tmpl_new(void *ctx, struct session *s, struct tmpl *t)
{
	(void)ctx;
	(void)s;
	(void)t;
}

static void on_tmpl_gone(void *ctx, struct tmpl *t)
{
	(void)ctx;
	(void)t;
}

static void on_session_gone(void *ctx, struct session *s)
{
	(void)ctx;
	(void)s;
}

static const struct collector_ops ops = { .records = on_records,
					  .options = on_options,
					  .message_begin = on_message,
					  .message_end = on_message,
					  .tmpl_new = on_tmpl_new,
					  .tmpl_gone = on_tmpl_gone,
					  .session_gone = on_session_gone };

struct read {
	struct collector *collector;
	struct stat_set *stat;
	uint64_t sum;
};

static void open_read(struct read *r)
{
	static const struct collector_limits limits = { .sessions_max = 10,
							.templates_max = 10,
							.fields_max = 64,
							.repeats_max = 4,
							.template_lifetime_s = 1800,
							.session_idle_s = 3600 };

	r->sum = 0;
	assert_int_equal(stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &r->stat), ERR_OK);
	assert_int_equal(collector_new(&limits, &ops, &r->sum, r->stat, &r->collector), ERR_OK);
}

static void close_read(struct read *r)
{
	collector_free(r->collector);
	stat_set_free(r->stat);
}

static void give(struct read *r, enum transport transport, const uint8_t *sets, size_t bytes)
{
	struct origin origin = { .transport = transport, .receive_ms = (int64_t)AT_S * 1000 };
	uint8_t octets[256];
	struct wr w = wr_of(octets, sizeof(octets));

	origin.peer.bytes = 4;
	put_message(&w, 0, sets, bytes);
	assert_false(w.is_full);
	collector_receive(r->collector, octets, wr_used(&w), &origin);
}

static void withdrawals(void **state)
{
	static const uint8_t options_300[] = { 0, 3, 0, 18, 1, 44, 0, 2, 0, 1, 0, 149, 0, 4, 0, 41, 0, 4 };
	static const struct {
		const char *what;
		uint8_t octets[8];
		uint64_t gone;	  /* templates withdrawn in a file or on a stream */
		uint64_t ignored; /* there */
		uint64_t sum;	  /* of the data behind it, there */
	} cases[] = {
		{ "of one", { 0, 2, 0, 8, 1, 0, 0, 0 }, 1, 0, 0 },
		{ "of an unknown one", { 0, 2, 0, 8, 1, 1, 0, 0 }, 0, 1, 3 },
		{ "of all", { 0, 2, 0, 8, 0, 2, 0, 0 }, 1, 0, 0 },
		{ "of all options", { 0, 3, 0, 8, 0, 3, 0, 0 }, 1, 0, 3 },
		{ "of all, in the other's set", { 0, 3, 0, 8, 0, 2, 0, 0 }, 0, 1, 3 },
		{ "as if it were options", { 0, 3, 0, 8, 1, 0, 0, 0 }, 0, 1, 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (enum transport t = TRANSPORT_UDP; t < TRANSPORT_COUNT; t++) {
			bool holds = t == TRANSPORT_FILE || t == TRANSPORT_TCP;
			struct read r;

			open_read(&r);
			give(&r, t, define_256, sizeof(define_256));
			give(&r, t, options_300, sizeof(options_300));
			give(&r, t, cases[i].octets, sizeof(cases[i].octets));
			give(&r, t, data_256, sizeof(data_256));
			if (stat_get(r.stat, STAT_TEMPLATES_WITHDRAWN) !=
				    (holds ? cases[i].gone : 0) ||
			    stat_get(r.stat, STAT_WITHDRAWALS_IGNORED) !=
				    (holds ? cases[i].ignored : 1) ||
			    r.sum != (holds ? cases[i].sum : 3))
				fail_msg("%s, transport %d: %llu withdrawn, sum %llu", cases[i].what,
					 (int)t,
					 (unsigned long long)stat_get(r.stat,
								      STAT_TEMPLATES_WITHDRAWN),
					 (unsigned long long)r.sum);
			close_read(&r);
		}
	}
}

/* Records that were walked before it are read by what it withdraws, and data behind a new definition by that. */
static void withdrawn_within_a_message(void **state)
{
	uint8_t sets[3 * sizeof(data_256) + 8 + sizeof(define_256)];
	struct wr w = wr_of(sets, sizeof(sets));
	static const uint8_t of_all[] = { 0, 2, 0, 8, 0, 2, 0, 0 };
	struct read r;

	(void)state;
	open_read(&r);
	give(&r, TRANSPORT_FILE, define_256, sizeof(define_256));
	wr_bytes(&w, data_256, sizeof(data_256));
	wr_bytes(&w, of_all, sizeof(of_all));
	wr_bytes(&w, data_256, sizeof(data_256)); /* no template */
	wr_bytes(&w, define_256, sizeof(define_256));
	wr_bytes(&w, data_256, sizeof(data_256));
	give(&r, TRANSPORT_FILE, sets, wr_used(&w));
	assert_int_equal(r.sum, 6);
	assert_int_equal(stat_get(r.stat, STAT_SET_NO_TEMPLATE), 1);
	close_read(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_in_order),
		cmocka_unit_test(packed_files),
		cmocka_unit_test(padded_gzip),
		cmocka_unit_test(large_packed_files),
		cmocka_unit_test(broken_packed_files),
		cmocka_unit_test(octets_between_messages),
		cmocka_unit_test(every_cut_and_change),
		cmocka_unit_test(withdrawals),
		cmocka_unit_test(withdrawn_within_a_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
