/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_types.h - the kafka sink's insides, shared by kafka*.c and nobody else.
 *
 *	kafka_send	frames -> messages, by partition, to librdkafka
 *	kafka_report	what librdkafka says: delivery reports, errors, log lines
 *	kafka_redo	messages that failed: again, in smaller groups when they were refused
 *	kafka_producer	makes librdkafka's producer, and makes it anew after a fatal error
 *	kafka_schema	schema of a frame -> the id that the registry gave
 *	kafka_state	what status says
 *
 *	taken from the log = under way at librdkafka (out_count) + waiting to be sent again (redo.count)
 *
 * Owner: the sink's thread, but for struct kafka_view, which has a lock.
 */
#ifndef SINK_KAFKA_TYPES_H
#define SINK_KAFKA_TYPES_H

#include <pthread.h>

#include <librdkafka/rdkafka.h>

#include "sink/kafka_conf.h"
#include "sink/kafka_slab.h"
#include "sink/kafka_window.h"
#include "sink/registry.h"
#include "sink/sink.h"

#define KAFKA_PIECE_RECORDS 4096 /* records taken from a frame in one go */
#define KAFKA_TEXT_BYTES 512
#define KAFKA_SCHEMAS_MAX 256

enum kafka_state {
	KAFKA_STARTING, /* no delivery yet, and nothing wrong yet */
	KAFKA_RUNNING,
	KAFKA_SCHEMA_WAITING, /* no schema id yet: the registry is away, or asked just now */
	KAFKA_SCHEMA_REFUSED, /* the registry said no */
	KAFKA_BROKER_AWAY,
	KAFKA_AUTH_FAILED, /* the brokers do not let us in, or not to the topic */
	KAFKA_TOPIC_MISSING,
	KAFKA_WINDOW_FULL, /* nothing more is taken until older records are delivered */
	KAFKA_RETRYING,	   /* records were refused or failed, and go again */
	KAFKA_REBUILDING,  /* the producer failed for good and is made anew */
	KAFKA_STATE_COUNT
};

/* What any thread may see. */
struct kafka_view {
	enum kafka_state state;
	char why[KAFKA_TEXT_BYTES];
	enum registry_state registry;
	char registry_why[REGISTRY_TEXT_BYTES];
	uint32_t schema_id;
	int32_t partition_count;
	uint64_t in_flight;
	uint64_t in_flight_octets;
	uint64_t redo;
};

struct kafka_schemas {
	struct registry *registry; /* NULL: fixed_id */
	uint32_t fixed_id;
	uint32_t first; /* schema number that fixed_id is for */
	struct log_hub *hub;
	const char *topic;
	int subject; /* enum kafka_subject */
	struct {
		uint32_t number;
		uint32_t id; /* 0: not known */
	} known[KAFKA_SCHEMAS_MAX];
	size_t known_count;
	size_t asking; /* index of the one the registry is asked for; KAFKA_SCHEMAS_MAX: none */
	enum registry_state state;
	char text[REGISTRY_TEXT_BYTES];
};

struct kafka_reader {
	struct log_reader *log;
	struct kafka_window window;
	struct log_frame frame;
	size_t at;		/* where to go on in the frame, */
	struct log_record last; /* behind this record */
	bool has_frame;
	bool is_dirty; /* reports came since the low-water mark was last moved */
};

/* An exporter as a key. */
struct kafka_exporter {
	const char *name; /* NULL: not asked yet */
	uint32_t bytes;
	int32_t partition; /* -1: not chosen */
};

/* Messages of one partition while a piece is sorted: indexes into `piece`, a chain through `next`. */
struct kafka_lane {
	uint32_t first;
	uint32_t last;
	int32_t next; /* partition of the next lane in use */
	bool is_used;
};

struct kafka_redo {
	struct kafka_msg **list;
	size_t count;
	size_t room;
	size_t group;	  /* messages of the next round; 0: no round was yet */
	bool is_round;	  /* a round is under way */
	bool was_refused; /* a message of this round was refused for good */
	bool was_lost;	  /* a message of this round failed otherwise */
	int64_t next_ms;
	int64_t backoff_ms;
	rd_kafka_resp_err_t last; /* why a message is here */
};

struct kafka {
	const struct kafka_options *o;
	struct sink_env env;
	struct kafka_schemas schemas;

	rd_kafka_t *rk;
	rd_kafka_topic_t *rkt;
	rd_kafka_queue_t *events;
	/* Partitions that the topic has, 0: not known; set in whatever thread librdkafka calls us. */
	struct stat_flag partitions_seen;
	int32_t partition_count; /* that lanes and exporters are made for */
	struct kafka_lane *lanes;
	int64_t next_probe_ms;
	int64_t next_build_ms;
	bool is_fatal;
	int64_t sent_octets; /* of this producer, as counted so far */

	struct kafka_reader *readers;
	size_t reader_count;
	size_t reader_turn;
	struct kafka_slabs slabs;
	struct kafka_exporter *exporters;
	uint32_t exporter_count;
	uint64_t random;

	size_t out_count;
	struct kafka_redo redo;
	bool is_stalled;
	int64_t stalled_ms;

	enum kafka_state trouble; /* KAFKA_RUNNING: none */
	char trouble_text[KAFKA_TEXT_BYTES];
	char last_error[KAFKA_TEXT_BYTES]; /* of one connection */
	bool was_delivered;
	bool has_buried; /* records in the dead letter log that may not be durable there yet */

	/* For one piece. */
	struct kafka_msg *piece[KAFKA_PIECE_RECORDS];
	uint32_t next[KAFKA_PIECE_RECORDS];
	rd_kafka_message_t messages[KAFKA_PIECE_RECORDS];

	pthread_mutex_t view_lock;
	struct kafka_view view;
	int64_t next_view_ms;
};

static inline size_t kafka_taken(const struct kafka *k)
{
	return k->out_count + k->redo.count;
}

/* kafka_send.c */
/* Takes what may be taken; returns how many records that were. */
size_t kafka_send(struct kafka *k, int64_t now_ms);
/* Hands over one message, to its partition or, when that is -1, to the one librdkafka asks us for. */
void kafka_send_one(struct kafka *k, struct kafka_msg *m);
/* librdkafka's question for the partition of a message; how we hear of their number. */
int32_t kafka_send_choose(const rd_kafka_topic_t *rkt, const void *key, size_t key_bytes,
			  int32_t partition_count, void *ctx, void *message);

/* kafka_report.c */
void kafka_report_serve(struct kafka *k, int wait_ms);
/* Moves the cursors of the logs. */
void kafka_report_advance(struct kafka *k);
/* A message is through with. */
void kafka_report_done(struct kafka *k, struct kafka_msg *m, enum kafka_fate fate);
/* It was handed over, and not delivered. */
void kafka_report_failed(struct kafka *k, struct kafka_msg *m, rd_kafka_resp_err_t e);
/* It could not be handed over. */
void kafka_report_not_taken(struct kafka *k, struct kafka_msg *m, rd_kafka_resp_err_t e);
bool kafka_report_is_refusal(rd_kafka_resp_err_t e);
/* A librdkafka log line that says that a batch went out uncompressed. */
bool kafka_report_is_fallback(const char *line);

/* kafka_redo.c */
void kafka_redo_add(struct kafka *k, struct kafka_msg *m, rd_kafka_resp_err_t e);
/* A message that will not be taken, alone or with others, becomes a dead letter. */
void kafka_redo_bury(struct kafka *k, struct kafka_msg *m, rd_kafka_resp_err_t e);
void kafka_redo_poll(struct kafka *k, int64_t now_ms);
/* Milliseconds after which it wants to be called again, when nothing else happens. */
int kafka_redo_wait_ms(const struct kafka *k, int64_t now_ms);
void kafka_redo_clear(struct kafka *k);
void kafka_redo_fini(struct kafka *k);

/* kafka_producer.c */
void kafka_producer_poll(struct kafka *k, int64_t now_ms);
void kafka_producer_destroy(struct kafka *k);

/* kafka_schema.c */
enum err kafka_schemas_open(struct kafka_schemas *s, const struct kafka_options *o,
			    const struct sink_env *env, struct why *why);
void kafka_schemas_close(struct kafka_schemas *s);
/* The id, or 0, and then it is being asked for. */
uint32_t kafka_schema_id(struct kafka_schemas *s, uint32_t number);
/* The schema that has that id, as the hub numbers it; false when none is known to. */
bool kafka_schema_number(const struct kafka_schemas *s, uint32_t id, uint32_t *number);
/* Milliseconds after which it wants to be called again. */
int kafka_schemas_poll(struct kafka_schemas *s, int64_t now_ms);

/* kafka_state.c */
void kafka_state_trouble(struct kafka *k, enum kafka_state state, const char *text);
void kafka_state_well(struct kafka *k);
/* Makes what any thread may see, at most every 100 ms. */
void kafka_state_publish(struct kafka *k, int64_t now_ms);
void kafka_state_print(struct kafka *k, struct json *out);

#endif
