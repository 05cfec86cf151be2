/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/xform.h"

#include "base/rd.h"
#include "base/text.h"
#include "base/utf8.h"

/* Kept out of the way of what is common: their locals would cost every call. */
#define RARE __attribute__((noinline))

#define NTP_EPOCH_S 2208988800u /* 1900 to 1970 */
#define NTP_US_MASK 0xfffff800u /* RFC 7011, 6.1.9: the low 11 bits mean nothing */
#define MPLS_LABEL_SHIFT 4
#define APP_ENGINE_PEN 20 /* RFC 6759: the selector starts with an enterprise number */

static bool is_zero(const uint8_t *octets, uint32_t bytes)
{
	uint64_t all = 0;
	uint32_t i = 0;

	for (; i + 8 <= bytes; i += 8)
		all |= be64(octets + i);
	if (i + 4 <= bytes) {
		all |= be32(octets + i);
		i += 4;
	}
	for (; i < bytes; i++)
		all |= octets[i];
	return all == 0;
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
static inline bool read_uint(const uint8_t *octets, uint32_t bytes, uint64_t *v)
{
	if (__builtin_expect(bytes > 8, 0)) {
		if (!is_zero(octets, bytes - 8))
			return false;
		octets += bytes - 8;
		bytes = 8;
	}
	*v = be_uint(octets, bytes);
	return true;
}

static RARE enum xform_result run_int(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				      struct flow *f)
{
	uint64_t v;

	if (bytes > 8)
		return contract(f);
	v = be_uint(octets, bytes) << (64 - 8 * bytes);
	if (x->is_i32 &&
	    ((int64_t)v >> (64 - 8 * bytes)) != (int32_t)((int64_t)v >> (64 - 8 * bytes)))
		return contract(f);
	flow_set_i64(f, x->field, (int64_t)v >> (64 - 8 * bytes));
	return XFORM_TAKEN;
}

static enum xform_result run_str(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				 struct flow *f)
{
	bool is_ascii;

	bytes = utf8_trim(octets, bytes, &is_ascii);
	if (bytes == 0)
		return XFORM_ABSENT;
	if (!is_ascii && !utf8_is_valid(octets, bytes)) {
		flow_note(f, NOTE_BAD_UTF8);
		return XFORM_FAILED;
	}
	flow_set_octets(f, x->field, octets, bytes);
	return XFORM_TAKEN;
}

static RARE enum xform_result run_f64(const struct xform *x, const uint8_t *octets, uint32_t bytes,
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

static RARE enum xform_result run_hex(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				      struct flow *f)
{
	uint8_t *text;

	if (bytes > FLOW_SCRATCH_BYTES / 2 || (text = flow_scratch(f, 2 * bytes)) == NULL) {
		flow_note(f, NOTE_TRUNCATED);
		return XFORM_FAILED;
	}
	(void)text_put_hex(text, octets, bytes);
	flow_set_octets(f, x->field, text, 2 * bytes);
	return XFORM_TAKEN;
}

static RARE enum xform_result run_decimal(const struct xform *x, const uint8_t *octets,
					  uint32_t bytes, struct flow *f)
{
	uint8_t *text = flow_scratch(f, 20);
	uint64_t v;

	if (text == NULL) {
		flow_note(f, NOTE_TRUNCATED);
		return XFORM_FAILED;
	}
	if (!read_uint(octets, bytes, &v))
		return contract(f);
	flow_set_octets(f, x->field, text, (uint32_t)(text_put_u64(text, v) - text));
	return XFORM_TAKEN;
}

static RARE enum xform_result run_ndpi(const struct xform *x, const uint8_t *octets, uint32_t bytes,
				       struct flow *f)
{
	enum xform_result result =
		x->aux != 0 ? run_str(x, octets, bytes, f) : run_decimal(x, octets, bytes, f);

	if (result == XFORM_TAKEN)
		f->slots[x->field].tag = APP_ID_NDPI;
	return result;
}

/* "404 Not Found" as 404: text that does not begin with a number says none. */
static RARE enum xform_result run_text_number(const struct xform *x, const uint8_t *octets,
					      uint32_t bytes, struct flow *f)
{
	uint64_t v = 0;
	uint32_t i = 0;

	for (; i < bytes && octets[i] >= '0' && octets[i] <= '9'; i++) {
		v = v * 10 + (octets[i] - '0');
		if (v > INT32_MAX)
			return contract(f);
	}
	if (i == 0)
		return is_zero(octets, bytes) ? XFORM_ABSENT : XFORM_FAILED;
	flow_set_i64(f, x->field, (int64_t)v);
	return XFORM_TAKEN;
}

static RARE enum xform_result run_address(const struct xform *x, const uint8_t *octets,
					  uint32_t bytes, struct flow *f)
{
	uint8_t *text = flow_scratch(f, TEXT_MAX);
	uint8_t *end;

	if (text == NULL) {
		flow_note(f, NOTE_TRUNCATED);
		return XFORM_FAILED;
	}
	if (bytes != 4 && bytes != 16)
		return contract(f);
	end = bytes == 4 ? text_put_ipv4(text, octets) : text_put_ipv6(text, octets);
	flow_set_octets(f, x->field, text, (uint32_t)(end - text));
	return XFORM_TAKEN;
}

uint32_t app_id_text(const uint8_t *octets, uint32_t bytes, uint8_t *out)
{
	uint32_t head = bytes > 0 && octets[0] == APP_ENGINE_PEN ? 5 : 1;
	uint64_t selector;
	uint8_t *end;

	if (bytes <= head || !read_uint(octets + head, bytes - head, &selector))
		return 0;
	end = text_put_u64(out, octets[0]);
	*end++ = ':';
	if (head == 5) {
		end = text_put_u64(end, be32(octets + 1));
		*end++ = ':';
	}
	return (uint32_t)(text_put_u64(end, selector) - out);
}

static RARE enum xform_result run_app_id(const struct xform *x, const uint8_t *octets,
					 uint32_t bytes, struct flow *f)
{
	uint8_t *text = flow_scratch(f, APP_ID_TEXT_MAX);
	uint32_t used;

	if (text == NULL) {
		flow_note(f, NOTE_TRUNCATED);
		return XFORM_FAILED;
	}
	used = app_id_text(octets, bytes, text);
	if (used == 0)
		return contract(f);
	flow_set_octets(f, x->field, text, used);
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
			return XFORM_FAILED;
		return set_time(
			x, ntp_ns(be64(octets), x->aux == TIME_NTP_US ? NTP_US_MASK : UINT32_MAX),
			f);
	}
	if (!read_uint(octets, bytes, &v) || v > (x->aux == TIME_SECONDS ? UINT32_MAX : INT64_MAX))
		return contract(f);
	if (v == 0)
		return XFORM_FAILED;
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
		return XFORM_FAILED;
	return set_time(x, (int64_t)(v * to_ns), f);
}

/*
 * sysUpTime wraps at 2^32 ms: the distance to that of the export is a signed 32-bit difference, since flows
 * may have begun before boot (softflowd), and exporters run longer than 49 days.
 */
static enum xform_result run_uptime(const struct xform *x, const struct xform_env *env,
				    const uint8_t *octets, uint32_t bytes, struct flow *f)
{
	uint64_t v;
	uint32_t uptime_ms;
	int32_t before_ms;

	if (!read_uint(octets, bytes, &v) || v > UINT32_MAX)
		return contract(f);
	if (!env->has_uptime && !env->has_boot)
		return XFORM_FAILED; /* never a guess */
	uptime_ms = env->has_uptime ? env->uptime_ms : (uint32_t)(env->export_ms - env->boot_ms);
	before_ms = (int32_t)(uptime_ms - (uint32_t)v);
	flow_set_i64(f, x->field, env->export_ms - before_ms);
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

/* Of a number, what is more than its value: bits to add, a truth, its low octets. */
static RARE enum xform_result run_part(const struct xform *x, uint64_t v, struct flow *f)
{
	if (x->op == XFORM_LOW24)
		v &= 0xffffff;
	else if (x->op == XFORM_FLAG && v > 1)
		return contract(f);
	else if (x->op == XFORM_OR && flow_has(f, x->field))
		v |= (uint64_t)f->slots[x->field].i64;
	if (v > (x->is_i32 ? INT32_MAX : INT64_MAX))
		return contract(f);
	flow_set_i64(f, x->field, (int64_t)v);
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
		flow_set_i64(f, x->field,
			     x->op == XFORM_HIGH8 ? (int64_t)(v >> 8) : (int64_t)(v & 255));
		return XFORM_TAKEN;
	case XFORM_LOW24:
	case XFORM_OR:
	case XFORM_FLAG:
		return run_part(x, v, f);
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
		return append(x, f, (int64_t)(v >> MPLS_LABEL_SHIFT));
	default:
		return x->zero_fails && v == 0 ? XFORM_FAILED : take_uint(x, v, f);
	}
}

static RARE enum xform_result run_boolean(const struct xform *x, const uint8_t *octets,
					  uint32_t bytes, struct flow *f)
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
	return flow_has(f, F_protocol_number) &&
	       (f->slots[F_protocol_number].i64 == 1 || f->slots[F_protocol_number].i64 == 58);
}

bool xform_is_absent(const struct xform *x, const uint8_t *octets, uint32_t bytes)
{
	bool is_text =
		x->op == XFORM_STR || x->op == XFORM_NUMBER || (x->op == XFORM_NDPI && x->aux != 0);
	bool is_zero_absent = is_text || x->op == XFORM_MPLS_LABEL;

	/* Zeros of another length are no address. */
	if (x->zero_is_absent && bytes == x->natural_bytes)
		is_zero_absent = true;
	return bytes == 0 || (is_zero_absent && is_zero(octets, bytes));
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
	case XFORM_NUMBER:
		return run_text_number(x, octets, bytes, f);
	case XFORM_ADDRESS:
		return run_address(x, octets, bytes, f);
	case XFORM_APP_ID:
		return run_app_id(x, octets, bytes, f);
	case XFORM_NDPI:
		return run_ndpi(x, octets, bytes, f);
	case XFORM_UINT:
	case XFORM_U8:
	case XFORM_U16:
	case XFORM_U32:
	case XFORM_U64:
	case XFORM_HIGH8:
	case XFORM_LOW8:
	case XFORM_LOW24:
	case XFORM_BITS:
	case XFORM_OR:
	case XFORM_FLAG:
	case XFORM_TABLE:
	case XFORM_APPEND:
	case XFORM_MPLS_LABEL:
		return read_uint(octets, bytes, &v) ? run_number(x, v, bytes, f) : contract(f);
	case XFORM_OP_COUNT:
		break;
	}
	return contract(f);
}
