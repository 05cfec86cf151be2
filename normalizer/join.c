/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/join.h"

#include <math.h>
#include <stdlib.h>

#include "base/rd.h"
#include "base/utf8.h"
#include "normalizer/join_in.h"
#include "normalizer/xform.h"

/* What a field of options data is for. */
enum part {
	PART_KEY, /* which one of the kind */
	PART_NAME,
	PART_DESCRIPTION,
	PART_CATEGORY,
	PART_RATE, /* 1:N as it is */
	PART_INTERVAL,
	PART_SPACE,
	PART_SIZE,
	PART_POPULATION,
	PART_PROBABILITY,
	PART_ALGORITHM,
	PART_BOOT,
	PARTS
};

/* By enterprise, then element.  KIND_SAMPLER stands for the sampler, else the interface, else the domain. */
static const struct row {
	uint32_t pen;
	uint16_t id;
	uint8_t kind;
	uint8_t part;
} rows[] = {
	{ PEN_IANA, 10, KIND_INTERFACE, PART_KEY },	    /* ingressInterface */
	{ PEN_IANA, 14, KIND_INTERFACE, PART_KEY },	    /* egressInterface */
	{ PEN_IANA, 34, KIND_SAMPLER, PART_RATE },	    /* samplingInterval */
	{ PEN_IANA, 35, KIND_SAMPLER, PART_ALGORITHM },	    /* samplingAlgorithm */
	{ PEN_IANA, 48, KIND_SAMPLER, PART_KEY },	    /* samplerId */
	{ PEN_IANA, 49, KIND_SAMPLER, PART_ALGORITHM },	    /* samplerMode */
	{ PEN_IANA, 50, KIND_SAMPLER, PART_RATE },	    /* samplerRandomInterval */
	{ PEN_IANA, 82, KIND_INTERFACE, PART_NAME },	    /* interfaceName */
	{ PEN_IANA, 83, KIND_INTERFACE, PART_DESCRIPTION }, /* interfaceDescription */
	{ PEN_IANA, 94, KIND_APPLICATION, PART_DESCRIPTION },
	{ PEN_IANA, 95, KIND_APPLICATION, PART_KEY },
	{ PEN_IANA, 96, KIND_APPLICATION, PART_NAME },
	{ PEN_IANA, 160, KIND_DOMAIN, PART_BOOT },   /* systemInitTimeMilliseconds */
	{ PEN_IANA, 234, KIND_VRF, PART_KEY },	     /* ingressVRFID */
	{ PEN_IANA, 235, KIND_VRF, PART_KEY },	     /* egressVRFID */
	{ PEN_IANA, 236, KIND_VRF, PART_NAME },	     /* VRFname */
	{ PEN_IANA, 252, KIND_INTERFACE, PART_KEY }, /* ingressPhysicalInterface */
	{ PEN_IANA, 253, KIND_INTERFACE, PART_KEY }, /* egressPhysicalInterface */
	{ PEN_IANA, 302, KIND_SAMPLER, PART_KEY },   /* selectorId */
	{ PEN_IANA, 304, KIND_SAMPLER, PART_ALGORITHM },
	{ PEN_IANA, 305, KIND_SAMPLER, PART_INTERVAL },	   /* samplingPacketInterval */
	{ PEN_IANA, 306, KIND_SAMPLER, PART_SPACE },	   /* samplingPacketSpace */
	{ PEN_IANA, 309, KIND_SAMPLER, PART_SIZE },	   /* samplingSize */
	{ PEN_IANA, 310, KIND_SAMPLER, PART_POPULATION },  /* samplingPopulation */
	{ PEN_IANA, 311, KIND_SAMPLER, PART_PROBABILITY }, /* samplingProbability */
	{ PEN_IANA, 372, KIND_APPLICATION, PART_CATEGORY },
	{ 9, 12232, KIND_APPLICATION, PART_CATEGORY }, /* Cisco: applicationCategoryName */
	{ PEN_V9, 45000, KIND_APPLICATION, PART_CATEGORY },
	{ PEN_V9_SCOPE, 2, KIND_INTERFACE, PART_KEY }, /* RFC 3954, 6.1: scope interface */
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* One record, by what its values are for. */
struct said {
	struct value keys[KINDS];
	bool has_key[KINDS];
	struct value texts[KINDS][PARTS]; /* of names, descriptions and categories */
	struct value numbers[PARTS];
};

static struct join_key number_key(enum join_kind kind, uint64_t number)
{
	struct join_key k = { .octets = { (uint8_t)kind } };

	number = __builtin_bswap64(number);
	memcpy(k.octets + 1, &number, sizeof(number));
	return k;
}

/* An application's id as text; false when it is too long to be one. */
static bool text_key(enum join_kind kind, const uint8_t *octets, uint32_t bytes, struct join_key *k)
{
	memset(k, 0, sizeof(*k));
	k->octets[0] = (uint8_t)kind;
	if (bytes == 0 || bytes > sizeof(k->octets) - 1)
		return false;
	memcpy(k->octets + 1, octets, bytes);
	return true;
}

/* ---- learning ---- */

static const struct row *find_row(uint32_t pen, uint16_t id)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].pen == pen && rows[i].id == id)
			return &rows[i];
	}
	return NULL;
}

/* The first value of a part counts, as in records. */
static void take(struct said *said, const struct row *row, struct value v)
{
	struct value *to = row->part == PART_NAME || row->part == PART_DESCRIPTION ||
					   row->part == PART_CATEGORY
				   ? &said->texts[row->kind][row->part]
				   : &said->numbers[row->part];

	if (v.bytes == 0)
		return;
	if (row->part == PART_KEY) {
		if (!said->has_key[row->kind])
			said->keys[row->kind] = v;
		said->has_key[row->kind] = true;
	} else if (to->bytes == 0) {
		*to = v;
	}
}

static uint64_t number_of(struct value v)
{
	return v.bytes == 0 || v.bytes > 8 ? 0 : be_uint(v.octets, v.bytes);
}

static double probability_of(struct value v)
{
	uint64_t bits = number_of(v);
	double p = 0;

	if (v.bytes == 8) {
		memcpy(&p, &bits, sizeof(p));
	} else if (v.bytes == 4) {
		uint32_t half = (uint32_t)bits;
		float f;

		memcpy(&f, &half, sizeof(f));
		p = (double)f;
	}
	return p;
}

/* 1:N nearest to what the record says (RFC 5477, 8.2); 0: it does not say, or nonsense. */
static int64_t rate_of(const struct said *said)
{
	uint64_t plain = number_of(said->numbers[PART_RATE]);
	uint64_t interval = number_of(said->numbers[PART_INTERVAL]);
	uint64_t size = number_of(said->numbers[PART_SIZE]);
	double p = probability_of(said->numbers[PART_PROBABILITY]);
	double rate = 0;

	if (plain != 0)
		rate = (double)plain;
	else if (interval != 0 && said->numbers[PART_SPACE].bytes != 0)
		rate = 1 + (double)number_of(said->numbers[PART_SPACE]) / (double)interval;
	else if (interval != 0)
		rate = (double)interval;
	else if (size != 0)
		rate = (double)number_of(said->numbers[PART_POPULATION]) / (double)size;
	else if (p > 0 && p <= 1)
		rate = 1 / p;
	return rate >= 1 && rate <= (double)UINT32_MAX ? (int64_t)llround(rate) : 0;
}

/* Whose sampling is it? */
static enum join_kind sampled_kind(const struct said *said)
{
	if (said->has_key[KIND_SAMPLER])
		return KIND_SAMPLER;
	return said->has_key[KIND_INTERFACE] ? KIND_INTERFACE : KIND_DOMAIN;
}

static bool make_key(const struct said *said, enum join_kind kind, struct join_key *k)
{
	struct value v = said->keys[kind];
	uint8_t text[APP_ID_TEXT_MAX];

	if (kind == KIND_APPLICATION)
		return text_key(kind, text, app_id_text(v.octets, v.bytes, text), k);
	*k = number_key(kind, number_of(v));
	return kind == KIND_DOMAIN || (v.bytes > 0 && v.bytes <= 8);
}

/* Octets up to the limit that end with a whole character. */
static uint32_t cut_bytes(const uint8_t *octets, uint32_t bytes)
{
	if (bytes <= JOIN_TEXT_MAX)
		return bytes;
	bytes = JOIN_TEXT_MAX;
	while (bytes > 0 && (octets[bytes] & 0xC0) == 0x80)
		bytes--;
	return bytes;
}

/* True when it changed.  A text that says nothing leaves what is known. */
static bool put_text(struct text *to, struct value v, struct join_learned *out)
{
	bool is_ascii;
	uint32_t bytes = utf8_trim(v.octets, v.bytes, &is_ascii);
	char *copy;

	if (bytes == 0)
		return false;
	if (!is_ascii && !utf8_is_valid(v.octets, bytes)) {
		out->not_utf8++;
		return false;
	}
	bytes = cut_bytes(v.octets, bytes);
	if (to->bytes == bytes && memcmp(to->octets, v.octets, bytes) == 0)
		return false;
	copy = malloc(bytes);
	if (copy == NULL) {
		out->no_memory++;
		return false;
	}
	memcpy(copy, v.octets, bytes);
	free((char *)to->octets);
	*to = (struct text){ copy, bytes };
	return true;
}

static bool put_number(int64_t *to, int64_t v)
{
	bool is_new = *to != v;

	*to = v;
	return is_new;
}

static bool has_rate(const struct said *said)
{
	for (enum part part = PART_RATE; part <= PART_PROBABILITY; part++) {
		if (said->numbers[part].bytes != 0)
			return true;
	}
	return false;
}

static bool has_sampling(const struct said *said)
{
	return said->numbers[PART_ALGORITHM].bytes != 0 || has_rate(said);
}

static bool says_anything(const struct said *said, enum join_kind kind)
{
	for (size_t part = PART_NAME; part <= PART_CATEGORY; part++) {
		if (said->texts[kind][part].bytes != 0)
			return true;
	}
	return kind == sampled_kind(said) && has_sampling(said);
}

static bool put_sampling(struct join_entry *e, const struct said *said)
{
	struct value algorithm = said->numbers[PART_ALGORITHM];
	/* A rate of 0 takes back what was said before. */
	bool is_new = has_rate(said) && put_number(&e->rate, rate_of(said));

	if (algorithm.bytes > 0 && algorithm.bytes <= 4)
		is_new |= put_number(&e->algorithm, (int64_t)number_of(algorithm));
	return is_new;
}

/* Where a record is learned, and what it does. */
struct learning {
	struct join **join;
	const struct join_home *home;
	size_t limit;
	struct join_learned *out;
};

static struct join_node *node_of(const struct learning *l, const struct join_key *k)
{
	struct join_node *n = join_open_node(l->join, l->home, k, l->limit);

	if (n != NULL)
		return n;
	if (join_count(*l->join) >= l->limit)
		l->out->over++;
	else
		l->out->no_memory++;
	return NULL;
}

static void learn_kind(const struct learning *l, const struct said *said, enum join_kind kind)
{
	struct join_node *n;
	struct join_entry *e;
	struct join_key k;
	bool is_new;

	if (!says_anything(said, kind))
		return;
	if (!make_key(said, kind, &k)) {
		l->out->no_key++;
		return;
	}
	n = node_of(l, &k);
	if (n == NULL)
		return;
	e = &n->said;
	is_new = put_text(&e->name, said->texts[kind][PART_NAME], l->out);
	is_new |= put_text(&e->description, said->texts[kind][PART_DESCRIPTION], l->out);
	is_new |= put_text(&e->category, said->texts[kind][PART_CATEGORY], l->out);
	if (kind == sampled_kind(said))
		is_new |= put_sampling(e, said);
	if (is_new)
		join_note(n);
	l->out->entries += is_new;
}

/* Times of flows that count from it need it in the next life, too. */
static void learn_boot(const struct learning *l, uint64_t boot)
{
	struct join_key k = number_key(KIND_DOMAIN, 0);
	struct join_node *n;

	if (boot == 0 || boot > INT64_MAX / 2)
		return;
	l->out->boot_ms = (int64_t)boot;
	n = node_of(l, &k);
	if (n != NULL && put_number(&n->boot_ms, (int64_t)boot))
		join_note(n);
}

void join_learn(struct join **j, const struct join_home *home, const struct tmpl *t,
		const struct value *values, size_t limit, struct join_learned *out)
{
	struct learning l = { j, home, limit, out };
	struct said said = { 0 };

	memset(out, 0, sizeof(*out));
	for (uint16_t i = 0; i < t->field_count; i++) {
		const struct row *row = find_row(t->fields[i].pen, t->fields[i].id);

		if (row != NULL)
			take(&said, row, values[i]);
	}
	for (enum join_kind kind = KIND_SAMPLER; kind < KINDS; kind++)
		learn_kind(&l, &said, kind);
	learn_boot(&l, number_of(said.numbers[PART_BOOT]));
	if (*j != NULL)
		(*j)->is_ipfix = t->version == VERSION_IPFIX;
}

/* ---- flows ---- */

static bool may_know(const struct join *j, enum join_kind kind, enum join_quest quest)
{
	return j != NULL && j->knows[kind][quest];
}

/* An entry that is there for another reason hides nothing. */
static const struct join_entry *find(struct join *const joins[JOINS], const struct join_key *k,
				     enum join_quest quest)
{
	for (size_t i = 0; i < JOINS; i++) {
		const struct join_node *n = NULL;

		if (may_know(joins[i], (enum join_kind)k->octets[0], quest))
			n = htab_find(joins[i]->nodes, k);
		if (n != NULL && join_answers(&n->said, quest))
			return &n->said;
	}
	return NULL;
}

static const struct join_entry *find_number(struct join *const joins[JOINS], enum join_kind kind,
					    int64_t number, enum join_quest quest)
{
	struct join_key k;

	if (!may_know(joins[0], kind, quest) && !may_know(joins[1], kind, quest))
		return NULL;
	k = number_key(kind, (uint64_t)number);
	return find(joins, &k, quest);
}

const struct join_entry *join_find_interface(struct join *const joins[JOINS], int64_t number)
{
	return find_number(joins, KIND_INTERFACE, number, QUEST_TEXTS);
}

static bool take_rate(const struct join_entry *e, struct flow *f)
{
	if (e == NULL)
		return false;
	flow_set_i64(f, F_sampling_rate, e->rate);
	if (e->algorithm >= 0 && !flow_has(f, F_sampling_algorithm))
		flow_set_i64(f, F_sampling_algorithm, e->algorithm);
	return true;
}

static void join_sampling(struct join *const joins[JOINS], struct flow *f)
{
	static const struct {
		uint16_t field;
		uint16_t kind;
	} ways[] = { { F_sampler_id, KIND_SAMPLER },
		     { F_in_interface, KIND_INTERFACE },
		     { F_out_interface, KIND_INTERFACE } };
	struct join *zero = joins[1];

	if (flow_has(f, F_sampling_rate))
		return;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (flow_has(f, ways[i].field) &&
		    take_rate(find_number(joins, ways[i].kind, f->slots[ways[i].field].i64,
					  QUEST_RATE),
			      f))
			return;
	}
	/* In NetFlow v9 source 0 is a source like any other. */
	if (zero != NULL && !zero->is_ipfix)
		zero = NULL;
	(void)take_rate(find_number((struct join *const[JOINS]){ joins[0], zero }, KIND_DOMAIN, 0,
				    QUEST_RATE),
			f);
}

static void take_text(struct flow *f, unsigned field, const struct text *text)
{
	if (text->bytes != 0 && !flow_has(f, field))
		flow_set_octets(f, field, text->octets, text->bytes);
}

static void join_name(struct join *const joins[JOINS], enum join_kind kind, unsigned by,
		      unsigned to, struct flow *f)
{
	const struct join_entry *e = NULL;

	if (flow_has(f, by) && !flow_has(f, to))
		e = find_number(joins, kind, f->slots[by].i64, QUEST_TEXTS);
	if (e != NULL)
		take_text(f, to, &e->name);
}

static void join_application(struct join *const joins[JOINS], struct flow *f)
{
	const struct slot *id = &f->slots[F_app_id];
	const struct join_entry *e;
	struct join_key k;

	if (!flow_has(f, F_app_id) ||
	    (!may_know(joins[0], KIND_APPLICATION, QUEST_TEXTS) &&
	     !may_know(joins[1], KIND_APPLICATION, QUEST_TEXTS)) ||
	    (flow_has(f, F_app_name) && flow_has(f, F_app_category)) ||
	    !text_key(KIND_APPLICATION, id->octets, id->bytes, &k))
		return;
	e = find(joins, &k, QUEST_TEXTS);
	if (e == NULL)
		return;
	take_text(f, F_app_name, &e->name);
	take_text(f, F_app_category, &e->category);
}

void join_flow(struct join *const joins[JOINS], struct flow *f)
{
	if (joins[0] == NULL && joins[1] == NULL)
		return;
	join_sampling(joins, f);
	join_name(joins, KIND_INTERFACE, F_in_interface, F_in_interface_name, f);
	join_name(joins, KIND_INTERFACE, F_out_interface, F_out_interface_name, f);
	join_name(joins, KIND_VRF, F_ingress_vrf, F_ingress_vrf_name, f);
	join_name(joins, KIND_VRF, F_egress_vrf, F_egress_vrf_name, f);
	join_application(joins, f);
}

/* ---- for people ---- */

static const struct {
	uint16_t field;
	uint8_t kind;
	uint8_t first_part;
	uint8_t last_part;
	const char *by;
} givens[] = {
	{ F_sampling_rate, KIND_SAMPLER, PART_RATE, PART_PROBABILITY,
	  "sampler_id, else in_interface, else out_interface, else of the domain" },
	{ F_sampling_algorithm, KIND_SAMPLER, PART_ALGORITHM, PART_ALGORITHM,
	  "sampler_id, else in_interface, else out_interface, else of the domain" },
	{ F_in_interface_name, KIND_INTERFACE, PART_NAME, PART_NAME, "in_interface" },
	{ F_out_interface_name, KIND_INTERFACE, PART_NAME, PART_NAME, "out_interface" },
	{ F_in_interface_alias, KIND_INTERFACE, PART_DESCRIPTION, PART_DESCRIPTION,
	  "in_interface" },
	{ F_out_interface_alias, KIND_INTERFACE, PART_DESCRIPTION, PART_DESCRIPTION,
	  "out_interface" },
	{ F_app_name, KIND_APPLICATION, PART_NAME, PART_NAME, "app_id" },
	{ F_app_category, KIND_APPLICATION, PART_CATEGORY, PART_CATEGORY, "app_id" },
	{ F_ingress_vrf_name, KIND_VRF, PART_NAME, PART_NAME, "ingress_vrf" },
	{ F_egress_vrf_name, KIND_VRF, PART_NAME, PART_NAME, "egress_vrf" },
};
#define GIVENS (sizeof(givens) / sizeof(givens[0]))

size_t join_explain(unsigned field, struct join_element *out, size_t max, const char **by)
{
	size_t given = 0;
	size_t count = 0;

	while (given < GIVENS && givens[given].field != field)
		given++;
	if (given == GIVENS)
		return 0;
	*by = givens[given].by;
	for (size_t i = 0; i < ROWS && count < max; i++) {
		if (rows[i].kind == givens[given].kind &&
		    rows[i].part >= givens[given].first_part &&
		    rows[i].part <= givens[given].last_part)
			out[count++] = (struct join_element){ rows[i].pen, rows[i].id };
	}
	return count;
}
