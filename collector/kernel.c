/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/kernel.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_BYTES (32u << 10)

/* Where a number stands: a line's head and a column's name in snmp, one name in snmp6. */
static const struct {
	const char *line;
	const char *column;
	const char *name6;
} rows[KERNEL_COUNTS] = {
	[KERNEL_REASSEMBLY_FAILS] = { "Ip: ", "ReasmFails", "Ip6ReasmFails" },
	[KERNEL_UDP_CHECKSUM] = { "Udp: ", "InCsumErrors", "Udp6InCsumErrors" },
	[KERNEL_UDP_RCVBUF] = { "Udp: ", "RcvbufErrors", "Udp6RcvbufErrors" },
	[KERNEL_UDP_MEMORY] = { "Udp: ", "MemErrors", "Udp6MemErrors" },
};

/* The first line that begins so, or NULL. */
static const char *find_line(const char *text, const char *head)
{
	while (text != NULL && strncmp(text, head, strlen(head)) != 0) {
		text = strchr(text, '\n');
		text = text == NULL ? NULL : text + 1;
	}
	return text;
}

static const char *next_word(const char *p)
{
	p += strcspn(p, " \n");
	return p + strspn(p, " ");
}

static bool is_word(const char *p, const char *word)
{
	size_t bytes = strlen(word);

	return strcspn(p, " \n") == bytes && memcmp(p, word, bytes) == 0;
}

/* Names stand in one line, and in the next one their values. */
static uint64_t column(const char *text, const char *head, const char *name)
{
	const char *names = find_line(text, head);
	const char *values = names == NULL ? NULL : strchr(names, '\n');

	values = values == NULL ? NULL : find_line(values + 1, head);
	if (values == NULL)
		return 0;
	names += strlen(head);
	values += strlen(head);
	while (*names != '\n' && *names != '\0' && *values != '\n' && *values != '\0') {
		if (is_word(names, name))
			return strtoull(values, NULL, 10);
		names = next_word(names);
		values = next_word(values);
	}
	return 0;
}

void kernel_parse_snmp(const char *text, uint64_t out[KERNEL_COUNTS])
{
	for (size_t i = 0; i < KERNEL_COUNTS; i++)
		out[i] = column(text, rows[i].line, rows[i].column);
}

void kernel_parse_snmp6(const char *text, uint64_t out[KERNEL_COUNTS])
{
	for (size_t i = 0; i < KERNEL_COUNTS; i++) {
		const char *line = text;

		out[i] = 0;
		/* A name may be the head of a longer one. */
		while ((line = find_line(line, rows[i].name6)) != NULL) {
			line += strlen(rows[i].name6);
			if (*line != ' ' && *line != '\t')
				continue;
			out[i] = strtoull(line, NULL, 10);
			break;
		}
	}
}

void kernel_take(struct kernel_counts *k, unsigned family, const uint64_t now[KERNEL_COUNTS])
{
	for (size_t i = 0; k->has_seen[family] && i < KERNEL_COUNTS; i++) {
		uint64_t before = k->seen[family][i];

		k->since[i] += now[i] < before ? now[i] : now[i] - before;
	}
	memcpy(k->seen[family], now, sizeof(k->seen[family]));
	k->has_seen[family] = true;
}

static bool read_text(const char *path, char *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 1;

	if (fd < 0)
		return false;
	while (n > 0 && used < TEXT_BYTES - 1) {
		n = read(fd, out + used, TEXT_BYTES - 1 - used);
		used += n > 0 ? (size_t)n : 0;
	}
	(void)close(fd);
	out[used] = '\0';
	return used > 0;
}

void kernel_look(struct kernel_counts *k)
{
	char *text = malloc(TEXT_BYTES);
	uint64_t now[KERNEL_COUNTS];

	if (text == NULL)
		return;
	k->is_known = read_text("/proc/net/snmp", text);
	if (k->is_known) {
		kernel_parse_snmp(text, now);
		kernel_take(k, 0, now);
	}
	if (read_text("/proc/net/snmp6", text)) {
		kernel_parse_snmp6(text, now);
		kernel_take(k, 1, now);
	}
	free(text);
}

void kernel_init(struct kernel_counts *k)
{
	memset(k, 0, sizeof(*k));
	kernel_look(k);
}
