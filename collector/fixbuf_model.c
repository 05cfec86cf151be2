/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/fixbuf_model.h"

#include <dirent.h>
#include <errno.h>
#include <fixbuf/public.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/must.h"
#include "collector/fixbuf_xml.h"
#include "collector/tmpl.h"

#define FILES_MAX 1024
#define FILE_BYTES_MAX (64u << 20)
#define PATH_BYTES 4096
#define WARNING_BYTES 512
/* libfixbuf's own numbers for what its v9 translator cannot map; IANA gave them to nobody. */
#define FAKE_ID_MIN 9997u
#define FAKE_ID_MAX 9999u

_Static_assert((int)ELEMENT_OCTETS == (int)FB_OCTET_ARRAY, "types in the order of RFC 5610");
_Static_assert((int)ELEMENT_UNSIGNED8 == (int)FB_UINT_8, "types in the order of RFC 5610");
_Static_assert((int)ELEMENT_SIGNED8 == (int)FB_INT_8, "types in the order of RFC 5610");
_Static_assert((int)ELEMENT_FLOAT32 == (int)FB_FLOAT_32, "types in the order of RFC 5610");
_Static_assert((int)ELEMENT_MAC == (int)FB_MAC_ADDR, "types in the order of RFC 5610");
_Static_assert((int)ELEMENT_SECONDS == (int)FB_DT_SEC, "types in the order of RFC 5610");
_Static_assert((int)ELEMENT_IPV6 == (int)FB_IP6_ADDR, "types in the order of RFC 5610");
_Static_assert((int)ELEMENT_TYPE_COUNT == (int)FB_BASIC_LIST, "lists come last");

struct fixbuf_model {
	fbInfoModel_t *info;
	struct fixbuf_records records; /* of the files */
	uint64_t *lists; /* of what was a list, sorted: pen, id (16 bits), enum element_list (2) */
	size_t list_count;
};

/* A directory being read. */
struct loading {
	struct fixbuf_model *model;
	struct why *why;
	char *paths[FILES_MAX];
	size_t path_count;
};

static const struct {
	const char *name;
	uint16_t bytes;
} types[ELEMENT_TYPE_COUNT] = {
	[ELEMENT_OCTETS] = { "octetArray", 0 },
	[ELEMENT_UNSIGNED8] = { "unsigned8", 1 },
	[ELEMENT_UNSIGNED16] = { "unsigned16", 2 },
	[ELEMENT_UNSIGNED32] = { "unsigned32", 4 },
	[ELEMENT_UNSIGNED64] = { "unsigned64", 8 },
	[ELEMENT_SIGNED8] = { "signed8", 1 },
	[ELEMENT_SIGNED16] = { "signed16", 2 },
	[ELEMENT_SIGNED32] = { "signed32", 4 },
	[ELEMENT_SIGNED64] = { "signed64", 8 },
	[ELEMENT_FLOAT32] = { "float32", 4 },
	[ELEMENT_FLOAT64] = { "float64", 8 },
	[ELEMENT_BOOLEAN] = { "boolean", 1 },
	[ELEMENT_MAC] = { "macAddress", 6 },
	[ELEMENT_STRING] = { "string", 0 },
	[ELEMENT_SECONDS] = { "dateTimeSeconds", 4 },
	[ELEMENT_MILLISECONDS] = { "dateTimeMilliseconds", 8 },
	[ELEMENT_MICROSECONDS] = { "dateTimeMicroseconds", 8 },
	[ELEMENT_NANOSECONDS] = { "dateTimeNanoseconds", 8 },
	[ELEMENT_IPV4] = { "ipv4Address", 4 },
	[ELEMENT_IPV6] = { "ipv6Address", 16 },
};

/* RFC 5610, 3.10 and 3.8: numbers of semantics and units. */
static const char *const semantics_names[] = { "default",      "quantity",    "totalCounter",
					       "deltaCounter", "identifier",  "flags",
					       "list",	       "snmpCounter", "snmpGauge" };
static const char *const unit_names[] = {
	"",	    "bits",	    "octets",	    "packets",	   "flows",
	"seconds",  "milliseconds", "microseconds", "nanoseconds", "4-octet words",
	"messages", "hops",	    "entries",	    "frames",	   "ports",
	"inferred"
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *element_type_name(enum element_type type)
{
	return types[type].name;
}

uint16_t element_type_bytes(enum element_type type)
{
	return types[type].bytes;
}

/* The first warning of libfixbuf while this thread reads a file. */
static _Thread_local char *warning;
static pthread_once_t handler_once = PTHREAD_ONCE_INIT;
/* libfixbuf's tables of type and unit names are the process's: it fills them when first
 * needed, and a file may add to them. */
static pthread_mutex_t reader_mutex = PTHREAD_MUTEX_INITIALIZER;

static void on_glib_message(const gchar *domain, GLogLevelFlags level, const gchar *message,
			    gpointer data)
{
	char quoted[256];

	(void)domain;
	(void)data;
	if (warning != NULL) {
		if (warning[0] == '\0')
			(void)snprintf(warning, WARNING_BYTES, "%s", message);
		return;
	}
	if ((level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING)) != 0)
		log_every(LOG_LEVEL_WARN, "fixbuf.warning text=%s",
			  log_quote(message, strlen(message), quoted, sizeof(quoted)));
}

static void install_handler(void)
{
	g_log_set_default_handler(on_glib_message, NULL);
}

/* Texts of glib and libfixbuf that tell a line: what stands before it, and before the rest. */
static const struct {
	const char *before;
	const char *between; /* line and column */
	const char *after;
} positions[] = {
	{ "Error on line ", " char ", ": " },
	{ "Parse error: (", ":", ") " },
	{ "record ending at ", ":", "" },
};

/* The line that a text tells, and what it says of it. */
static unsigned long line_in(const char *text, const char **rest)
{
	for (size_t i = 0; i < COUNT(positions); i++) {
		const char *at = strstr(text, positions[i].before);
		const char *between;
		const char *after;
		unsigned long line;

		if (at == NULL)
			continue;
		line = strtoul(at + strlen(positions[i].before), NULL, 10);
		between = strstr(at, positions[i].between);
		after = strstr(at, positions[i].after);
		if (at == text && after != NULL)
			*rest = after + strlen(positions[i].after);
		/* glib counts from behind a tag and the end of its line. */
		if (between != NULL && line > 1 &&
		    strtoul(between + strlen(positions[i].between), NULL, 10) <= 1)
			line--;
		return line;
	}
	return 1;
}

static enum err bad_file(const struct loading *l, const char *path, const char *text)
{
	unsigned long line = line_in(text, &text);

	return why_set(l->why, ERR_CONF, "%s:%lu: %s", path, line, text);
}

/* libfixbuf never frees the <group> of a file's last record: an empty record after it takes it. */
static void close_last_record(GString *text)
{
	const char *end = g_strrstr_len(text->str, (gssize)text->len, "</registry>");

	if (end != NULL)
		g_string_insert(text, end - text->str, "<record/>");
}

static enum err read_text(struct loading *l, uint16_t file, GString *text)
{
	const char *path = l->paths[file];
	char message[WARNING_BYTES] = "";
	GError *error = NULL;
	enum err e = ERR_OK;
	bool is_read;

	close_last_record(text);
	(void)pthread_mutex_lock(&reader_mutex);
	warning = message;
	is_read = fbInfoModelReadXMLData(l->model->info, text->str, (gssize)text->len, &error);
	warning = NULL;
	(void)pthread_mutex_unlock(&reader_mutex);
	if (!is_read)
		e = bad_file(l, path, error == NULL ? "cannot be read" : error->message);
	else if (message[0] != '\0')
		e = bad_file(l, path, message);
	g_clear_error(&error);
	if (e != ERR_OK)
		return e;
	return fixbuf_records_read(&l->model->records, file, path, text->str, text->len, l->why);
}

static enum err read_file(struct loading *l, uint16_t file)
{
	const char *path = l->paths[file];
	FILE *f = fopen(path, "re");
	char piece[8192];
	GString *text;
	size_t bytes;
	enum err e = ERR_OK;

	if (f == NULL)
		return why_errno(l->why, ERR_IO, path);
	text = g_string_new(NULL);
	while ((bytes = fread(piece, 1, sizeof(piece), f)) > 0 && text->len <= FILE_BYTES_MAX)
		g_string_append_len(text, piece, (gssize)bytes);
	if (ferror(f))
		e = why_errno(l->why, ERR_IO, path);
	else if (text->len > FILE_BYTES_MAX)
		e = why_set(l->why, ERR_CONF, "%s: longer than %u octets", path, FILE_BYTES_MAX);
	(void)fclose(f);
	if (e == ERR_OK)
		e = read_text(l, file, text);
	g_string_free(text, TRUE);
	return e;
}

static int is_xml(const struct dirent *d)
{
	size_t bytes = strlen(d->d_name);

	return d->d_name[0] != '.' && bytes > 4 && strcmp(d->d_name + bytes - 4, ".xml") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static enum err list_files(struct loading *l, const char *dir)
{
	struct dirent **entries;
	int count = scandir(dir, &entries, is_xml, by_name);
	enum err e = ERR_OK;

	if (count < 0)
		return why_errno(l->why, ERR_IO, dir);
	if (count == 0)
		e = why_set(l->why, ERR_CONF, "element directory %s: no *.xml in it", dir);
	else if (count > FILES_MAX)
		e = why_set(l->why, ERR_CONF, "element directory %s: more than %d files", dir,
			    FILES_MAX);
	for (int i = 0; i < count; i++) {
		char path[PATH_BYTES];

		(void)snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		free(entries[i]);
		if (e != ERR_OK)
			continue;
		l->paths[l->path_count] = strdup(path);
		if (l->paths[l->path_count] == NULL)
			e = why_set(l->why, ERR_NOMEM, "no memory for file names");
		else
			l->path_count++;
	}
	free(entries);
	return e;
}

static bool is_fake(const fbInfoElement_t *ie)
{
	return ie->ent == PEN_IANA && ie->num >= FAKE_ID_MIN && ie->num <= FAKE_ID_MAX;
}

/* Two elements of one name could not be told apart in a mapping. */
static enum err check_names(const struct loading *l)
{
	const struct fixbuf_records *records = &l->model->records;
	GHashTable *seen = g_hash_table_new(g_str_hash, g_str_equal);
	enum err e = ERR_OK;
	const fbInfoElement_t *ie;
	fbInfoModelIter_t iter;

	fbInfoModelIterInit(&iter, l->model->info);
	while (e == ERR_OK && (ie = fbInfoModelIterNext(&iter)) != NULL) {
		const fbInfoElement_t *other = g_hash_table_lookup(seen, ie->ref.name);
		const struct fixbuf_record *record = fixbuf_records_find(records, ie->ent, ie->num);

		if (other == NULL) {
			g_hash_table_insert(seen, (gpointer)ie->ref.name, (gpointer)ie);
			continue;
		}
		if (record == NULL)
			record = fixbuf_records_find(records, other->ent, other->num);
		if (record != NULL)
			e = why_set(l->why, ERR_CONF,
				    "%s:%u: name '%s' for element %u of enterprise %u and %u of %u",
				    l->paths[record->file], record->line, ie->ref.name, ie->num,
				    ie->ent, other->num, other->ent);
	}
	g_hash_table_destroy(seen);
	return e;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static enum element_list list_of(unsigned type)
{
	if (type == FB_BASIC_LIST)
		return ELEMENT_BASIC_LIST;
	if (type == FB_SUB_TMPL_LIST)
		return ELEMENT_SUB_TEMPLATE_LIST;
	return type == FB_SUB_TMPL_MULTI_LIST ? ELEMENT_SUB_TEMPLATE_MULTI_LIST : ELEMENT_NO_LIST;
}

/* Makes octetArrays of lists, and of types that libfixbuf does not know. */
static enum err retype_lists(struct fixbuf_model *m)
{
	size_t room = fbInfoModelCountElements(m->info);
	const fbInfoElement_t *ie;
	fbInfoModelIter_t iter;

	m->lists = calloc(room, sizeof(*m->lists));
	if (m->lists == NULL)
		return ERR_NOMEM;
	fbInfoModelIterInit(&iter, m->info);
	while ((ie = fbInfoModelIterNext(&iter)) != NULL) {
		if (ie->type >= FB_BASIC_LIST)
			m->lists[m->list_count++] = (uint64_t)ie->ent << 18 |
						    (uint64_t)ie->num << 2 | list_of(ie->type);
	}
	qsort(m->lists, m->list_count, sizeof(*m->lists), compare_u64);
	for (size_t i = 0; i < m->list_count; i++) {
		fbInfoElement_t octets = *fbInfoModelGetElementByID(
			m->info, (uint16_t)(m->lists[i] >> 2), (uint32_t)(m->lists[i] >> 18));

		octets.type = FB_OCTET_ARRAY;
		octets.len = FB_IE_VARLEN;
		/* Its reverse element is in the list as well. */
		octets.flags &= ~(uint32_t)(FB_IE_F_REVERSIBLE | FB_IE_F_ENDIAN);
		fbInfoModelAddElement(m->info, &octets);
	}
	return ERR_OK;
}

enum err fixbuf_model_load(const char *dir, struct why *why, struct fixbuf_model **out)
{
	struct loading *l = calloc(1, sizeof(*l));
	enum err e;

	if (l == NULL)
		return why_set(why, ERR_NOMEM, "no memory for elements");
	(void)pthread_once(&handler_once, install_handler);
	l->why = why;
	l->model = calloc(1, sizeof(*l->model));
	e = l->model == NULL ? ERR_NOMEM : list_files(l, dir);
	if (e == ERR_OK)
		l->model->info = fbInfoModelAlloc();
	for (size_t i = 0; e == ERR_OK && i < l->path_count; i++)
		e = read_file(l, (uint16_t)i);
	if (e == ERR_OK)
		e = fixbuf_records_settle(&l->model->records, l->paths, why);
	if (e == ERR_OK)
		e = check_names(l);
	if (e == ERR_OK)
		e = retype_lists(l->model);
	if (e == ERR_NOMEM)
		(void)why_set(why, ERR_NOMEM, "no memory for elements");
	if (e == ERR_OK)
		*out = l->model;
	else
		fixbuf_model_free(l->model);
	for (size_t i = 0; i < l->path_count; i++)
		free(l->paths[i]);
	free(l);
	return e;
}

void fixbuf_model_free(struct fixbuf_model *m)
{
	if (m == NULL)
		return;
	fbInfoModelFree(m->info);
	fixbuf_records_free(&m->records);
	free(m->lists);
	free(m);
}

static int compare_list(const void *key, const void *list)
{
	uint64_t element = *(const uint64_t *)list >> 2;

	return compare_u64(key, &element);
}

static enum element_list was_list(const struct fixbuf_model *m, const fbInfoElement_t *ie)
{
	uint64_t key = (uint64_t)ie->ent << 16 | ie->num;
	const uint64_t *list = NULL;

	if (m->list_count > 0)
		list = bsearch(&key, m->lists, m->list_count, sizeof(key), compare_list);
	return list == NULL ? ELEMENT_NO_LIST : (enum element_list)(*list & 3);
}

enum err fixbuf_model_each(const struct fixbuf_model *m, fixbuf_model_fn *fn, void *ctx)
{
	const fbInfoElement_t *ie;
	fbInfoModelIter_t iter;

	fbInfoModelIterInit(&iter, m->info);
	while ((ie = fbInfoModelIterNext(&iter)) != NULL) {
		const struct fixbuf_record *record =
			fixbuf_records_find(&m->records, ie->ent, ie->num);
		uint32_t semantics = FB_IE_SEMANTIC(ie->flags);
		uint32_t units = FB_IE_UNITS(ie->flags);
		struct fixbuf_element e = {
			.pen = ie->ent,
			.id = ie->num,
			.type = (enum element_type)ie->type,
			.list = was_list(m, ie),
			.name = ie->ref.name,
			.units = units < COUNT(unit_names) ? unit_names[units] : "",
			.semantics = semantics < COUNT(semantics_names) ? semantics_names[semantics]
									: semantics_names[0],
			.description = record != NULL && record->description != NULL
					       ? record->description
					       : "",
			.min = ie->min,
			.max = ie->max,
		};

		if (is_fake(ie) && record == NULL)
			continue;
		e.natural_bytes = element_type_bytes(e.type);
		TRY(fn(ctx, &e));
	}
	return ERR_OK;
}

struct fbInfoModel_st *fixbuf_model_info(struct fixbuf_model *m)
{
	return m->info;
}
