/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixbuf_model.h - libfixbuf's information model: its built-in elements, and ours from XML files.
 *
 *	fixbuf_model_load("templates/elements", &why, &model);
 *	fixbuf_model_each(model, take_one, registry);
 *	fixbuf_model_free(model);
 *
 * Every `*.xml` of the directory is read in order of name, by libfixbuf.  What it only warns of is
 * an error here, with file and line.  A record of a file replaces the built-in element of the same
 * number, and one of a later file that of an earlier; the same number twice in one file, or one
 * name for two numbers, is an error.  Lists are octetArrays: libfixbuf's own list reader is not
 * safe with octets from outside.
 *
 * A model is not shared: one for each worker, and one while a registry is built.
 *
 * Owner: the caller.  Lifetime: until fixbuf_model_free; texts given by fixbuf_model_each live as
 * long as the model.
 */
#ifndef COLLECTOR_FIXBUF_MODEL_H
#define COLLECTOR_FIXBUF_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/why.h"

/* Abstract data types of RFC 7012, 3.1; lists are octets. */
enum element_type {
	ELEMENT_OCTETS,
	ELEMENT_UNSIGNED8,
	ELEMENT_UNSIGNED16,
	ELEMENT_UNSIGNED32,
	ELEMENT_UNSIGNED64,
	ELEMENT_SIGNED8,
	ELEMENT_SIGNED16,
	ELEMENT_SIGNED32,
	ELEMENT_SIGNED64,
	ELEMENT_FLOAT32,
	ELEMENT_FLOAT64,
	ELEMENT_BOOLEAN,
	ELEMENT_MAC,
	ELEMENT_STRING,
	ELEMENT_SECONDS,      /* dateTimeSeconds: 32 bits since 1970 */
	ELEMENT_MILLISECONDS, /* dateTimeMilliseconds: 64 bits since 1970 */
	ELEMENT_MICROSECONDS, /* dateTimeMicroseconds: NTP format */
	ELEMENT_NANOSECONDS,  /* dateTimeNanoseconds: NTP format */
	ELEMENT_IPV4,
	ELEMENT_IPV6,
	ELEMENT_TYPE_COUNT
};

/* Structured data (RFC 6313, 4.5); and of sFlow's gateway record, which no data type of a registry tells. */
enum element_list {
	ELEMENT_NO_LIST,
	ELEMENT_BASIC_LIST,
	ELEMENT_SUB_TEMPLATE_LIST,
	ELEMENT_SUB_TEMPLATE_MULTI_LIST,
	ELEMENT_AS_PATH,
	ELEMENT_COMMUNITIES
};

struct fixbuf_model;
struct fbInfoModel_st;

/* An element as the model has it. */
struct fixbuf_element {
	uint32_t pen;
	uint16_t id;		/* without the enterprise bit */
	uint16_t natural_bytes; /* 0: variable */
	enum element_type type;
	enum element_list list; /* its type was one of RFC 6313; `type` is ELEMENT_OCTETS then */
	const char *name;
	const char *units;	 /* "" when none */
	const char *semantics;	 /* "default" when none */
	const char *description; /* "" when none */
	uint64_t min;		 /* range; both 0 when none */
	uint64_t max;
};

/* ERR_CONF with file and line when a file is wrong; ERR_IO when the directory cannot be read. */
enum err fixbuf_model_load(const char *dir, struct why *why, struct fixbuf_model **out);
void fixbuf_model_free(struct fixbuf_model *m);

/* All elements, each (pen, id) once, in no order.  Stops at the first error of `fn`. */
typedef enum err fixbuf_model_fn(void *ctx, const struct fixbuf_element *e);
enum err fixbuf_model_each(const struct fixbuf_model *m, fixbuf_model_fn *fn, void *ctx);

/* The standard's name of a type; static. */
const char *element_type_name(enum element_type type);
/* Octets of a value as its type has it; 0: variable. */
uint16_t element_type_bytes(enum element_type type);

/* For fixbuf_session.c: what libfixbuf calls the model. */
struct fbInfoModel_st *fixbuf_model_info(struct fixbuf_model *m);

#endif
