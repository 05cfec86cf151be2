/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control_inputs.h - what `status` says of where messages come in: sockets, listeners, tee.
 *
 * Owner: the control thread.
 */
#ifndef DAEMON_CONTROL_INPUTS_H
#define DAEMON_CONTROL_INPUTS_H

#include "base/json.h"

struct service;

void show_sockets(struct service *s, struct json *out);
void show_tee(struct service *s, struct json *out);

#endif
