/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes JSON, in the form of doc/stream-format.md, section 13, or as one line. Called by json.c
 * and findings.c. */
#include "json-writer.h"

#include <inttypes.h>

static void
put_line_end (const Json *json)
{
  if (!json->one_line)
    fprintf (json->out, "\n%*s", (int) json->depth, "");
}

void
json_put_separator (Json *json)
{
  if (!json->keyed && json->depth > 0)
    {
      if (json->begun)
        putc (',', json->out);
      put_line_end (json);
    }
  json->keyed = false;
  json->begun = true;
}

void
json_begin (Json *json, char bracket)
{
  json_put_separator (json);
  putc (bracket, json->out);
  json->depth++;
  json->begun = false;
}

void
json_end (Json *json, char bracket)
{
  json->depth--;
  if (json->begun)
    put_line_end (json);
  putc (bracket, json->out);
  json->begun = true;
}

static void
put_char (Json *json, gunichar c)
{
  char utf8[6];

  if (c == '"' || c == '\\')
    fprintf (json->out, "\\%c", (char) c);
  else if (c < 0x20 || c == 0x7f)
    fprintf (json->out, "\\u%04x", (unsigned) c);
  else
    fwrite (utf8, 1, (size_t) g_unichar_to_utf8 (c, utf8), json->out);
}

void
json_put_bytes (Json *json, const char *bytes, size_t len)
{
  bool utf8 = g_utf8_validate (bytes, (gssize) len, NULL);

  json_put_separator (json);
  putc ('"', json->out);
  if (utf8)
    for (const char *at = bytes; at < bytes + len; at = g_utf8_next_char (at))
      put_char (json, g_utf8_get_char (at));
  else
    for (size_t i = 0; i < len; i++)
      put_char (json, (uint8_t) bytes[i]);
  putc ('"', json->out);
}

void
json_put_string (Json *json, const char *string)
{
  json_put_bytes (json, string, strlen (string));
}

void
json_put_key (Json *json, const char *key)
{
  json_put_string (json, key);
  fputs (json->one_line ? ":" : ": ", json->out);
  json->keyed = true;
}

void
json_put_raw (Json *json, const char *text)
{
  json_put_separator (json);
  fputs (text, json->out);
}

void
json_put_uint (Json *json, const char *key, uint64_t value)
{
  json_put_key (json, key);
  json_put_separator (json);
  fprintf (json->out, "%" PRIu64, value);
}

void
json_put_text (Json *json, const char *key, const char *value)
{
  json_put_key (json, key);
  json_put_string (json, value);
}

void
json_begin_member (Json *json, const char *key, char bracket)
{
  json_put_key (json, key);
  json_begin (json, bracket);
}
