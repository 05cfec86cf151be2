/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.h - what options data says of flows that come later: sampling, names of interfaces, applications
 * and VRFs.  It becomes no flow; flows take it up.
 *
 *	join_learn(&j, &home, t, values, limit, &learned)	a record of an options template
 *	join_flow(joins, f)				a flow, after its plan
 *	join_find_interface(joins, number)
 *	join_keep(order, some, &out), join_restore(&j, &home, entry, limit)	over a restart
 *
 *	options | sampler 1: 1:100, random | interface 5: "ge-0/0/1" | application 13:453: "dns" |
 *	flow	  sampler_id 1, in_interface 5, app_id 13:453
 *		  -> sampling_rate 100, in_interface_name ge-0/0/1, app_name dns
 *
 * A record's values belong to the sampler (elements 48, 302), the interface (10, 14, 252, 253 or v9's
 * scope type 2), the application (95) and the VRF (234, 235) that it names, in its scope or not: exporters do
 * both.  Sampling without sampler is the interface's, and without an interface that of the whole domain.
 *
 * A flow takes up only what it does not say itself, the first of: its sampler, its interfaces, its domain.
 * joins[0] is of the flow's own domain; joins[1], which may be NULL, of domain 0 of the same exporter, the
 * one for what is of no domain (RFC 7011, 3.1), and is asked when the first does not know; in NetFlow v9 not for
 * the sampling of the whole domain, since there 0 is a source like any other.
 *
 * Owner: the worker, of one per session.  Lifetime: the session.  A text that a flow took up lives until
 * the next join_learn().
 */
#ifndef NORMALIZER_JOIN_H
#define NORMALIZER_JOIN_H

#include "base/chain.h"
#include "base/rd.h"
#include "collector/keep.h"
#include "collector/tmpl.h"
#include "normalizer/flow.h"

#define JOIN_TEXT_MAX 255 /* octets of a name; a longer one is cut at a character */
#define JOINS 2

struct join;

/* Of a session's table: the order in which entries of all tables changed, and whose it is. */
struct join_home {
	struct chain *order;
	const struct session *session;
};

/* What one record did. */
struct join_learned {
	uint32_t entries;  /* new, or changed */
	uint32_t over;	   /* not taken: no room under the limit */
	uint32_t not_utf8; /* not taken: the name */
	uint32_t no_key;   /* not taken: it says not of which interface, application or VRF */
	uint32_t no_memory;
	int64_t boot_ms; /* systemInitTimeMilliseconds; 0 when not said */
};

/* What is known of an interface, application, sampler or VRF; parts that nobody said have no octets. */
struct join_entry {
	struct text name;
	struct text description;
	struct text category;
	int64_t rate;	   /* 1:N; 0 when not known */
	int64_t algorithm; /* -1 when not known */
};

/* One value for each field of the options template `t`.  *j is NULL before the first; it holds up to `limit`
 * entries, and is of that home, which may be NULL when nobody keeps it. */
void join_learn(struct join **j, const struct join_home *home, const struct tmpl *t,
		const struct value *values, size_t limit, struct join_learned *out);
void join_free(struct join *j);
size_t join_count(const struct join *j);

/*
 * Entries of collector/keep.h for those that changed since they were asked for, as many as make about that many octets; true: there
 * are more.
 *
 *	| octets u32 | key of the session | key of the entry 48 | IPFIX u8 | rate, algorithm, boot i64 | name, description,
 *	category: u8 + octets |
 */
#define JOIN_ID_BYTES (KEEP_KEY_BYTES + 48u)
bool join_keep(struct chain *order, size_t some, struct keep *out);
/* What stands behind the session's key.  Nothing of it is believed: ERR_FORMAT; ERR_LIMIT, ERR_NOMEM.  *boot_ms is 0 when not said. */
enum err join_restore(struct join **j, const struct join_home *home, struct rd entry, size_t limit,
		      int64_t *boot_ms);

/* An element of options data. */
struct join_element {
	uint32_t pen;
	uint16_t id;
};

/* For people: the elements of options data from which the flow's field comes, up to `max`; the number of
 * them; *by says by which of the flow's fields they are found. */
size_t join_explain(unsigned field, struct join_element *out, size_t max, const char **by);

void join_flow(struct join *const joins[JOINS], struct flow *f);
/* NULL when nothing is known of it. */
const struct join_entry *join_find_interface(struct join *const joins[JOINS], int64_t number);

#endif
