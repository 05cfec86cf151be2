/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpl.h - a template as the rest of the house sees it.
 *
 * Made from a template record of v9 or IPFIX (define_build), fixed (v1, v5, v7), or made for what samples hold (sFlow).  Element identities are
 * settled here, once: v9 types of 57472 and above are PEN 35632 elements, other v9 types of 32768 and
 * above belong to the pseudo enterprise PEN_V9, IPFIX enterprise bits are taken off.  Scope fields
 * of v9 options keep their scope type as id, with PEN_V9_SCOPE.
 *
 *	fields   | 8/4 | 12/4 | 1/8 | 35632.188/var | 7/2 |
 *	runs      [     16 octets   ][ var          ][ 2  ]
 *
 * Owner: the session.  Lifetime: until replaced, expired or withdrawn, but never inside a message.
 */
#ifndef COLLECTOR_TMPL_H
#define COLLECTOR_TMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "collector/message.h"

struct fixbuf_tmpl;
struct session;
struct bound_exporter;

#define PEN_IANA 0u
#define PEN_REVERSE 29305u /* RFC 5103 */
#define PEN_NTOP 35632u
#define PEN_V9 0xFFFFFF09u	 /* ours: v9 types of 32768 and above that are not ntop's */
#define PEN_V7 0xFFFFFF07u	 /* ours: what NetFlow v7 has and IANA has not */
#define PEN_V9_SCOPE 0xFFFFFF0Au /* ours: v9 options scope types */
#define PEN_SFLOW 0xFFFFFF0Bu	 /* ours: what sFlow says and IANA has no element for */

#define TMPL_SHAPE_WORDS 4
#define TMPL_VARIABLE 65535u /* field length: given in the record */
#define TMPL_ID_MIN 256u
#define V9_NTOP_BASE 57472u /* v9 type = V9_NTOP_BASE + ntop element id */
#define V9_ENTERPRISE_BIT 32768u

struct tmpl_field {
	uint32_t pen;
	uint16_t id;
	uint16_t bytes; /* TMPL_VARIABLE, or the fixed length; may be 0 */
	bool is_scope;
};

/* A stretch of fixed octets, then a variable-length field if has_variable. */
struct tmpl_run {
	uint32_t fixed_bytes;
	bool has_variable;
};

/* bound.h's: the templates of one session, of one address and of all, unused and used, the oldest first. */
enum tmpl_chain { TMPL_OF_SESSION, TMPL_OF_EXPORTER, TMPL_OF_ALL, TMPL_CHAINS };
struct tmpl_list {
	struct tmpl *oldest;
	struct tmpl *newest;
};
struct tmpl_level {
	uint64_t count;
	uint64_t bytes;
	struct tmpl_list unused;
	struct tmpl_list used;
};

struct tmpl {
	uint16_t id;	  /* 0 for a fixed format */
	uint16_t version; /* VERSION_* of the format it came in */
	bool is_options;
	bool is_borrowed; /* of another port of the exporter */
	bool is_lent;	  /* others may have copies of it */
	bool is_fixed;	  /* no variable-length field: record length is min_bytes */
	uint16_t scope_count;
	uint16_t field_count;
	uint32_t min_bytes; /* shortest record; never 0 */
	uint32_t run_count;
	uint64_t hash;	      /* of the definition: equal definitions have equal hashes */
	uint64_t hash_before; /* of the definition that it replaced; 0: none */
	int64_t seen_ms;      /* monotonic: last definition or refresh */
	int64_t used_ms;      /* monotonic: last data set */
	int64_t refresh_ms;   /* from the refresh before to the last one; 0 until there was one */
	int64_t defined_ms;   /* UTC export time of the message that defined it */
	uint16_t local_port;  /* of ours that its definition came to last; 0: of an earlier life */
	uint32_t
		ready_count; /* held sets that it is the definition of, and that were not handed on yet */
	bool is_orphan; /* it lives for those only */
	struct tmpl *orphan_behind;
	struct tmpl *before; /* what it replaced, while data from then may come late; or NULL */
	uint64_t record_count;
	uint64_t put_at;  /* number of the change that brought it into force; 0: not by a message */
	uint64_t gone_at; /* and of the one that put it out of force; 0: none did */
	struct tmpl *gone_before; /* out of force, with this one, until their message is done */
	uint64_t flow_keys;	  /* bit n: the exporter says that field n is a key of its flows */
	void *plan;		  /* the normalizer's, freed through collector_ops.tmpl_gone */
	struct fixbuf_tmpl *fixbuf;	  /* libfixbuf's view, made when first needed */
	uint64_t shape[TMPL_SHAPE_WORDS]; /* of sFlow: its elements, as bits by sflow.def */
	/* bound.h's; no exporter: it is not counted. */
	struct bound_exporter *exporter;
	struct session *session; /* whose it is; also of one that this message put out of force */
	uint64_t counted_bytes;
	int64_t touched_ms; /* monotonic: when its place in the lists was the last */
	bool is_listed_used;
	struct {
		struct tmpl *older;
		struct tmpl *newer;
	} links[TMPL_CHAINS];
	struct tmpl_run *runs;
	struct tmpl_field fields[];
};

/* A new template with room for `field_count` fields, all zero. */
enum err tmpl_new(uint16_t field_count, struct tmpl **out);
/* Works out runs, min_bytes, is_fixed and hash from the fields; ERR_FORMAT when min_bytes is 0. */
enum err tmpl_finish(struct tmpl *t);
void tmpl_free(struct tmpl *t);

/* Identity of a v9 field type (the 57472 rule). */
void tmpl_v9_identity(uint16_t type, uint32_t *pen, uint16_t *id);

/* The synthetic template of a format without templates (NetFlow v1, v5, v7); ERR_ABSENT for another. */
enum err tmpl_new_fixed(uint16_t version, struct tmpl **out);
const char *tmpl_fixed_name(uint16_t version, uint16_t index); /* of its field: "dOctets" */

/*
 * Length of the record that starts at `octets`, of which `left` are there: 0 when it overruns.
 * A template's records are never empty, so a loop over records always ends.
 */
size_t tmpl_record_bytes(const struct tmpl *t, const uint8_t *octets, size_t left);

/* Cuts a record into its fields; `values` has room for field_count.  The record is a whole one. */
void tmpl_cut(const struct tmpl *t, const uint8_t *octets, size_t bytes, struct value *values);

#endif
