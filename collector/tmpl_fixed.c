/* SPDX-License-Identifier: Apache-2.0 */
/* The records of formats that have no templates, as templates: in wire order, with Cisco's names. */
#include "base/must.h"
#include "collector/tmpl.h"

#define FIELDS_MAX 22

struct fixed_field {
	uint32_t pen;
	uint16_t id;
	uint16_t bytes;
	const char *name;
};

static const struct fixed {
	uint16_t version;
	struct fixed_field fields[FIELDS_MAX];
} formats[] = {
	{ VERSION_NF1,
	  { { 0, 8, 4, "srcaddr" },
	    { 0, 12, 4, "dstaddr" },
	    { 0, 15, 4, "nexthop" },
	    { 0, 10, 2, "input" },
	    { 0, 14, 2, "output" },
	    { 0, 2, 4, "dPkts" },
	    { 0, 1, 4, "dOctets" },
	    { 0, 22, 4, "First" },
	    { 0, 21, 4, "Last" },
	    { 0, 7, 2, "srcport" },
	    { 0, 11, 2, "dstport" },
	    { 0, 210, 2, "pad1" },
	    { 0, 4, 1, "prot" },
	    { 0, 5, 1, "tos" },
	    { 0, 6, 1, "tcp_flags" },
	    { 0, 210, 7, "pad2" } } },
	{ VERSION_NF5, { { 0, 8, 4, "srcaddr" },   { 0, 12, 4, "dstaddr" }, { 0, 15, 4, "nexthop" },
			 { 0, 10, 2, "input" },	   { 0, 14, 2, "output" },  { 0, 2, 4, "dPkts" },
			 { 0, 1, 4, "dOctets" },   { 0, 22, 4, "First" },   { 0, 21, 4, "Last" },
			 { 0, 7, 2, "srcport" },   { 0, 11, 2, "dstport" }, { 0, 210, 1, "pad1" },
			 { 0, 6, 1, "tcp_flags" }, { 0, 4, 1, "prot" },	    { 0, 5, 1, "tos" },
			 { 0, 16, 2, "src_as" },   { 0, 17, 2, "dst_as" },  { 0, 9, 1, "src_mask" },
			 { 0, 13, 1, "dst_mask" }, { 0, 210, 2, "pad2" } } },
	/* A switch's: its flags say which of the other fields it did not fill. */
	{ VERSION_NF7,
	  { { 0, 8, 4, "srcaddr" },   { 0, 12, 4, "dstaddr" },	  { 0, 15, 4, "nexthop" },
	    { 0, 10, 2, "input" },    { 0, 14, 2, "output" },	  { 0, 2, 4, "dPkts" },
	    { 0, 1, 4, "dOctets" },   { 0, 22, 4, "First" },	  { 0, 21, 4, "Last" },
	    { 0, 7, 2, "srcport" },   { 0, 11, 2, "dstport" },	  { PEN_V7, 1, 1, "flags" },
	    { 0, 6, 1, "tcp_flags" }, { 0, 4, 1, "prot" },	  { 0, 5, 1, "tos" },
	    { 0, 16, 2, "src_as" },   { 0, 17, 2, "dst_as" },	  { 0, 9, 1, "src_mask" },
	    { 0, 13, 1, "dst_mask" }, { PEN_V7, 2, 2, "flags2" }, { 0, 43, 4, "router_sc" } } },
};

static const struct fixed *find_format(uint16_t version)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (formats[i].version == version)
			return &formats[i];
	}
	return NULL;
}

enum err tmpl_new_fixed(uint16_t version, struct tmpl **out)
{
	const struct fixed *f = find_format(version);
	uint16_t count = 0;
	struct tmpl *t;
	enum err e;

	if (f == NULL)
		return ERR_ABSENT;
	while (count < FIELDS_MAX && f->fields[count].bytes != 0)
		count++;
	TRY(tmpl_new(count, &t));
	for (uint16_t i = 0; i < count; i++) {
		t->fields[i].pen = f->fields[i].pen;
		t->fields[i].id = f->fields[i].id;
		t->fields[i].bytes = f->fields[i].bytes;
	}
	t->version = version;
	e = tmpl_finish(t);
	if (e != ERR_OK) {
		tmpl_free(t);
		return e;
	}
	*out = t;
	return ERR_OK;
}

const char *tmpl_fixed_name(uint16_t version, uint16_t index)
{
	const struct fixed *f = find_format(version);

	must(f != NULL);
	must(index < FIELDS_MAX);
	return f->fields[index].name;
}
