/* SPDX-License-Identifier: Apache-2.0 */
/* conf_tree.h - changes to a libconfig tree before it is read; base/conf only. */
#ifndef BASE_CONF_TREE_H
#define BASE_CONF_TREE_H

#include <libconfig.h>

#include "base/why.h"

/* "path.to.key=value": value in libconfig's syntax, or else a text as it stands. */
enum err conf_override(config_t *config, const char *text, struct why *why);

#endif
