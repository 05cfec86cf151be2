/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - what one observation domain of one exporter told us.
 *
 * Key: peer address, peer port, format version, domain, the stream it came by, and the agent of sFlow.  Holds the templates in force, the sequence
 * state, and counters of its own for `sluicectl exporters`.
 *
 * Owner: the worker.  Lifetime: until idle, evicted, or the worker ends; of a stream, until that ends or evicted.
 */
#ifndef COLLECTOR_SESSION_H
#define COLLECTOR_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/chain.h"
#include "base/err.h"
#include "collector/message.h"
#include "collector/sequence.h"
#include "collector/tmpl.h"

struct ndpi;

#define SESSION_IDENTITY_BYTES 64
#define SESSION_NUMBER_NONE 0xFFFFFFFFu
#define SESSION_GAP_UNKNOWN SEQUENCE_GAP_UNKNOWN
#define SESSION_SKEWS 9 /* messages whose median is the clock's skew: odd */

struct join;
struct report;
struct announce;

/* One entry of the option `exporters`. */
struct exporter_entry {
	struct addr net;
	unsigned prefix_bits;
	bool has_domain;
	bool has_port;
	uint32_t domain;
	uint16_t port;
	const char *name; /* identity; NULL: the address is the identity */
	const char *site;
	const char *mapping;	 /* NULL: by `when` */
	uint32_t sampling_rate;	 /* 0: not configured */
	uint32_t rate;		 /* datagrams a second; 0: no limit */
	bool trusts_reported;	 /* exporter_ip is what the record says of it */
	const struct ndpi *ndpi; /* the normalizer's; NULL: its default */
};

struct session_key {
	uint8_t octets[16];
	uint32_t domain;
	uint16_t port;
	uint16_t version;
	uint32_t stream;      /* of the connection; 0: none */
	uint32_t agent_bytes; /* of sFlow: 4 or 16; else 0 */
	uint8_t agent[16];
};

/* Where ports of one exporter meet; or all that came by one stream. */
struct session_place {
	uint8_t octets[16];
	uint32_t domain;
	uint32_t version;
};

/* Written by the worker only. */
struct session_counts {
	uint64_t messages;
	uint64_t octets;
	uint64_t malformed; /* chain of sets broken; with a broken header no session can be told */
	uint64_t flows;
	uint64_t options;
	uint64_t sets_refused;
	uint64_t templates_new;
	uint64_t templates_changed;
	uint64_t templates_flapped; /* of those changed: back to what was before */
	uint64_t templates_expired;
	uint64_t templates_evicted;
	uint64_t templates_refused;
	uint64_t missed; /* units of the format's sequence number, an estimate */
	uint64_t late;	 /* of those, the ones that came later: missed - late did not come */
	uint64_t out_of_order;
	uint64_t duplicated;
	uint64_t restarts;
	uint64_t samples_missed;  /* sFlow: by the sequence numbers of its sources */
	uint64_t samples_dropped; /* by their totals of drops */
};

#define SESSION_REFUSED_MAX 8

struct hold_session;
struct sflow_sources;

struct session {
	struct session_key key;
	struct addr peer;
	struct session *place_before; /* of the same address, format and domain, on other ports */
	struct session *place_behind;
	uint32_t borrowed_count;	       /* templates of those */
	bool has_defined;		       /* it sent a template set */
	char identity[SESSION_IDENTITY_BYTES]; /* configured name, or the address as text */
	uint8_t identity_bytes;
	bool is_named;
	enum transport transport;
	uint32_t exporter_number; /* in the log; SESSION_NUMBER_NONE until the pipeline asks */
	const struct exporter_entry *entry; /* NULL when none matches; of the running generation */
	bool is_counted;		    /* among those without entry */
	uint64_t profile; /* the normalizer's: mappings that held for a template */
	uint64_t profile_generation;
	uint64_t entry_generation;
	struct join *
		join; /* the normalizer's, from options data; freed through collector_ops.session_gone */
	struct report *report;	   /* the normalizer's, too: what the exporter says of itself */
	struct announce *announce; /* the normalizer's, too: elements that it announced */
	struct tmpl **tmpls;	   /* sorted by id */
	uint16_t *tmpl_ids;	   /* of them: looked through without a look at each */
	size_t tmpl_count;
	size_t tmpls_room;
	struct tmpl_level level; /* bound.h's */
	struct tmpl *fixed;	 /* the synthetic template of a format that has none */
	struct chain_link kept;	 /* keep.c's: among the sessions whose templates changed */
	bool is_kept;		 /* it stands on disk with templates */
	uint16_t refused
		[SESSION_REFUSED_MAX]; /* ids whose last definition was refused; 0: a free place */
	uint8_t refused_next;
	/* Of those the ones whose definition came, and others that have such. */
	uint32_t ready_count;
	struct held_set *ready_from; /* none of an older message is ready; NULL: none is */
	struct session *ready_before;
	struct session *ready_behind;
	struct hold_session *held; /* hold.c's: data sets that wait for a template, or NULL */
	struct sflow_sources
		*sources; /* sflow_sources.c's: what each source of an sFlow agent counts */
	struct sequence sequence;
	int64_t gap; /* units missing before the message at hand, or SESSION_GAP_UNKNOWN */
	int64_t skews_ms[SESSION_SKEWS]; /* a ring: export time less receive time */
	uint32_t skew_count;		 /* messages that said their export time */
	int64_t skew_ms;		 /* median of the ring; when skew_count is not 0 */
	int64_t system_init_ms;		 /* element 160 from options data, UTC; 0 when not said */
	int64_t first_ms;		 /* UTC */
	int64_t last_ms;		 /* UTC, last message */
	int64_t idle_since_ms;		 /* monotonic, last message */
	struct session_counts counts;
};

/* A session without templates; a format that has none gets its synthetic one.  Lookup of entries is not done here. */
enum err session_new(const struct session_key *key, const struct addr *peer, struct session **out);
/* Its templates must be gone already (session_tmpl_take), but for the synthetic one. */
void session_free(struct session *s);

/* Its entry, which may be NULL, and its name by it. */
void session_identify(struct session *s, const struct exporter_entry *entry);

struct session_key session_key_of(const struct message *m);
struct session_place session_place_of(const struct session *s);
struct session_place session_place_of_stream(uint32_t stream);

/* Templates, and what waits for one, die with the connection (RFC 7011, 8): none is borrowed, none outlives the service. */
static inline bool session_is_of_stream(const struct session *s)
{
	return s->key.stream != 0;
}

/* The template of that id in force, or NULL. */
struct tmpl *session_tmpl(const struct session *s, uint16_t id);
/* Adds the template under its id; the session owns it.  The one it replaces goes to *old, or NULL.  ERR_NOMEM. */
enum err session_tmpl_put(struct session *s, struct tmpl *t, struct tmpl **old);
/* Index of the first template whose id is not below `id`. */
size_t session_tmpl_from(const struct session *s, uint32_t id);
/* Takes the template of that id out; NULL when there is none. */
struct tmpl *session_tmpl_take(struct session *s, uint16_t id);

/* Accounts for the message's sequence number, and leaves in s->gap what was missing before it. */
struct sequence_account session_sequence(struct session *s, const struct message *m,
					 const struct sequence_units *units);

/* A definition of that id was refused: data of it is not what another definition says; and that came. */
void session_refuse(struct session *s, uint16_t id);
void session_unrefuse(struct session *s, uint16_t id);
void session_refuse_none(struct session *s);
bool session_is_refused(const struct session *s, uint16_t id);

/* Takes the message's export time into skew_ms, the median of the last SESSION_SKEWS messages: a datagram
 * that waited somewhere, or a clock read in whole seconds, moves it little.  A restart begins anew. */
void session_skew(struct session *s, const struct message *m);

#endif
