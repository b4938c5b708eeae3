/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_FUZZ_H
#define CPR_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* The fuzz targets share this. A target is the function LLVMFuzzerTestOneInput(). It reports a
 * finding by a failed g_assert(). */

/* These belong to libFuzzer's interface. */
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

/* The code between these two calls may take 2 s of processor time. It may have @limit bytes
 * allocated at once, where AddressSanitizer counts them. Real time isn't limited, because it passes
 * on a busy machine without an error. */
void fuzz_begin (void);
void fuzz_end (size_t limit);

/* FNV-1a, which compares the results of two ways of reading. */
#define FUZZ_DIGEST_START UINT64_C (0xcbf29ce484222325)
uint64_t fuzz_digest (uint64_t digest, const void *data, size_t len);

#endif
