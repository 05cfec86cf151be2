/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/tmpl.h"

#include <stdlib.h>

#include "base/must.h"
#include "base/rd.h"

enum err tmpl_new(uint16_t field_count, struct tmpl **out)
{
	struct tmpl *t = calloc(1, sizeof(*t) + field_count * sizeof(t->fields[0]));

	if (t == NULL)
		return ERR_NOMEM;
	t->field_count = field_count;
	*out = t;
	return ERR_OK;
}

void tmpl_free(struct tmpl *t)
{
	if (t == NULL)
		return;
	free(t->runs);
	free(t);
}

enum err tmpl_finish(struct tmpl *t)
{
	uint32_t variable_count = 0;
	struct tmpl_run *run;

	t->min_bytes = 0;
	for (uint16_t i = 0; i < t->field_count; i++) {
		bool is_variable = t->fields[i].bytes == TMPL_VARIABLE;

		variable_count += is_variable;
		t->min_bytes += is_variable ? 1 : t->fields[i].bytes;
	}
	if (t->min_bytes == 0)
		return ERR_FORMAT;
	t->is_fixed = variable_count == 0;
	t->run_count = variable_count + 1;
	t->runs = calloc(t->run_count, sizeof(*t->runs));
	if (t->runs == NULL)
		return ERR_NOMEM;
	run = t->runs;
	for (uint16_t i = 0; i < t->field_count; i++) {
		if (t->fields[i].bytes == TMPL_VARIABLE)
			(run++)->has_variable = true;
		else
			run->fixed_bytes += t->fields[i].bytes;
	}
	return ERR_OK;
}

void tmpl_v9_identity(uint16_t type, uint32_t *pen, uint16_t *id)
{
	*pen = PEN_IANA;
	*id = type;
	if (type >= V9_NTOP_BASE) {
		*pen = PEN_NTOP;
		*id = (uint16_t)(type - V9_NTOP_BASE);
	} else if (type >= V9_ENTERPRISE_BIT) {
		*pen = PEN_V9;
	}
}

/* The 48-octet record of NetFlow v5, in wire order, with Cisco's names. */
static const struct {
	struct tmpl_field field;
	const char *name;
} v5_fields[] = {
	{ { 0, 8, 4, false }, "srcaddr" },   { { 0, 12, 4, false }, "dstaddr" },
	{ { 0, 15, 4, false }, "nexthop" },  { { 0, 10, 2, false }, "input" },
	{ { 0, 14, 2, false }, "output" },   { { 0, 2, 4, false }, "dPkts" },
	{ { 0, 1, 4, false }, "dOctets" },   { { 0, 22, 4, false }, "First" },
	{ { 0, 21, 4, false }, "Last" },     { { 0, 7, 2, false }, "srcport" },
	{ { 0, 11, 2, false }, "dstport" },  { { 0, 210, 1, false }, "pad1" },
	{ { 0, 6, 1, false }, "tcp_flags" }, { { 0, 4, 1, false }, "prot" },
	{ { 0, 5, 1, false }, "tos" },	     { { 0, 16, 2, false }, "src_as" },
	{ { 0, 17, 2, false }, "dst_as" },   { { 0, 9, 1, false }, "src_mask" },
	{ { 0, 13, 1, false }, "dst_mask" }, { { 0, 210, 2, false }, "pad2" },
};
#define V5_FIELDS (sizeof(v5_fields) / sizeof(v5_fields[0]))

enum err tmpl_new_v5(struct tmpl **out)
{
	struct tmpl *t;
	enum err e;

	TRY(tmpl_new(V5_FIELDS, &t));
	for (size_t i = 0; i < V5_FIELDS; i++)
		t->fields[i] = v5_fields[i].field;
	t->version = VERSION_NF5;
	e = tmpl_finish(t);
	if (e != ERR_OK) {
		tmpl_free(t);
		return e;
	}
	*out = t;
	return ERR_OK;
}

const char *tmpl_v5_name(uint16_t index)
{
	must(index < V5_FIELDS);
	return v5_fields[index].name;
}

/* Length of a variable field and of its length prefix (RFC 7011, 7); false when it overruns. */
static bool variable_bytes(const uint8_t *octets, size_t left, size_t *prefix, size_t *bytes)
{
	if (left < 1)
		return false;
	*prefix = 1;
	*bytes = octets[0];
	if (octets[0] == 255) {
		if (left < 3)
			return false;
		*prefix = 3;
		*bytes = be16(octets + 1);
	}
	return *bytes <= left - *prefix;
}

size_t tmpl_record_bytes(const struct tmpl *t, const uint8_t *octets, size_t left)
{
	size_t at = 0;

	if (t->is_fixed)
		return t->min_bytes <= left ? t->min_bytes : 0;
	for (uint32_t i = 0; i < t->run_count; i++) {
		size_t prefix;
		size_t bytes;

		if (t->runs[i].fixed_bytes > left - at)
			return 0;
		at += t->runs[i].fixed_bytes;
		if (!t->runs[i].has_variable)
			continue;
		if (!variable_bytes(octets + at, left - at, &prefix, &bytes))
			return 0;
		at += prefix + bytes;
	}
	return at;
}

void tmpl_cut(const struct tmpl *t, const uint8_t *octets, size_t bytes, struct value *values)
{
	size_t at = 0;

	for (uint16_t i = 0; i < t->field_count; i++) {
		size_t prefix = 0;
		size_t length = t->fields[i].bytes;

		if (length == TMPL_VARIABLE)
			must(variable_bytes(octets + at, bytes - at, &prefix, &length));
		must(prefix + length <= bytes - at);
		values[i].octets = octets + at + prefix;
		values[i].bytes = (uint32_t)length;
		at += prefix + length;
	}
}
