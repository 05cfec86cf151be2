/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_crc.h - the CRC of pages, which is that of gzip, by the processor where it can.
 *
 *	crc = parquet_crc(octets, bytes)
 */
#ifndef SINK_PARQUET_CRC_H
#define SINK_PARQUET_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t parquet_crc(const void *octets, size_t bytes);

#endif
