/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/advice.h"

/* Texts that several counters share. */
static const char no_memory[] =
	"no_memory: the machine had no memory for a domain, a template or a waiting set; look at what else "
	"runs there, or lower collector.templates_all_bytes, hold_bytes and log.memory_bytes";
static const char malformed[] =
	"messages_malformed: what came to a listener is broken, or no NetFlow v1, v5, v7, v9, IPFIX or sFlow v5; "
	"`counters` says how, and the dead letter log has it with its sender";
static const char templates_wrong[] =
	"templates_refused: an exporter sends templates that its format does not allow; `exporters` says which: "
	"its maker should know";
static const char templates_large[] =
	"templates_refused: a template is larger than collector.fields_max or repeats_max; raise them if its exporter is "
	"yours";
static const char templates_evicted[] =
	"templates_evicted: there were more templates than collector.templates_max, templates_exporter_max, "
	"templates_all_max or templates_all_bytes; raise them, or name your exporters in `exporters` and refuse others (collector.unknown)";
static const char desynchronised[] =
	"desynchronised: what came by a connection is no IPFIX, and it was closed; look at who connects to the port, and "
	"whether it speaks TLS";
static const char broken_off[] =
	"broken off: connections ended in the middle of a message, or before a template came; look at the exporter and at "
	"the way here";
static const char too_slow[] =
	"header_timeout, message_timeout: connections were closed on which no whole message came in time; raise "
	"collector.stream_header_s or stream_message_s if they are of slow exporters";
static const char connections_full[] =
	"connections_refused: there are more than collector.streams_max, streams_address_max or LimitNOFILE let in; raise "
	"them if they are of your exporters";
static const char connections_strange[] =
	"connections: peers that `exporters` does not name are refused, as collector.unknown says; add an entry for those "
	"that are yours";
static const char no_template[] =
	"no_template: data sets came and their template did not, or too late; lower the "
	"exporter's template refresh interval, or raise collector.hold_s";
static const char no_fit[] =
	"data_sets overrun or short: data does not fit its template; two processes may send from one address, port and "
	"domain (templates_flapped in `exporters`), or the exporter counts wrongly";
static const char no_sense[] =
	"records_undecodable: sFlow samples are not as the format says, or of a kind of its vendor; the dead letter log has "
	"those that are broken";
static const char damaged_file[] =
	"units_refused: a capture file is damaged, or does not hold packets to their end (its snapshot length)";
static const char tee_dropped[] =
	"tee_dropped: `tee` in `status` says to whom; raise net.core.wmem_max for `full`, look at routes and names for "
	"`unreachable`, at packet filters for `error`, and at the targets for `loop`";

/* Designators tell the rows apart. NOLINTBEGIN(bugprone-suspicious-missing-comma) */
static const char *const collector_advices[COLLECTOR_STAT_COUNT] = {
	[STAT_KERNEL_DROPS] =
		"kernel_drops: the kernel dropped datagrams before us; raise rcvbuf and "
		"net.core.rmem_max, or workers",
	[STAT_STATE_SET_ASIDE] =
		"state_files_set_aside: what an earlier life kept was not whole; look at *.bad in the folder of state, "
		"and at its disk",
	[STAT_TEMPLATES_FLAPPED] =
		"templates_flapped: two processes of an exporter send from one address, port and domain, and define one "
		"template in turns; give them domains of their own",
	[STAT_SEQUENCE_MISSED] =
		"sequence_missed: datagrams were lost before us; `exporters` says whose: where the kernel did not drop "
		"them, look at the exporter and at the way here",
	[STAT_SEQUENCE_DUPLICATED] =
		"sequence_duplicated: datagrams came twice, and so did their flows; `exporters` says whose: look for two "
		"ways here, or a tee that sends to itself",
	[STAT_SAMPLES_DROPPED] =
		"sflow_samples_dropped: sFlow agents say that they dropped samples for want of "
		"resources; have them sample fewer packets",
	[STAT_UNIT_NOT_LISTED] =
		"not_listed: sources that `exporters` does not name are refused, as collector.unknown "
		"says; add an entry for those that are yours",
	[STAT_UNIT_TRUNCATED] =
		"truncated: datagrams came that are larger than any message; look at who sends to the port",
	[STAT_UNIT_SESSIONS] =
		"sessions_full: more observation domains than there is room for; raise collector.domains_max or "
		"unknown_domains_max, or name your exporters in `exporters`",
	[STAT_UNIT_NOMEM] = no_memory,
	[STAT_UNIT_FRAGMENT] = damaged_file,
	[STAT_UNIT_CHECKSUM] = damaged_file,
	[STAT_UNIT_CUT] = damaged_file,
	[STAT_UNIT_GARBAGE] = damaged_file,
	[STAT_UNIT_DESYNC] = desynchronised,
	[STAT_UNIT_INCOMPLETE] = broken_off,
	[STAT_UNIT_HANDOVER] =
		"handover_full: datagrams came to a worker that does not own their exporter, faster than the other took "
		"them; raise workers",
	[STAT_UNIT_SHUTDOWN] =
		"shutdown: datagrams were not read before the service stopped; raise shutdown_s",
	[STAT_UNIT_RATE] = "rate: more datagrams came than `rate` of an entry of `exporters`, or "
			   "collector.unknown_rate, lets in; raise it if they are yours",
	[STAT_MSG_SHORT] = malformed,
	[STAT_MSG_VERSION] = malformed,
	[STAT_MSG_NF8] =
		"netflow8: its aggregates are not read; have the exporter send NetFlow v5 or v9",
	[STAT_MSG_LENGTH] = malformed,
	[STAT_MSG_COUNT] = malformed,
	[STAT_MSG_SET_LENGTH] = malformed,
	[STAT_MSG_AGENT] = malformed,
	[STAT_TMPL_ID] = templates_wrong,
	[STAT_TMPL_EMPTY] = templates_wrong,
	[STAT_TMPL_FIELDS] = templates_large,
	[STAT_TMPL_REPEATS] = templates_large,
	[STAT_TMPL_LONG] = templates_wrong,
	[STAT_TMPL_SCOPE] = templates_wrong,
	[STAT_TMPL_VARIABLE_V9] = templates_wrong,
	[STAT_TMPL_LIMIT] =
		"templates_refused: a template has no room though others went, or would put out others for "
		"one of another port; raise collector.templates_max or templates_all_bytes",
	[STAT_TMPL_MESSAGE] =
		"templates_refused: one message defined thousands of templates; sluicectl exporters says "
		"whose they are, and what nobody should send needs a filter before it comes here",
	[STAT_TMPL_NOMEM] = no_memory,
	[STAT_TMPL_OVERRUN] = templates_wrong,
	[STAT_TMPL_EVICTED_SESSION] = templates_evicted,
	[STAT_TMPL_EVICTED_EXPORTER] = templates_evicted,
	[STAT_TMPL_EVICTED_ALL] = templates_evicted,
	[STAT_TMPL_EVICTED_BYTES] = templates_evicted,
	[STAT_SET_NO_TEMPLATE] = no_template,
	[STAT_SET_OVERRUN] = no_fit,
	[STAT_SET_SHORT] = no_fit,
	[STAT_SET_NOMEM] = no_memory,
	[STAT_HELD_EXPIRED] = no_template,
	[STAT_HELD_FULL] =
		"data_sets_dropped full: more sets waited for their template than there is room for; raise "
		"collector.hold_bytes or hold_session_bytes, or lower the exporters' template refresh interval",
	[STAT_HELD_EVICTED] = no_template,
	[STAT_HELD_OUTDATED] = no_template,
	[STAT_HELD_REFUSED] = templates_wrong,
	[STAT_HELD_CLOSED] = broken_off,
	[STAT_CLOSED_RESET] = broken_off,
	[STAT_CLOSED_VERSION] = desynchronised,
	[STAT_CLOSED_LENGTH] = desynchronised,
	[STAT_CLOSED_MALFORMED] = desynchronised,
	[STAT_CLOSED_HEADER] = too_slow,
	[STAT_CLOSED_MESSAGE] = too_slow,
	[STAT_CLOSED_UNLISTED] = connections_strange,
	[STAT_CLOSED_NOMEM] = no_memory,
	[STAT_REFUSED_FULL] = connections_full,
	[STAT_REFUSED_ADDRESS] = connections_full,
	[STAT_REFUSED_UNLISTED] = connections_strange,
	[STAT_REFUSED_NOMEM] = no_memory,
	[STAT_HELD_OVERRUN] = no_fit,
	[STAT_HELD_SHORT] = no_fit,
	[STAT_HELD_SHUTDOWN] = no_template,
	[STAT_REC_PLAN] = no_memory,
	[STAT_REC_DECODER] =
		"records_undecodable decoder: libfixbuf could not read records; decoder = \"plan\" does",
	[STAT_REC_SAMPLE] = no_sense,
	[STAT_REC_SAMPLE_FORMAT] = no_sense,
	[STAT_REC_SAMPLE_NOMEM] = no_memory,
	[STAT_REC_WORK] =
		"records_undecodable work: messages cost more than collector.message_work; raise it if their "
		"exporter is yours",
	[STAT_TEE_FULL] = tee_dropped,
	[STAT_TEE_ERROR] = tee_dropped,
	[STAT_TEE_UNREACHABLE] = tee_dropped,
	[STAT_TEE_LOOP] = tee_dropped,
};

static const char joins_wrong[] =
	"joins_refused: options data names things without their number, or not in UTF-8; flows do without these names";
static const char announced_wrong[] =
	"announcements_refused: an exporter announces elements (RFC 5610) that a registry has, twice otherwise, or without "
	"sense; raw has them by their number";
static const char lists_wrong[] =
	"lists_unopened: lists in records are broken, or their templates did not come; raw has their octets as hex";
static const char lists_large[] =
	"lists_unopened: lists are deeper or larger than what is opened of a message; raw has their octets as hex";

static const char *const pipe_advices[PIPE_STAT_COUNT] = {
	[PIPE_STAT_SELFCHECK_DIFFERS] =
		"selfcheck_differences: our decoding and libfixbuf's differ; please report "
		"it with a capture",
	[PIPE_STAT_LOG_FULL] =
		"log_full: sinks were too slow or away; raise log.max_bytes, see `sinks`",
	[PIPE_STAT_LOG_ERROR] =
		"log_error: the log could not take flows; `log` and the service's messages say why",
	[PIPE_STAT_TOO_BIG] =
		"too_big: encoded flows are larger than the log takes; have the exporter send shorter "
		"records, or set normalizer.raw to less",
	[PIPE_STAT_JOINS_OVER] =
		"joins_refused: options data names more than normalizer.joins_max or joins_all_max; raise them",
	[PIPE_STAT_JOINS_UTF8] = joins_wrong,
	[PIPE_STAT_JOINS_NO_KEY] = joins_wrong,
	[PIPE_STAT_JOINS_NOMEM] = no_memory,
	[PIPE_STAT_LIST_BROKEN] = lists_wrong,
	[PIPE_STAT_LIST_TEMPLATE] = lists_wrong,
	[PIPE_STAT_LIST_DEEP] = lists_large,
	[PIPE_STAT_LIST_STEPS] = lists_large,
	[PIPE_STAT_LIST_ROOM] = lists_large,
	[PIPE_STAT_ANNOUNCE_KNOWN] = announced_wrong,
	[PIPE_STAT_ANNOUNCE_CHANGED] = announced_wrong,
	[PIPE_STAT_ANNOUNCE_NAME] = announced_wrong,
	[PIPE_STAT_ANNOUNCE_TYPE] = announced_wrong,
	[PIPE_STAT_ANNOUNCE_OVER] =
		"announcements_refused: exporters announce more elements than are kept (RFC 5610); put "
		"them into a registry below templates/elements",
	[PIPE_STAT_ANNOUNCE_NOMEM] = no_memory,
};

/* NOLINTEND(bugprone-suspicious-missing-comma) */

const char *advice_of_collector(enum collector_stat row)
{
	return collector_advices[row];
}

const char *advice_of_pipe(enum pipeline_stat row)
{
	return pipe_advices[row];
}

/* Both rooms' rows in one row. */
#define ROWS (COLLECTOR_STAT_COUNT + PIPE_STAT_COUNT)

static const char *text_of(size_t row)
{
	return row < COLLECTOR_STAT_COUNT ? collector_advices[row]
					  : pipe_advices[row - COLLECTOR_STAT_COUNT];
}

static uint64_t grown(const struct balance_sums *now, const struct balance_sums *before, size_t row)
{
	if (row >= COLLECTOR_STAT_COUNT)
		return now->pipe[row - COLLECTOR_STAT_COUNT] -
		       before->pipe[row - COLLECTOR_STAT_COUNT];
	return now->collector[row] - before->collector[row];
}

/* What came late was not missing. */
static bool is_due(const struct balance_sums *now, const struct balance_sums *before, size_t row)
{
	uint64_t back = row == STAT_SEQUENCE_MISSED ? grown(now, before, STAT_SEQUENCE_LATE) : 0;

	return text_of(row) != NULL && grown(now, before, row) > back;
}

void advice_each(const struct balance_sums *now, const struct balance_sums *before, advice_fn *say,
		 void *ctx)
{
	const char *said[ROWS] = { NULL };
	size_t count = 0;

	for (size_t row = 0; row < ROWS; row++) {
		size_t i = 0;

		if (!is_due(now, before, row))
			continue;
		while (i < count && said[i] != text_of(row))
			i++;
		if (i < count)
			continue;
		said[count++] = text_of(row);
		say(ctx, text_of(row));
	}
}
