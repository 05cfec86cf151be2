/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/stat.h"

#define LINE_BYTES 2048
#define GATE_MS 1000

static const char *const level_names[] = { "error", "warn", "info", "debug" };

static struct stat_flag current_level = { LOG_LEVEL_INFO };

void log_set_level(enum log_level level)
{
	stat_flag_set(&current_level, (int)level);
}

enum log_level log_get_level(void)
{
	return (enum log_level)stat_flag_get(&current_level);
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	char stamp[CLOCK_TEXT_BYTES];
	va_list ap;
	int head;
	int body;
	size_t used;

	if (level > log_get_level())
		return;
	clock_text(clock_real_ms(), stamp);
	head = snprintf(line, sizeof(line), "%s %s ", stamp, level_names[level]);
	if (head < 0)
		return;
	va_start(ap, format);
	body = vsnprintf(line + head, sizeof(line) - (size_t)head, format, ap);
	va_end(ap);
	if (body < 0)
		return;
	used = (size_t)head + (size_t)body;
	if (used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used] = '\n';
	/* One write call, so that lines of several threads do not mix. */
	if (write(STDERR_FILENO, line, used + 1) < 0)
		return;
}

int log_gate_open(struct log_gate *gate, uint64_t *left_out)
{
	int64_t now_ms = clock_mono_ms();

	if (now_ms < gate->next_ms) {
		gate->left_out++;
		return 0;
	}
	*left_out = gate->left_out;
	gate->left_out = 0;
	gate->next_ms = now_ms + GATE_MS;
	return 1;
}

const char *log_quote(const char *in, size_t in_bytes, char *out, size_t out_bytes)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	if (out_bytes < 8)
		return "\"\"";
	out[n++] = '"';
	for (size_t i = 0; i < in_bytes && n + 6 < out_bytes; i++) {
		unsigned char c = (unsigned char)in[i];

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n++] = '"';
	out[n] = '\0';
	return out;
}
