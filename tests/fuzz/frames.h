/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_FRAMES_H
#define CPR_TESTS_FRAMES_H

#include "fuzz.h"

/* The frame of a stream, taken apart and put together again with right lengths, padding, checksums
 * and END. A fuzzer would hardly ever guess these. */
typedef struct
{
  uint32_t type, flags;
  uint8_t padding; /* 0, if it is right */
  GByteArray *payload;
} Frame;

/* Takes the bytes apart, however wrong they are, and leaves out END. */
GPtrArray *frames_read (const uint8_t *data, size_t size);

/* Returns 0 if there is no room. @head: up to 24 bytes of a header to keep, or NULL for a right
 * header. */
size_t frames_write (const GPtrArray *frames, const uint8_t *head, uint8_t *out, size_t max_size);

Frame *frame_copy (const Frame *frame);

#endif
