/* SPDX-License-Identifier: Apache-2.0 */
/* xform_compile.c - which op a mapping line becomes, or why it cannot be. */
#include "normalizer/xform.h"

const struct as_row as_rows[AS_COUNT] = {
	{ "natural", AS_NATURAL, "By the types of element and field; the default." },
	{ "ms", AS_MS, "A dateTime element of any encoding, to milliseconds since 1970." },
	{ "ns", AS_NS, "A dateTime element of any encoding, to nanoseconds since 1970." },
	{ "uptime_ms", AS_UPTIME_MS, "Milliseconds of sysUpTime, to milliseconds since 1970." },
	{ "delta_us", AS_DELTA_US,
	  "Microseconds before the export time, to milliseconds since 1970." },
	{ "unix_s", AS_UNIX_S, "Seconds since 1970, to what the field holds." },
	{ "unix_ms", AS_UNIX_MS, "Milliseconds since 1970, to what the field holds." },
	{ "unix_us", AS_UNIX_US, "Microseconds since 1970, to what the field holds." },
	{ "high8", AS_HIGH8, "The high octet of a 16-bit value." },
	{ "low8", AS_LOW8, "The low octet of a 16-bit value." },
	{ "low24", AS_LOW24, "The low 24 bits, such as the network id of layer2SegmentId." },
	{ "icmp_high8", AS_ICMP_HIGH8, "high8, only in records whose protocol is ICMP or ICMPv6." },
	{ "icmp_low8", AS_ICMP_LOW8, "low8, only in records whose protocol is ICMP or ICMPv6." },
	{ "nonzero", AS_NONZERO, "An unsigned number of which 0 says nothing." },
	{ "decimal", AS_DECIMAL, "An unsigned number as decimal text." },
	{ "hex", AS_HEX, "Octets as lower-case hex text." },
	{ "bits", AS_BITS, "A 64-bit pattern, kept as the signed number of the same bits." },
	{ "or", AS_OR, "Bits: all lines of the field that say so are ORed together." },
	{ "flag", AS_FLAG, "0 for false, 1 for true." },
	{ "number", AS_NUMBER, "The decimal number with which a text begins." },
	{ "address", AS_ADDRESS, "An address, as text." },
	{ "app_id", AS_APP_ID, "applicationId (RFC 6759) as engine:selector." },
	{ "mpls_label", AS_MPLS_LABEL,
	  "The 20-bit label of an MPLS stack entry, appended to a list." },
	{ "append", AS_APPEND,
	  "An unsigned number, appended to a list; the list is filled when all elements are there that "
	  "the mapping appends to it." },
	{ "ndpi", AS_NDPI,
	  "Into app_id only: a number of nDPI's as decimal text, or its text as it is; the enricher ndpi "
	  "names these and no others." },
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

static bool natural_integer(const struct xform_how *how, struct xform *x)
{
	enum element_type type = type_of(how);
	bool is_time = time_of(type, &x->aux);

	if (is_time && how->field->type == FIELD_MS)
		x->op = XFORM_TIME;
	else if (is_signed(type))
		x->op = XFORM_INT;
	else if (is_unsigned(type) || type == ELEMENT_OCTETS || is_time)
		x->op = unsigned_op(how);
	else
		return false;
	return true;
}

_Static_assert(ELEMENT_TYPE_COUNT <= 32, "types are bits of 32");

/* What else holds as it is: the op by the field's type, and the element types it reads. */
static const struct {
	uint8_t op;
	uint32_t types; /* bits of enum element_type */
} naturals[FIELD_TYPE_COUNT] = {
	[FIELD_ADDR] = { XFORM_ADDR, 1u << ELEMENT_IPV4 | 1u << ELEMENT_IPV6 },
	[FIELD_MAC] = { XFORM_MAC, 1u << ELEMENT_MAC },
	[FIELD_STR] = { XFORM_STR, 1u << ELEMENT_STRING },
	[FIELD_F64] = { XFORM_F64, 1u << ELEMENT_FLOAT32 | 1u << ELEMENT_FLOAT64 },
	[FIELD_BOOL] = { XFORM_BOOL, 1u << ELEMENT_BOOLEAN },
	[FIELD_LONGS] = { XFORM_APPEND, 1u << ELEMENT_UNSIGNED8 | 1u << ELEMENT_UNSIGNED16 |
						1u << ELEMENT_UNSIGNED32 |
						1u << ELEMENT_UNSIGNED64 },
};

/* The natural op by element type; false when the field cannot hold it. */
static bool natural(const struct xform_how *how, struct xform *x)
{
	enum element_type type = type_of(how);
	enum field_type field = how->field->type;

	if (is_integer_field(field))
		return natural_integer(how, x);
	if (field == FIELD_STR && (is_unsigned(type) || type == ELEMENT_OCTETS)) {
		x->op = is_unsigned(type) ? XFORM_DECIMAL : XFORM_HEX;
		return true;
	}
	x->op = naturals[field].op;
	return (naturals[field].types & 1u << type) != 0;
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
	[AS_LOW24] = { XFORM_LOW24, 0, 0, INTEGERS },
	[AS_NONZERO] = { XFORM_UINT, 0, CARRY_ALL, INTEGERS },
	[AS_ICMP_HIGH8] = { XFORM_HIGH8, 0, CARRY_HIGH, INTEGERS },
	[AS_ICMP_LOW8] = { XFORM_LOW8, 0, CARRY_LOW, INTEGERS },
	[AS_DECIMAL] = { XFORM_DECIMAL, 0, CARRY_ALL, 1u << FIELD_STR },
	[AS_HEX] = { XFORM_HEX, 0, CARRY_ALL, 1u << FIELD_STR },
	[AS_BITS] = { XFORM_BITS, 0, CARRY_ALL, 1u << FIELD_I64 },
	[AS_OR] = { XFORM_OR, 0, 0, INTEGERS },
	[AS_FLAG] = { XFORM_FLAG, 0, CARRY_ALL, 1u << FIELD_BOOL },
	[AS_NUMBER] = { XFORM_NUMBER, 0, 0, INTEGERS },
	[AS_ADDRESS] = { XFORM_ADDRESS, 0, CARRY_ALL, 1u << FIELD_STR },
	[AS_APP_ID] = { XFORM_APP_ID, 0, CARRY_ALL, 1u << FIELD_STR },
	[AS_MPLS_LABEL] = { XFORM_MPLS_LABEL, 0, 0, 1u << FIELD_LONGS },
	[AS_APPEND] = { XFORM_APPEND, 0, CARRY_ALL, 1u << FIELD_LONGS },
	[AS_TABLE] = { XFORM_TABLE, 0, 0, 1u << FIELD_STR },
	[AS_NDPI] = { XFORM_NDPI, 0, CARRY_ALL, 1u << FIELD_STR },
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
	bool is_fine =
		x->op == XFORM_TIME ? x->aux == TIME_NTP_US || x->aux == TIME_NTP_NS : x->aux == 6;

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
	} else if ((row->fields >> how->field->type & 1) == 0 ||
		   (how->as == AS_NDPI && how->field_number != F_app_id)) {
		return why_set(why, ERR_CONF, "as = \"%s\" does not fit field %s",
			       as_rows[how->as].name, how->field->name);
	} else {
		x.op = row->op;
		x.aux = row->aux;
		x.carries = row->carries;
		if (how->as == AS_TABLE && table_is_invertible(how->table))
			x.carries = CARRY_ALL;
		x.wants_ns = row->op == XFORM_UNIX && how->field->type == FIELD_I64;
	}
	if (x.op == XFORM_TIME || x.op == XFORM_UNIX)
		x.carries = time_carries(&x);
	if (x.scale != 1 && x.op != XFORM_UINT)
		return why_set(why, ERR_CONF, "scale wants an unsigned element and no `as`");
	if (x.op == XFORM_NDPI)
		x.aux = type_of(how) == ELEMENT_STRING;
	x.wants_icmp = how->as == AS_ICMP_HIGH8 || how->as == AS_ICMP_LOW8;
	x.zero_fails = how->as == AS_NONZERO;
	*out = x;
	return ERR_OK;
}
