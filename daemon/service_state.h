/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_state.h - the folder of what survives: its lock, the accounts of earlier lives, the logs.
 *
 * For service.c, in this order: service_open_state(), service_open_logs().
 */
#ifndef DAEMON_SERVICE_STATE_H
#define DAEMON_SERVICE_STATE_H

#include "daemon/service.h"

#define PATH_BYTES 4096

/* Makes a folder and those above it; it must take files. */
enum err service_make_dirs(const char *path, struct why *why);
enum err service_open_state(struct service *s, const char *state, struct why *why);
/* The main log and that of dead letters. */
enum err service_open_logs(struct service *s, const struct options *o, struct why *why);

#endif
