/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_FRAMES_H
#define CPR_TESTS_FRAMES_H

#include "fuzz.h"

/* The frame of a stream, taken apart and put together again with right lengths, padding,
 * checksums and END: what a fuzzer would hardly ever guess. */
typedef struct
{
  uint32_t type, flags;
  uint8_t padding; /* 0, if it is right */
  GByteArray *payload;
} Frame;

/* However wrong the bytes are; END is left out. */
GPtrArray *frames_read (const uint8_t *data, size_t size);

/* 0 if there is no room for them. @head: up to 24 bytes of a stream's header that are kept,
 * NULL: a right one. */
size_t frames_write (const GPtrArray *frames, const uint8_t *head, uint8_t *out, size_t max_size);

Frame *frame_copy (const Frame *frame);

#endif
