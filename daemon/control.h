/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - the commands of the control socket: one table, also of the generated page. */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "base/ctl.h"

struct service;

extern const struct ctl_command control_commands[];

/* What waits for something, drains, and what is done a piece at a time, a replay of dead letters.  About
 * every 100 ms; without a pause while there is more to do. */
void control_step(struct service *s);
/* Before the workers stop: a replay ends where it is. */
void control_stop(struct service *s);
/* One line saying what listens where and what to do next. */
void control_announce(struct service *s);

#endif
