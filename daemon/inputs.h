/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inputs.h - where messages come in, and where datagrams go on to: listeners and tee, as the options say.
 *
 *	listens_of(options, &l, &why)		entries of `listen` as sockets want them
 *	inputs_check(options, &why)		the tee alone, for a check
 *	inputs_open(ws, options, &in, &why)	before workers start; their sockets are open
 *	inputs_prepare(in, options, &next, &why)	a reload: everything new is open, or nothing is
 *	inputs_commit(in, next)			it holds; what went is emptied and closed
 *	inputs_cancel(in, next)			or all is as it was
 *	inputs_step(in)				now and then
 *	inputs_close(in)			when workers have ended
 *
 * Owner: the service; the control thread alone uses it.  Lifetime: process.
 */
#ifndef DAEMON_INPUTS_H
#define DAEMON_INPUTS_H

#include "base/why.h"
#include "collector/kernel.h"
#include "collector/tee.h"
#include "daemon/options.h"
#include "daemon/worker.h"

struct listens {
	struct udp_listen *entries; /* interfaces are the options' */
	struct udp_multicast *groups;
	size_t count;
	struct stream_listen *streams;
	size_t stream_count;
};

struct inputs;
struct inputs_next;

enum err listens_of(const struct options *o, struct listens *out, struct why *why);
void listens_free(struct listens *l);

enum err inputs_check(const struct options *o, struct why *why);
enum err inputs_open(struct workers *ws, const struct options *o, struct inputs **out,
		     struct why *why);
void inputs_close(struct inputs *in);

/* The options must live until a later commit. */
enum err inputs_prepare(struct inputs *in, const struct options *o, struct inputs_next **out,
			struct why *why);
void inputs_commit(struct inputs *in, struct inputs_next *next);
void inputs_cancel(struct inputs *in, struct inputs_next *next);

/* Looks whether an address of a target has become ours, and at the kernel's counters. */
void inputs_step(struct inputs *in);

/* What the kernel lost since the start, as of about a second ago. */
const struct kernel_counts *inputs_kernel(const struct inputs *in);

/* NULL: no `tee`. */
const struct tee *inputs_tee(const struct inputs *in);

#endif
