/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no octets crash the reader of manifests, and what it takes leads nowhere but to files of the sink.
 * Method: the input is read as it is, and once more with the checksum that it should have; what is taken is
 * written again and must be the same octets, but for what an older version wrote.  One input in eight is
 * read with allocations that fail.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/must.h"
#include "sink/file_manifest.h"
#include "test/fuzz/alloc.h"

#define VERSION_AT 5

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes);

static void check_name(const char *name)
{
	must(name[0] != '/' && strncmp(name, "../", 3) != 0 && strstr(name, "/../") == NULL);
	must(strlen(name) < FILE_PATH_BYTES);
	must(strstr(name, "fuzz-") != NULL);
}

static void once(const uint8_t *octets, size_t bytes)
{
	struct file_manifest m;
	struct why why = { "" };
	struct file_dir d;
	uint8_t *again;
	size_t again_bytes;

	file_dir_init(&d, "fuzz", ".avro");
	if (file_manifest_decode(octets, bytes, &d, &m, &why) != ERR_OK) {
		must(why.text[0] != '\0' || alloc_failures() > 0);
		return;
	}
	for (size_t i = 0; i < m.file_count; i++) {
		check_name(m.files[i].tmp);
		check_name(m.files[i].name);
	}
	if (file_manifest_encode(&m, &again, &again_bytes) == ERR_OK) {
		/* What is written is of our version. */
		must(octets[VERSION_AT] < FILE_MANIFEST_VERSION ||
		     (again_bytes == bytes && memcmp(again, octets, bytes) == 0));
		free(again);
	} else {
		must(alloc_failures() > 0);
	}
	file_manifest_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t bytes)
{
	uint8_t *sealed;
	uint32_t crc;

	alloc_turns(once, octets, bytes);
	if (bytes < sizeof(crc))
		return 0;
	sealed = malloc(bytes);
	must(sealed != NULL);
	memcpy(sealed, octets, bytes);
	crc = __builtin_bswap32(crc32c(0, sealed, bytes - sizeof(crc)));
	memcpy(sealed + bytes - sizeof(crc), &crc, sizeof(crc));
	alloc_turns(once, sealed, bytes);
	free(sealed);
	return 0;
}
