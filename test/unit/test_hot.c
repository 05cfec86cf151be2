/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: between receiving and the log nothing is allocated once an exporter is known, whatever it sends.
 * Method: every capture of the corpus goes through a whole pipeline, again and again; the last time malloc(),
 * calloc() and realloc(), which this program has its own of, count.
 */
#include "test/unit/road.h"

/* Sanitizers have their own malloc(). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#define IS_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define IS_SANITIZED 0
#endif

#if !IS_SANITIZED
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);

static size_t calls;

void *malloc(size_t bytes)
{
	calls++;
	return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
	calls++;
	return __libc_calloc(count, bytes);
}

void *realloc(void *p, size_t bytes)
{
	calls++;
	return __libc_realloc(p, bytes);
}

#define WARM_UP 8

static size_t flows;
static size_t warm_up;

static size_t send_all(struct road *r, const struct capture *c)
{
	size_t counted = 0;

	for (size_t i = 0; i < c->count; i++) {
		const struct unit *u = &c->units[i];
		size_t before = calls;

		pipeline_receive(r->pipeline, u->octets, u->bytes, &u->origin);
		counted += calls - before;
		r->units++;
		/* Full frames go back to the pool. */
		if (i % 64 == 63)
			road_read(r);
	}
	road_read(r);
	return counted;
}

static void run_capture(const char *path)
{
	struct capture *c = capture_read(path);
	struct road *r = malloc(sizeof(*r));
	size_t counted;

	must(r != NULL);
	road_open(r, "network", 0);
	/* The log takes a few frames to have all that it keeps. */
	for (int i = 0; i < WARM_UP; i++)
		warm_up += send_all(r, c);
	counted = send_all(r, c);
	if (counted > 0)
		fail_msg("%s: %zu allocations", path, counted);
	road_check_ledger(r);
	flows += r->events;
	road_close(r);
	free(r);
	capture_free(c);
}
#endif

static void test_nothing_is_allocated(void **state)
{
	(void)state;
#if IS_SANITIZED
	skip();
#else
	assert_true(captures_each(run_capture) >= 10);
	assert_true(flows > 1000 && warm_up > 1000);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_nothing_is_allocated) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
