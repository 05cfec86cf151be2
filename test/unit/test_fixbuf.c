/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: libfixbuf cuts a record into the same octets as we do, for any template, and refuses what
 * is not a whole record without harm to the next one.
 * Method: a table of templates for what libfixbuf must not be given; then random templates of known
 * and unknown elements, natural, reduced, wrong, absent and variable lengths, with random records;
 * each record also cut off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/wr.h"
#include "collector/fixbuf_model.h"
#include "collector/fixbuf_session.h"

#define ELEMENTS "templates/elements"
#define RECORD_ROOM 70000
#define FIELDS_MAX 1100
#define ROUNDS 1500
#define RECORDS 4
#define POOL_MAX 8192
#define F(pen, id, bytes)                                                                          \
	{                                                                                          \
		pen, id, bytes, false                                                              \
	}

struct pool {
	struct tmpl_field fields[POOL_MAX]; /* natural lengths */
	size_t count;
};

static uint64_t random_state = 0x5117CE;
static struct pool pool;

static uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % n;
}

static struct fixbuf *new_fixbuf(void)
{
	struct fixbuf *fb = NULL;
	struct why why = { "" };

	if (fixbuf_new(ELEMENTS, &why, &fb) != ERR_OK)
		fail_msg("%s", why.text);
	return fb;
}

static enum err take(void *ctx, const struct fixbuf_element *e)
{
	struct pool *p = ctx;

	must(p->count < POOL_MAX);
	p->fields[p->count++] = (struct tmpl_field){
		.pen = e->pen,
		.id = e->pen == PEN_V9 ? (uint16_t)(e->id | V9_ENTERPRISE_BIT) : e->id,
		.bytes = e->natural_bytes == 0 ? TMPL_VARIABLE : e->natural_bytes,
	};
	return ERR_OK;
}

static int fill_pool(void **state)
{
	struct fixbuf_model *m;

	(void)state;
	if (fixbuf_model_load(ELEMENTS, NULL, &m) != ERR_OK)
		return -1;
	(void)fixbuf_model_each(m, take, &pool);
	fixbuf_model_free(m);
	return 0;
}

static uint8_t *new_record(void)
{
	uint8_t *record = malloc(RECORD_ROOM);

	must(record != NULL);
	return record;
}

/* Random octets for a record of the template; variable lengths are those of `lengths`, in turn. */
static size_t fill_record(const struct tmpl *t, uint8_t *record, const uint16_t *lengths,
			  size_t length_count, uint32_t *turn)
{
	struct wr w = wr_of(record, RECORD_ROOM);

	for (uint16_t i = 0; i < t->field_count; i++) {
		uint32_t bytes = t->fields[i].bytes;
		uint8_t *at;

		if (bytes == TMPL_VARIABLE) {
			bytes = lengths[(*turn)++ % length_count];
			/* RFC 7011, 7: the long form is allowed for any length. */
			if (bytes < 255 && *turn % 3 != 0) {
				wr_u8(&w, (uint8_t)bytes);
			} else {
				wr_u8(&w, 255);
				wr_u16(&w, (uint16_t)bytes);
			}
		}
		at = wr_take(&w, bytes);
		must(at != NULL);
		for (uint32_t k = 0; k < bytes; k++)
			at[k] = (uint8_t)random_below(256);
	}
	return wr_used(&w);
}

/* The record in memory of its own size, so that a sanitizer sees reading behind it. */
static void check_record(struct fixbuf_tmpl *ft, const struct tmpl *t, const uint8_t *record,
			 size_t bytes)
{
	static struct value ours[FIELDS_MAX];
	static struct value theirs[FIELDS_MAX];
	uint8_t *copy = malloc(bytes);
	enum err e;

	must(copy != NULL && t->field_count <= FIELDS_MAX);
	memcpy(copy, record, bytes);
	assert_int_equal(tmpl_record_bytes(t, copy, bytes), bytes);
	tmpl_cut(t, copy, bytes, ours);
	e = fixbuf_decode(ft, copy, bytes, theirs);
	if (e != ERR_OK)
		fail_msg("a whole record of %zu octets is refused: %s", bytes, err_text(e));
	for (uint16_t i = 0; i < t->field_count; i++) {
		if (theirs[i].octets == NULL || theirs[i].bytes != ours[i].bytes ||
		    memcmp(theirs[i].octets, ours[i].octets, ours[i].bytes) != 0)
			fail_msg("field %u, element %u of %u in %u octets: %u octets differ", i,
				 t->fields[i].id, t->fields[i].pen, t->fields[i].bytes,
				 theirs[i].bytes);
	}
	free(copy);
}

static void check_cut(struct fixbuf_tmpl *ft, const uint8_t *record, size_t bytes)
{
	static struct value values[FIELDS_MAX];
	uint8_t *copy = malloc(bytes + 1);
	enum err e;

	must(copy != NULL);
	memcpy(copy, record, bytes);
	e = fixbuf_decode(ft, copy, bytes, values);
	if (e != ERR_TRUNC)
		fail_msg("a record cut to %zu octets: %s", bytes, err_text(e));
	free(copy);
}

static struct tmpl *new_tmpl(const struct tmpl_field *fields, uint16_t count)
{
	struct tmpl *t;

	must(tmpl_new(count, &t) == ERR_OK);
	memcpy(t->fields, fields, count * sizeof(*fields));
	t->version = VERSION_IPFIX;
	if (tmpl_finish(t) != ERR_OK) {
		tmpl_free(t);
		return NULL;
	}
	return t;
}

static const struct {
	const char *name;
	struct tmpl_field fields[12];
	uint16_t count;
	uint16_t scope_count;
} traps[] = {
	{ "natural",
	  { F(0, 8, 4), F(0, 12, 4), F(0, 1, 8), F(0, 27, 16), F(0, 56, 6),
	    F(0, 82, TMPL_VARIABLE) },
	  6,
	  0 },
	{ "times", { F(0, 150, 4), F(0, 152, 8), F(0, 154, 8), F(0, 156, 8) }, 4, 0 },
	{ "reduced",
	  { F(0, 1, 1), F(0, 1, 3), F(0, 1, 5), F(0, 1, 7), F(0, 2, 4), F(0, 311, 4), F(0, 10, 3) },
	  7,
	  0 },
	{ "no octets", { F(0, 82, 0), F(0, 8, 0), F(0, 1, 0), F(0, 4, 1), F(0, 276, 0) }, 5, 0 },
	{ "wrong lengths",
	  { F(0, 8, 3), F(0, 27, 15), F(0, 27, 17), F(0, 4, 2), F(0, 1, 9), F(0, 56, 5),
	    F(0, 150, 8), F(0, 276, 4), F(0, 311, 6), F(0, 8, 40) },
	  10,
	  0 },
	{ "variable numbers",
	  { F(0, 8, TMPL_VARIABLE), F(0, 1, TMPL_VARIABLE), F(0, 150, TMPL_VARIABLE) },
	  3,
	  0 },
	{ "repeats",
	  { F(0, 8, 4), F(0, 8, 4), F(0, 8, 3), F(0, 8, 4), F(0, 82, TMPL_VARIABLE), F(0, 82, 7),
	    F(0, 82, TMPL_VARIABLE), F(0, 210, 1), F(0, 210, 2) },
	  9,
	  0 },
	{ "lists",
	  { F(0, 291, TMPL_VARIABLE), F(0, 292, TMPL_VARIABLE), F(0, 293, TMPL_VARIABLE),
	    F(0, 291, 5), F(6871, 938, TMPL_VARIABLE), F(6871, 938, 8),
	    F(29305, 291, TMPL_VARIABLE) },
	  7,
	  0 },
	{ "unknown",
	  { F(424242, 1, 4), F(424242, 32767, TMPL_VARIABLE), F(0, 30000, 2), F(0, 0, 4),
	    F(9, 0, 1), F(0xFFFFFFFF, 5, 2) },
	  6,
	  0 },
	/* Also the numbers that are ours, claimed by an exporter. */
	{ "pseudo enterprises",
	  { F(PEN_V9, 33000, 12), F(PEN_V9, 56701, 9), F(PEN_V9, 57471, 2), F(PEN_V9, 232, 3),
	    F(PEN_V9_SCOPE, 1, 4), F(PEN_V9_SCOPE, 65535, 4), F(0xFFFFFF0B, 0, 4),
	    F(0xFFFFFF0B, 7, 2) },
	  8,
	  0 },
	{ "options", { F(0, 149, 4), F(0, 82, 8), F(0, 34, 4) }, 3, 1 },
	{ "all scope", { F(0, 149, 4), F(0, 82, TMPL_VARIABLE) }, 2, 2 },
	{ "scope beyond its fields", { F(0, 149, 4) }, 1, 9 },
	{ "reverse",
	  { F(29305, 1, 8), F(29305, 2, 4), F(29305, 148, 8), F(6871, 16397, 8) },
	  4,
	  0 },
};

static void test_traps(void **state)
{
	static const uint16_t lengths[] = { 0, 1, 254, 255, 256, 1000, 7 };
	struct fixbuf *fb = new_fixbuf();
	uint8_t *record = new_record();
	uint32_t turn = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(traps) / sizeof(traps[0]); i++) {
		struct tmpl *t = new_tmpl(traps[i].fields, traps[i].count);
		struct fixbuf_tmpl *ft = NULL;

		assert_non_null(t);
		t->is_options = traps[i].scope_count > 0;
		t->scope_count = traps[i].scope_count;
		if (fixbuf_tmpl_make(fb, t, &ft) != ERR_OK)
			fail_msg("template '%s' is refused", traps[i].name);
		for (int n = 0; n < 30; n++) {
			size_t bytes = fill_record(t, record, lengths, 7, &turn);

			check_record(ft, t, record, bytes);
			for (size_t cut = 0; n < 7 && cut < bytes; cut++)
				check_cut(ft, record, cut);
			check_record(ft, t, record, bytes);
		}
		fixbuf_tmpl_free(ft);
		tmpl_free(t);
	}
	free(record);
	fixbuf_free(fb);
}

static uint16_t random_length(uint16_t natural)
{
	switch (random_below(6)) {
	case 0:
		return TMPL_VARIABLE;
	case 1:
		return (uint16_t)random_below(20);
	case 2:
		return natural == TMPL_VARIABLE ? (uint16_t)random_below(64)
						: (uint16_t)random_below(natural + 1u);
	default:
		return natural;
	}
}

static struct tmpl_field random_field(void)
{
	struct tmpl_field f = pool.fields[random_below((uint32_t)pool.count)];
	static const uint32_t pens[] = { 0, 9, PEN_NTOP, PEN_REVERSE, 6871, 1, 0xFFFFFF0B };

	if (random_below(5) == 0) {
		f.pen = pens[random_below(7)];
		f.id = (uint16_t)random_below(32768);
	}
	f.bytes = random_length(f.bytes);
	return f;
}

static struct tmpl *random_tmpl(void)
{
	struct tmpl_field fields[64] = { F(0, 0, 0) };
	uint16_t count = (uint16_t)(1 + random_below(40));

	for (uint16_t i = 0; i < count; i++) {
		fields[i] =
			i > 0 && random_below(8) == 0 ? fields[random_below(i)] : random_field();
		if (random_below(16) == 0)
			fields[i].bytes = random_length(fields[i].bytes);
	}
	return new_tmpl(fields, count);
}

static void check_random(struct fixbuf *fb, uint8_t *record)
{
	static const uint16_t lengths[] = { 0, 3, 254, 255, 1000, 16, 1 };
	struct tmpl *t = random_tmpl();
	struct fixbuf_tmpl *ft = NULL;
	uint32_t turn = random_below(100);

	/* Fields without octets only. */
	if (t == NULL)
		return;
	t->scope_count = (uint16_t)random_below(t->field_count + 1u);
	t->is_options = t->scope_count > 0;
	assert_int_equal(fixbuf_tmpl_make(fb, t, &ft), ERR_OK);
	for (int n = 0; n < RECORDS; n++) {
		size_t bytes = fill_record(t, record, lengths, 7, &turn);

		check_record(ft, t, record, bytes);
		check_cut(ft, record, random_below((uint32_t)bytes));
		check_cut(ft, record, bytes - 1);
	}
	fixbuf_tmpl_free(ft);
	tmpl_free(t);
}

static void test_random(void **state)
{
	struct fixbuf *fb = new_fixbuf();
	uint8_t *record = new_record();

	(void)state;
	for (int round = 0; round < ROUNDS; round++)
		check_random(fb, record);
	free(record);
	fixbuf_free(fb);
}

/* Every element that there is, in its natural length and in one that is not. */
static void test_every_element(void **state)
{
	static const uint16_t lengths[] = F(0, 9, 300);
	struct fixbuf *fb = new_fixbuf();
	uint8_t *record = new_record();
	uint32_t turn = 0;

	(void)state;
	for (size_t i = 0; i + 2 <= pool.count; i += 2) {
		struct tmpl_field fields[4];
		struct fixbuf_tmpl *ft;
		struct tmpl *t;

		for (size_t k = 0; k < 4; k++)
			fields[k] = pool.fields[i + k / 2];
		fields[1].bytes = (uint16_t)(1 + i % 7);
		fields[3].bytes = 11;
		t = new_tmpl(fields, 4);
		assert_int_equal(fixbuf_tmpl_make(fb, t, &ft), ERR_OK);
		check_record(ft, t, record, fill_record(t, record, lengths, 3, &turn));
		fixbuf_tmpl_free(ft);
		tmpl_free(t);
	}
	free(record);
	fixbuf_free(fb);
}

/* More templates than libfixbuf may keep plans for, used in turn, freed in no order. */
static void test_many_templates(void **state)
{
	enum { COUNT = 700 };
	static struct tmpl *tmpls[COUNT];
	static struct fixbuf_tmpl *views[COUNT];
	static const uint16_t lengths[] = { 5 };
	struct fixbuf *fb = new_fixbuf();
	uint8_t *record = new_record();
	uint32_t turn = 0;

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		while ((tmpls[i] = random_tmpl()) == NULL)
			;
		assert_int_equal(fixbuf_tmpl_make(fb, tmpls[i], &views[i]), ERR_OK);
	}
	for (int n = 0; n < 6 * COUNT; n++) {
		int i = n < COUNT ? n : (int)random_below(COUNT);

		if (n > 3 * COUNT && random_below(2) == 0) {
			fixbuf_tmpl_free(views[i]);
			assert_int_equal(fixbuf_tmpl_make(fb, tmpls[i], &views[i]), ERR_OK);
		}
		check_record(views[i], tmpls[i], record,
			     fill_record(tmpls[i], record, lengths, 1, &turn));
	}
	for (int i = 0; i < COUNT; i++) {
		int k = i * 11 % COUNT; /* 11 and COUNT have no common divisor */

		fixbuf_tmpl_free(views[k]);
		tmpl_free(tmpls[k]);
	}
	free(record);
	fixbuf_free(fb);
}

static void test_limits(void **state)
{
	static struct tmpl_field fields[FIELDS_MAX];
	static const uint16_t lengths[] = { 1 };
	static const struct {
		struct tmpl_field field;
		uint16_t count;
		enum err expect;
	} cases[] = {
		{ F(0, 82, FIXBUF_RECORD_MAX), 1, ERR_OK },
		{ F(0, 82, FIXBUF_RECORD_MAX + 1), 1, ERR_LIMIT },
		{ F(0, 82, 40000), 2, ERR_LIMIT },
		{ F(0, 210, 1), FIELDS_MAX, ERR_OK },
		{ F(0, 8, 59), FIELDS_MAX, ERR_OK },
		{ F(0, 8, 60), FIELDS_MAX, ERR_LIMIT },
		{ F(0, 1, 8), FIELDS_MAX, ERR_OK },
		{ F(0, 82, TMPL_VARIABLE), FIELDS_MAX, ERR_OK },
		{ F(424242, 1, 1), FIELDS_MAX, ERR_OK },
	};
	struct fixbuf *fb = new_fixbuf();
	uint8_t *record = new_record();
	uint32_t turn = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixbuf_tmpl *ft = NULL;
		struct tmpl *t;
		enum err e;

		for (uint16_t k = 0; k < cases[i].count; k++)
			fields[k] = cases[i].field;
		t = new_tmpl(fields, cases[i].count);
		assert_non_null(t);
		e = fixbuf_tmpl_make(fb, t, &ft);
		if (e != cases[i].expect)
			fail_msg("case %zu: %s", i, err_text(e));
		if (e == ERR_OK)
			check_record(ft, t, record, fill_record(t, record, lengths, 1, &turn));
		fixbuf_tmpl_free(ft);
		tmpl_free(t);
	}
	free(record);
	fixbuf_free(fb);
}

/* The longest record passes, a longer one does not, and one of no octets does not either. */
static void test_record_lengths(void **state)
{
	static const struct tmpl_field field = F(0, 82, TMPL_VARIABLE);
	static const uint16_t longest[] = { FIXBUF_RECORD_MAX - 3 };
	static const uint16_t longer[] = { FIXBUF_RECORD_MAX - 2 };
	struct fixbuf *fb = new_fixbuf();
	uint8_t *record = new_record();
	struct tmpl *t = new_tmpl(&field, 1);
	struct fixbuf_tmpl *ft = NULL;
	struct value value;
	uint32_t turn = 0;

	(void)state;
	must(record != NULL && t != NULL);
	assert_int_equal(fixbuf_tmpl_make(fb, t, &ft), ERR_OK);
	assert_int_equal(fill_record(t, record, longest, 1, &turn), FIXBUF_RECORD_MAX);
	check_record(ft, t, record, FIXBUF_RECORD_MAX);
	assert_int_equal(fixbuf_decode(ft, record, 0, &value), ERR_TRUNC);
	assert_int_equal(fill_record(t, record, longer, 1, &turn), FIXBUF_RECORD_MAX + 1);
	assert_int_equal(fixbuf_decode(ft, record, FIXBUF_RECORD_MAX + 1, &value), ERR_LIMIT);
	fixbuf_tmpl_free(ft);
	/* Records without octets never end. */
	t->fields[0].bytes = 0;
	t->min_bytes = 0;
	ft = NULL;
	assert_int_equal(fixbuf_tmpl_make(fb, t, &ft), ERR_FORMAT);
	assert_null(ft);
	fixbuf_tmpl_free(NULL);
	tmpl_free(t);
	free(record);
	fixbuf_free(fb);
	fixbuf_free(NULL);
}

static void test_refused_model(void **state)
{
	struct fixbuf *fb = NULL;
	struct why why = { "" };

	(void)state;
	assert_int_equal(fixbuf_new("/no/such/directory", &why, &fb), ERR_IO);
	assert_non_null(strstr(why.text, "/no/such/directory"));
	assert_null(fb);
}

static void *run_worker(void *arg)
{
	const struct tmpl_field fields[] = { { 0, 8, 4, false }, { 0, 82, TMPL_VARIABLE, false } };
	const uint8_t record[] = { 192, 0, 2, 1, 2, 'e', 'n' };
	bool *is_good = arg;

	*is_good = true;
	for (int round = 0; round < 12; round++) {
		struct tmpl *t = new_tmpl(fields, 2);
		struct fixbuf_tmpl *ft = NULL;
		struct fixbuf *fb = NULL;
		struct value values[2];

		*is_good &= fixbuf_new(ELEMENTS, NULL, &fb) == ERR_OK;
		*is_good &= fixbuf_tmpl_make(fb, t, &ft) == ERR_OK;
		for (int i = 0; i < 1000; i++) {
			*is_good &= fixbuf_decode(ft, record, 7, values) == ERR_OK;
			*is_good &= memcmp(values[0].octets, record, 4) == 0;
			*is_good &= values[1].bytes == 2;
		}
		fixbuf_tmpl_free(ft);
		fixbuf_free(fb);
		tmpl_free(t);
	}
	return NULL;
}

/* Workers share nothing, but libfixbuf's own tables, which loading fills. */
static void test_workers(void **state)
{
	pthread_t threads[4];
	bool is_good[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		must(pthread_create(&threads[i], NULL, run_worker, &is_good[i]) == 0);
	for (int i = 0; i < 4; i++) {
		must(pthread_join(threads[i], NULL) == 0);
		assert_true(is_good[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workers),	       cmocka_unit_test(test_traps),
		cmocka_unit_test(test_random),	       cmocka_unit_test(test_every_element),
		cmocka_unit_test(test_many_templates), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_record_lengths), cmocka_unit_test(test_refused_model),
	};

	return cmocka_run_group_tests(tests, fill_pool, NULL);
}
