/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list_room.h - the pipeline's readers of lists (normalizer/list.h): one for flows, one for what is read twice.
 *
 *	list_room_open(&r, pipeline, has_checks)
 *	list_room_use(&r, elements)		per generation
 *	env.lists = list_room_begin(&r, s)	per message
 *	list_room_count(&r, stat)		behind records that have lists
 *	list_room_close(&r)
 *
 * Owner: the pipeline.  Lifetime: process.
 */
#ifndef DAEMON_LIST_ROOM_H
#define DAEMON_LIST_ROOM_H

#include "base/stat.h"
#include "collector/session.h"
#include "normalizer/list.h"

struct pipeline;

struct list_room {
	struct pipeline *pipeline;
	struct session *session; /* of the message at hand */
	struct lists *lists;
	struct lists *check; /* NULL without self-checks */
	bool is_cut;	     /* a list of the message was: a second reading may tell otherwise */
};

enum err list_room_open(struct list_room *r, struct pipeline *p, bool has_checks);
void list_room_close(struct list_room *r);
void list_room_use(struct list_room *r, const struct element_registry *elements);
struct lists *list_room_begin(struct list_room *r, struct session *s);
/* The reader for one record of a self-check; it counts nothing. */
struct lists *list_room_check(struct list_room *r);
void list_room_count(struct list_room *r, struct stat_set *stat);

#endif
