/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.h - the control socket: one command per line, one JSON document per line as the answer.
 *
 *	ctl_open(path, commands, ctx, &ctl, &why)
 *	ctl_run(ctl)		in its thread, until ctl_stop()
 *	ctl_close(ctl)
 *
 * The socket has mode 0660.  Commands that change something are for root and for the user that the
 * service runs as, by the peer's credentials.  A command fills an open JSON object with its answer; the
 * member "ok" is put in front when it has not done so itself.  A command that streams, or has to wait,
 * keeps the client (ctl_keep), sets is_deferred, and pushes documents until either side ends it.
 *
 * When all places are taken, the client that has been idle longest goes, if that is 60 s; else the one
 * that comes hears {"ok":false,"error":"too many clients"}.
 *
 * Owner: the control thread; only ctl_stop() is for others.
 */
#ifndef BASE_CTL_H
#define BASE_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/stat.h"
#include "base/why.h"

#define CTL_CLIENTS_MAX 64
#define CTL_LINE_BYTES 4096
#define CTL_WORDS_MAX 64
#define CTL_OUT_BYTES_MAX (64u << 20) /* unread answers of one client; past that it is closed */

struct ctl;
struct ctl_client;

/* One command being carried out. */
struct ctl_call {
	struct ctl_client *client;
	char **words; /* [0] is the command; NULL terminated */
	size_t word_count;
	struct json *out; /* an open object */
	bool is_deferred; /* set by a command that kept the client: the answer comes later */
};

struct ctl_command {
	const char *name; /* NULL ends the table */
	const char *usage;
	const char *doc;
	bool is_mutating;
	/* ERR_OK, or the text of `why` becomes the answer's error. */
	enum err (*run)(void *ctx, struct ctl_call *call, struct why *why);
};

enum err ctl_open(const char *path, const struct ctl_command *commands, void *ctx, struct ctl **out,
		  struct why *why);
/* Before ctl_run(): another time than 60 s. */
void ctl_set_idle_ms(struct ctl *ctl, int idle_ms);
/* Until ctl_stop(), and may be run again then.  Calls `idle` about every `idle_ms` too, for what
 * streams. */
void ctl_run(struct ctl *ctl, void (*idle)(void *ctx), int idle_ms);
/* From a command or `idle`: the latter is called again as soon as those who wait were served. */
void ctl_hurry(struct ctl *ctl);
void ctl_stop(struct ctl *ctl);	 /* any thread */
void ctl_close(struct ctl *ctl); /* removes the socket's file, if it is still this one's */

/* The client is kept for documents to come; `gone` is called when it leaves or is finished. */
void ctl_keep(struct ctl_client *client, void (*gone)(void *stream), void *stream);
/* One more document of a kept client; false when it is too slow and was closed. */
bool ctl_push(struct ctl_client *client, const struct json *document);
/* No more documents for it. */
void ctl_finish(struct ctl_client *client);

/* Counts for status: connections taken, refused, closed for reading too slowly. */
struct ctl_counts {
	uint64_t accepted;
	uint64_t refused_full;
	uint64_t refused_peer;
	uint64_t closed_slow;
	uint64_t closed_idle;
	uint64_t commands;
	uint64_t errors;
};
const struct ctl_counts *ctl_counts(const struct ctl *ctl);

#endif
