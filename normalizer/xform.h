/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xform.h - one element's octets into one field: the conversions that mappings name.
 *
 *	xform_compile(&how, &x, &why)		once per plan step
 *	xform_run(&x, &env, octets, bytes, f)	once per record
 *
 * Presence is by record: an empty string, a zero-length value and, where zero_is_absent, an all-zero
 * address or MAC are ABSENT.  FAILED means that the field could not carry the value, or that it says
 * nothing there (a time of 0): the caller keeps the element in raw.
 *
 * Owner: the plan.  Lifetime: generation.
 */
#ifndef NORMALIZER_XFORM_H
#define NORMALIZER_XFORM_H

#include "base/why.h"
#include "normalizer/element.h"
#include "normalizer/flow.h"
#include "normalizer/table.h"

/* `as` of a promote line. */
enum as {
	AS_NATURAL,
	AS_MS,
	AS_NS,
	AS_UPTIME_MS,
	AS_DELTA_US,
	AS_UNIX_S,
	AS_UNIX_MS,
	AS_UNIX_US,
	AS_HIGH8,
	AS_LOW8,
	AS_LOW24,
	AS_ICMP_HIGH8, /* only when the record's protocol is ICMP or ICMPv6 */
	AS_ICMP_LOW8,
	AS_NONZERO,
	AS_DECIMAL,
	AS_HEX,
	AS_BITS,
	AS_OR,
	AS_FLAG,
	AS_NUMBER,
	AS_ADDRESS,
	AS_APP_ID,
	AS_MPLS_LABEL,
	AS_APPEND,
	AS_NDPI,
	AS_TABLE, /* the last: it has a name behind it */
	AS_COUNT
};

struct as_row {
	const char *name;
	enum as as;
	const char *doc;
};
extern const struct as_row as_rows[AS_COUNT];

enum xform_op {
	XFORM_UINT, /* unsigned of 1 to 8 octets, into I32 I64 MS */
	XFORM_U8,   /* the same, of exactly that many octets: cannot fail */
	XFORM_U16,
	XFORM_U32,
	XFORM_U64,
	XFORM_INT, /* signed of 1 to 8 octets */
	XFORM_ADDR,
	XFORM_MAC,
	XFORM_STR,
	XFORM_F64,
	XFORM_BOOL,
	XFORM_HEX,
	XFORM_DECIMAL,
	XFORM_TIME, /* dateTime of any encoding: aux = enum time_code */
	XFORM_UPTIME,
	XFORM_DELTA_US,
	XFORM_UNIX, /* aux = digits after the second: 0, 3, 6 */
	XFORM_HIGH8,
	XFORM_LOW8,
	XFORM_LOW24,
	XFORM_BITS,
	XFORM_OR, /* adds its bits to those of the candidates before it */
	XFORM_FLAG,
	XFORM_NUMBER,
	XFORM_ADDRESS,
	XFORM_APP_ID,
	XFORM_MPLS_LABEL,
	XFORM_APPEND,
	XFORM_TABLE,
	XFORM_NDPI, /* aux = 1: text */
	XFORM_OP_COUNT
};

enum time_code { TIME_SECONDS, TIME_MS, TIME_NTP_US, TIME_NTP_NS };

/* Parts of an element's value; an element is carried when its targets carry both. */
#define CARRY_HIGH 1u
#define CARRY_LOW 2u
#define CARRY_ALL 3u

struct xform {
	uint8_t op; /* enum xform_op */
	uint8_t aux;
	uint8_t carries; /* CARRY_*: 0 when the value cannot be told from the field */
	bool zero_is_absent;
	bool is_i32;   /* the field is an int: values above 2^31-1 fail */
	bool wants_ns; /* a time into nanoseconds, not milliseconds */
	bool wants_icmp;
	bool zero_fails; /* 0 is no value of the field */
	uint16_t field;
	uint8_t natural_bytes; /* fixed length of the element's type, or 0 */
	int64_t scale;	       /* 1: as it is */
	const struct table *table;
};

struct lists;

struct xform_env {
	int64_t export_ms;
	int64_t boot_ms; /* UTC of sysUpTime 0, when has_boot */
	uint32_t uptime_ms;
	bool has_uptime; /* v5, v9: values are relative to export_ms - uptime_ms */
	bool has_boot;	 /* IPFIX: systemInitTimeMilliseconds was said */
	bool skips_raw;	 /* nobody looks at raw: it stays empty, unless lists are read from it */
	struct lists *lists; /* NULL: they stay closed */
};

enum xform_result { XFORM_ABSENT, XFORM_TAKEN, XFORM_FAILED };

/* What a promote line asks for. */
struct xform_how {
	enum as as;
	int64_t scale;
	const struct table *table;
	const struct field *field;
	uint16_t field_number;
	const struct element *element; /* NULL: unknown, read as octetArray */
	uint16_t bytes;		       /* of the template's field, or TMPL_VARIABLE */
};

/* Chooses the op; ERR_CONF when the conversion does not fit element and field. */
enum err xform_compile(const struct xform_how *how, struct xform *out, struct why *why);

/* Would xform_run() answer ABSENT?  For candidates that came too late. */
bool xform_is_absent(const struct xform *x, const uint8_t *octets, uint32_t bytes);

/* applicationId as text, "engine:selector", in APP_ID_TEXT_MAX octets at most; engine 20 has an enterprise
 * number between the two (RFC 6759, 4).  Answers its length; 0: it is none. */
#define APP_ID_TEXT_MAX 96
uint32_t app_id_text(const uint8_t *octets, uint32_t bytes, uint8_t *out);

enum xform_result xform_run(const struct xform *x, const struct xform_env *env,
			    const uint8_t *octets, uint32_t bytes, struct flow *f);

#endif
