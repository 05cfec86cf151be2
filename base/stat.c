/* SPDX-License-Identifier: Apache-2.0 */
#include "base/stat.h"

#include <stdlib.h>

enum err stat_set_new(const struct stat_desc *descs, size_t count, struct stat_set **out)
{
	struct stat_set *set = calloc(1, sizeof(*set) + count * sizeof(set->values[0]));

	if (set == NULL)
		return ERR_NOMEM;
	set->descs = descs;
	set->count = count;
	*out = set;
	return ERR_OK;
}

void stat_set_free(struct stat_set *set)
{
	free(set);
}

void stat_sum(const struct stat_set *from, uint64_t *sums)
{
	for (size_t i = 0; i < from->count; i++)
		sums[i] += stat_get(from, i);
}
