/* SPDX-License-Identifier: Apache-2.0 */
/* null.h - the sink that throws away; for benchmarks.  Safe means: read. */
#ifndef SINK_NULL_H
#define SINK_NULL_H

#include "sink/sink.h"

extern const struct sink_ops sink_null;

/* Of an entry's options: false when flows need not even be encoded for it. */
bool null_encodes(const void *conf);

#endif
