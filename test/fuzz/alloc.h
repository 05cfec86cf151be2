/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alloc.h - memory that runs out, at a place of the fuzzer's choosing.
 *
 *	alloc_turns(once, octets, bytes)	 once(); for one input in eight, once() again and again
 *						 with an allocation that fails
 *	alloc_failures()			 inside once(): how many were refused so far
 *
 * The linker puts alloc.c before malloc, calloc, realloc and strdup of our own objects: libfixbuf and glib,
 * which abort without memory, keep theirs.  Which one fails follows from the input's hash, so that an input
 * does the same each time and seeds are plain files.
 *
 * Only the calling thread's allocations are counted, and only within alloc_turns().
 */
#ifndef TEST_FUZZ_ALLOC_H
#define TEST_FUZZ_ALLOC_H

#include <stddef.h>
#include <stdint.h>

void alloc_turns(void (*once)(const uint8_t *octets, size_t bytes), const uint8_t *octets,
		 size_t bytes);
uint64_t alloc_failures(void);

/* Around what the test allocates for itself, or what is made once and stays. */
void alloc_pause(void);
void alloc_resume(void);

#endif
