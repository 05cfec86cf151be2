/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_value.h - what the files of base/conf share: members by row, and one value from text.  Nobody
 * else includes it.
 */
#ifndef BASE_CONF_VALUE_H
#define BASE_CONF_VALUE_H

#include "base/conf.h"

#define CONF_ENTRIES_MAX 65536
#define CONF_PATH_BYTES 256

void *conf_member(void *options, size_t at);
const void *conf_member_const(const void *options, size_t at);

/* Texts of `why` name the key, not the place. */
enum err conf_set_text(const struct conf_opt *o, const char *text, void *options, struct why *why);
enum err conf_set_number(const struct conf_opt *o, int64_t v, void *options, struct why *why);
enum err conf_add_string(const struct conf_opt *o, const char *text, void *options,
			 struct why *why);

const struct conf_variant *conf_variant_of(const struct conf_opt *table, const void *entry);

#endif
