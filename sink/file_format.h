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

struct file_format {
	bool has_schema; /* a file has records of one schema only */
	enum err (*writer_new)(void *shared, void **out);
	void (*writer_free)(void *writer);
	/* What the file says of itself at its beginning, as far as the format has room for it. */
	enum err (*open)(void *writer, struct file_out *out, uint32_t schema,
			 const struct file_meta *meta, size_t count);
	/* ERR_FORMAT: not a record of that schema; nothing was added. */
	enum err (*add)(void *writer, uint32_t schema, const uint8_t *octets, size_t bytes);
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
