/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/fixbuf_session.h"

#include <fixbuf/public.h>
/* fBufRewind() and fBufRemoveTemplateTcplan() are exported, but declared only there. */
#include <fixbuf/private.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/wr.h"
#include "collector/fixbuf_model.h"

#define MESSAGE_HEADER_BYTES 16
#define HEADERS_BYTES 20
#define MESSAGE_BYTES_MAX 65535
/* libfixbuf looks at a length octet before it asks whether the record has one. */
#define MESSAGE_SLACK_BYTES 8
#define ID_MAX 32767u
/* Pseudo enterprise of the octetArrays; element i is for field i. */
#define PEN_SLOT 0xFFFFFF0Bu
/* libfixbuf numbers repeats of an element one by one, each from the first. */
#define REPEATS_MAX 64
/* libfixbuf searches its transcode plans in a list: it may keep as many as this. */
#define PLANS_MAX 128

_Static_assert(HEADERS_BYTES + FIXBUF_RECORD_MAX == MESSAGE_BYTES_MAX, "the longest message");

struct fixbuf {
	struct fixbuf_model *model;
	fbInfoModel_t *info;
	fBuf_t *buf; /* owns the session */
	fbSession_t *session;
	size_t tmpl_count;
	uint32_t slot_count; /* octetArrays in the model so far */
	/* Templates with a transcode plan, the oldest at next_plan. */
	struct fixbuf_tmpl *planned[PLANS_MAX];
	size_t next_plan;
	uint8_t *values; /* of the record decoded last, as libfixbuf laid them out */
	size_t values_room;
	uint8_t message[MESSAGE_BYTES_MAX + MESSAGE_SLACK_BYTES];
};

struct field_view {
	uint16_t bytes;	 /* TMPL_VARIABLE, or the fixed length */
	bool is_swapped; /* libfixbuf gives it in host order */
};

struct fixbuf_tmpl {
	struct fixbuf *fb;
	fbTemplate_t *tmpl; /* the session's: external and internal template at once */
	size_t min_bytes;
	size_t values_bytes;
	bool is_planned;
	uint16_t id;
	uint16_t field_count;
	struct field_view fields[];
};

/*
 * One template as both, the external and the internal one: they are the same, field by field.  The
 * template is libfixbuf's then, or gone.
 */
static enum err add_template(struct fixbuf *fb, fbTemplate_t *tmpl, uint16_t *id)
{
	GError *error = NULL;

	*id = fbSessionAddTemplate(fb->session, FALSE, FB_TID_AUTO, tmpl, &error);
	if (*id == 0) {
		fbTemplateFreeUnused(tmpl);
	} else if (fbSessionAddTemplate(fb->session, TRUE, *id, tmpl, &error) != *id) {
		g_clear_error(&error);
		(void)fbSessionRemoveTemplate(fb->session, FALSE, *id, &error);
		*id = 0;
	}
	g_clear_error(&error);
	return *id == 0 ? ERR_FORMAT : ERR_OK;
}

static void add_slots(struct fixbuf *fb, uint32_t count)
{
	char name[] = "octets";

	for (; fb->slot_count < count; fb->slot_count++) {
		fbInfoElement_t ie = { .ref.name = name,
				       .ent = PEN_SLOT,
				       .num = (uint16_t)fb->slot_count,
				       .len = FB_IE_VARLEN,
				       .type = FB_OCTET_ARRAY };

		fbInfoModelAddElement(fb->info, &ie);
	}
}

/*
 * When an internal template goes that was the longest, libfixbuf looks through all others for the
 * next. One that is never removed, and longer than any, spares that.
 */
static enum err add_longest(struct fixbuf *fb)
{
	static const uint16_t lengths[] = { 65534, 1 };
	fbTemplate_t *tmpl = fbTemplateAlloc(fb->info);
	uint16_t id;

	for (uint16_t i = 0; i < 2; i++) {
		fbInfoElement_t ie = *fbInfoModelGetElementByID(fb->info, i, PEN_SLOT);
		GError *error = NULL;

		ie.len = lengths[i];
		if (!fbTemplateAppend(tmpl, &ie, &error)) {
			g_clear_error(&error);
			fbTemplateFreeUnused(tmpl);
			return ERR_FORMAT;
		}
	}
	return add_template(fb, tmpl, &id);
}

enum err fixbuf_new(const char *dir, struct why *why, struct fixbuf **out)
{
	struct fixbuf *fb = calloc(1, sizeof(*fb));
	enum err e;

	if (fb == NULL)
		return why_set(why, ERR_NOMEM, "no memory for libfixbuf's session");
	e = fixbuf_model_load(dir, why, &fb->model);
	if (e != ERR_OK) {
		free(fb);
		return e;
	}
	fb->info = fixbuf_model_info(fb->model);
	fb->session = fbSessionAlloc(fb->info);
	fb->buf = fBufAllocForCollection(fb->session, NULL);
	fBufSetAutomaticMode(fb->buf, FALSE);
	add_slots(fb, 2);
	e = add_longest(fb);
	if (e != ERR_OK) {
		fixbuf_free(fb);
		return why_set(why, e, "libfixbuf refuses a template");
	}
	*out = fb;
	return ERR_OK;
}

void fixbuf_free(struct fixbuf *fb)
{
	if (fb == NULL)
		return;
	must(fb->tmpl_count == 0);
	fBufFree(fb->buf);
	fixbuf_model_free(fb->model);
	free(fb->values);
	free(fb);
}

/* Can libfixbuf read so many octets as the element's type?  It may only say so, or refuse the
 * template, as it was built. */
static bool fits(const fbInfoElement_t *ie, uint16_t bytes)
{
	switch ((enum element_type)ie->type) {
	case ELEMENT_OCTETS:
	case ELEMENT_STRING:
		return true;
	case ELEMENT_UNSIGNED16:
	case ELEMENT_UNSIGNED32:
	case ELEMENT_UNSIGNED64:
	case ELEMENT_SIGNED16:
	case ELEMENT_SIGNED32:
	case ELEMENT_SIGNED64:
		return bytes > 0 && bytes <= ie->len;
	case ELEMENT_FLOAT64:
		return bytes == 4 || bytes == 8;
	case ELEMENT_UNSIGNED8:
	case ELEMENT_SIGNED8:
	case ELEMENT_FLOAT32:
	case ELEMENT_BOOLEAN:
	case ELEMENT_MAC:
	case ELEMENT_SECONDS:
	case ELEMENT_MILLISECONDS:
	case ELEMENT_MICROSECONDS:
	case ELEMENT_NANOSECONDS:
	case ELEMENT_IPV4:
	case ELEMENT_IPV6:
		return bytes == ie->len;
	case ELEMENT_TYPE_COUNT:
	default:
		return false;
	}
}

static bool is_repeated_much(const struct tmpl *t, uint16_t index)
{
	const struct tmpl_field *f = &t->fields[index];
	unsigned before = 0;

	for (uint16_t i = 0; i < index && before < REPEATS_MAX; i++)
		before += t->fields[i].id == f->id && t->fields[i].pen == f->pen;
	return before == REPEATS_MAX;
}

/* The element that the field goes to libfixbuf as. */
static fbInfoElement_t element_of(struct fixbuf *fb, const struct tmpl *t, uint16_t index)
{
	const struct tmpl_field *f = &t->fields[index];
	uint16_t id = f->pen == PEN_V9 ? (uint16_t)(f->id & ~V9_ENTERPRISE_BIT) : f->id;
	const fbInfoElement_t *known = NULL;
	fbInfoElement_t ie;

	if (id <= ID_MAX && f->pen != PEN_SLOT)
		known = fbInfoModelGetElementByID(fb->info, id, f->pen);
	if (known == NULL || !fits(known, f->bytes) || is_repeated_much(t, index)) {
		add_slots(fb, index + 1u);
		known = fbInfoModelGetElementByID(fb->info, index, PEN_SLOT);
	}
	ie = *known;
	ie.midx = 0;
	ie.len = f->bytes;
	return ie;
}

static enum err append_fields(struct fixbuf_tmpl *ft, const struct tmpl *t)
{
	for (uint16_t i = 0; i < t->field_count; i++) {
		fbInfoElement_t ie = element_of(ft->fb, t, i);
		uint16_t bytes = t->fields[i].bytes;
		GError *error = NULL;

		if (!fbTemplateAppend(ft->tmpl, &ie, &error)) {
			g_clear_error(&error);
			return ERR_FORMAT;
		}
		ft->fields[i].bytes = bytes;
		ft->fields[i].is_swapped =
			bytes != TMPL_VARIABLE && (ie.flags & FB_IE_F_ENDIAN) != 0;
		ft->values_bytes += bytes == TMPL_VARIABLE ? sizeof(fbVarfield_t) : bytes;
		ft->min_bytes += bytes == TMPL_VARIABLE ? 1 : bytes;
	}
	if (t->is_options && t->scope_count > 0 && t->scope_count <= t->field_count)
		fbTemplateSetOptionsScope(ft->tmpl, t->scope_count);
	return ERR_OK;
}

enum err fixbuf_tmpl_make(struct fixbuf *fb, const struct tmpl *t, struct fixbuf_tmpl **out)
{
	struct fixbuf_tmpl *ft;
	enum err e;

	if (fb->tmpl_count >= FIXBUF_TMPLS_MAX || t->field_count > ID_MAX ||
	    t->min_bytes > FIXBUF_RECORD_MAX)
		return ERR_LIMIT;
	/* libfixbuf would never come to the end of records without octets. */
	if (t->min_bytes == 0)
		return ERR_FORMAT;
	ft = calloc(1, sizeof(*ft) + t->field_count * sizeof(ft->fields[0]));
	if (ft == NULL)
		return ERR_NOMEM;
	ft->fb = fb;
	ft->field_count = t->field_count;
	ft->tmpl = fbTemplateAlloc(fb->info);
	e = append_fields(ft, t);
	if (e != ERR_OK)
		fbTemplateFreeUnused(ft->tmpl);
	else
		e = add_template(fb, ft->tmpl, &ft->id);
	if (e != ERR_OK) {
		free(ft);
		return e;
	}
	fb->tmpl_count++;
	*out = ft;
	return ERR_OK;
}

void fixbuf_tmpl_free(struct fixbuf_tmpl *ft)
{
	GError *error = NULL;
	struct fixbuf *fb;

	if (ft == NULL)
		return;
	fb = ft->fb;
	for (size_t i = 0; ft->is_planned && i < PLANS_MAX; i++) {
		if (fb->planned[i] == ft)
			fb->planned[i] = NULL;
	}
	fBufRewind(fb->buf);
	(void)fbSessionRemoveTemplate(fb->session, TRUE, ft->id, &error);
	g_clear_error(&error);
	(void)fbSessionRemoveTemplate(fb->session, FALSE, ft->id, &error);
	g_clear_error(&error);
	fb->tmpl_count--;
	free(ft);
}

/* Room for the plan that libfixbuf will make: the oldest goes. */
static void note_plan(struct fixbuf_tmpl *ft)
{
	struct fixbuf *fb = ft->fb;
	struct fixbuf_tmpl **place = &fb->planned[fb->next_plan];

	if (ft->is_planned)
		return;
	if (*place != NULL) {
		fBufRemoveTemplateTcplan(fb->buf, (*place)->tmpl);
		(*place)->is_planned = false;
	}
	*place = ft;
	ft->is_planned = true;
	fb->next_plan = (fb->next_plan + 1) % PLANS_MAX;
}

static enum err make_room(struct fixbuf *fb, size_t bytes)
{
	uint8_t *values;

	if (bytes <= fb->values_room)
		return ERR_OK;
	values = realloc(fb->values, bytes);
	if (values == NULL)
		return ERR_NOMEM;
	fb->values = values;
	fb->values_room = bytes;
	return ERR_OK;
}

/* An IPFIX message with a data set of the one record; its length. */
static size_t build_message(struct fixbuf_tmpl *ft, const uint8_t *record, size_t bytes)
{
	struct wr w = wr_of(ft->fb->message, MESSAGE_BYTES_MAX);

	wr_u16(&w, VERSION_IPFIX);
	wr_u16(&w, (uint16_t)(HEADERS_BYTES + bytes));
	wr_u32(&w, 0); /* export time */
	wr_u32(&w, 0); /* sequence; libfixbuf counts at the end of a message, which never comes */
	wr_u32(&w, 0); /* domain */
	wr_u16(&w, ft->id);
	wr_u16(&w, (uint16_t)(HEADERS_BYTES - MESSAGE_HEADER_BYTES + bytes));
	wr_bytes(&w, record, bytes);
	must(!w.is_full);
	return wr_used(&w);
}

static enum err run_fixbuf(struct fixbuf_tmpl *ft, size_t message_bytes)
{
	struct fixbuf *fb = ft->fb;
	size_t values_bytes = fb->values_room;
	GError *error = NULL;
	enum err e = ERR_FORMAT;

	/* Whatever became of the message before: this one starts afresh. */
	fBufRewind(fb->buf);
	fBufSetBuffer(fb->buf, fb->message, message_bytes);
	if (fBufSetInternalTemplate(fb->buf, ft->id, &error) &&
	    fBufNext(fb->buf, fb->values, &values_bytes, &error)) {
		if (values_bytes == ft->values_bytes)
			e = ERR_OK;
	} else if (g_error_matches(error, FB_ERROR_DOMAIN, FB_ERROR_EOM)) {
		e = ERR_TRUNC;
	}
	g_clear_error(&error);
	return e;
}

static void swap(uint8_t *octets, uint16_t bytes)
{
	for (uint16_t i = 0; i < bytes / 2; i++) {
		uint8_t octet = octets[i];

		octets[i] = octets[bytes - 1 - i];
		octets[bytes - 1 - i] = octet;
	}
}

enum err fixbuf_decode(struct fixbuf_tmpl *ft, const uint8_t *record, size_t bytes,
		       struct value *values)
{
	uint8_t *at;

	if (bytes > FIXBUF_RECORD_MAX)
		return ERR_LIMIT;
	/* Of a template without variable lengths libfixbuf knows the offsets after the first
	 * record, and does not look at the length of the next one. */
	if (bytes < ft->min_bytes)
		return ERR_TRUNC;
	TRY(make_room(ft->fb, ft->values_bytes));
	note_plan(ft);
	TRY(run_fixbuf(ft, build_message(ft, record, bytes)));
	at = ft->fb->values;
	for (uint16_t i = 0; i < ft->field_count; i++) {
		const struct field_view *f = &ft->fields[i];
		fbVarfield_t variable;

		if (f->bytes == TMPL_VARIABLE) {
			/* libfixbuf lays values out without gaps. */
			memcpy(&variable, at, sizeof(variable));
			/* One without octets has no pointer. */
			values[i].octets = variable.len == 0 ? at : variable.buf;
			values[i].bytes = (uint32_t)variable.len;
			at += sizeof(variable);
			continue;
		}
		if (f->is_swapped)
			swap(at, f->bytes);
		values[i].octets = at;
		values[i].bytes = f->bytes;
		at += f->bytes;
	}
	return ERR_OK;
}
