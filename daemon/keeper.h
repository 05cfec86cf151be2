/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h - what exporters say once and for long, on disk: data is decoded from the first datagram of the next life on.
 *
 *	keeper_open(state, &log_io_system, &k, &why)	reads what an earlier life left
 *	keeper_begin(k, workers, &why)		hands it to the workers that have those exporters now
 *	keeper_step(k, mono_ms)			often, by the control thread: asks the workers what changed
 *	keeper_end(k)				a clean stop
 *	keeper_free(k)
 *
 * In the folder of state, each at most 3 s old, also when the process is killed:
 *
 *	templates	and, at most a minute old, when data used one
 *	options		what options data said of samplers, interfaces, applications, VRFs and domains
 *	elements	what options data announced of elements (RFC 5610)
 *	held		sets that wait for a template; not there when there are none
 *	*.bad		what could not be used, or not to its end
 *
 * They are journals (journal.h).  Once a second each worker gives, in slices, what changed, and a thread of the keeper's own
 * writes it: neither workers nor the control thread wait for a disk.  What is written anew is complete before it
 * replaces what was.  Which of the sets on disk were handed on meanwhile is told by marks (marks.h).
 *
 * Owner: the service; the control thread alone calls it.  Lifetime: process.
 */
#ifndef DAEMON_KEEPER_H
#define DAEMON_KEEPER_H

#include "base/why.h"
#include "daemon/worker.h"
#include "sink/log_io.h"

struct keeper;

/* A file of a newer version: ERR_CONF.  A broken one is no failure: it is set aside when the life begins. */
enum err keeper_open(const char *state, const struct log_io *io, struct keeper **out,
		     struct why *why);
/* Before workers_start(); they are there until keeper_free(). */
enum err keeper_begin(struct keeper *k, struct workers *ws, struct why *why);
void keeper_step(struct keeper *k, int64_t mono_ms);
/* After workers_stop(). */
void keeper_end(struct keeper *k);
void keeper_free(struct keeper *k);

#endif
