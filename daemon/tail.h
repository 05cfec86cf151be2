/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail.h - flow events to control clients as they pass.
 *
 * A tail is a reader of every log that is always up to date: what it cannot show it leaves out and
 * says so, and it never holds the log up.
 *
 * Owner: the control thread.
 */
#ifndef DAEMON_TAIL_H
#define DAEMON_TAIL_H

#include "base/ctl.h"
#include "base/why.h"

struct service;
struct tails;

enum err tails_new(struct service *s, struct tails **out);
void tails_free(struct tails *t);

/* `tail [-n N] [FIELD=VALUE]` for the client of the call. */
enum err tails_add(struct tails *t, struct ctl_call *call, struct why *why);
/* Shows what has come; about every 100 ms. */
void tails_step(struct tails *t);

#endif
