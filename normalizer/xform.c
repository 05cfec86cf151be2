/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/xform.h"

#include <limits.h>
#include <math.h>

#include "base/rd.h"
#include "base/utf8.h"

#define NTP_EPOCH_S 2208988800u /* 1900 to 1970 */
#define NTP_US_MASK 0xfffff800u /* RFC 7011, 6.1.9: the low 11 bits mean nothing */
#define MPLS_LABEL_SHIFT 4
#define APP_ENGINE_PEN 20 /* RFC 6759: the selector starts with an enterprise number */

const struct as_row as_rows[AS_COUNT] = {
	{ "natural", AS_NATURAL, "By the types of element and field; the default." },
	{ "ms", AS_MS, "A dateTime element of any encoding, to milliseconds since 1970." },
	{ "ns", AS_NS, "A dateTime element of any encoding, to nanoseconds since 1970." },
	{ "uptime_ms", AS_UPTIME_MS, "Milliseconds of sysUpTime, to milliseconds since 1970." },
	{ "delta_us", AS_DELTA_US, "Microseconds before the export time, to milliseconds since 1970." },
	{ "unix_s", AS_UNIX_S, "Seconds since 1970, to what the field holds." },
	{ "unix_ms", AS_UNIX_MS, "Milliseconds since 1970, to what the field holds." },
	{ "unix_us", AS_UNIX_US, "Microseconds since 1970, to what the field holds." },
	{ "high8", AS_HIGH8, "The high octet of a 16-bit value." },
	{ "low8", AS_LOW8, "The low octet of a 16-bit value." },
	{ "icmp_high8", AS_ICMP_HIGH8, "high8, only in records whose protocol is ICMP or ICMPv6." },
	{ "icmp_low8", AS_ICMP_LOW8, "low8, only in records whose protocol is ICMP or ICMPv6." },
	{ "decimal", AS_DECIMAL, "An unsigned number as decimal text." },
	{ "hex", AS_HEX, "Octets as lower-case hex text." },
	{ "bits", AS_BITS, "A 64-bit pattern, kept as the signed number of the same bits." },
	{ "app_id", AS_APP_ID, "applicationId (RFC 6759) as engine:selector." },
	{ "mpls_label", AS_MPLS_LABEL, "The 20-bit label of an MPLS stack entry, appended to a list." },
	{ "append", AS_APPEND, "An unsigned number, appended to a list." },
	{ "table", AS_TABLE, "table:NAME: a number's name in templates/tables/NAME.tsv." },
};

static enum element_type type_of(const struct xform_how *how)
{
	return how->element == NULL ? ELEMENT_OCTETS : how->element->type;
}

static bool is_unsigned(enum element_type type)
{
	return type >= ELEMENT_UNSIGNED8 && type <= ELEMENT_UNSIGNED64;
}

static bool is_signed(enum element_type type)
{
	return type >= ELEMENT_SIGNED8 && type <= ELEMENT_SIGNED64;
}

static bool is_integer_field(enum field_type type)
{
	return type == FIELD_I32 || type == FIELD_I64 || type == FIELD_MS || type == FIELD_DATE;
}

/* Unsigned of a fixed natural length cannot fail, unless it is scaled or too wide for the field. */
static uint8_t unsigned_op(const struct xform_how *how)
{
	bool is_narrow = how->field->type == FIELD_I32;

	if (how->scale != 1)
		return XFORM_UINT;
	if (how->bytes == 1)
		return XFORM_U8;
	if (how->bytes == 2)
		return XFORM_U16;
	if (how->bytes == 4 && !is_narrow)
		return XFORM_U32;
	if (how->bytes == 8 && !is_narrow)
		return XFORM_U64;
	return XFORM_UINT;
}

static bool time_of(enum element_type type, uint8_t *code)
{
	switch ((int)type) {
	case ELEMENT_SECONDS:
		*code = TIME_SECONDS;
		return true;
	case ELEMENT_MILLISECONDS:
		*code = TIME_MS;
		return true;
	case ELEMENT_MICROSECONDS:
		*code = TIME_NTP_US;
		return true;
	case ELEMENT_NANOSECONDS:
		*code = TIME_NTP_NS;
		return true;
	default:
		return false;
	}
}

/* The natural op by element type; false when the field cannot hold it. */
static bool natural(const struct xform_how *how, struct xform *x)
{
	enum element_type type = type_of(how);
	enum field_type field = how->field->type;

	if (is_integer_field(field)) {
		if (time_of(type, &x->aux) && field == FIELD_MS)
			x->op = XFORM_TIME;
		else if (is_signed(type))
			x->op = XFORM_INT;
		else if (is_unsigned(type) || type == ELEMENT_OCTETS || time_of(type, &x->aux))
			x->op = unsigned_op(how);
		else
			return false;
		return true;
	}
	if (field == FIELD_STR && (is_unsigned(type) || type == ELEMENT_OCTETS)) {
		x->op = is_unsigned(type) ? XFORM_DECIMAL : XFORM_HEX;
		return true;
	}
	x->op = field == FIELD_ADDR   ? XFORM_ADDR
		: field == FIELD_MAC  ? XFORM_MAC
		: field == FIELD_STR  ? XFORM_STR
		: field == FIELD_F64  ? XFORM_F64
		: field == FIELD_BOOL ? XFORM_BOOL
				      : XFORM_APPEND;
	if (field == FIELD_ADDR)
		return type == ELEMENT_IPV4 || type == ELEMENT_IPV6;
	if (field == FIELD_MAC)
		return type == ELEMENT_MAC;
	if (field == FIELD_F64)
		return type == ELEMENT_FLOAT32 || type == ELEMENT_FLOAT64;
	if (field == FIELD_BOOL)
		return type == ELEMENT_BOOLEAN;
	return field == FIELD_STR ? type == ELEMENT_STRING
				  : field == FIELD_LONGS && is_unsigned(type);
}

/* Conversions that a mapping names: which op, into which field types, and what they carry. */
static const struct named {
	uint8_t op;
	uint8_t aux;
	uint8_t carries;
	uint32_t fields; /* bits of enum field_type */
} named[AS_COUNT] = {
#define INTEGERS (1u << FIELD_I32 | 1u << FIELD_I64)
#define TIMES (1u << FIELD_MS | 1u << FIELD_I64)
	[AS_UPTIME_MS] = { XFORM_UPTIME, 0, CARRY_ALL, TIMES },
	[AS_DELTA_US] = { XFORM_DELTA_US, 0, 0, TIMES },
	[AS_UNIX_S] = { XFORM_UNIX, 0, CARRY_ALL, TIMES },
	[AS_UNIX_MS] = { XFORM_UNIX, 3, CARRY_ALL, TIMES },
	[AS_UNIX_US] = { XFORM_UNIX, 6, 0, TIMES },
	[AS_HIGH8] = { XFORM_HIGH8, 0, CARRY_HIGH, INTEGERS },
	[AS_LOW8] = { XFORM_LOW8, 0, CARRY_LOW, INTEGERS },
	[AS_ICMP_HIGH8] = { XFORM_HIGH8, 0, CARRY_HIGH, INTEGERS },
	[AS_ICMP_LOW8] = { XFORM_LOW8, 0, CARRY_LOW, INTEGERS },
	[AS_DECIMAL] = { XFORM_DECIMAL, 0, CARRY_ALL, 1u << FIELD_STR },
	[AS_HEX] = { XFORM_HEX, 0, CARRY_ALL, 1u << FIELD_STR },
	[AS_BITS] = { XFORM_BITS, 0, CARRY_ALL, 1u << FIELD_I64 },
	[AS_APP_ID] = { XFORM_APP_ID, 0, CARRY_ALL, 1u << FIELD_STR },
	[AS_MPLS_LABEL] = { XFORM_MPLS_LABEL, 0, 0, 1u << FIELD_LONGS },
	[AS_APPEND] = { XFORM_APPEND, 0, CARRY_ALL, 1u << FIELD_LONGS },
	[AS_TABLE] = { XFORM_TABLE, 0, 0, 1u << FIELD_STR },
#undef INTEGERS
#undef TIMES
};

static enum err compile_time(const struct xform_how *how, struct xform *x, struct why *why)
{
	bool wants_ns = how->as == AS_NS;

	if (!time_of(type_of(how), &x->aux))
		return why_set(why, ERR_CONF, "as = \"%s\" wants a dateTime element",
			       as_rows[how->as].name);
	if (how->field->type != (wants_ns ? FIELD_I64 : FIELD_MS))
		return why_set(why, ERR_CONF, "as = \"%s\" does not fit field %s",
			       as_rows[how->as].name, how->field->name);
	x->op = XFORM_TIME;
	x->wants_ns = wants_ns;
	return ERR_OK;
}

/* Milliseconds hold seconds and milliseconds, nanoseconds hold all. */
static uint8_t time_carries(const struct xform *x)
{
	bool is_fine = x->op == XFORM_TIME ? x->aux == TIME_NTP_US || x->aux == TIME_NTP_NS
					   : x->aux == 6;

	return is_fine && !x->wants_ns ? 0 : CARRY_ALL;
}

enum err xform_compile(const struct xform_how *how, struct xform *out, struct why *why)
{
	struct xform x = { .carries = CARRY_ALL,
			   .field = how->field_number,
			   .scale = how->scale,
			   .table = how->table,
			   .is_i32 = how->field->type == FIELD_I32 };
	const struct named *row = &named[how->as];

	if (how->element != NULL)
		x.natural_bytes = (uint8_t)how->element->natural_bytes;
	if (how->as == AS_NATURAL) {
		if (!natural(how, &x))
			return why_set(why, ERR_CONF, "element does not fit field %s",
				       how->field->name);
	} else if (how->as == AS_MS || how->as == AS_NS) {
		TRY(compile_time(how, &x, why));
	} else if ((row->fields >> how->field->type & 1) == 0) {
		return why_set(why, ERR_CONF, "as = \"%s\" does not fit field %s",
			       as_rows[how->as].name, how->field->name);
	} else {
		x.op = row->op;
		x.aux = row->aux;
		x.carries = row->carries;
		x.wants_ns = row->op == XFORM_UNIX && how->field->type == FIELD_I64;
	}
	if (x.op == XFORM_TIME || x.op == XFORM_UNIX)
		x.carries = time_carries(&x);
	if (x.scale != 1 && x.op != XFORM_UINT)
		return why_set(why, ERR_CONF, "scale wants an unsigned element and no `as`");
	x.wants_icmp = how->as == AS_ICMP_HIGH8 || how->as == AS_ICMP_LOW8;
	*out = x;
	return ERR_OK;
}

static bool is_zero(const uint8_t *octets, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++) {
		if (octets[i] != 0)
			return false;
	}
	return true;
}

static enum xform_result take_uint(const struct xform *x, uint64_t v, struct flow *f)
{
	uint64_t max = x->is_i32 ? INT32_MAX : INT64_MAX;

	if (x->scale != 1 && __builtin_mul_overflow(v, (uint64_t)x->scale, &v))
		v = UINT64_MAX;
	if (v <= max) {
		flow_set_i64(f, x->field, (int64_t)v);
		return XFORM_TAKEN;
	}
	/* A counter is cut, and its value stands in raw; a number that an int cannot hold is not ours
	 * to bend. */
	flow_note(f, x->is_i32 ? NOTE_CONTRACT : NOTE_SATURATED);
	if (!x->is_i32)
		flow_set_i64(f, x->field, INT64_MAX);
	return XFORM_FAILED;
}

static enum xform_result contract(struct flow *f)
{
	flow_note(f, NOTE_CONTRACT);
	return XFORM_FAILED;
}

/* More octets than a number has are accepted when the excess is zero. */
static bool read_uint(const uint8_t *octets, uint32_t bytes, uint64_t *v)
{
	if (bytes > 8) {
		if (!is_zero(octets, bytes - 8))
			return false;
		octets += bytes - 8;
		bytes = 8;
	}
	*v = be_uint(octets, bytes);
	return true;
}

static enum xform_result run_int(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				 struct flow *f)
{
	uint64_t v;

	if (bytes > 8)
		return contract(f);
	v = be_uint(octets, bytes) << (64 - 8 * bytes);
	if (x->is_i32 && ((int64_t)v >> (64 - 8 * bytes)) != (int32_t)((int64_t)v >> (64 - 8 * bytes)))
		return contract(f);
	flow_set_i64(f, x->field, (int64_t)v >> (64 - 8 * bytes));
	return XFORM_TAKEN;
}

static enum xform_result run_str(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				 struct flow *f)
{
	while (bytes > 0 && octets[bytes - 1] == 0)
		bytes--;
	if (bytes == 0)
		return XFORM_ABSENT;
	if (!utf8_is_valid(octets, bytes)) {
		flow_note(f, NOTE_BAD_UTF8);
		return XFORM_FAILED;
	}
	flow_set_octets(f, x->field, octets, bytes);
	return XFORM_TAKEN;
}

static enum xform_result run_f64(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				 struct flow *f)
{
	uint64_t wide;
	uint32_t narrow;
	float single;
	double v;

	if (bytes == 8) {
		wide = be64(octets);
		memcpy(&v, &wide, sizeof(v));
	} else if (bytes == 4) {
		narrow = be32(octets);
		memcpy(&single, &narrow, sizeof(single));
		v = (double)single;
	} else {
		return contract(f);
	}
	flow_set_f64(f, x->field, v);
	return XFORM_TAKEN;
}

static enum xform_result run_hex(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				 struct flow *f)
{
	static const char digits[] = "0123456789abcdef";
	char *text;

	if (bytes > FLOW_SCRATCH_BYTES / 2 || (text = flow_scratch(f, 2 * bytes)) == NULL) {
		flow_note(f, NOTE_TRUNCATED);
		return XFORM_FAILED;
	}
	for (uint32_t i = 0; i < bytes; i++) {
		text[2 * i] = digits[octets[i] >> 4];
		text[2 * i + 1] = digits[octets[i] & 15];
	}
	flow_set_octets(f, x->field, text, 2 * bytes);
	return XFORM_TAKEN;
}

/* Decimal text into `out`, which has room for 20; returns its length. */
static uint32_t put_decimal(char *out, uint64_t v)
{
	char reversed[20];
	uint32_t n = 0;

	do {
		reversed[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	for (uint32_t i = 0; i < n; i++)
		out[i] = reversed[n - 1 - i];
	return n;
}

static enum xform_result run_decimal(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				     struct flow *f)
{
	char *text = flow_scratch(f, 20);
	uint64_t v;

	if (text == NULL) {
		flow_note(f, NOTE_TRUNCATED);
		return XFORM_FAILED;
	}
	if (!read_uint(octets, bytes, &v))
		return contract(f);
	flow_set_octets(f, x->field, text, put_decimal(text, v));
	return XFORM_TAKEN;
}

/* RFC 6759: engine, then selector; engine 20 puts a 4-octet enterprise number before it. */
static enum xform_result run_app_id(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				    struct flow *f)
{
	char *text = flow_scratch(f, 48);
	uint32_t head = octets[0] == APP_ENGINE_PEN ? 5 : 1;
	uint64_t selector;
	uint32_t n;

	if (text == NULL) {
		flow_note(f, NOTE_TRUNCATED);
		return XFORM_FAILED;
	}
	if (bytes <= head || !read_uint(octets + head, bytes - head, &selector))
		return contract(f);
	n = put_decimal(text, octets[0]);
	text[n++] = ':';
	if (head == 5) {
		n += put_decimal(text + n, be32(octets + 1));
		text[n++] = ':';
	}
	n += put_decimal(text + n, selector);
	flow_set_octets(f, x->field, text, n);
	return XFORM_TAKEN;
}

/* NTP format: the era by context, since no flow is older than 1970. */
static int64_t ntp_ns(uint64_t v, uint32_t fraction_mask)
{
	uint64_t seconds = v >> 32;
	uint64_t fraction = v & fraction_mask;

	if (seconds < NTP_EPOCH_S)
		seconds += UINT64_C(1) << 32;
	return (int64_t)((seconds - NTP_EPOCH_S) * 1000000000u +
			 ((fraction * 1000000000u + (UINT64_C(1) << 31)) >> 32));
}

static enum xform_result set_time(const struct xform *x, int64_t ns, struct flow *f)
{
	flow_set_i64(f, x->field, x->wants_ns ? ns : ns / 1000000);
	return XFORM_TAKEN;
}

static enum xform_result run_time(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				  struct flow *f)
{
	uint64_t factor = x->aux == TIME_SECONDS ? 1000 : 1; /* to milliseconds */
	uint64_t v;

	if (x->aux == TIME_NTP_US || x->aux == TIME_NTP_NS) {
		if (bytes != 8)
			return contract(f);
		if (be64(octets) == 0)
			return XFORM_ABSENT;
		return set_time(x, ntp_ns(be64(octets),
					  x->aux == TIME_NTP_US ? NTP_US_MASK : UINT32_MAX), f);
	}
	if (!read_uint(octets, bytes, &v) || v > (x->aux == TIME_SECONDS ? UINT32_MAX : INT64_MAX))
		return contract(f);
	if (v == 0)
		return XFORM_ABSENT;
	if (x->wants_ns)
		factor *= 1000000;
	if (v > INT64_MAX / factor)
		return contract(f);
	flow_set_i64(f, x->field, (int64_t)(v * factor));
	return XFORM_TAKEN;
}

static enum xform_result run_unix(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				  struct flow *f)
{
	uint64_t to_ns = x->aux == 0 ? 1000000000u : x->aux == 3 ? 1000000u : 1000u;
	uint64_t v;

	if (!read_uint(octets, bytes, &v) || v > INT64_MAX / to_ns)
		return contract(f);
	if (v == 0)
		return XFORM_ABSENT;
	return set_time(x, (int64_t)(v * to_ns), f);
}

/* sysUpTime wraps at 2^32 ms: the distance to the header's is a signed 32-bit difference. */
static enum xform_result run_uptime(const struct xform *x, const struct xform_env *env,
				    const uint8_t *octets, uint32_t bytes, struct flow *f)
{
	uint64_t v;
	int32_t before_ms;

	if (!read_uint(octets, bytes, &v) || v > UINT32_MAX)
		return contract(f);
	if (env->has_uptime) {
		before_ms = (int32_t)(env->uptime_ms - (uint32_t)v);
		flow_set_i64(f, x->field, env->export_ms - before_ms);
		return XFORM_TAKEN;
	}
	if (!env->has_boot)
		return XFORM_FAILED; /* never a guess */
	flow_set_i64(f, x->field, env->boot_ms + (int64_t)v);
	return XFORM_TAKEN;
}

static enum xform_result append(const struct xform *x, struct flow *f, int64_t v)
{
	struct slot *slot = &f->slots[x->field];
	bool is_new = !flow_has(f, x->field);

	/* The values of one list stand together, so only the newest list can grow. */
	if (f->long_count >= FLOW_LONGS_MAX ||
	    (!is_new && slot->longs + slot->bytes != f->longs + f->long_count)) {
		flow_note(f, NOTE_TRUNCATED);
		return XFORM_FAILED;
	}
	if (is_new) {
		slot->longs = f->longs + f->long_count;
		slot->bytes = 0;
		flow_mark(f, x->field);
	}
	f->longs[f->long_count++] = v;
	slot->bytes++;
	return XFORM_TAKEN;
}

static enum xform_result run_number(const struct xform *x, uint64_t v, uint32_t bytes,
				    struct flow *f)
{
	const struct text *name;

	switch (x->op) {
	case XFORM_HIGH8:
	case XFORM_LOW8:
		if (v > UINT16_MAX)
			return contract(f);
		flow_set_i64(f, x->field, x->op == XFORM_HIGH8 ? (int64_t)(v >> 8) : (int64_t)(v & 255));
		return XFORM_TAKEN;
	case XFORM_BITS:
		flow_set_i64(f, x->field, (int64_t)v);
		return XFORM_TAKEN;
	case XFORM_TABLE:
		name = table_find(x->table, v);
		if (name == NULL)
			return XFORM_FAILED;
		flow_set_octets(f, x->field, name->octets, name->bytes);
		return XFORM_TAKEN;
	case XFORM_APPEND:
		return v > INT64_MAX ? contract(f) : append(x, f, (int64_t)v);
	case XFORM_MPLS_LABEL:
		if (bytes != 3)
			return contract(f);
		/* 20 bits of label, 3 of experimental use, the bottom bit (RFC 3032). */
		return v == 0 ? XFORM_ABSENT : append(x, f, (int64_t)(v >> MPLS_LABEL_SHIFT));
	default:
		return take_uint(x, v, f);
	}
}

static enum xform_result run_boolean(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				     struct flow *f)
{
	if (bytes != 1 || octets[0] < 1 || octets[0] > 2) /* RFC 7011, 6.1.5 */
		return contract(f);
	flow_set_i64(f, x->field, octets[0] == 1);
	return XFORM_TAKEN;
}

static enum xform_result run_fixed(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				   struct flow *f)
{
	if (bytes != x->natural_bytes)
		return contract(f);
	if (x->zero_is_absent && is_zero(octets, bytes))
		return XFORM_ABSENT;
	flow_set_octets(f, x->field, octets, bytes);
	return XFORM_TAKEN;
}

static enum xform_result run_delta(const struct xform *x, const struct xform_env *env,
				   const uint8_t *octets, uint32_t bytes, struct flow *f)
{
	uint64_t v;

	if (!read_uint(octets, bytes, &v) || v > UINT32_MAX)
		return contract(f);
	flow_set_i64(f, x->field, env->export_ms - (int64_t)(v / 1000));
	return XFORM_TAKEN;
}

static bool is_icmp(const struct flow *f)
{
	return flow_has(f, F_protocol_number) && (f->slots[F_protocol_number].i64 == 1 ||
						  f->slots[F_protocol_number].i64 == 58);
}

enum xform_result xform_run(const struct xform *x, const struct xform_env *env,
			    const uint8_t *octets, uint32_t bytes, struct flow *f)
{
	uint64_t v;

	if (bytes == 0)
		return XFORM_ABSENT;
	if (x->wants_icmp && !is_icmp(f))
		return XFORM_FAILED;
	switch ((enum xform_op)x->op) {
	case XFORM_INT:
		return run_int(x, octets, bytes, f);
	case XFORM_ADDR:
	case XFORM_MAC:
		return run_fixed(x, octets, bytes, f);
	case XFORM_STR:
		return run_str(x, octets, bytes, f);
	case XFORM_F64:
		return run_f64(x, octets, bytes, f);
	case XFORM_BOOL:
		return run_boolean(x, octets, bytes, f);
	case XFORM_HEX:
		return run_hex(x, octets, bytes, f);
	case XFORM_DECIMAL:
		return run_decimal(x, octets, bytes, f);
	case XFORM_TIME:
		return run_time(x, octets, bytes, f);
	case XFORM_UPTIME:
		return run_uptime(x, env, octets, bytes, f);
	case XFORM_DELTA_US:
		return run_delta(x, env, octets, bytes, f);
	case XFORM_UNIX:
		return run_unix(x, octets, bytes, f);
	case XFORM_APP_ID:
		return run_app_id(x, octets, bytes, f);
	case XFORM_UINT:
	case XFORM_U8:
	case XFORM_U16:
	case XFORM_U32:
	case XFORM_U64:
	case XFORM_HIGH8:
	case XFORM_LOW8:
	case XFORM_BITS:
	case XFORM_TABLE:
	case XFORM_APPEND:
	case XFORM_MPLS_LABEL:
		return read_uint(octets, bytes, &v) ? run_number(x, v, bytes, f) : contract(f);
	case XFORM_OP_COUNT:
		break;
	}
	return contract(f);
}
