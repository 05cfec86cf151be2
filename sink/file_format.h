/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_format.h - what the engine of files (file_engine.h) knows of a format: a table of functions.
 *
 *	format->writer_new(shared, &w)
 *	format->open(w, out, schema, meta, count)	then, again and again:
 *		format->add(w, schema, octets, bytes) ...	format->spill(w)
 *		format->finish(w, meta, count)			all is written
 *		format->reset(w)				finished or given up: ready for open
 *	format->writer_free(w)
 *	format->shared_free(shared)	after all of its writers
 *
 * `shared` is what the writers of a sink have in common; a writer has one file at a time, and keeps its
 * memory for the next one.  On ERR_IO and ERR_NOMEM errno says why.
 *
 * Owner: the sink's thread.
 */
#ifndef SINK_FILE_FORMAT_H
#define SINK_FILE_FORMAT_H

#include <stdbool.h>

#include "sink/file_out.h"
#include "sink/log.h"

struct file_meta {
	const char *key;
	const char *value;
};

#define FILE_WAITING_MAX 64

/* What a record is known by until it is decided that it is one. */
struct file_tag {
	uint32_t bytes;
	uint16_t reader;
	bool is_late;
};

struct file_refused {
	unsigned count;
	struct file_tag tags[FILE_WAITING_MAX + 1];
};

static inline void file_refuse(struct file_refused *r, struct file_tag tag)
{
	r->tags[r->count++] = tag;
}

struct file_format {
	bool has_schema; /* a file has records of one schema only */
	enum err (*writer_new)(void *shared, void **out);
	void (*writer_free)(void *writer);
	/* What the file says of itself at its beginning, as far as the format has room for it. */
	enum err (*open)(void *writer, struct file_out *out, uint32_t schema,
			 const struct file_meta *meta, size_t count);
	/* ERR_FORMAT: some are no records of that schema, and not added: this one, or ones before it, of which at most
	 * FILE_WAITING_MAX may wait to be looked at together.  `refused` is empty before, and says then which. */
	enum err (*add)(void *writer, uint32_t schema, const uint8_t *octets, size_t bytes,
			struct file_tag tag, struct file_refused *refused);
	/* All that wait are looked at: before `spill` and `finish`.  NULL: none does. */
	enum err (*settle)(void *writer, struct file_refused *refused);
	/* Octets of memory that it holds. */
	size_t (*held)(const void *writer);
	/* Writes what it holds, to give memory back. */
	enum err (*spill)(void *writer);
	/* The same at the end, with what could not be known before. */
	enum err (*finish)(void *writer, const struct file_meta *meta, size_t count);
	void (*reset)(void *writer);
	void (*shared_free)(void *shared);
};

#endif
