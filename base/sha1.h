/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha1.h - SHA-1 (FIPS 180-4) of one short message, for names that are defined by it; no security rests on it.
 *
 * The caller lays each message out as the 16 words of its only block, so that nothing is copied or
 * swapped twice.  Several go in one call: the CPU's SHA instructions are slow one after the other and
 * fast side by side.
 *
 *	words	| message, big endian, at most 55 octets | 0x80 | zeros | length in bits, 2 words |
 *
 *	sha1 = sha1_best();			once: what this CPU does fastest
 *	sha1(blocks, digests, count)		5 words each, big endian when written out
 *
 * Owner: nobody, no state.
 */
#ifndef BASE_SHA1_H
#define BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define SHA1_BLOCK_WORDS 16
#define SHA1_DIGEST_WORDS 5

struct sha1_block {
	uint32_t words[SHA1_BLOCK_WORDS];
};

struct sha1_digest {
	uint32_t words[SHA1_DIGEST_WORDS];
};

typedef void sha1_fn(const struct sha1_block *blocks, struct sha1_digest *digests, size_t count);

sha1_fn sha1_portable;
/* With the CPU's SHA instructions; NULL when it has none. */
sha1_fn *sha1_native(void);
sha1_fn *sha1_best(void);

#endif
