/* SPDX-License-Identifier: Apache-2.0 */
/*
 * announce.h - elements of enterprises that no registry has, as their exporter announces them (RFC 5610).
 *
 *	if (announce_is_of(t))						once for a set
 *		announce_learn(&a, &home, elements, t, values, limit)	for each record
 *	const struct announced *e = announce_find(a, pen, id);		where element_find() has none
 *	announce_name(a, elements, pen, id, buf, size)			as element_name()
 *	announce_keep(order, some, &out), announce_restore(&a, &home, entry, limit)	over a restart
 *
 *	options | enterprise 32473, element 77, type string, name "probeMood" |
 *	data	| 32473/77 "content" |  ->  raw.elements {"probeMood":"content"}; else {"e32473id77":"636f..."}
 *
 * A registry goes first, whatever an exporter says.  Of several announcements of one element the first holds until
 * the session ends: plans are compiled for it once.  A name that is another element's already is not used: its
 * element keeps the number form.
 *
 * Owner: the worker, of one per session.  Lifetime: the session.  An entry lives until the next announce_learn().
 */
#ifndef NORMALIZER_ANNOUNCE_H
#define NORMALIZER_ANNOUNCE_H

#include "base/chain.h"
#include "base/rd.h"
#include "collector/keep.h"
#include "collector/tmpl.h"
#include "normalizer/element.h"

#define ANNOUNCE_SESSION_MAX 512 /* elements of a session */
#define ANNOUNCE_NAME_MAX 120	 /* octets: with what tells repeats apart a key has room for it */

_Static_assert(ANNOUNCE_NAME_MAX < ELEMENT_NAME_BYTES, "a name is a key");

struct announce;

/* Of a session: the order in which announcements of all sessions came, and whose they are. */
struct announce_home {
	struct chain *order;
	const struct session *session;
};

struct announced {
	uint32_t pen;
	uint16_t id;
	uint8_t type;  /* enum element_type */
	uint8_t list;  /* enum element_list */
	bool is_taken; /* another announced element had the name before */
	char *name;    /* "" when it has none */
};

/* What one record did. */
enum announce_result {
	ANNOUNCE_SAME, /* nothing: it is known like this, or it announces nothing */
	ANNOUNCE_NEW,
	ANNOUNCE_KNOWN, /* not taken: a registry has it, of another type, or nobody may define it */
	ANNOUNCE_CHANGED, /* not taken: it was announced otherwise before */
	ANNOUNCE_NAME,	  /* not taken: its name is none */
	ANNOUNCE_TYPE,	  /* not taken: there is no such element, or type */
	ANNOUNCE_OVER,	  /* not taken: no room under the limit */
	ANNOUNCE_NO_MEMORY,
	ANNOUNCE_RESULTS
};

/* Does the options template tell types of elements? */
bool announce_is_of(const struct tmpl *t);
/* One value for each field of `t`, one announce_is_of() is true for.  *a is NULL before the first; `home` may be, when nobody
 * keeps it. */
enum announce_result announce_learn(struct announce **a, const struct announce_home *home,
				    const struct element_registry *elements, const struct tmpl *t,
				    const struct value *values, size_t limit);
void announce_free(struct announce *a);
/* It only grows. */
size_t announce_count(const struct announce *a);

/*
 * Entries of collector/keep.h for sessions that announced since they were asked for, as many as make about that many octets;
 * true: there are more.
 *
 *	| octets u32 | key of the session | pen u32, id u16, type u8, list u8, name u8 + octets | ...
 */
bool announce_keep(struct chain *order, size_t some, struct keep *out);
/* What stands behind the session's key.  Nothing of it is believed: ERR_FORMAT; ERR_LIMIT, ERR_NOMEM.  What came before holds. */
enum err announce_restore(struct announce **a, const struct announce_home *home, struct rd entry,
			  size_t limit);

/* NULL when nothing was announced of it.  A registry is not asked. */
const struct announced *announce_find(const struct announce *a, uint32_t pen, uint16_t id);
/* The registry's name, else the announced one if it is free, else the number form; returns `buf`. */
const char *announce_name(const struct announce *a, const struct element_registry *elements,
			  uint32_t pen, uint16_t id, char *buf, size_t size);

#endif
