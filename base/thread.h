/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.h - named threads.
 *
 *	thread_start("worker-0", run, arg, &t);
 *	thread_join(t);
 *
 * A thread starts with every signal blocked, so that signals reach the main thread only.
 *
 * Owner: who started it.  Lifetime: until thread_join(), which frees it.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/err.h"

#define THREAD_NAME_BYTES 16 /* the kernel's bound, with NUL; longer names are cut */

struct thread;

enum err thread_start(const char *name, void (*run)(void *arg), void *arg, struct thread **out);
void thread_join(struct thread *t); /* NULL is fine */

/* Blocks all signals but those of our own faults in the calling thread (main does it first and then
 * reads a signalfd). */
void thread_block_signals(void);

#endif
