/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frame-judge.h"

#include "base/checksum.h"
#include "judge-bytes.h"

#define HEADER 32
#define OUTER  16 /* type, flags, length */
#define BULK   7
#define MEBI   (UINT64_C (1) << 20)

static uint64_t
number_at (const uint8_t *at, unsigned width)
{
  Bytes bytes = { at, width, false };

  return number (&bytes, width);
}

static bool
judge_header (const uint8_t *data, size_t size)
{
  static const uint8_t magic[8] = { 0x89, 'C', 'P', 'R', 0x0d, 0x0a, 0x1a, 0x0a };

  return size >= HEADER && memcmp (data, magic, sizeof magic) == 0 && number_at (data + 8, 2) == 1 &&
         number_at (data + 12, 4) == 0x01020304 && number_at (data + 16, 8) == 0 &&
         number_at (data + 24, 8) == cpr_checksum (data, 24);
}

static bool
is_in_table (uint64_t type)
{
  return type <= 11 || (type >= 16 && type <= 19);
}

/* ---- The order: a letter for each chunk that isn't skipped, compared with what there may be. */

static char
get_letter (uint64_t type)
{
  static const char letters[] = "EVPFRHSBUMTC", more[] = "QDAI"; /* S, B and I as often as there are */

  return type < 16 ? letters[type] : more[type - 16];
}

static bool
judge_order (const char *letters)
{
  static const char *const begins[] = { "VPFRH",   "VPUFRH",   "VPFRMH", "VPUFRMH", "VPTFRH", "VPUTFRH",
                                        "VPTFRMH", "VPUTFRMH", "QVFRHD", "QVFRMHD", "AH" };
  static const char *const repeated[] = { "SB", "SB", "SB", "SB", "SB", "SB", "SB", "SB", "S", "S", "I" };

  if (strcmp (letters, "QE") == 0)
    return true;
  for (size_t i = 0; i < G_N_ELEMENTS (begins); i++)
    if (g_str_has_prefix (letters, begins[i]))
      {
        const char *at = letters + strlen (begins[i]);

        for (const char *one = repeated[i]; *one != '\0'; one++)
          at += strspn (at, (char[]){ *one, '\0' });
        return strcmp (at, "E") == 0 || (strchr (begins[i], 'T') != NULL && strcmp (at, "CE") == 0);
      }
  return false;
}

/* ---- Bulk data. */

typedef struct
{
  Text device;
  uint64_t end;
} Bulk;

/* @so_far: an entry for each device. */
static bool
judge_bulk (Payload payload, GArray *so_far)
{
  Bytes bytes = open_payload (payload);
  Bulk piece = { .device = name (&bytes) }, *last;
  uint64_t offset = number (&bytes, 8);

  while (!bytes.bad && (payload.len - bytes.left) % 8 != 0)
    if (number (&bytes, 1) != 0)
      return false;
  if (bytes.bad || bytes.left < 1 || bytes.left > 4 * MEBI)
    return false;
  last = so_far->len > 0 ? &g_array_index (so_far, Bulk, so_far->len - 1) : NULL;
  if (last == NULL || !same (last->device, piece.device))
    {
      for (guint i = 0; i < so_far->len; i++)
        if (same (g_array_index (so_far, Bulk, i).device, piece.device))
          return false;
      g_array_append_val (so_far, piece);
      last = &g_array_index (so_far, Bulk, so_far->len - 1);
    }
  if (offset != last->end)
    return false;
  last->end += bytes.left;
  return true;
}

/* ---- Chunks. */

/* The length of the chunk at @data without its checksum, or 0. */
static uint64_t
judge_chunk (const uint8_t *data, size_t size, GArray *bulk)
{
  uint64_t type, flags, len, end;
  Payload payload;

  if (size < OUTER + 8)
    return 0;
  type = number_at (data, 4);
  flags = number_at (data + 4, 4);
  len = number_at (data + 8, 8);
  if (len > size)
    return 0;
  end = OUTER + (len + 7) / 8 * 8;
  if (end + 8 > size || flags != (is_in_table (type) ? 0 : 1))
    return 0;
  payload = (Payload){ data + OUTER, (size_t) len };
  if (type == BULK)
    return judge_bulk (payload, bulk) ? end : 0;
  for (uint64_t i = OUTER + len; i < end; i++)
    if (data[i] != 0)
      return 0;
  return len <= 64 * MEBI && number_at (data + end, 8) == cpr_checksum (data, (size_t) end) ? end : 0;
}

bool
judge_frame (const uint8_t *data, size_t size)
{
  g_autoptr (GArray) bulk = g_array_new (FALSE, FALSE, sizeof (Bulk));
  g_autoptr (GString) letters = g_string_new (NULL);
  uint64_t n = 0;

  if (!judge_header (data, size))
    return false;
  for (size_t at = HEADER;; n++)
    {
      uint64_t end = judge_chunk (data + at, size - at, bulk), type;

      if (end == 0)
        return false;
      type = number_at (data + at, 4);
      if (is_in_table (type))
        g_string_append_c (letters, get_letter (type));
      if (type == 0)
        return number_at (data + at + 8, 8) == 8 && number_at (data + at + OUTER, 8) == n && at + end + 8 == size &&
               judge_order (letters->str);
      at += (size_t) end + 8;
    }
}
