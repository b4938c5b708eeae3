/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_FUZZ_H
#define CPR_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* What the fuzz targets share. A target is the function LLVMFuzzerTestOneInput(); what must not
 * be is a failed g_assert(). */

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

/* What lies between the two may take 2 s of processor time, and have @limit bytes allocated at
 * once, where AddressSanitizer is there to count them. Not more of the clock's time, which
 * passes on a busy machine without anything being wrong. */
void fuzz_begin (void);
void fuzz_end (size_t limit);

/* FNV-1a, to compare what two ways of reading have seen. */
#define FUZZ_DIGEST_START UINT64_C (0xcbf29ce484222325)
uint64_t fuzz_digest (uint64_t digest, const void *data, size_t len);

#endif
