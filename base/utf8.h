/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - is it UTF-8 (RFC 3629: no surrogates, no over-long forms, nothing above U+10FFFF)? */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NUL is a character like any other. */
bool utf8_is_valid(const uint8_t *octets, size_t bytes);

#endif
