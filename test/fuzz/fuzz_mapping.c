/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no mapping text crashes the loader, what it refuses it names by file and line, and what it takes
 * compiles for any template and reads records the same way through both ways of cutting; without memory too.
 * Method: the input is cut at form feeds into the files of a folder.  What loads gets templates of the very
 * elements it names, in their own lengths, in shorter ones and in variable ones, and one record of each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "normalizer/catalog.h"
#include "normalizer/plan.h"
#include "sink/avro.h"
#include "test/fuzz/alloc.h"

#define FILES_MAX 3
#define FIELDS_MAX 96
#define VALUE_BYTES_MAX 20
#define ENCODED_BYTES (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);
const char *__lsan_default_suppressions(void); /* NOLINT: the sanitizer's name */

/* libconfig 1.5 loses a text that stands where the syntax is wrong. */
const char *__lsan_default_suppressions(void) /* NOLINT: the sanitizer's name */
{
	return "leak:libconfig";
}

/* How long the fields of a template are. */
enum lengths { LENGTHS_NATURAL, LENGTHS_SHORTER, LENGTHS_VARIABLE, LENGTHS_COUNT };

static char folder[] = "/tmp/fuzz_mapping.XXXXXX";
static struct catalog catalog = { .generation = 1 };
static struct avro_encoder encoder;
static struct flow *flow;
static uint8_t *encoded[2];

static void path_of(int file, char path[64])
{
	must(snprintf(path, 64, "%s/%c.conf", folder, 'a' + file) < 64);
}

static void remove_files(void)
{
	for (int i = 0; i < FILES_MAX; i++) {
		char path[64];

		path_of(i, path);
		(void)unlink(path);
	}
}

static void stop(void)
{
	remove_files();
	(void)rmdir(folder);
	element_registry_free(catalog.elements);
	free(flow);
	free(encoded[0]);
	free(encoded[1]);
}

static void start(void)
{
	struct why why = { "" };

	must(mkdtemp(folder) != NULL);
	field_set_init(&catalog.fields);
	must(element_registry_load("templates/elements", &why, &catalog.elements) == ERR_OK);
	avro_encoder_init(&encoder, &catalog.fields);
	flow = calloc(1, sizeof(*flow));
	encoded[0] = malloc(ENCODED_BYTES);
	encoded[1] = malloc(ENCODED_BYTES);
	must(flow != NULL && encoded[0] != NULL && encoded[1] != NULL);
	must(atexit(stop) == 0);
}

static void write_files(const uint8_t *octets, size_t bytes)
{
	remove_files();
	for (int i = 0; i < FILES_MAX; i++) {
		const uint8_t *cut = memchr(octets, '\f', bytes);
		size_t length = cut == NULL || i + 1 == FILES_MAX ? bytes : (size_t)(cut - octets);
		char path[64];
		FILE *f;

		path_of(i, path);
		f = fopen(path, "we");
		must(f != NULL && fwrite(octets, 1, length, f) == length && fclose(f) == 0);
		if (length == bytes)
			return;
		octets += length + 1;
		bytes -= length + 1;
	}
}

static uint16_t length_of(const struct element *e, enum lengths lengths)
{
	uint16_t natural = e == NULL || e->natural_bytes == 0 ? 6 : e->natural_bytes;

	if (lengths == LENGTHS_VARIABLE)
		return TMPL_VARIABLE;
	return lengths == LENGTHS_NATURAL ? natural : (uint16_t)((natural + 1) / 2);
}

/* Each element that the mapping names once, and again where it names it again. */
static struct tmpl *make_tmpl(const struct mapping *m, enum lengths lengths)
{
	size_t count = m->promote_count < FIELDS_MAX ? m->promote_count : FIELDS_MAX;
	struct tmpl *t;

	if (count == 0 || tmpl_new((uint16_t)count, &t) != ERR_OK)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		struct element_id id = m->promotes[i].element;

		t->fields[i].pen = id.pen;
		t->fields[i].id = id.id;
		t->fields[i].bytes =
			length_of(element_find(catalog.elements, id.pen, id.id), lengths);
	}
	t->id = TMPL_ID_MIN;
	t->version = VERSION_IPFIX;
	if (tmpl_finish(t) != ERR_OK) {
		tmpl_free(t);
		return NULL;
	}
	return t;
}

/* Numbers, texts, zeros: something of everything. */
static size_t make_record(const struct tmpl *t, unsigned turn, uint8_t *record)
{
	size_t at = 0;

	for (uint16_t i = 0; i < t->field_count; i++) {
		size_t length = t->fields[i].bytes;

		if (length == TMPL_VARIABLE) {
			length = (i + turn) % (VALUE_BYTES_MAX - 1);
			record[at++] = (uint8_t)length;
		}
		must(length <= VALUE_BYTES_MAX);
		for (size_t k = 0; k < length; k++)
			record[at++] = (uint8_t)(turn == 0 ? 0 : turn * (i + 31 * k));
	}
	return at;
}

static size_t encode(uint8_t *out)
{
	static const uint8_t address[4] = { 192, 0, 2, 1 };
	size_t bytes;

	flow_set_i64(flow, F_event_time, 1);
	flow_set_i64(flow, F_ingest_time, 1);
	flow_set_octets(flow, F_source, "ipfix", 5);
	flow_set_octets(flow, F_exporter_ip, address, 4);
	flow->protocol_version = VERSION_IPFIX;
	bytes = avro_encode(&encoder, flow, out, ENCODED_BYTES);
	must(bytes > 0);
	return bytes;
}

static void run_record(const struct plan *p, const struct tmpl *t, unsigned turn)
{
	const struct xform_env env = { .export_ms = 1700000000000 };
	struct value values[FIELDS_MAX];
	uint8_t room[FIELDS_MAX * (VALUE_BYTES_MAX + 1)];
	size_t bytes = make_record(t, turn, room);
	uint8_t *record = malloc(bytes);
	size_t lengths[2];
	struct json json;

	must(record != NULL);
	memcpy(record, room, bytes);
	must(tmpl_record_bytes(t, record, bytes) == bytes);
	flow_clear(flow);
	plan_run(p, &env, record, flow);
	lengths[0] = encode(encoded[0]);
	tmpl_cut(t, record, bytes, values);
	flow_clear(flow);
	plan_run_values(p, &env, values, flow);
	lengths[1] = encode(encoded[1]);
	must(lengths[0] == lengths[1]);
	must(memcmp(encoded[0], encoded[1], lengths[0]) == 0);
	free(record);
	json_init(&json, ENCODED_BYTES);
	must(avro_to_json(&catalog.fields, encoded[0], lengths[0], true, &json) == ERR_OK);
	must(!json.is_failed);
	json_fini(&json);
}

/* By the mappings that hold, and by all of them: an exporter's entry can force any. */
static void run_plan(const struct tmpl *t, bool is_forced)
{
	struct session session = { .exporter_number = SESSION_NUMBER_NONE };
	uint64_t profile = catalog_profile_add(&catalog, &session, t, 0);
	struct plan *p;
	enum err e;

	if (is_forced)
		profile = (UINT64_C(1) << catalog.mappings->count) - 1;
	e = plan_compile(&catalog, t, profile, &p);
	must(e == ERR_OK || (e == ERR_NOMEM && alloc_failures() > 0));
	if (e != ERR_OK)
		return;
	alloc_pause();
	for (unsigned turn = 0; turn < 3; turn++)
		run_record(p, t, turn);
	alloc_resume();
	plan_free(p);
}

static void use(const struct mapping *m)
{
	for (int lengths = 0; lengths < LENGTHS_COUNT; lengths++) {
		struct tmpl *t = make_tmpl(m, (enum lengths)lengths);

		if (t == NULL)
			continue;
		catalog.raw = lengths == LENGTHS_NATURAL ? RAW_MODE_UNPROMOTED : RAW_MODE_FULL;
		run_plan(t, false);
		run_plan(t, true);
		tmpl_free(t);
	}
}

static void once(const uint8_t *octets, size_t bytes)
{
	const struct mapping_source src = { folder, "templates/tables", catalog.elements,
					    &catalog.fields };
	struct why why = { "" };
	enum err e;

	(void)octets;
	(void)bytes;
	e = mapping_set_load(&src, &why, &catalog.mappings);
	must(e == ERR_OK || e == ERR_CONF || e == ERR_NOMEM);
	must((e == ERR_NOMEM) == (alloc_failures() > 0));
	if (e != ERR_OK) {
		must(why.text[0] != '\0');
		must(e == ERR_NOMEM || strstr(why.text, folder) != NULL);
		must(strchr(why.text, '\n') == NULL);
		return;
	}
	for (size_t i = 0; i < catalog.mappings->count; i++)
		use(&catalog.mappings->mappings[i]);
	mapping_set_free(catalog.mappings);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	/* A file of the fuzzer's choosing is not what is tested. */
	if (memmem(octets, bytes, "include", 7) != NULL)
		return 0;
	if (flow == NULL)
		start();
	write_files(octets, bytes);
	alloc_turns(once, octets, bytes);
	return 0;
}
