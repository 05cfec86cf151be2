/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h - the Castagnoli CRC (RFC 3720, appendix B.4), by the processor where it can. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of `octets` appended to what gave `crc`; 0 to start. */
uint32_t crc32c(uint32_t crc, const void *octets, size_t bytes);
/* The same without help from the processor. */
uint32_t crc32c_by_table(uint32_t crc, const void *octets, size_t bytes);

#endif
