/* SPDX-License-Identifier: Apache-2.0 */
/* conf_tree.h - libconfig trees before they are read: for base/conf, and for what reads files of the same
 * syntax by itself. */
#ifndef BASE_CONF_TREE_H
#define BASE_CONF_TREE_H

#include <libconfig.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"

/* Why libconfig could not read it: file, line and what; ERR_CONF, or ERR_PERM.  errno is that of reading. */
enum err conf_read_error(const config_t *config, const char *path, struct why *why);

/* "path.to.key=value": value in libconfig's syntax, or else a text as it stands. */
enum err conf_override(config_t *config, const char *text, struct why *why);

/* ERR_CONF and the place of the first integer that libconfig 1.5 wraps silently. */
enum err conf_scan_text(const char *text, const char *name, struct why *why);
enum err conf_scan_files(const config_t *config, struct why *why);

#endif
