/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_bounds.h"

#include <math.h>

void bounds_f64(struct parquet_bounds *b, double v)
{
	if (isnan(v)) {
		b->is_lost = true;
		return;
	}
	if (!b->is_set) {
		b->is_set = true;
		b->min.f64 = v;
		b->max.f64 = v;
		return;
	}
	if (v < b->min.f64)
		b->min.f64 = v;
	if (v > b->max.f64)
		b->max.f64 = v;
}

static uint64_t head_of(const uint8_t *octets, size_t bytes)
{
	uint64_t head = 0;

	memcpy(&head, octets, bytes < sizeof(head) ? bytes : sizeof(head));
	return __builtin_bswap64(head);
}

static int compare(const struct parquet_bound *b, const uint8_t *octets, size_t bytes,
		   uint64_t head)
{
	size_t common = bytes < b->octets.bytes ? bytes : b->octets.bytes;
	int order;

	if (head != b->octets.head)
		return head < b->octets.head ? -1 : 1;
	order = memcmp(octets, b->octets.octets, common);
	return order != 0 ? order : (bytes > b->octets.bytes) - (bytes < b->octets.bytes);
}

static void set(struct parquet_bound *b, const uint8_t *octets, size_t bytes, uint64_t head)
{
	b->octets.head = head;
	b->octets.bytes = (uint8_t)bytes;
	memcpy(b->octets.octets, octets, bytes);
}

void bounds_octets(struct parquet_bounds *b, const void *octets, size_t bytes)
{
	uint64_t head;

	if (b->is_lost || bytes > PARQUET_BOUND_BYTES) {
		b->is_lost = true;
		return;
	}
	head = bytes == 0 ? 0 : head_of(octets, bytes);
	if (!b->is_set) {
		b->is_set = true;
		b->min.octets.bytes = 0;
		set(&b->min, bytes == 0 ? b->min.octets.octets : octets, bytes, head);
		b->max = b->min;
		return;
	}
	if (bytes == 0)
		octets = "";
	if (compare(&b->min, octets, bytes, head) < 0)
		set(&b->min, octets, bytes, head);
	else if (compare(&b->max, octets, bytes, head) > 0)
		set(&b->max, octets, bytes, head);
}

void bounds_join(struct parquet_bounds *b, enum parquet_type type,
		 const struct parquet_bounds *other)
{
	b->is_lost = b->is_lost || other->is_lost;
	if (!other->is_set || b->is_lost)
		return;
	if (type == PARQUET_BYTES) {
		bounds_octets(b, other->min.octets.octets, other->min.octets.bytes);
		bounds_octets(b, other->max.octets.octets, other->max.octets.bytes);
	} else if (type == PARQUET_DOUBLE) {
		bounds_f64(b, other->min.f64);
		bounds_f64(b, other->max.f64);
	} else {
		bounds_i64(b, other->min.i64);
		bounds_i64(b, other->max.i64);
	}
}

void bounds_clear(struct parquet_bounds *b)
{
	b->is_set = false;
	b->is_lost = false;
}

/* PLAIN, but octets without their length (parquet.thrift, struct Statistics). */
static void write_bound(struct parquet_thrift *t, int id, const struct parquet_bound *b,
			enum parquet_type type, bool is_max)
{
	double f64;

	switch (type) {
	case PARQUET_BOOLEAN:
		thrift_octets(t, id, &b->i64, 1);
		break;
	case PARQUET_INT32:
		thrift_octets(t, id, &b->i64, sizeof(int32_t));
		break;
	case PARQUET_INT64:
		thrift_octets(t, id, &b->i64, sizeof(int64_t));
		break;
	case PARQUET_DOUBLE:
		/* A least zero is to be -0, a greatest +0: they are equal, and both may be there. */
		f64 = b->f64 == 0 ? (is_max ? 0.0 : -0.0) : b->f64;
		thrift_octets(t, id, &f64, sizeof(f64));
		break;
	case PARQUET_BYTES:
		thrift_octets(t, id, b->octets.octets, b->octets.bytes);
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
		write_bound(t, 5, &b->max, type, true);
		write_bound(t, 6, &b->min, type, false);
		thrift_bool(t, 7, true);
		thrift_bool(t, 8, true);
	}
	thrift_end(t);
}
