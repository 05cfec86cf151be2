/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.h - named threads that leave signals to the main thread.
 *
 * Owner: whoever started it joins it.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/err.h"

struct thread;

typedef void thread_fn(void *ctx);

/* `name` is cut to 15 characters.  ERR_NOMEM when the system has no room for it. */
enum err thread_start(const char *name, thread_fn *fn, void *ctx, struct thread **out);
/* Waits for its end and frees it; NULL is fine. */
void thread_join(struct thread *t);

#endif
