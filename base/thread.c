/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_BYTES 16 /* the kernel's limit, NUL included */

struct thread {
	pthread_t id;
	thread_fn *fn;
	void *ctx;
	char name[NAME_BYTES];
};

static void *run(void *arg)
{
	struct thread *t = arg;

	(void)pthread_setname_np(pthread_self(), t->name);
	t->fn(t->ctx);
	return NULL;
}

enum err thread_start(const char *name, thread_fn *fn, void *ctx, struct thread **out)
{
	struct thread *t = calloc(1, sizeof(*t));
	sigset_t all;
	sigset_t before;
	int failed;

	if (t == NULL)
		return ERR_NOMEM;
	t->fn = fn;
	t->ctx = ctx;
	(void)snprintf(t->name, sizeof(t->name), "%s", name);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&t->id, NULL, run, t);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed != 0) {
		free(t);
		return ERR_NOMEM;
	}
	*out = t;
	return ERR_OK;
}

void thread_join(struct thread *t)
{
	if (t == NULL)
		return;
	(void)pthread_join(t->id, NULL);
	free(t);
}
