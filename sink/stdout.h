/* SPDX-License-Identifier: Apache-2.0 */
/* stdout.h - the sink that prints JSON lines.  Safe means: the system took them.  A process
 * has one at most. */
#ifndef SINK_STDOUT_H
#define SINK_STDOUT_H

#include "sink/sink.h"

extern const struct sink_ops sink_stdout;

#endif
