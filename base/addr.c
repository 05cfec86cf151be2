/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/rd.h"
#include "base/text.h"

struct addr addr_of_v4(uint32_t host_order)
{
	struct addr a = { { 0 }, 4 };
	uint32_t n = htonl(host_order);

	memcpy(a.octets, &n, 4);
	return a;
}

struct addr addr_of_octets(const uint8_t *octets, size_t bytes)
{
	struct addr a = { { 0 }, 0 };

	if (bytes == 4 || bytes == 16) {
		memcpy(a.octets, octets, bytes);
		a.bytes = (uint8_t)bytes;
	}
	return a;
}

bool addr_is_any(const struct addr *a)
{
	static const uint8_t none[16] = { 0 };

	return memcmp(a->octets, none, sizeof(none)) == 0;
}

bool addr_is_multicast(const struct addr *a)
{
	return a->bytes == 4 ? (a->octets[0] & 0xf0) == 0xe0
			     : a->bytes == 16 && a->octets[0] == 0xff;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->bytes == b->bytes && memcmp(a->octets, b->octets, 16) == 0;
}

struct addr addr_of_sockaddr(const struct sockaddr_storage *ss, uint16_t *port)
{
	struct addr none = { { 0 }, 0 };
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	if (ss->ss_family == AF_INET) {
		memcpy(&in4, ss, sizeof(in4));
		*port = ntohs(in4.sin_port);
		return addr_of_octets((const uint8_t *)&in4.sin_addr, 4);
	}
	if (ss->ss_family != AF_INET6) {
		*port = 0;
		return none;
	}
	memcpy(&in6, ss, sizeof(in6));
	*port = ntohs(in6.sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
		return addr_of_octets(in6.sin6_addr.s6_addr + 12, 4);
	return addr_of_octets(in6.sin6_addr.s6_addr, 16);
}

socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memset(ss, 0, sizeof(*ss));
	if (a->bytes == 4) {
		memcpy(&in4.sin_addr, a->octets, 4);
		memcpy(ss, &in4, sizeof(in4));
		return sizeof(in4);
	}
	memcpy(&in6.sin6_addr, a->octets, 16);
	memcpy(ss, &in6, sizeof(in6));
	return sizeof(in6);
}

static size_t put_octet(char *out, unsigned v)
{
	size_t n = 0;

	if (v >= 100)
		out[n++] = (char)('0' + v / 100);
	if (v >= 10)
		out[n++] = (char)('0' + v / 10 % 10);
	out[n++] = (char)('0' + v % 10);
	return n;
}

size_t addr_text_v4(const uint8_t octets[4], char *out)
{
	size_t n = 0;

	for (unsigned i = 0; i < 4; i++) {
		if (i > 0)
			out[n++] = '.';
		n += put_octet(out + n, octets[i]);
	}
	out[n] = '\0';
	return n;
}

/* Writes four digits, of which the last are too many where it answers less. */
static inline size_t put_group(char *out, const uint8_t octets[2])
{
	unsigned zeros = ((unsigned)__builtin_clz(be16(octets) | 1u) - 16) / 4;
	uint32_t digits;
	char text[4];

	memcpy(text, text_hex[octets[0]], 2);
	memcpy(text + 2, text_hex[octets[1]], 2);
	memcpy(&digits, text, sizeof(digits));
	digits = htole32(le32toh(digits) >> (8 * zeros));
	memcpy(out, &digits, sizeof(digits));
	return 4 - zeros;
}

/* A bit for each group that is zero. */
static inline unsigned zero_groups(const uint8_t octets[16])
{
	unsigned zeros = 0;

	for (unsigned i = 0; i < 8; i++)
		zeros |= (unsigned)(be16(octets + 2 * i) == 0) << i;
	return zeros;
}

/* RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as ::,
 * and a dotted quad after ::ffff: (section 5). */
size_t addr_text_v6(const uint8_t octets[16], char out[ADDR_TEXT_BYTES])
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	unsigned zeros = zero_groups(octets);
	unsigned runs =
		zeros & zeros >> 1; /* where two or more begin, then three or more, and so on */
	unsigned at = 8;
	unsigned count = 1;
	size_t n = 0;

	if (zeros != 0 && memcmp(octets, mapped, sizeof(mapped)) == 0) {
		memcpy(out, "::ffff:", 7);
		return 7 + addr_text_v4(octets + 12, out + 7);
	}
	for (; runs != 0; runs &= zeros >> count) {
		at = (unsigned)__builtin_ctz(runs);
		count++;
	}
	for (unsigned i = 0; i < 8;) {
		if (i == at) {
			out[n++] = ':';
			out[n++] = ':';
			i += count;
			continue;
		}
		if (i > 0 && i != at + count)
			out[n++] = ':';
		n += put_group(out + n, octets + 2 * (size_t)i);
		i++;
	}
	out[n] = '\0';
	return n;
}

size_t addr_text(const struct addr *a, char out[ADDR_TEXT_BYTES])
{
	if (a->bytes == 4)
		return addr_text_v4(a->octets, out);
	if (a->bytes == 16)
		return addr_text_v6(a->octets, out);
	out[0] = '-';
	out[1] = '\0';
	return 1;
}

enum err addr_parse(const char *text, struct addr *out)
{
	uint8_t octets[16];

	if (inet_pton(AF_INET, text, octets) == 1) {
		*out = addr_of_octets(octets, 4);
		return ERR_OK;
	}
	if (inet_pton(AF_INET6, text, octets) == 1) {
		*out = addr_of_octets(octets, 16);
		return ERR_OK;
	}
	return ERR_FORMAT;
}

enum err addr_parse_prefix(const char *text, struct addr *out, unsigned *prefix_bits)
{
	char head[ADDR_TEXT_BYTES];
	const char *slash = strchr(text, '/');
	size_t bytes = slash == NULL ? strlen(text) : (size_t)(slash - text);
	struct addr a;
	char *end;
	unsigned long bits;

	if (bytes >= sizeof(head))
		return ERR_FORMAT;
	memcpy(head, text, bytes);
	head[bytes] = '\0';
	TRY(addr_parse(head, &a));
	bits = a.bytes * 8UL;
	if (slash != NULL) {
		if (slash[1] < '0' || slash[1] > '9')
			return ERR_FORMAT;
		bits = strtoul(slash + 1, &end, 10);
		if (*end != '\0' || bits > a.bytes * 8UL)
			return ERR_FORMAT;
	}
	*out = a;
	*prefix_bits = (unsigned)bits;
	return ERR_OK;
}

bool addr_in_prefix(const struct addr *a, const struct addr *net, unsigned prefix_bits)
{
	unsigned whole = prefix_bits / 8;
	unsigned rest = prefix_bits % 8;

	if (a->bytes != net->bytes || whole > a->bytes)
		return false;
	if (memcmp(a->octets, net->octets, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	return ((a->octets[whole] ^ net->octets[whole]) >> (8 - rest)) == 0;
}
