/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixbuf_xml.h - the records of an element file, with their lines.
 *
 * libfixbuf reads element files without telling where an element stood; it takes numbers modulo
 * their width, drops a record without a type, and forgets descriptions.  This second reading of
 * the same text finds all that, so that a message can name file and line.
 *
 * Owner: the caller.  Lifetime: until fixbuf_records_free.
 */
#ifndef COLLECTOR_FIXBUF_XML_H
#define COLLECTOR_FIXBUF_XML_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/why.h"

#define FIXBUF_NAME_MAX 96	    /* octets of an element's name */
#define FIXBUF_RECORDS_MAX 1048576u /* of all files together */

struct fixbuf_record {
	uint32_t pen;
	uint16_t id;
	uint16_t file; /* number of the file, in order of reading */
	unsigned line; /* where the record ends */
	char *name;
	char *description; /* first paragraph; NULL when none */
};

struct fixbuf_records {
	struct fixbuf_record *at;
	size_t count;
	size_t room;
};

/* Appends the elements of a file's text; `path` is for messages. */
enum err fixbuf_records_read(struct fixbuf_records *r, uint16_t file, const char *path,
			     const char *text, size_t bytes, struct why *why);
void fixbuf_records_free(struct fixbuf_records *r);

/* Sorts by enterprise and id; of a definition that a later file repeats, the later one stays.
 * Twice in one file is an error; `paths` gives the file names for it. */
enum err fixbuf_records_settle(struct fixbuf_records *r, char *const *paths, struct why *why);
/* After settling: the record, or NULL. */
const struct fixbuf_record *fixbuf_records_find(const struct fixbuf_records *r, uint32_t pen,
						uint16_t id);

#endif
