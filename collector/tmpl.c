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
