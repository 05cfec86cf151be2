/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapping_file.h - the libconfig side of mapping.h: reads *.conf of a directory into a set.
 *
 * Errors say file, line and the nearest valid name.  A half-read set is still fit for
 * mapping_set_free().
 */
#ifndef NORMALIZER_MAPPING_FILE_H
#define NORMALIZER_MAPPING_FILE_H

#include "normalizer/mapping.h"

enum err mapping_files_read(const struct mapping_source *src, struct mapping_set *set,
			    struct why *why);

#endif
