/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/docs.h"

#include <stdlib.h>
#include <string.h>

#include "base/ctl.h"
#include "daemon/control.h"
#include "daemon/fields.h"
#include "daemon/options.h"
#include "daemon/pipeline.h"
#include "normalizer/enrich.h"
#include "normalizer/flow.h"
#include "normalizer/xform.h"
#include "sink/dead.h"
#include "sink/log.h"
#include "sink/sink.h"

static void print_layer(const struct fields_view *v, const struct field_set *fields,
			enum field_layer layer, const char *title, FILE *out)
{
	size_t first;
	size_t end = field_layer_end(fields, layer, &first);

	(void)fprintf(out,
		      "\n## %s\n\n| field | Avro type | unit | meaning | example | fed by |\n"
		      "|---|---|---|---|---|---|\n",
		      title);
	for (size_t i = first; i < end; i++) {
		const struct field *f = &fields->fields[i];

		(void)fprintf(out, "| `%s`%s | %s%s | %s | %s | `%s` | ", f->name,
			      f->is_required ? " (always)" : "", field_type_text(f->type),
			      f->type == FIELD_MS     ? ", timestamp-millis"
			      : f->type == FIELD_DATE ? ", date"
						      : "",
			      f->unit, f->doc, f->example);
		fields_print_sources(v, (unsigned)i, "<br>", out);
		(void)fputs(" |\n", out);
	}
}

/* The elements are those of the mapping files in the folder of the project. */
static bool print_fields(FILE *out)
{
	struct catalog_conf conf = { "templates/elements", "templates/mappings", "templates/tables",
				     RAW_MODE_UNPROMOTED };
	struct why why = { "" };
	struct fields_view *v = NULL;
	struct catalog *c = NULL;

	if (catalog_load(&conf, 1, &why, &c) != ERR_OK || fields_open(c, &v) != ERR_OK) {
		(void)fprintf(stderr, "sluiced: %s\n", why.text);
		catalog_free(c);
		return false;
	}
	(void)fputs(
		"# Fields\n\nGenerated from `normalizer/fields.def`, the files of `templates/mappings`, and the tables "
		"beside the code that fills the rest; `sluicectl fields [NAME]` says the same of a running service. "
		"One Avro record `sluice.Flow`: `record_id`, `normalized`, `enriched`, `raw`.\n\n"
		"`record_id` is 16 octets, XXH3-128 of the record's wire content and origin: the same "
		"on replay and on a second collector. A field is null when the record does not tell it, or no "
		"mapping or enricher that is on gives it: see [OPTIONS.md](OPTIONS.md) for the enrichers "
		"there are. The schema has fields for inputs and enrichers that this version does not have: `" FIELDS_NOT_FED
		"` feeds them.\n\n"
		"The examples are JSON as the file and stdout sinks print it, all of one flow: a TLS connection "
		"from behind a NAT, seen by a probe with nDPI that samples 1:100. What such a flow has not (ICMP, DNS, "
		"a tunnel, a cloud) has an example of its own.\n\n"
		"In the last column stands who feeds a field, and from what:\n\n"
		"| fed by | means |\n|---|---|\n"
		"| `netflow1`, `netflow5`, `netflow7` | fields of NetFlow v1's, v5's or v7's record, which have no templates |\n"
		"| `iana`, `nprobe` ... | elements, by the mapping file of that name, most specific mapping "
		"first; the first that a record has counts. `as` and tables (`by name`) convert: see "
		"[OPTIONS.md](OPTIONS.md#conversions-of-mapping-files-as). `\"dns\" with dns_query`: that "
		"text, when the record has the other field |\n"
		"| options data | elements of options data that the exporter sent before, for what the flow does "
		"not say itself; `by` which field of the flow they are found |\n"
		"| netflow1, netflow5 ... ipfix header | the header of the message |\n"
		"| transport | the datagram the message came in |\n"
		"| configuration | an option |\n"
		"| enricher | fields, options and tables that the enricher of that name looks at |\n"
		"| else | what it is when nothing above says anything |\n",
		out);
	print_layer(v, &c->fields, LAYER_normalized, "normalized: what the exporter said", out);
	print_layer(v, &c->fields, LAYER_enriched, "enriched: what was derived or joined", out);
	(void)fputs(
		"\n## raw: what the exporter sent and nothing else says\n\n"
		"| field | Avro type | meaning |\n|---|---|---|\n"
		"| `protocol_version` | int | 1, 5, 7, 9, or 10 for IPFIX |\n"
		"| `template_id` | int, nullable | Template the record was read with; null for v1, v5, v7 |\n"
		"| `elements` | map<string> | Elements that no field carries, by name; `name#2` is the "
		"second occurrence; `e<enterprise>id<number>` is unknown, with its octets as hex |\n"
		"| `wire` | bytes, nullable | The record as received, when `raw = \"wire\"` |\n"
		"| `notes` | array<string> | What was odd, below |\n\n"
		"| note | meaning |\n|---|---|\n",
		out);
	for (size_t i = 0; i < NOTE_COUNT; i++)
		(void)fprintf(out, "| `%s` | %s |\n", note_texts[i], note_docs[i]);
	fields_close(v);
	catalog_free(c);
	return true;
}

static bool print_options(FILE *out)
{
	(void)fputs(
		"# Options\n\nGenerated from the tables that the parser uses. Syntax is libconfig's; "
		"`-o KEY=VALUE` sets one on the command line, list entries by number: "
		"`-o listen.0.port=4740`. Numbers above 2147483647 need the suffix `L`; sizes are texts "
		"such as `\"64M\"`. Relative paths start at the folder that sluiced was started in. "
		"An option that takes effect at a reload does so at SIGHUP or `sluicectl reload`. "
		"`sinks[].(file).path` is the option `path` of an entry of `sinks` whose type is "
		"`file`.\n\n",
		out);
	conf_markdown(options_table, out);
	(void)fputs("\n## Enrichers\n\n| name | gives |\n|---|---|\n", out);
	for (const struct enricher *e = enrichers; e->name != NULL; e++)
		(void)fprintf(out, "| `%s` | %s |\n", e->name, e->doc);
	(void)fputs("\n## Conversions of mapping files (`as`)\n\n| name | meaning |\n|---|---|\n",
		    out);
	for (size_t i = 0; i < AS_COUNT; i++)
		(void)fprintf(out, "| `%s` | %s |\n", as_rows[i].name, as_rows[i].doc);
	(void)fputs("\n## Control commands\n\n| command | meaning |\n|---|---|\n", out);
	for (const struct ctl_command *c = control_commands; c->name != NULL; c++) {
		(void)fputs("| `", out);
		for (const char *p = c->usage; *p != '\0'; p++)
			(void)fprintf(out, "%s%c", *p == '|' ? "\\" : "", *p);
		(void)fprintf(out, "` | %s |\n", c->doc);
	}
	return true;
}

static void print_counters(const char *title, const struct stat_desc *descs, size_t count,
			   FILE *out)
{
	(void)fprintf(out, "\n## %s\n\n| counter | reason | unit | meaning |\n|---|---|---|---|\n",
		      title);
	for (size_t i = 0; i < count; i++)
		(void)fprintf(out, "| `%s` | %s | %s | %s |\n", descs[i].name, descs[i].reason,
			      descs[i].unit, descs[i].doc);
}

static bool print_all_counters(FILE *out)
{
	(void)fputs(
		"# Counters\n\nGenerated from the tables of each room. All but `data_sets_held_now` only grow. "
		"Those of collector and pipeline go on over a clean restart, others start at 0 with the "
		"service; `sluicectl status` says `since` when. A row with a reason is a loss of ours; before us "
		"`kernel_drops` is what the kernel dropped, and `sequence_missed` estimates what never "
		"arrived. `sluicectl counters` shows them, `sluicectl ledger` adds them up.\n",
		out);
	print_counters("Collector", collector_stat_descs, COLLECTOR_STAT_COUNT, out);
	print_counters("Pipeline", pipeline_stat_descs, PIPE_STAT_COUNT, out);
	print_counters("Log", log_stat_descs, LOG_STAT_COUNT, out);
	print_counters("Dead letter log", dead_stat_descs, DEAD_STAT_COUNT, out);
	print_counters("Each sink", sink_stat_descs, SINK_STAT_COUNT, out);
	return true;
}

static const struct {
	const char *name;
	bool (*print)(FILE *out);
} pages[] = { { "fields", print_fields },
	      { "options", print_options },
	      { "counters", print_all_counters } };

bool docs_print(const char *page, FILE *out)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(pages[i].name, page) == 0) {
			return pages[i].print(out);
		}
	}
	return false;
}
