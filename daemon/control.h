/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - the commands of the control socket: one table, also of the generated page. */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "base/ctl.h"

struct service;

extern const struct ctl_command control_commands[];

/* What waits for something: drains.  About every 100 ms. */
void control_step(struct service *s);
/* One line saying what listens where and what to do next. */
void control_announce(struct service *s);

#endif
