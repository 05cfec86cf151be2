/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha1.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#define ROUNDS 80
#define ROUNDS_A_KIND 20 /* then function and constant change */

static const uint32_t start[SHA1_DIGEST_WORDS] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
						   0xc3d2e1f0 };

static inline uint32_t rotl(uint32_t v, unsigned bits)
{
	return v << bits | v >> (32 - bits);
}

struct state {
	uint32_t a, b, c, d, e;
};

static inline void turn(struct state *s, uint32_t mixed, uint32_t word)
{
	uint32_t a = rotl(s->a, 5) + mixed + s->e + word;

	s->e = s->d;
	s->d = s->c;
	s->c = rotl(s->b, 30);
	s->b = s->a;
	s->a = a;
}

/* Twenty rounds; five turns bring every word back to its place, so that none need be moved. */
#define ROUNDS_OF(mixed)                                                                           \
	_Pragma("GCC unroll 5") for (unsigned k = 0; k < ROUNDS_A_KIND; k++) turn(&s, mixed, *w++)

static void hash_portable(const uint32_t *words, uint32_t *digest)
{
	struct state s = { start[0], start[1], start[2], start[3], start[4] };
	uint32_t schedule[ROUNDS];
	const uint32_t *w = schedule;
	unsigned i;

	for (i = 0; i < SHA1_BLOCK_WORDS; i++)
		schedule[i] = words[i];
	for (; i < ROUNDS; i++)
		schedule[i] = rotl(
			schedule[i - 3] ^ schedule[i - 8] ^ schedule[i - 14] ^ schedule[i - 16], 1);
	ROUNDS_OF((s.d ^ (s.b & (s.c ^ s.d))) + 0x5a827999);
	ROUNDS_OF((s.b ^ s.c ^ s.d) + 0x6ed9eba1);
	ROUNDS_OF(((s.b & s.c) | (s.d & (s.b | s.c))) + 0x8f1bbcdc);
	ROUNDS_OF((s.b ^ s.c ^ s.d) + 0xca62c1d6);
	digest[0] = start[0] + s.a;
	digest[1] = start[1] + s.b;
	digest[2] = start[2] + s.c;
	digest[3] = start[3] + s.d;
	digest[4] = start[4] + s.e;
}

void sha1_portable(const struct sha1_block *blocks, struct sha1_digest *digests, size_t count)
{
	for (size_t i = 0; i < count; i++)
		hash_portable(blocks[i].words, digests[i].words);
}

#if defined(__x86_64__)

#define NATIVE __attribute__((target("sha,sse4.1")))
#define FOUR_ROUNDS 20	   /* of them a block has so many */
#define FIRST_IN_HIGH 0x1b /* the instructions want the first of four words in the highest lane */

/* One of the messages that go side by side. */
struct lane {
	__m128i w[4]; /* words of this group of four rounds and of the three after it */
	__m128i abcd;
	__m128i before; /* abcd of a group ago: its first word, turned, is the fifth word now */
};

NATIVE static inline void lane_start(struct lane *l, const uint32_t *words)
{
	const __m128i *from = (const __m128i *)words;

	for (unsigned i = 0; i < 4; i++)
		l->w[i] = _mm_shuffle_epi32(_mm_loadu_si128(from + i), FIRST_IN_HIGH);
	l->abcd = _mm_set_epi32((int)start[0], (int)start[1], (int)start[2], (int)start[3]);
}

/* The words of group n are used; those of group n + 4 take their place. */
NATIVE static inline void lane_schedule(struct lane *l, unsigned n)
{
	__m128i v = _mm_sha1msg1_epu32(l->w[n % 4], l->w[(n + 1) % 4]);

	if (n + 4 < FOUR_ROUNDS)
		l->w[n % 4] =
			_mm_sha1msg2_epu32(_mm_xor_si128(v, l->w[(n + 2) % 4]), l->w[(n + 3) % 4]);
}

NATIVE static inline __m128i lane_fifth(const struct lane *l, unsigned n)
{
	const __m128i fifth = _mm_set_epi32((int)start[4], 0, 0, 0);

	return n == 0 ? _mm_add_epi32(fifth, l->w[0]) : _mm_sha1nexte_epu32(l->before, l->w[n % 4]);
}

NATIVE static inline void lane_finish(const struct lane *l, uint32_t *digest)
{
	const __m128i first =
		_mm_set_epi32((int)start[0], (int)start[1], (int)start[2], (int)start[3]);
	const __m128i fifth = _mm_set_epi32((int)start[4], 0, 0, 0);
	__m128i abcd = _mm_shuffle_epi32(_mm_add_epi32(l->abcd, first), FIRST_IN_HIGH);

	_mm_storeu_si128((__m128i *)digest, abcd);
	digest[4] = (uint32_t)_mm_extract_epi32(_mm_sha1nexte_epu32(l->before, fifth), 3);
}

/* The kind of round must stand in the instruction: hence macros.  Rounds and schedule alternate, or the
 * one would wait in the CPU's queue for all of the other. */
#define STEP(l, kind, n)                                                                           \
	do {                                                                                       \
		__m128i e = lane_fifth(l, n);                                                      \
		(l)->before = (l)->abcd;                                                           \
		(l)->abcd = _mm_sha1rnds4_epu32((l)->abcd, e, kind);                               \
		lane_schedule(l, n);                                                               \
	} while (0)
#define GROUP_1(kind, n) STEP(&x, kind, n)
#define GROUP_2(kind, n)                                                                           \
	STEP(&x, kind, n);                                                                         \
	STEP(&y, kind, n)
#define KIND(group, kind, n)                                                                       \
	group(kind, n);                                                                            \
	group(kind, (n) + 1);                                                                      \
	group(kind, (n) + 2);                                                                      \
	group(kind, (n) + 3);                                                                      \
	group(kind, (n) + 4)

NATIVE static void hash_one(const struct sha1_block *block, struct sha1_digest *digest)
{
	struct lane x;

	lane_start(&x, block->words);
	KIND(GROUP_1, 0, 0u);
	KIND(GROUP_1, 1, 5u);
	KIND(GROUP_1, 2, 10u);
	KIND(GROUP_1, 3, 15u);
	lane_finish(&x, digest->words);
}

NATIVE static void hash_two(const struct sha1_block *blocks, struct sha1_digest *digests)
{
	struct lane x;
	struct lane y;

	lane_start(&x, blocks[0].words);
	lane_start(&y, blocks[1].words);
	KIND(GROUP_2, 0, 0u);
	KIND(GROUP_2, 1, 5u);
	KIND(GROUP_2, 2, 10u);
	KIND(GROUP_2, 3, 15u);
	lane_finish(&x, digests[0].words);
	lane_finish(&y, digests[1].words);
}

static void with_sha_ni(const struct sha1_block *blocks, struct sha1_digest *digests, size_t count)
{
	size_t i = 0;

	for (; i + 2 <= count; i += 2)
		hash_two(blocks + i, digests + i);
	if (i < count)
		hash_one(blocks + i, digests + i);
}

sha1_fn *sha1_native(void)
{
	unsigned a;
	unsigned b;
	unsigned c;
	unsigned d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_SSE4_1) == 0)
		return NULL;
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & bit_SHA) == 0)
		return NULL;
	return with_sha_ni;
}

#else

sha1_fn *sha1_native(void)
{
	return NULL;
}

#endif

sha1_fn *sha1_best(void)
{
	sha1_fn *native = sha1_native();

	return native == NULL ? sha1_portable : native;
}
