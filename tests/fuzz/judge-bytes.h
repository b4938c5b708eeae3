/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_JUDGE_BYTES_H
#define CPR_TESTS_JUDGE_BYTES_H

#include <string.h>

#include "manifest-judge.h"

/* The judges take a payload apart with these. A value that is cut off sets `bad`, and is 0 or
 * empty. */

typedef struct
{
  const uint8_t *at;
  size_t left;
  bool bad;
} Bytes;

typedef struct
{
  const uint8_t *at;
  uint64_t len;
} Text;

static inline Bytes
open_payload (Payload payload)
{
  return (Bytes){ payload.data, payload.len, false };
}

static inline uint64_t
number (Bytes *bytes, unsigned width)
{
  uint64_t value = 0;

  if (bytes->bad || bytes->left < width)
    {
      bytes->bad = true;
      return 0;
    }
  for (unsigned i = 0; i < width; i++)
    value += (uint64_t) bytes->at[i] << (8 * i);
  bytes->at += width;
  bytes->left -= width;
  return value;
}

static inline Text
text (Bytes *bytes, unsigned width)
{
  Text read = { .len = number (bytes, width) };

  if (bytes->bad || bytes->left <= read.len || bytes->at[read.len] != 0)
    bytes->bad = true;
  for (uint64_t i = 0; !bytes->bad && i < read.len; i++)
    bytes->bad = bytes->at[i] == 0;
  if (bytes->bad)
    return (Text){ NULL, 0 };
  read.at = bytes->at;
  bytes->at += read.len + 1;
  bytes->left -= read.len + 1;
  return read;
}

static inline Text
name (Bytes *bytes)
{
  Text read = text (bytes, 2);

  if (read.len < 1 || read.len > 255)
    bytes->bad = true;
  return read;
}

static inline bool
same (Text a, Text b)
{
  return a.len == b.len && memcmp (a.at, b.at, a.len) == 0;
}

static inline bool
begins_with (Text a, const char *prefix)
{
  return a.len >= strlen (prefix) && memcmp (a.at, prefix, strlen (prefix)) == 0;
}

#endif
