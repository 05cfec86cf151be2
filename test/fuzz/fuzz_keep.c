/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no file of templates, options data or waiting sets crashes the next life, and what it takes of one is sound: it is kept
 * again, taken again and kept the same, within its limits, and each set of it is counted.
 * Method: the first octet says of which kind the file is, and whether the rest is a file as it is, or the entries of one or two
 * batches whose checksums are put right.  After it a template comes for the sets that wait.  One input in eight is read
 * with allocations that fail.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/must.h"
#include "base/utf8.h"
#include "base/wr.h"
#include "collector/keep.h"
#include "collector/keep_in.h"
#include "daemon/journal.h"
#include "normalizer/announce.h"
#include "normalizer/join.h"
#include "test/fuzz/alloc.h"

#define HOW_KIND 0x03 /* 0: templates; 1: options data; 2: sets; 3: announced elements */
#define HOW_BATCH 0x04
#define HOW_BATCHES 0x08
#define LINE "sluice fuzz "
#define REAL_MS INT64_C(1767593600000)
#define JOINS_MAX 8
#define ANNOUNCE_MAX 8
#define FILE_BYTES_MAX (1u << 16)
#define MARK_WORDS (KEEP_MARKS / 64)

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

enum kind { TMPLS, JOIN, HELD, ANNOUNCED };

static const size_t id_bytes[] = { KEEP_KEY_BYTES, JOIN_ID_BYTES, KEEP_NUMBER_BYTES,
				   KEEP_KEY_BYTES };
static uint64_t marks[MARK_WORDS];

/* A life that reads and keeps. */
struct life {
	struct collector *collector;
	struct stat_set *stat;
	struct chain order;
	enum kind kind;
	struct keep_now now;
	uint64_t *words; /* marks of sets; NULL: none */
};

static void tmpl_new_seen(void *ctx, struct session *s, struct tmpl *t)
{
	(void)ctx;
	(void)s;
	must(t->min_bytes > 0);
}

static void tmpl_gone_seen(void *ctx, struct tmpl *t)
{
	(void)ctx;
	(void)t;
}

static void session_gone_seen(void *ctx, struct session *s)
{
	(void)ctx;
	join_free(s->join);
	s->join = NULL;
	announce_free(s->announce);
	s->announce = NULL;
}

static void message_edge(void *ctx, const struct message *m, struct session *s)
{
	(void)ctx;
	(void)s;
	must(m->origin != NULL);
}

/* Every octet is read, so that a sanitizer sees one too far. */
static void read_all(const struct record *r, size_t count)
{
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		for (uint32_t n = 0; n < r[i].bytes; n++)
			sum = (uint8_t)(sum + r[i].octets[n]);
	}
}

static size_t records(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		      const struct record *r, size_t count, enum collector_stat *reason)
{
	(void)ctx;
	(void)m;
	(void)s;
	(void)t;
	(void)reason;
	read_all(r, count);
	return 0;
}

static void options(void *ctx, const struct message *m, struct session *s, struct tmpl *t,
		    const struct record *r, size_t count)
{
	(void)ctx;
	(void)m;
	(void)s;
	(void)t;
	read_all(r, count);
}

static const struct collector_ops ops = {
	.tmpl_new = tmpl_new_seen,
	.tmpl_gone = tmpl_gone_seen,
	.session_gone = session_gone_seen,
	.message_begin = message_edge,
	.records = records,
	.options = options,
	.message_end = message_edge,
};

static void close_life(struct life *l)
{
	collector_free(l->collector);
	stat_set_free(l->stat);
}

static bool open_life(struct life *l, enum kind kind)
{
	static const struct collector_limits limits = { .sessions_max = 4,
							.templates_max = 4,
							.fields_max = 64,
							.repeats_max = 16,
							.template_lifetime_s = 1800,
							.session_idle_s = 3600,
							.hold_s = 30,
							.hold_session_bytes = 1u << 16,
							.hold_bytes = 1u << 17 };

	*l = (struct life){ .kind = kind, .now = { REAL_MS, clock_mono_ms() } };
	if (stat_set_new(collector_stat_descs, COLLECTOR_STAT_COUNT, &l->stat) != ERR_OK ||
	    collector_new(&limits, &ops, l, l->stat, &l->collector) != ERR_OK) {
		must(alloc_failures() > 0);
		close_life(l);
		return false;
	}
	return true;
}

static void take_join(struct life *l, struct rd entry)
{
	struct session_key key;
	struct join_home home;
	int64_t boot_ms = 0;
	struct session *s;
	struct addr peer;

	if (!keep_take_key(&entry, &peer, &key))
		return;
	s = collector_restore_session(l->collector, &key, &peer);
	if (s == NULL)
		return;
	home = (struct join_home){ &l->order, s };
	(void)join_restore(&s->join, &home, entry, JOINS_MAX, &boot_ms);
	must(join_count(s->join) <= JOINS_MAX);
	must(boot_ms >= 0);
}

static void take_announced(struct life *l, struct rd entry)
{
	struct announce_home home;
	struct session_key key;
	struct session *s;
	struct addr peer;

	if (!keep_take_key(&entry, &peer, &key))
		return;
	s = collector_restore_session(l->collector, &key, &peer);
	if (s == NULL)
		return;
	home = (struct announce_home){ &l->order, s };
	(void)announce_restore(&s->announce, &home, entry, ANNOUNCE_MAX);
	must(announce_count(s->announce) <= ANNOUNCE_MAX);
}

static void take_entry(void *ctx, struct rd entry)
{
	struct life *l = ctx;
	struct addr peer;

	if (l->kind == TMPLS && keep_peer(entry, &peer) == ERR_OK)
		(void)keep_take_tmpls(l->collector, entry, &l->now);
	else if (l->kind == HELD && keep_held_peer(entry, &peer) == ERR_OK)
		(void)keep_take_held(l->collector, entry, &l->now);
	else if (l->kind == JOIN)
		take_join(l, entry);
	else if (l->kind == ANNOUNCED)
		take_announced(l, entry);
}

static uint64_t sets_dropped(const struct life *l)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < COLLECTOR_STAT_COUNT; i++) {
		if (strcmp(collector_stat_descs[i].name, "data_sets_dropped") == 0)
			sum += stat_get(l->stat, i);
	}
	return sum;
}

static void check_ledger(const struct life *l)
{
	must(stat_get(l->stat, STAT_SETS_RESTORED) ==
	     stat_get(l->stat, STAT_SETS_HELD_NOW) + stat_get(l->stat, STAT_SETS_HELD_DECODED) +
		     sets_dropped(l));
}

static void keep_all(struct life *l, struct keep *out)
{
	if (l->kind == HELD) {
		keep_use_numbers(l->collector, l->words, 0);
		keep_rewind_held(l->collector);
		while (keep_held(l->collector, &l->now, 100, out) && !out->is_failed)
			;
	} else if (l->kind == TMPLS) {
		while (keep_tmpls(l->collector, &l->now, 100, out) && !out->is_failed)
			;
	} else if (l->kind == ANNOUNCED) {
		while (announce_keep(&l->order, 100, out) && !out->is_failed)
			;
	} else {
		while (join_keep(&l->order, 100, out) && !out->is_failed)
			;
	}
}

static void read_back(struct life *l, const struct journal_found *f)
{
	size_t broken = 0;

	must(journal_last(f, id_bytes[l->kind], take_entry, l, &broken) == ERR_OK ||
	     alloc_failures() > 0);
	check_ledger(l);
}

/* What this life keeps, another takes whole, and keeps as it was. */
static void pass_on(struct life *l)
{
	struct journal_found f = { 0 };
	struct keep kept = { 0 };
	struct keep again = { 0 };
	struct life next;

	keep_all(l, &kept);
	if (!kept.is_failed && kept.bytes > 0 && open_life(&next, l->kind)) {
		next.now = l->now;
		f.entries = rd_of(kept.octets, kept.bytes);
		read_back(&next, &f);
		keep_all(&next, &again);
		must(alloc_failures() > 0 || again.bytes == kept.bytes);
		close_life(&next);
	}
	keep_fini(&kept);
	keep_fini(&again);
}

/* Of id 256 for whoever waits in the session of address 0.0.0.0, port 0, domain 0. */
static void define(struct life *l)
{
	static const uint8_t message[] = { 0, 10, 0, 28, 0x69, 0x5b, 0x5c, 0x80, 0, 0, 0, 0, 0,   0,
					   0, 0,  0, 2,	 0,    12,   1,	   0,	 0, 1, 0, 1, 0, 1 };
	struct origin origin = { .receive_ms = REAL_MS };

	origin.peer.bytes = 4;
	collector_receive(l->collector, message, sizeof(message), &origin);
	check_ledger(l);
	collector_finish(l->collector);
	must(stat_get(l->stat, STAT_SETS_HELD_NOW) == 0);
	for (size_t i = 0; i < MARK_WORDS && l->kind == HELD; i++)
		must(marks[i] == 0);
}

static uint8_t *add_batch(uint8_t *to, uint32_t *crc, const uint8_t *octets, size_t bytes)
{
	struct wr w = wr_of(to, 8);

	wr_u32(&w, (uint32_t)bytes);
	*crc = crc32c(crc32c(*crc, to, 4), octets, bytes);
	wr_u32(&w, *crc);
	memcpy(to + 8, octets, bytes);
	return to + 8 + bytes;
}

/* A file around the octets, or they as they are; its octets. */
static size_t make_file(uint8_t how, const uint8_t *octets, size_t bytes, uint8_t *to)
{
	size_t first = (how & HOW_BATCHES) != 0 ? bytes / 2 : bytes;
	uint8_t *at = to;
	struct wr w;
	uint32_t crc;

	if ((how & (HOW_BATCH | HOW_BATCHES)) == 0) {
		memcpy(to, octets, bytes);
		return bytes;
	}
	at += snprintf((char *)at, 64, "%s%d\n", LINE, JOURNAL_VERSION);
	memset(at, 7, 8);
	at += 8;
	crc = crc32c(0, to, (size_t)(at - to));
	w = wr_of(at, 4);
	wr_u32(&w, crc);
	at = add_batch(at + 4, &crc, octets, first);
	if (first < bytes)
		at = add_batch(at, &crc, octets + first, bytes - first);
	return (size_t)(at - to);
}

static void once(const uint8_t *octets, size_t bytes)
{
	static uint8_t file[FILE_BYTES_MAX + 256];
	static const enum kind kinds[] = { TMPLS, JOIN, HELD, ANNOUNCED };
	struct journal_found f = { 0 };
	uint8_t *copy;
	struct life l;
	size_t n;

	if (bytes == 0 || bytes > FILE_BYTES_MAX)
		return;
	n = make_file(octets[0], octets + 1, bytes - 1, file);
	/* As long as it is, so that a sanitizer sees an octet too far. */
	alloc_pause();
	copy = malloc(n == 0 ? 1 : n);
	must(copy != NULL);
	alloc_resume();
	memcpy(copy, file, n);
	journal_decode(LINE, copy, n, &f);
	must((octets[0] & (HOW_BATCH | HOW_BATCHES)) == 0 || !f.is_broken);
	must(rd_left(&f.entries) <= n);
	if (open_life(&l, kinds[octets[0] & HOW_KIND])) {
		memset(marks, 0, sizeof(marks));
		l.words = marks;
		read_back(&l, &f);
		pass_on(&l);
		define(&l);
		close_life(&l);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	alloc_turns(once, octets, bytes);
	return 0;
}
