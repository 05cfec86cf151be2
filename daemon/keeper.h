/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h - templates on disk, so that data is decoded from the first datagram of the next life on.
 *
 *	keeper_open(state, &log_io_system, &k, &why)	reads what an earlier life left
 *	keeper_begin(k, workers, &why)		hands it to the workers that have those exporters now
 *	keeper_step(k, workers, mono_ms)	often, by the control thread: asks the workers when something changed
 *	keeper_end(k, workers)			a clean stop: templates, and sets that wait for one
 *	keeper_free(k)
 *
 * In the folder of state:
 *
 *	templates	at most 3 s old when a template is new, and a minute when data only used one
 *	held		sets that waited at a clean stop; gone when the next life has them
 *	*.bad		what could not be used
 *
 *	sluice templates 1\n	kind and version
 *	entries			collector/keep.h
 *	crc32c u32		of all before
 *
 * A file is written under another name, synced and renamed, by a thread of the keeper's own: neither workers nor the
 * control thread wait for a disk, and who is killed leaves the file of before.
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
/* Before workers_start(). */
enum err keeper_begin(struct keeper *k, struct workers *ws, struct why *why);
void keeper_step(struct keeper *k, struct workers *ws, int64_t mono_ms);
/* After workers_stop(). */
void keeper_end(struct keeper *k, struct workers *ws);
void keeper_free(struct keeper *k);

#endif
