/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "normalizer/join_in.h"

static void free_texts(struct join_entry *e)
{
	free((char *)e->name.octets);
	free((char *)e->description.octets);
	free((char *)e->category.octets);
}

static struct join *join_new(const struct join_home *home)
{
	struct join *j = calloc(1, sizeof(*j));

	if (j != NULL && htab_new(sizeof(struct join_key), &j->nodes) != ERR_OK) {
		free(j);
		j = NULL;
	}
	if (j != NULL && home != NULL)
		j->home = *home;
	return j;
}

void join_free(struct join *j)
{
	struct htab_iter it = { 0 };
	void *value;

	if (j == NULL)
		return;
	while (htab_next(j->nodes, &it, NULL, &value)) {
		struct join_node *n = value;

		if (j->home.order != NULL)
			chain_cut(j->home.order, &n->link);
		free_texts(&n->said);
		free(n);
	}
	htab_free(j->nodes);
	free(j);
}

size_t join_count(const struct join *j)
{
	return j == NULL ? 0 : htab_count(j->nodes);
}

struct join_node *join_open_node(struct join **j, const struct join_home *home,
				 const struct join_key *k, size_t limit)
{
	struct join_node *n;

	if (*j == NULL)
		*j = join_new(home);
	if (*j == NULL)
		return NULL;
	n = htab_find((*j)->nodes, k);
	if (n != NULL || htab_count((*j)->nodes) >= limit)
		return n;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->said.algorithm = -1;
	n->of = *j;
	n->key = *k;
	if (htab_put((*j)->nodes, k, n) != ERR_OK) {
		free(n);
		return NULL;
	}
	return n;
}

void join_note(struct join_node *n)
{
	enum join_kind kind = (enum join_kind)n->key.octets[0];
	struct join *j = n->of;

	for (enum join_quest quest = QUEST_TEXTS; quest < QUESTS; quest++)
		j->knows[kind][quest] |= join_answers(&n->said, quest);
	if (j->home.order != NULL)
		chain_renew(j->home.order, &n->link);
}
