/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_JSON_WRITER_H
#define CPR_INSPECT_JSON_WRITER_H

#include <stdbool.h>
#include <stdio.h>

#include "stream/schema.h"

/* Its maker sets @out, and @one_line or not; the rest is zero. */
typedef struct
{
  FILE *out;
  bool one_line;
  unsigned depth;
  bool begun;                  /* something stands before in the same object or list */
  bool keyed;                  /* a key does */
  const CprSchemaField *field; /* the one whose value comes */
} Json;

/* '{' or '['; the caller ends each with its counterpart. */
void json_begin (Json *json, char bracket);
void json_end (Json *json, char bracket);
void json_begin_member (Json *json, const char *key, char bracket);

/* A value, or a key before one. Bytes that aren't UTF-8 become the characters U+0000 to U+00FF. */
void json_put_key (Json *json, const char *key);
void json_put_string (Json *json, const char *string);
void json_put_bytes (Json *json, const char *bytes, size_t len);
/* A text that is JSON already. */
void json_put_raw (Json *json, const char *text);
/* Before a value that the caller prints itself. */
void json_put_separator (Json *json);

/* A key with its value. */
void json_put_uint (Json *json, const char *key, uint64_t value);
void json_put_text (Json *json, const char *key, const char *value);

#endif
