/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_parts.h"
#include "sink/parquet_wide.h"

/* The run at hand is over; there is room for it. */
static inline void begin_run(struct parquet *p, struct parquet_column *c, uint32_t index)
{
	struct parquet_buffer *runs = &c->body->runs;
	struct parquet_run run = { c->index, (uint16_t)c->run };

	if (__builtin_expect(c->run - 1 < RUN_COUNT_MAX, 1)) {
		memcpy(parquet_end(runs), &run, sizeof(run));
		runs->bytes += sizeof(run);
		c->body->values_count += c->run;
		c->body->spread_bytes += column_run_spread(c);
	} else {
		column_end_run(p, c);
	}
	c->index = (uint16_t)index;
	c->run = 1;
}

/* For a run before each of `count` values; one that is too long may be several. */
static bool has_room(struct parquet *p, struct parquet_column *c, size_t count)
{
	return parquet_reserve(&p->account, &c->body->runs,
			       (count + 1 + c->run / RUN_COUNT_MAX) * sizeof(struct parquet_run));
}

/* ---- numbers ---- */

static void bound_all(struct parquet_column *c, const int64_t *v, size_t count)
{
	double f64;

	if (c->type != PARQUET_DOUBLE) {
		bounds_i64_all(&c->body->bounds, v, count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		memcpy(&f64, &v[i], sizeof(f64));
		bounds_f64(&c->body->bounds, f64);
	}
}

/* Values as indices; returns how many, until the dictionary was full. */
static size_t put_indices(struct parquet *p, struct parquet_column *c, const int64_t *v,
			  size_t count)
{
	struct parquet_dict *d = &c->body->dict;

	if (!has_room(p, c, count))
		return count;
	for (size_t i = 0; i < count; i++) {
		uint32_t index;

		if (c->run > 0 && c->last == v[i]) {
			c->run++;
			continue;
		}
		index = c->mode == COLUMN_BOOL ? v[i] != 0
					       : dict_find_i64(d, dict_hash_i64(v[i]), v[i]);
		if (index == DICT_FULL)
			index = dict_i64(&p->account, d, dict_hash_i64(v[i]), v[i]);
		if (index == DICT_FULL)
			return i;
		begin_run(p, c, index);
		c->last = v[i];
	}
	return count;
}

static void put_direct_i64(struct parquet *p, struct parquet_column *c, const int64_t *v,
			   size_t count)
{
	column_store_i64(p, c, v, count);
	c->body->values_count += count;
}

void column_put_i64(struct parquet *p, unsigned leaf, const int64_t *v, size_t count)
{
	struct parquet_column *c = &p->columns[leaf];
	size_t done;

	if (c->run > 0 && wide_is_all(v, count, c->last)) {
		c->run += (uint32_t)count;
		return;
	}
	bound_all(c, v, count);
	if (c->mode == COLUMN_DIRECT) {
		put_direct_i64(p, c, v, count);
		return;
	}
	done = put_indices(p, c, v, count);
	if (done < count) {
		column_to_direct(p, leaf);
		put_direct_i64(p, c, v + done, count - done);
	} else if (column_is_undecided(c)) {
		column_decide(p, leaf);
	}
}

/* ---- octets ---- */

/* How many of them go into the page, one at least; and the octets of those. */
static size_t count_fitting(const struct parquet *p, const struct parquet_column *c,
			    const struct parquet_text *v, size_t count, size_t *bytes)
{
	size_t page = c->body->values.bytes + delta_bytes(&c->body->delta);
	size_t i = 0;

	*bytes = 0;
	do {
		*bytes += v[i].bytes;
		page += v[i].bytes + sizeof(uint32_t);
		i++;
	} while (i < count && page < p->conf.page_bytes);
	return i;
}

static inline void copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
	if (bytes >= 16 && bytes <= 32) { /* as most are */
		memcpy(to, from, 16);
		memcpy(to + bytes - 16, from + bytes - 16, 16);
	} else {
		memcpy(to, from, bytes);
	}
}

/* Lengths to the differences, octets one after the other. */
static void put_lengths_and_octets(struct parquet *p, struct parquet_body *b, const uint8_t *base,
				   const struct parquet_text *v, size_t count, size_t bytes)
{
	uint8_t *to;

	for (size_t i = 0; i < count; i++)
		delta_add(&p->account, &b->delta, v[i].bytes);
	if (bytes == 0 || !parquet_reserve(&p->account, &b->values, bytes))
		return;
	to = parquet_end(&b->values);
	for (size_t i = 0; i < count; i++) {
		copy(to, base + v[i].at, v[i].bytes);
		to += v[i].bytes;
	}
	b->values.bytes += bytes;
}

static size_t put_direct_octets(struct parquet *p, struct parquet_column *c, const uint8_t *base,
				const struct parquet_text *v, size_t count)
{
	struct parquet_body *b = c->body;
	size_t bytes;
	size_t done = count_fitting(p, c, v, count, &bytes);

	if (!b->bounds.is_lost) {
		for (size_t i = 0; i < done; i++) {
			if (!bounds_are_around(&b->bounds, base + v[i].at, v[i].bytes))
				bounds_octets(&b->bounds, base + v[i].at, v[i].bytes);
		}
	}
	if (p->conf.fallback == PARQUET_DELTA && b->values.bytes + bytes <= PARQUET_PAGE_MAX) {
		put_lengths_and_octets(p, b, base, v, done, bytes);
	} else {
		for (size_t i = 0; i < done; i++)
			column_store_octets(p, c, base + v[i].at, v[i].bytes);
	}
	b->values_count += done;
	return done;
}

/* Which of the values differ from the one before them, a bit each; the hashes of those. */
static uint64_t hash_texts(const struct parquet_column *c, const uint8_t *base,
			   const struct parquet_text *v, size_t count, uint64_t hashes[BATCH_ROWS])
{
	const uint8_t *last = c->run > 0 ? c->last_octets : NULL;
	uint32_t last_bytes = c->last_bytes;
	uint64_t begins = 0;
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const uint8_t *octets = base + v[i].at;

		if (last_bytes == v[i].bytes && last != NULL && is_same(last, octets, last_bytes))
			continue;
		last = octets;
		last_bytes = v[i].bytes;
		begins |= UINT64_C(1) << i;
		hashes[n++] = dict_hash_octets(octets, last_bytes);
	}
	if (n > 0)
		dict_fetch_entries(&c->body->dict, hashes, n);
	return begins;
}

/* The entry of a value that was not just seen; DICT_FULL: there is none. */
static uint32_t look_up(struct parquet *p, struct parquet_body *b, uint64_t hash,
			const uint8_t *octets, size_t bytes)
{
	uint32_t index = dict_octets(&p->account, &b->dict, hash, octets, bytes);

	if (index != DICT_FULL && dict_stamp(&b->dict, index, b->pages_count + 1))
		bounds_octets(&b->bounds, octets, bytes);
	return index;
}

/* Where a text that is short, and was seen in this page, is known to be; else it is looked up. */
static inline uint32_t look_up_short(struct parquet *p, struct parquet_body *b,
				     const uint8_t *octets, size_t bytes)
{
	struct recent key = recent_of(octets, bytes);
	struct recent *r = recent_at(&b->recent) + recent_slot(&key);

	if (r->head != key.head || r->tail != key.tail || r->bytes != key.bytes) {
		key.index = look_up(p, b, dict_hash_octets(octets, bytes), octets, bytes);
		if (key.index == DICT_FULL)
			return DICT_FULL;
		*r = key;
	}
	return r->index;
}

/* Of few values, as most columns of texts are; returns how many, until the dictionary was full. */
static size_t put_few_texts(struct parquet *p, struct parquet_column *c, const uint8_t *base,
			    const struct parquet_text *v, size_t count)
{
	struct parquet_body *b = c->body;

	for (size_t i = 0; i < count; i++) {
		const uint8_t *octets = base + v[i].at;
		uint32_t bytes = v[i].bytes;
		uint32_t index;

		if (bytes <= RECENT_BYTES)
			index = look_up_short(p, b, octets, bytes);
		else if (c->run > 0 && bytes == c->last_bytes &&
			 is_same(c->last_octets, octets, bytes))
			index = c->index;
		else
			index = look_up(p, b, dict_hash_octets(octets, bytes), octets, bytes);
		if (index == DICT_FULL)
			return i;
		if (c->run > 0 && index == c->index) {
			c->run++;
			continue;
		}
		begin_run(p, c, index);
		c->last_octets = bytes <= RECENT_BYTES ? NULL : dict_entry(&b->dict, index, &bytes);
		c->last_bytes = bytes;
	}
	return count;
}

/* Of many, so that entries are fetched before they are needed. */
static size_t put_many_texts(struct parquet *p, struct parquet_column *c, const uint8_t *base,
			     const struct parquet_text *v, size_t count)
{
	struct parquet_body *b = c->body;
	uint64_t hashes[BATCH_ROWS];
	const uint64_t *hash = hashes;
	uint64_t begins = hash_texts(c, base, v, count, hashes);
	size_t done = 0;

	for (; begins != 0; begins &= begins - 1) {
		size_t i = (size_t)__builtin_ctzll(begins);
		uint32_t index;

		c->run += (uint32_t)(i - done);
		index = look_up(p, b, *hash++, base + v[i].at, v[i].bytes);
		if (index == DICT_FULL)
			return i;
		begin_run(p, c, index);
		c->last_octets = dict_entry(&b->dict, index, &c->last_bytes);
		done = i + 1;
	}
	c->run += (uint32_t)(count - done);
	return count;
}

/* As put_indices(), of BATCH_ROWS values at most. */
static size_t put_text_indices(struct parquet *p, struct parquet_column *c, const uint8_t *base,
			       const struct parquet_text *v, size_t count)
{
	if (!has_room(p, c, count) || !recent_make(&p->account, &c->body->recent))
		return count;
	return c->body->dict.count < DICT_FETCH_ENTRIES ? put_few_texts(p, c, base, v, count)
							: put_many_texts(p, c, base, v, count);
}

size_t column_put_octets(struct parquet *p, unsigned leaf, const uint8_t *base,
			 const struct parquet_text *v, size_t count)
{
	struct parquet_column *c = &p->columns[leaf];
	size_t done = 0;

	if (base == NULL) /* none of them has any */
		base = (const uint8_t *)"";
	if (c->mode != COLUMN_DIRECT) {
		done = put_text_indices(p, c, base, v, count);
		if (done < count)
			column_to_direct(p, leaf);
		else if (column_is_undecided(c))
			column_decide(p, leaf);
	}
	if (done < count)
		done += put_direct_octets(p, c, base, v + done, count - done);
	return done;
}
