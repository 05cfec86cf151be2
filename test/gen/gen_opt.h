/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_opt.h - the command line of sluicegen.
 *
 * Owner: main.  Lifetime: the run; the paths point into argv.
 */
#ifndef TEST_GEN_GEN_OPT_H
#define TEST_GEN_GEN_OPT_H

#include "test/gen/gen_out.h"
#include "test/gen/gen_value.h"

struct gen_opt {
	struct gen_plan plan;
	struct gen_out_conf out;
	uint64_t rate; /* flows a second; 0: as fast as it goes */
	uint64_t flows;
	uint64_t first;
	int64_t duration_ns; /* 0: until all flows are sent */
	int64_t refresh_ms;
	uint64_t refresh_messages;
	uint32_t domain; /* of exporter 0 */
	bool is_wall;	 /* headers carry the wall clock */
	bool is_json;
};

enum gen_opt_end { GEN_OPT_RUN, GEN_OPT_DONE, GEN_OPT_USAGE };

/* Reads the command line.  Says on stderr what is wrong with it, or prints the help, itself. */
enum gen_opt_end gen_opt_read(int argc, char **argv, struct gen_opt *opt);

const char *gen_format_text(enum gen_format format);
const char *gen_set_text(enum gen_set set);

#endif
