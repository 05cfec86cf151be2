/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/icmp.h"

enum row {
#define ICMP_TYPE(family, type, name) ROW_##family##_##type,
#define ICMP_CODE(family, type, code, name) ROW_##family##_##type##_##code,
#include "normalizer/icmp.def"
#undef ICMP_TYPE
#undef ICMP_CODE
	ROW_COUNT
};
_Static_assert(ROW_COUNT < UINT8_MAX, "a row's number plus 1 is an octet");

static const struct {
	struct text name;
	bool is_code;
	uint8_t code;
} rows[ROW_COUNT + 1] = {
/* one more, which is no code: a walk over codes ends there */
#define ICMP_TYPE(family, type, name) { { (name), sizeof(name) - 1 }, false, 0 },
#define ICMP_CODE(family, type, code, name) { { (name), sizeof(name) - 1 }, true, (code) },
#include "normalizer/icmp.def"
#undef ICMP_TYPE
#undef ICMP_CODE
	{ { NULL, 0 }, false, 0 },
};

enum { V4, V6, FAMILIES };

/* Row of the type, plus 1. */
static const uint8_t types[FAMILIES][256] = {
#define ICMP_TYPE(family, type, name) [family][type] = ROW_##family##_##type + 1,
#define ICMP_CODE(family, type, code, name)
#include "normalizer/icmp.def"
#undef ICMP_TYPE
#undef ICMP_CODE
};

const struct text *icmp_name(int64_t protocol, int64_t type, int64_t code)
{
	unsigned first;

	if ((protocol != PROTOCOL_ICMP && protocol != PROTOCOL_ICMPV6) || type < 0 || type > 255)
		return NULL;
	first = types[protocol == PROTOCOL_ICMP ? V4 : V6][type];
	if (first == 0)
		return NULL;
	for (unsigned i = first; rows[i].is_code; i++) {
		if (rows[i].code == code)
			return &rows[i].name;
	}
	return &rows[first - 1].name;
}
