/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sequence.h - what the sequence numbers of one observation domain say: missed, late, twice, begun anew.
 *
 *	sequence_init(&q, version)
 *	account = sequence_take(&q, &message, &units, now_ms)	once for each message, in order of arrival
 *
 * A number says how much came before its message; how much the message adds is a matter of the rule that
 * the exporter counts by.  The format has one, and real exporters have others:
 *
 *	     10 records          7 records           rule
 *	  100           110                           records, the first of the message (IPFIX, NetFlow v5)
 *	  110           117                           records, the last of the message
 *	  100           101                           messages (NetFlow v9)
 *
 * Beside the rule in force all others are tried whenever a number is not the expected one; a rule that
 * explains several such numbers, and every other one between them, is taken.  What the rule before it
 * called missing meanwhile is given back as late.  When numbers fall back and leap for long, there is no account.
 *
 * What a message holds may be known only later, when a template came for the data sets that wait for it:
 *
 *	  100: 10 records, and a set that waits   |   ? the stretch: no number is judged
 *	    ?:  7 records                         |
 *	sequence_done(&q, stretch, 1, &units)	      the set had 3 records
 *	  120:                                    judged again: 120 is what follows
 *
 * Rules that do not count records know no stretch, nor those by which a number says what is next.
 *
 * Numbers are compared modulo 2^32.  Nothing is allocated, and no message is refused for its number.
 *
 * Owner: the session.  Lifetime: its own.
 */
#ifndef COLLECTOR_SEQUENCE_H
#define COLLECTOR_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/message.h"

#define SEQUENCE_GAPS_MAX 8
#define SEQUENCE_GAP_UNKNOWN (-1)

enum sequence_rule {
	SEQUENCE_RECORDS,
	SEQUENCE_MESSAGES,
	SEQUENCE_FLOWS,	       /* data records but those of options templates */
	SEQUENCE_DEFINITIONS,  /* data records and templates */
	SEQUENCE_RECORDS_LAST, /* the number is that of the message's end */
	SEQUENCE_FLOWS_LAST,
	SEQUENCE_DEFINITIONS_LAST,
	SEQUENCE_NOTHING, /* the same for ever */
	SEQUENCE_NO_RULE,
	SEQUENCE_RULE_COUNT
};

/* What a message holds. */
struct sequence_units {
	uint32_t records; /* data records, those of options templates too */
	uint32_t options; /* data records of options templates */
	uint32_t definitions;
	uint32_t held; /* data sets that wait for their template; the others were read */
	bool is_known; /* each of its data sets was read */
};

/* Units that were missing when the message behind them came; a late message may yet bring them. */
struct sequence_gap {
	uint32_t from;
	uint32_t units; /* 0: a free place */
	int64_t since_ms;
};

/* From the first message with sets that wait to the last of those sets. */
struct sequence_stretch {
	uint32_t number; /* from 1 */
	uint32_t sets;	 /* that wait; 0: there is none */
	uint32_t next;	 /* number that is expected, but for what those sets hold */
};

struct sequence {
	uint8_t rule;			   /* enum sequence_rule: the one in force */
	uint8_t standard;		   /* that of the format */
	uint8_t hits[SEQUENCE_RULE_COUNT]; /* unexpected numbers that the rule explains, in a row */
	bool is_trying;			   /* one of `hits` is not 0 */
	bool has_next;
	bool has_last;
	uint32_t next;		    /* number that is expected */
	uint32_t followed;	    /* units before `next` of which is known which came */
	struct sequence_units last; /* of the last message, in whatever order */
	uint32_t last_sequence;
	uint32_t behind_count; /* messages in a row that were behind */
	uint32_t behind_next;  /* what follows on from the last of them */
	uint32_t jumps;	       /* numbers that make no sense, of late */
	uint64_t
		trial_missed; /* counted as missed, and not yet late, since another rule is tried */
	uint64_t stray_missed; /* the same, since the last number that was expected */
	uint32_t uptime_ms; /* of the last message in order, with the export time it stands for */
	int64_t export_ms;
	struct sequence_gap gaps[SEQUENCE_GAPS_MAX];
	struct sequence_stretch stretch;
	bool is_unsure; /* `next` is the sum of a stretch, and no number was as expected since */
};

/* What one message's number says. */
struct sequence_account {
	uint32_t missed;    /* units */
	uint64_t late;	    /* units counted as missed before, and here now or never missing */
	bool is_reordered;  /* it came late */
	bool is_duplicated; /* it was here before */
	bool is_restart;    /* the exporter counts anew */
	bool is_new_rule;   /* q->rule changed */
	int64_t gap;	    /* units missing before it, or SEQUENCE_GAP_UNKNOWN */
	uint32_t stretch;   /* that its sets which wait belong to; 0: to none */
};

/* Nothing to count. */
static inline bool sequence_is_clean(const struct sequence_account *a)
{
	return a->missed == 0 && a->late == 0 &&
	       !(a->is_reordered | a->is_duplicated | a->is_restart | a->is_new_rule);
}

void sequence_init(struct sequence *q, uint16_t version);
struct sequence_account sequence_take(struct sequence *q, const struct message *m,
				      const struct sequence_units *units, int64_t now_ms);
/* So many sets of that stretch wait no longer, and held that much; NULL: nobody knows what. */
void sequence_done(struct sequence *q, uint32_t stretch, uint32_t sets,
		   const struct sequence_units *units);
/* The next number cannot be told: start afresh at the next message. */
void sequence_lost(struct sequence *q);
/* How the exporter counts, for people, when it is not as its format says; else "". */
const char *sequence_anomaly(const struct sequence *q);
/* Its clock since boot and its number both say that it began anew: what it told before holds no longer. */
bool sequence_is_reboot(const struct sequence *q, const struct message *m);

#endif
