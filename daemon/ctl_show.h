/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_show.h - answers of the control socket as text for people; sluicectl's other half. */
#ifndef DAEMON_CTL_SHOW_H
#define DAEMON_CTL_SHOW_H

#include <jansson.h>
#include <stdio.h>

void ctl_show(const char *verb, json_t *answer, FILE *out);

#endif
