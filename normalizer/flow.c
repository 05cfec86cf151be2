/* SPDX-License-Identifier: Apache-2.0 */
#include "normalizer/flow.h"

const char *const note_texts[NOTE_COUNT] = {
#define NOTE(id, text, doc) [NOTE_##id] = (text),
#include "normalizer/notes.def"
#undef NOTE
};

const char *const note_docs[NOTE_COUNT] = {
#define NOTE(id, text, doc) [NOTE_##id] = (doc),
#include "normalizer/notes.def"
#undef NOTE
};
