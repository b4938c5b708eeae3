/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_WIRE_H
#define CPR_STREAM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "base/name.h"
#include "stream/format.h"

/* Reads a payload. Running over the end sets `failed`, which stays; what was read then is 0 or
 * empty, so that a caller checks once, after a group of reads. */
typedef struct
{
  const uint8_t *data;
  size_t len;
  size_t pos;
  bool failed;
} CprCursor;

static inline size_t
cpr_cursor_left (const CprCursor *cursor)
{
  return cursor->len - cursor->pos;
}

static inline const uint8_t *
cpr_cursor_get (CprCursor *cursor, size_t size)
{
  const uint8_t *at = cursor->data + cursor->pos;

  if (cursor->failed || size > cpr_cursor_left (cursor))
    {
      cursor->failed = true;
      return NULL;
    }
  cursor->pos += size;
  return at;
}

static inline uint64_t
cpr_cursor_get_uint (CprCursor *cursor, size_t width)
{
  const uint8_t *at = cpr_cursor_get (cursor, width);
  uint64_t value = 0;

  if (at != NULL)
    memcpy (&value, at, width);
  return value;
}

static inline uint8_t
cpr_cursor_get_u8 (CprCursor *cursor)
{
  return (uint8_t) cpr_cursor_get_uint (cursor, 1);
}

static inline uint16_t
cpr_cursor_get_u16 (CprCursor *cursor)
{
  return (uint16_t) cpr_cursor_get_uint (cursor, 2);
}

static inline uint32_t
cpr_cursor_get_u32 (CprCursor *cursor)
{
  return (uint32_t) cpr_cursor_get_uint (cursor, 4);
}

static inline uint64_t
cpr_cursor_get_u64 (CprCursor *cursor)
{
  return cpr_cursor_get_uint (cursor, 8);
}

/* A string: u16 length, bytes, and a zero byte that isn't counted, so that it can be used in
 * place. */
static inline const char *
cpr_cursor_get_string (CprCursor *cursor)
{
  size_t len = cpr_cursor_get_u16 (cursor);
  const uint8_t *at = cpr_cursor_get (cursor, len + 1);

  if (at != NULL && memchr (at, 0, len + 1) == at + len)
    return (const char *) at;
  cursor->failed = true;
  return "";
}

/* A string that is a name: 1 to 255 bytes. */
static inline const char *
cpr_cursor_get_name (CprCursor *cursor)
{
  const char *name = cpr_cursor_get_string (cursor);
  size_t len = strlen (name);

  if (len == 0 || len > CPR_NAME_MAX)
    cursor->failed = true;
  return name;
}

/* Whether a payload was read to its end, without a failure; @what names it in the error. */
bool cpr_cursor_check_end (const CprCursor *cursor, const char *what, GError **error);

#endif
