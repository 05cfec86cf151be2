/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no octet changed and no octet missing makes the road crash, hang, or lose count.
 * Method: the messages of every capture of the corpus go through a whole pipeline (gate, walk, plan, enrich,
 * encode, log); then each again with every octet changed in two ways, and cut at every length.  The lines of
 * the ledger must hold, every encoded event must read as JSON, and libfixbuf must agree where it is asked.
 */
#include "base/clock.h"
#include "test/unit/road.h"

#define QUICK_BYTES 200 /* of one message, and messages of one capture: all of them with */
#define QUICK_MESSAGES 2 /* SLUICE_MUTATE=all in the environment */
#define MESSAGE_MS_MAX 1000    /* of CPU: a loop that does not end soon, not a speed */

static int64_t worst_ns;

static int64_t feed_once(struct road *r, const uint8_t *octets, size_t bytes,
			 const struct origin *origin)
{
	uint8_t *copy = malloc(bytes + 1);
	int64_t start_ns = clock_thread_cpu_ns();
	int64_t took_ns;

	must(copy != NULL);
	memcpy(copy, octets, bytes);
	pipeline_receive(r->pipeline, copy, bytes, origin);
	took_ns = clock_thread_cpu_ns() - start_ns;
	worst_ns = took_ns > worst_ns ? took_ns : worst_ns;
	free(copy);
	r->units++;
	return took_ns / 1000000;
}

/* A virtual machine that stood still may charge that to whoever ran: once is no loop. */
static void feed(struct road *r, const uint8_t *octets, size_t bytes, const struct origin *origin)
{
	if (feed_once(r, octets, bytes, origin) > MESSAGE_MS_MAX &&
	    feed_once(r, octets, bytes, origin) > MESSAGE_MS_MAX)
		fail_msg("one message took more than %d ms of CPU", MESSAGE_MS_MAX);
	if (r->units % 512 == 0)
		road_read(r);
}

/* The capture's own messages first: they bring the templates. */
static void mutate_unit(struct road *r, const struct unit *u, bool is_all)
{
	size_t bytes = is_all || u->bytes < QUICK_BYTES ? u->bytes : QUICK_BYTES;

	for (size_t at = 0; at < bytes; at++) {
		uint8_t was = u->octets[at];

		u->octets[at] = (uint8_t)~was;
		feed(r, u->octets, u->bytes, &u->origin);
		u->octets[at] = (uint8_t)(was + 1);
		feed(r, u->octets, u->bytes, &u->origin);
		u->octets[at] = was;
	}
	for (size_t cut = 0; cut < bytes; cut++)
		feed(r, u->octets, cut, &u->origin);
	feed(r, u->octets, u->bytes, &u->origin);
}

static uint64_t messages;

static void run_capture(const char *path)
{
	struct capture *c = capture_read(path);
	struct road *r = malloc(sizeof(*r));
	const char *mutate = getenv("SLUICE_MUTATE");
	bool is_all = mutate != NULL && strcmp(mutate, "all") == 0;
	size_t step = is_all ? 1 : c->count / QUICK_MESSAGES + 1;

	must(r != NULL);
	road_open(r, "time", 3);
	for (size_t i = 0; i < c->count; i++)
		feed(r, c->units[i].octets, c->units[i].bytes, &c->units[i].origin);
	road_check_ledger(r);
	for (size_t i = 0; i < c->count; i += step)
		mutate_unit(r, &c->units[i], is_all);
	road_check_ledger(r);
	messages += r->units;
	road_close(r);
	free(r);
	capture_free(c);
}

static void test_corpus(void **state)
{
	size_t captures = captures_each(run_capture);

	(void)state;
	assert_true(captures >= 10);
	print_message("captures mutated: %zu, messages: %llu, worst of one: %lld us of CPU\n", captures, (unsigned long long)messages,
		      (long long)(worst_ns / 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_corpus) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
