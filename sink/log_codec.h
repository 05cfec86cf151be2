/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_codec.h - packs the body of a frame for the disk, and unpacks it.
 *
 * Nothing is kept between calls.
 */
#ifndef SINK_LOG_CODEC_H
#define SINK_LOG_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sink/log.h"

/* Packs into `out`, which has `room` octets; 0 when it does not get smaller than `room`. */
size_t log_codec_pack(enum log_codec codec, const uint8_t *in, size_t bytes, uint8_t *out,
		      size_t room);
/* Exactly `plain_bytes`, or ERR_FORMAT. */
enum err log_codec_unpack(enum log_codec codec, const uint8_t *in, size_t bytes, uint8_t *out,
			  size_t plain_bytes);

#endif
