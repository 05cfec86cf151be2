/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mock_broker - librdkafka's mock Kafka cluster as a process of its own, for tests.
 *
 *	mock_broker [-b BROKERS] [-t TOPIC:PARTITIONS]...
 *
 * Prints "bootstrap HOST:PORT,..." first.  Then reads commands, one per line, and answers each with
 * "ok" or "error TEXT"; ends at "quit" or at the end of its input:
 *
 *	down ID | up ID			 close one broker's port (0: all), open it again
 *	errors API CODE COUNT		 the next COUNT requests of that API key fail with CODE
 *	clear API			 forget what is left of them
 *	topic NAME PARTITIONS		 make a topic
 *	topic_error NAME CODE		 metadata requests for the topic answer CODE; 0: no more
 *	leader NAME PARTITION ID	 ID leads the partition; -1: nobody
 *	rtt ID MS			 every answer of that broker (0: all) comes later
 *
 * What it is not: it keeps about 5 MiB of each partition only, so a reader has to keep up; it does not
 * look at the sequence numbers of an idempotent producer; transactions are not checked.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#define TOPICS_MAX 32
#define LINE_BYTES 512
#define NAME_BYTES 250
#define ERRORS_MAX 1000

struct mock {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
};

static const char *code_text(rd_kafka_resp_err_t e)
{
	return e == RD_KAFKA_RESP_ERR_NO_ERROR ? NULL : rd_kafka_err2name(e);
}

static int broker_id(long id)
{
	return id == 0 ? -1 : (int)id;
}

static const char *do_down(struct mock *m, const char *name, const long *v)
{
	(void)name;
	return code_text(rd_kafka_mock_broker_set_down(m->cluster, broker_id(v[0])));
}

static const char *do_up(struct mock *m, const char *name, const long *v)
{
	(void)name;
	return code_text(rd_kafka_mock_broker_set_up(m->cluster, broker_id(v[0])));
}

static const char *do_errors(struct mock *m, const char *name, const long *v)
{
	rd_kafka_resp_err_t codes[ERRORS_MAX];

	(void)name;
	if (v[2] < 1 || v[2] > ERRORS_MAX)
		return "COUNT is 1 to 1000";
	for (long i = 0; i < v[2]; i++)
		codes[i] = (rd_kafka_resp_err_t)v[1];
	rd_kafka_mock_push_request_errors_array(m->cluster, (int16_t)v[0], (size_t)v[2], codes);
	return NULL;
}

static const char *do_clear(struct mock *m, const char *name, const long *v)
{
	(void)name;
	rd_kafka_mock_clear_request_errors(m->cluster, (int16_t)v[0]);
	return NULL;
}

static const char *do_topic(struct mock *m, const char *name, const long *v)
{
	return code_text(rd_kafka_mock_topic_create(m->cluster, name, (int)v[0], 1));
}

static const char *do_topic_error(struct mock *m, const char *name, const long *v)
{
	rd_kafka_mock_topic_set_error(m->cluster, name, (rd_kafka_resp_err_t)v[0]);
	return NULL;
}

static const char *do_leader(struct mock *m, const char *name, const long *v)
{
	return code_text(
		rd_kafka_mock_partition_set_leader(m->cluster, name, (int32_t)v[0], (int32_t)v[1]));
}

static const char *do_rtt(struct mock *m, const char *name, const long *v)
{
	(void)name;
	return code_text(rd_kafka_mock_broker_set_rtt(m->cluster, broker_id(v[0]), (int)v[1]));
}

static const struct command {
	const char *name;
	bool has_name;
	int number_count;
	const char *(*run)(struct mock *m, const char *name, const long *numbers);
} commands[] = {
	{ "down", false, 1, do_down },	   { "up", false, 1, do_up },
	{ "errors", false, 3, do_errors }, { "clear", false, 1, do_clear },
	{ "topic", true, 1, do_topic },	   { "topic_error", true, 1, do_topic_error },
	{ "leader", true, 2, do_leader },  { "rtt", false, 2, do_rtt },
};

static bool number_of(const char *text, long *out)
{
	char *end;

	if (text == NULL)
		return false;
	*out = strtol(text, &end, 10);
	return end != text && *end == '\0';
}

/* NULL, or what is wrong. */
static const char *command_run(struct mock *m, char *line)
{
	char *rest = NULL;
	const char *word = strtok_r(line, " \n", &rest);
	const char *name = NULL;
	long numbers[3] = { 0 };

	if (word == NULL)
		return "no command";
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->name, word) != 0)
			continue;
		if (c->has_name && (name = strtok_r(NULL, " \n", &rest)) == NULL)
			return "a name is missing";
		for (int n = 0; n < c->number_count; n++) {
			if (!number_of(strtok_r(NULL, " \n", &rest), &numbers[n]))
				return "a number is missing or wrong";
		}
		return c->run(m, name, numbers);
	}
	return "no such command";
}

static int topic_make(struct mock *m, const char *spec)
{
	const char *colon = strrchr(spec, ':');
	char name[NAME_BYTES];
	long count = 1;

	if (colon == NULL || !number_of(colon + 1, &count) || count < 1 || count > 10000 ||
	    (size_t)(colon - spec) >= sizeof(name)) {
		fprintf(stderr, "mock_broker: %s: expected TOPIC:PARTITIONS\n", spec);
		return -1;
	}
	memcpy(name, spec, (size_t)(colon - spec));
	name[colon - spec] = '\0';
	if (rd_kafka_mock_topic_create(m->cluster, name, (int)count, 1) != 0) {
		fprintf(stderr, "mock_broker: cannot make topic %s\n", name);
		return -1;
	}
	return 0;
}

static void serve(struct mock *m)
{
	char line[LINE_BYTES];

	while (fgets(line, sizeof(line), stdin) != NULL && strncmp(line, "quit", 4) != 0) {
		const char *wrong = command_run(m, line);

		if (wrong == NULL)
			printf("ok\n");
		else
			printf("error %s\n", wrong);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	struct mock m = { NULL, NULL };
	const char *topics[TOPICS_MAX];
	size_t topic_count = 0;
	long brokers = 1;
	rd_kafka_conf_t *conf;
	char text[LINE_BYTES];
	int option;

	while ((option = getopt(argc, argv, "b:t:")) != -1) {
		if (option == 'b' && number_of(optarg, &brokers) && brokers > 0 && brokers < 100)
			continue;
		if (option == 't' && topic_count < TOPICS_MAX) {
			topics[topic_count++] = optarg;
			continue;
		}
		fprintf(stderr, "usage: mock_broker [-b BROKERS] [-t TOPIC:PARTITIONS]...\n");
		return 2;
	}
	conf = rd_kafka_conf_new();
	/* It has no brokers to talk to, and would say so. */
	if (rd_kafka_conf_set(conf, "log_level", "3", text, sizeof(text)) == RD_KAFKA_CONF_OK)
		m.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (m.rk == NULL) {
		fprintf(stderr, "mock_broker: %s\n", text);
		return 1;
	}
	m.cluster = rd_kafka_mock_cluster_new(m.rk, (int)brokers);
	if (m.cluster == NULL)
		return 1;
	for (size_t i = 0; i < topic_count; i++) {
		if (topic_make(&m, topics[i]) != 0)
			return 1;
	}
	printf("bootstrap %s\n", rd_kafka_mock_cluster_bootstraps(m.cluster));
	fflush(stdout);
	serve(&m);
	rd_kafka_mock_cluster_destroy(m.cluster);
	rd_kafka_destroy(m.rk);
	return 0;
}
