/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_bounds.h"

#include <math.h>

#include "sink/parquet_wide.h"

void bounds_f64(struct parquet_bounds *b, double v)
{
	if (isnan(v)) {
		b->is_lost = true;
		return;
	}
	if (!b->is_set) {
		b->is_set = true;
		b->f64[BOUND_MIN] = v;
		b->f64[BOUND_MAX] = v;
		return;
	}
	if (v < b->f64[BOUND_MIN])
		b->f64[BOUND_MIN] = v;
	if (v > b->f64[BOUND_MAX])
		b->f64[BOUND_MAX] = v;
}

void bounds_i64_all(struct parquet_bounds *b, const int64_t *v, size_t count)
{
	int64_t least;
	int64_t most;

	if (count == 1) {
		bounds_i64(b, v[0]);
		return;
	}
	wide_bounds(v, count, &least, &most);
	bounds_i64(b, least);
	bounds_i64(b, most);
}

static uint64_t head_of(const uint8_t *octets, size_t bytes)
{
	uint64_t head = 0;

	if (bytes >= sizeof(head))
		memcpy(&head, octets, sizeof(head));
	else
		memcpy(&head, octets, bytes);
	return __builtin_bswap64(head);
}

static int compare(const struct parquet_bounds *b, unsigned which, const uint8_t *octets,
		   size_t bytes, uint64_t head)
{
	size_t common = bytes < b->bytes[which] ? bytes : b->bytes[which];
	int order;

	if (head != b->head[which])
		return head < b->head[which] ? -1 : 1;
	order = memcmp(octets, b->octets[which], common);
	return order != 0 ? order : (bytes > b->bytes[which]) - (bytes < b->bytes[which]);
}

static void set(struct parquet_bounds *b, unsigned which, const uint8_t *octets, size_t bytes,
		uint64_t head)
{
	b->head[which] = head;
	b->bytes[which] = (uint8_t)bytes;
	memcpy(b->octets[which], octets, bytes);
}

void bounds_octets(struct parquet_bounds *b, const void *octets, size_t bytes)
{
	uint64_t head;

	if (b->is_lost || bytes > PARQUET_BOUND_BYTES) {
		b->is_lost = true;
		return;
	}
	if (bytes == 0)
		octets = "";
	head = head_of(octets, bytes);
	if (b->is_set && head > b->head[BOUND_MIN] && head < b->head[BOUND_MAX])
		return;
	if (!b->is_set) {
		b->is_set = true;
		set(b, BOUND_MIN, octets, bytes, head);
		set(b, BOUND_MAX, octets, bytes, head);
	} else if (compare(b, BOUND_MIN, octets, bytes, head) < 0) {
		set(b, BOUND_MIN, octets, bytes, head);
	} else if (compare(b, BOUND_MAX, octets, bytes, head) > 0) {
		set(b, BOUND_MAX, octets, bytes, head);
	}
}

void bounds_join(struct parquet_bounds *b, enum parquet_type type,
		 const struct parquet_bounds *other)
{
	b->is_lost = b->is_lost || other->is_lost;
	if (!other->is_set || b->is_lost)
		return;
	if (type == PARQUET_BYTES) {
		bounds_octets(b, other->octets[BOUND_MIN], other->bytes[BOUND_MIN]);
		bounds_octets(b, other->octets[BOUND_MAX], other->bytes[BOUND_MAX]);
	} else if (type == PARQUET_DOUBLE) {
		bounds_f64(b, other->f64[BOUND_MIN]);
		bounds_f64(b, other->f64[BOUND_MAX]);
	} else {
		bounds_i64(b, other->i64[BOUND_MIN]);
		bounds_i64(b, other->i64[BOUND_MAX]);
	}
}

void bounds_clear(struct parquet_bounds *b)
{
	b->is_set = false;
	b->is_lost = false;
}

/* PLAIN, but octets without their length (parquet.thrift, struct Statistics). */
static void write_bound(struct parquet_thrift *t, int id, const struct parquet_bounds *b,
			enum parquet_type type, unsigned which)
{
	double f64;

	switch (type) {
	case PARQUET_BOOLEAN:
		thrift_octets(t, id, &b->i64[which], 1);
		break;
	case PARQUET_INT32:
		thrift_octets(t, id, &b->i64[which], sizeof(int32_t));
		break;
	case PARQUET_INT64:
		thrift_octets(t, id, &b->i64[which], sizeof(int64_t));
		break;
	case PARQUET_DOUBLE:
		/* A least zero is to be -0, a greatest +0: they are equal, and both may be there. */
		f64 = b->f64[which];
		if (f64 == 0)
			f64 = which == BOUND_MAX ? 0.0 : -0.0;
		thrift_octets(t, id, &f64, sizeof(f64));
		break;
	case PARQUET_BYTES:
		thrift_octets(t, id, b->octets[which], b->bytes[which]);
		break;
	}
}

void bounds_write(struct parquet_thrift *t, int id, const struct parquet_bounds *b,
		  enum parquet_type type, uint64_t nulls, uint64_t distinct)
{
	bool is_given = b->is_set && !b->is_lost;

	thrift_struct(t, id);
	thrift_i64(t, 3, (int64_t)nulls);
	if (distinct > 0)
		thrift_i64(t, 4, (int64_t)distinct);
	if (is_given) {
		write_bound(t, 5, b, type, BOUND_MAX);
		write_bound(t, 6, b, type, BOUND_MIN);
		thrift_bool(t, 7, true);
		thrift_bool(t, 8, true);
	}
	thrift_end(t);
}
