/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixbuf_session.h - records cut by libfixbuf: the slow path, and the oracle for our own cutting.
 *
 *	fixbuf_new(dir, &why, &fb);
 *	fixbuf_tmpl_make(fb, t, &ft);			once per template
 *	fixbuf_decode(ft, record, bytes, values);	once per record
 *
 * A template is handed to libfixbuf in IPFIX form, whatever it came in; the record as received:
 *
 *	message  | IPFIX header | data set | record octets |	  private buffer
 *	internal | element | element copy | fbVarfield_t |	  libfixbuf writes, host order
 *	values   | octets as on the wire ... |			  copied back, big endian
 *
 * What libfixbuf does not know, or could not read as the type of its element (an IPv4 address of
 * three octets), is handed to it as an octetArray element of our own, one for each position in a
 * template.
 *
 * Owner: one worker, all of it; templates must be freed before their struct fixbuf.
 * Lifetime: generation.  Values live until the next fixbuf_decode() of the same struct fixbuf.
 */
#ifndef COLLECTOR_FIXBUF_SESSION_H
#define COLLECTOR_FIXBUF_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/why.h"
#include "collector/message.h"
#include "collector/tmpl.h"

/* Templates of one struct fixbuf at a time; libfixbuf's numbers for them have 16 bits. */
#define FIXBUF_TMPLS_MAX 65000
/* Longest record: a message of 65 535 octets less the headers of message and set. */
#define FIXBUF_RECORD_MAX 65515

struct fixbuf;
struct fixbuf_tmpl;

/* It reads records of what templates define, and no others. */
static inline bool fixbuf_reads(const struct tmpl *t)
{
	return t->version == VERSION_NF9 || t->version == VERSION_IPFIX;
}

/* A model of its own from the element files in `dir`. */
enum err fixbuf_new(const char *dir, struct why *why, struct fixbuf **out);
void fixbuf_free(struct fixbuf *fb);

/* libfixbuf's view of the template, which is not kept.  ERR_LIMIT past FIXBUF_TMPLS_MAX or when no
 * record of it fits a message, ERR_FORMAT when libfixbuf refuses it. */
enum err fixbuf_tmpl_make(struct fixbuf *fb, const struct tmpl *t, struct fixbuf_tmpl **out);
void fixbuf_tmpl_free(struct fixbuf_tmpl *ft);

/*
 * One whole record into its fields: values[i] for each field of the template, in wire form.
 * ERR_TRUNC when it is too short, ERR_LIMIT when it is longer than FIXBUF_RECORD_MAX, ERR_FORMAT
 * when libfixbuf refuses it; the template can be used again after each.
 */
enum err fixbuf_decode(struct fixbuf_tmpl *ft, const uint8_t *record, size_t bytes,
		       struct value *values);

#endif
