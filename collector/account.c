/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/account.h"

#include "base/log.h"
#include "base/rd.h"
#include "collector/collector.h"

uint32_t message_nf9_count(const struct message *m)
{
	return be16(m->octets + 2);
}

void account_add(struct sequence_units *units, const struct walk *walk)
{
	units->records += walk->record_count;
	for (uint32_t i = 0; i < walk->run_count; i++) {
		if (walk->runs[i].tmpl->is_options)
			units->options += walk->runs[i].count;
	}
}

/* At most a line a second, whatever exporters do. */
static void tell(const struct session *s, const struct sequence_account *account)
{
	char name[2 * SESSION_IDENTITY_BYTES];

	if (account->missed != 0)
		log_every(LOG_LEVEL_INFO, "sequence.gap exporter=%s domain=%u missing=%u",
			  log_quote(s->identity, s->identity_bytes, name, sizeof(name)),
			  s->key.domain, account->missed);
	if (account->is_new_rule)
		log_every(LOG_LEVEL_WARN, "sequence.rule exporter=%s domain=%u anomaly=\"%s\"",
			  log_quote(s->identity, s->identity_bytes, name, sizeof(name)),
			  s->key.domain, sequence_anomaly(&s->sequence));
}

uint32_t account_message(struct stat_set *stat, const struct message *m, struct session *s,
			 const struct sequence_units *units)
{
	struct sequence_account account;

	if (m->has_no_sequence) {
		s->gap = SESSION_GAP_UNKNOWN;
		return 0;
	}
	account = session_sequence(s, m, units);
	if (m->version == VERSION_NF9 && units->is_known &&
	    message_nf9_count(m) != units->definitions + units->records)
		stat_inc(stat, STAT_NF9_COUNT_WRONG);
	if (sequence_is_clean(&account))
		return account.stretch;
	stat_add(stat, STAT_SEQUENCE_MISSED, account.missed);
	stat_add(stat, STAT_SEQUENCE_LATE, account.late);
	stat_add(stat, STAT_SEQUENCE_REORDERED, account.is_reordered);
	stat_add(stat, STAT_SEQUENCE_DUPLICATED, account.is_duplicated);
	stat_add(stat, STAT_SEQUENCE_RESTARTS, account.is_restart);
	stat_add(stat, STAT_SEQUENCE_RULES, account.is_new_rule);
	tell(s, &account);
	return account.stretch;
}
