/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_FUZZ_H
#define CPR_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* What the fuzz targets share. A target is the function LLVMFuzzerTestOneInput(); what must not be is a failed g_assert(). */

/* Of libFuzzer's interface. */
int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate (uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver (const uint8_t *data1,
                                  size_t size1,
                                  const uint8_t *data2,
                                  size_t size2,
                                  uint8_t *out,
                                  size_t max_out_size,
                                  unsigned seed);

/* Counts what is allocated between the two, where AddressSanitizer is there to tell, and fails when more than @limit bytes were there
 * at once. */
void fuzz_watch_memory (void);
void fuzz_check_memory (size_t limit);

/* FNV-1a, to compare what two ways of reading have seen. */
#define FUZZ_DIGEST_START UINT64_C (0xcbf29ce484222325)
uint64_t fuzz_digest (uint64_t digest, const void *data, size_t len);

#endif
