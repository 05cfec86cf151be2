/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapping.h - which element fills which canonical field: the files of templates/mappings.
 *
 *	mapping_set_load(&src, &why, &set)	 all files of a directory, or none
 *	mapping_holds(&set->mappings[i], s, t)	 is `when` true for this template
 *
 * Mappings stand most specific first (exporter, template id, element set, enterprise, format,
 * default), then by file name.  An element that one claims is invisible to those behind it, unless the
 * line says `also`.  Then by field: the first present in this order wins.
 *
 * Lines of `inside` are of elements inside lists (RFC 6313), at any depth of any list, or of those whose outermost is the
 * element `list`.  They fill a field that is still empty, with the first value that is there; an array takes all values.
 *
 * Owner: the catalog.  Lifetime: generation; read-only.
 */
#ifndef NORMALIZER_MAPPING_H
#define NORMALIZER_MAPPING_H

#include "base/why.h"
#include "collector/session.h"
#include "normalizer/element.h"
#include "normalizer/field.h"
#include "normalizer/table.h"
#include "normalizer/xform.h"

#define MAPPINGS_MAX 64 /* one bit each in a session's profile */
#define MAPPING_SET_ELEMENTS_MAX 16
#define MAPPING_TABLES_MAX 64

/* Most specific first. */
enum mapping_rank {
	RANK_EXPORTER,
	RANK_TEMPLATE,
	RANK_ELEMENTS,
	RANK_PEN,
	RANK_FORMAT,
	RANK_DEFAULT
};

struct element_id {
	uint32_t pen;
	uint16_t id;
};

struct promote {
	struct element_id element;
	uint16_t field;
	enum as as;
	int64_t scale;
	const struct table *table; /* AS_TABLE */
	bool also;
	unsigned line;
};

/* An element inside lists. */
struct inside_line {
	struct promote promote;
	bool has_list;
	struct element_id list; /* the outermost, in the record itself */
};

struct static_value {
	uint16_t field;
	int32_t if_present; /* field number, or -1: always */
	struct text text;   /* STR */
	int64_t number;	    /* integers and booleans */
	uint32_t tag;	    /* event_type: index into mapping_set.event_types */
	unsigned line;
};

struct mapping_when {
	char *exporter;	     /* configured name; NULL: any */
	int32_t template_id; /* -1: any */
	bool has_pen;
	uint32_t pen;
	uint16_t version; /* VERSION_*; 0: any */
	struct element_id elements[MAPPING_SET_ELEMENTS_MAX];
	size_t element_count;
};

struct mapping {
	char *name;
	char *file;
	unsigned line; /* of its name */
	enum mapping_rank rank;
	struct mapping_when when;
	struct promote *promotes; /* in file order */
	size_t promote_count;
	uint32_t *by_element; /* indices into promotes, by element then file order */
	struct static_value *statics;
	size_t static_count;
	struct inside_line *insides; /* in file order */
	size_t inside_count;
};

#define EVENT_TYPES_MAX 256

struct mapping_set {
	struct mapping mappings[MAPPINGS_MAX];
	size_t count;
	struct {
		char *name;
		struct table *table;
	} tables[MAPPING_TABLES_MAX];
	size_t table_count;
	struct text event_types[EVENT_TYPES_MAX]; /* [0] is network_connection */
	size_t event_type_count;
};

struct mapping_source {
	const char *mappings_dir;
	const char *tables_dir;
	const struct element_registry *elements;
	const struct field_set *fields;
};

enum err mapping_set_load(const struct mapping_source *src, struct why *why,
			  struct mapping_set **out);
void mapping_set_free(struct mapping_set *set);

/* Is `when` true for this template of this session. */
bool mapping_holds(const struct mapping *m, const struct session *s, const struct tmpl *t);
/* Number of the mapping of that name, or -1. */
int mapping_find(const struct mapping_set *set, const char *name);
/* First index into by_element of the element's lines, and how many there are. */
size_t mapping_lines(const struct mapping *m, struct element_id element, size_t *first);

#endif
