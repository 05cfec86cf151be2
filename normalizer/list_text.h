/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list_text.h - the pieces of a list's text: JSON, its values as raw.elements has them outside of lists.
 *
 * Element names need no escape: the registry takes no others.  Without room a piece is left out or cut, and out->is_full
 * says so.
 *
 * Owner: the caller.
 */
#ifndef NORMALIZER_LIST_TEXT_H
#define NORMALIZER_LIST_TEXT_H

#include "base/wr.h"
#include "normalizer/flow.h"

void list_put(struct wr *out, const char *text);
void list_put_u64(struct wr *out, uint64_t v);
void list_put_hex(struct wr *out, struct value v);
/* {"hex":"..."}: what cannot be read stands as it came. */
void list_put_hex_object(struct wr *out, struct value v);
/* "name": */
void list_put_name(struct wr *out, const struct raw_key *key);
/* What is odd with the value is added to the bits of *notes. */
void list_put_scalar(struct wr *out, enum raw_form form, struct value v, uint64_t *notes);
/* {"semantic":... */
void list_put_semantic(struct wr *out, uint8_t semantic);
/* False, and nothing written, when segments do not come out even with the octets. */
bool list_put_as_path(struct wr *out, struct value path);
bool list_put_communities(struct wr *out, struct value communities);

#endif
