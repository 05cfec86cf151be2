/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/parquet_wide.h"

/* Each function is there twice, from one text: for any processor, which makes two or more instructions of an operation
 * on four, and for those with AVX2. */
#define FOUR 4
#define TEXT static inline __attribute__((always_inline))

typedef int64_t four __attribute__((vector_size(32), aligned(8), may_alias));
typedef uint64_t ufour __attribute__((vector_size(32), aligned(8), may_alias));

#ifdef __x86_64__
#define NATIVE __attribute__((target("avx2")))
#define HAS_NATIVE __builtin_cpu_supports("avx2")
#else
#define NATIVE
#define HAS_NATIVE false
#endif

TEXT bool is_all(const int64_t *v, size_t count, int64_t x)
{
	const four same = { x, x, x, x };
	four differs = { 0 };
	int64_t rest = 0;
	size_t i = 0;

	for (; i + FOUR <= count; i += FOUR)
		differs |= *(const four *)(const void *)(v + i) ^ same;
	for (; i < count; i++)
		rest |= v[i] ^ x;
	return (differs[0] | differs[1] | differs[2] | differs[3] | rest) == 0;
}

static NATIVE bool is_all_native(const int64_t *v, size_t count, int64_t x)
{
	return is_all(v, count, x);
}

/* Mostly the first ones say that it is not so. */
bool wide_is_all(const int64_t *v, size_t count, int64_t x)
{
	if (count == 0)
		return true;
	if (v[0] != x || v[count - 1] != x)
		return false;
	return HAS_NATIVE ? is_all_native(v, count, x) : is_all(v, count, x);
}

TEXT void keep_least(four *least, const four *x)
{
	four is_less = *x < *least;

	*least = (*x & is_less) | (*least & ~is_less);
}

TEXT void keep_most(four *most, const four *x)
{
	four is_more = *x > *most;

	*most = (*x & is_more) | (*most & ~is_more);
}

TEXT void bounds(const int64_t *v, size_t count, int64_t *least, int64_t *most)
{
	four low = { v[0], v[0], v[0], v[0] };
	four high = low;
	size_t i = 0;

	for (; i + FOUR <= count; i += FOUR) {
		four x = *(const four *)(const void *)(v + i);

		keep_least(&low, &x);
		keep_most(&high, &x);
	}
	*least = low[0];
	*most = high[0];
	for (unsigned k = 1; k < FOUR; k++) {
		*least = low[k] < *least ? low[k] : *least;
		*most = high[k] > *most ? high[k] : *most;
	}
	for (; i < count; i++) {
		*least = v[i] < *least ? v[i] : *least;
		*most = v[i] > *most ? v[i] : *most;
	}
}

static NATIVE void bounds_native(const int64_t *v, size_t count, int64_t *least, int64_t *most)
{
	bounds(v, count, least, most);
}

void wide_bounds(const int64_t *v, size_t count, int64_t *least, int64_t *most)
{
	if (HAS_NATIVE)
		bounds_native(v, count, least, most);
	else
		bounds(v, count, least, most);
}

/* From 32 bits to 64, with their sign. */
TEXT void widen(four *x)
{
	const four sign = { 0x80000000, 0x80000000, 0x80000000, 0x80000000 };
	const four low = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };

	*x = ((*x & low) ^ sign) - sign;
}

/* Differences are unsigned: they may wrap around. */
TEXT void differences(const int64_t *v, bool is_narrow, uint64_t *out, int64_t *least)
{
	four low = { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX };
	ufour from;

	for (unsigned i = 0; i < WIDE_BLOCK; i += FOUR) {
		four x = (four)(*(const ufour *)(const void *)(v + i + 1) -
				*(const ufour *)(const void *)(v + i));

		if (is_narrow)
			widen(&x);
		*(four *)(void *)(out + i) = x;
		keep_least(&low, &x);
	}
	*least = low[0];
	for (unsigned k = 1; k < FOUR; k++)
		*least = low[k] < *least ? low[k] : *least;
	from = (ufour){ (uint64_t)*least, (uint64_t)*least, (uint64_t)*least, (uint64_t)*least };
	for (unsigned i = 0; i < WIDE_BLOCK; i += FOUR)
		*(ufour *)(void *)(out + i) -= from;
}

static NATIVE void differences_native(const int64_t *v, bool is_narrow, uint64_t *out,
				      int64_t *least)
{
	if (is_narrow)
		differences(v, true, out, least);
	else
		differences(v, false, out, least);
}

void wide_differences(const int64_t v[WIDE_BLOCK + 1], bool is_narrow, uint64_t out[WIDE_BLOCK],
		      int64_t *least)
{
	if (HAS_NATIVE)
		differences_native(v, is_narrow, out, least);
	else
		differences(v, is_narrow, out, least);
}
