/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/control_inputs.h"

#include <stdlib.h>

#include "daemon/inputs.h"
#include "daemon/service.h"

static void show_streams(struct service *s, struct json *out)
{
	const struct stream_group *group = workers_streams(s->workers);
	struct stream_status rows[STREAM_LISTENS_MAX];
	size_t count = group == NULL ? 0 : stream_group_describe(group, rows, STREAM_LISTENS_MAX);

	for (size_t i = 0; i < count; i++) {
		char text[ADDR_TEXT_BYTES];

		(void)addr_text(&rows[i].address, text);
		json_open_object(out, NULL);
		json_str(out, "transport", rows[i].ops->name);
		json_str(out, "address", text);
		json_u64(out, "port", rows[i].port);
		json_str(out, "interface", rows[i].interface);
		json_u64(out, "worker", rows[i].worker);
		json_bool(out, "ipv4_too", rows[i].is_dual);
		json_end(out);
	}
}

void show_sockets(struct service *s, struct json *out)
{
	const struct udp_group *group = workers_udp(s->workers);
	size_t count = group == NULL ? 0 : udp_group_describe(group, NULL, 0);
	struct udp_status *rows = calloc(count + 1, sizeof(*rows));

	json_open_array(out, "listen");
	if (rows == NULL)
		count = 0;
	if (count > 0)
		(void)udp_group_describe(group, rows, count);
	for (size_t i = 0; i < count; i++) {
		char text[ADDR_TEXT_BYTES];

		(void)addr_text(&rows[i].address, text);
		json_open_object(out, NULL);
		json_str(out, "transport", "udp");
		json_str(out, "address", text);
		json_u64(out, "port", rows[i].port);
		json_str(out, "interface", rows[i].interface);
		json_u64(out, "worker", rows[i].worker);
		json_bool(out, "ipv4_too", rows[i].is_dual);
		json_u64(out, "rcvbuf", rows[i].rcvbuf);
		json_u64(out, "rcvbuf_asked", rows[i].rcvbuf_asked);
		json_u64(out, "rcvbuf_queued", rows[i].queued);
		json_u64(out, "kernel_drops", rows[i].kernel_drops);
		json_end(out);
	}
	show_streams(s, out);
	json_end(out);
	free(rows);
}

/* Nothing without a `tee`. */
void show_tee(struct service *s, struct json *out)
{
	const struct tee *t = s->inputs == NULL ? NULL : inputs_tee(s->inputs);
	struct tee_status rows[TEE_TARGETS_MAX];
	size_t count = t == NULL ? 0 : tee_describe(t, rows, TEE_TARGETS_MAX);

	if (count == 0)
		return;
	json_open_array(out, "tee");
	for (size_t i = 0; i < count; i++) {
		char text[ADDR_TEXT_BYTES] = "none";

		if (rows[i].address.bytes != 0)
			(void)addr_text(&rows[i].address, text);
		json_open_object(out, NULL);
		json_str(out, "to", rows[i].to);
		json_str(out, "address", text);
		json_str(out, "source", rows[i].is_original ? "original" : "own");
		json_str(out, "source_why", rows[i].why_own == NULL ? "" : rows[i].why_own);
		json_bool(out, "loop", rows[i].is_loop);
		json_u64(out, "units", rows[i].units);
		json_u64(out, "forwarded", rows[i].forwarded);
		json_u64(out, "refused", rows[i].refused);
		json_u64(out, "dropped_full", rows[i].full);
		json_u64(out, "dropped_error", rows[i].error);
		json_u64(out, "dropped_unreachable", rows[i].unreachable);
		json_u64(out, "dropped_loop", rows[i].loop);
		json_end(out);
	}
	json_end(out);
}
