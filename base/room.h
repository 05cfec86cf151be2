/* SPDX-License-Identifier: Apache-2.0 */
/*
 * room.h - a buffer that grows and is used again.
 *
 * Owner: whoever holds the buffer; free() ends it.
 */
#ifndef BASE_ROOM_H
#define BASE_ROOM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"

/* At least `need` octets from now on, what was there kept; ERR_NOMEM, with errno, changes nothing. */
static inline enum err room_make(uint8_t **buffer, size_t *room, size_t need)
{
	uint8_t *bigger;

	if (need <= *room)
		return ERR_OK;
	bigger = realloc(*buffer, need);
	if (bigger == NULL) {
		errno = ENOMEM;
		return ERR_NOMEM;
	}
	*buffer = bigger;
	*room = need;
	return ERR_OK;
}

#endif
