/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - key=value lines on standard error.
 *
 * One line, one event, event name first and constant.  Levels say who acts: error a human now, warn
 * a human today, info what changed, debug us.  Values from outside go through log_quote().
 * log_every() is for what may happen often: at most one line a second for each place in the code,
 * with the number of lines left out.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* State of one log_every() place. */
struct log_gate {
	int64_t next_ms;
	uint64_t left_out;
};

/* True when a line may be written now; `left_out` then holds what was passed over before. */
int log_gate_open(struct log_gate *gate, uint64_t *left_out);

/* At most one line a second from this place and thread; "left_out=N" is appended. */
#define log_every(level, format, ...)                                                              \
	do {                                                                                       \
		static _Thread_local struct log_gate gate_;                                        \
		uint64_t left_out_;                                                                \
		if (log_gate_open(&gate_, &left_out_))                                             \
			log_line(level, format " left_out=%llu" __VA_OPT__(, ) __VA_ARGS__,        \
				 (unsigned long long)left_out_);                                   \
	} while (0)

/* `in` made safe for a line: quoted, control and non-ASCII octets as \xNN, cut to fit `out`. */
const char *log_quote(const char *in, size_t in_bytes, char *out, size_t out_bytes);

#endif
