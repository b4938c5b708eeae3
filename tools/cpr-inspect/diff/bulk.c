/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The differences in the bulk data of devices. Called by diff.c. */
#include <string.h>

#include "parts.h"
#include "registry/device/bulk.h"
#include "../text.h"

/* How much bulk data is compared at a time. */
#define BLOCK_SIZE (1024 * 1024)

static char *
bulk_title (const CprBulkData *bulk)
{
  g_autofree char *name = inspect_text_quote (bulk->device);

  return g_strdup_printf ("bulk data %s", name);
}

static uint64_t
find_difference (const uint8_t *a, const uint8_t *b, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (a[i] != b[i])
      return i;
  return len;
}

/* As far as both go; *@at: where they differ first. */
static bool
compare_bulk (CprBulk *a, CprBulk *b, uint64_t *at, GError **error)
{
  g_autofree uint8_t *of_a = g_malloc (BLOCK_SIZE), *of_b = g_malloc (BLOCK_SIZE);
  uint64_t done = 0;

  *at = G_MAXUINT64;
  while (*at == G_MAXUINT64 && a->left > 0 && b->left > 0)
    {
      size_t len = (size_t) MIN (MIN (a->left, b->left), BLOCK_SIZE);

      if (!cpr_bulk_read (a, of_a, len, error) || !cpr_bulk_read (b, of_b, len, error))
        return false;
      if (memcmp (of_a, of_b, len) != 0)
        *at = done + find_difference (of_a, of_b, len);
      done += len;
    }
  return true;
}

static bool
diff_data (Diff *diff, const CprBulkData *a, const CprBulkData *b, GError **error)
{
  g_autofree char *title = bulk_title (a);
  CprBulk of_a, of_b;
  uint64_t at;
  bool ok;

  diff_value (diff, title, "size", inspect_text_size (a->size), inspect_text_size (b->size));
  cpr_bulk_open (&of_a, &diff->a.reader, a);
  cpr_bulk_open (&of_b, &diff->b.reader, b);
  ok = compare_bulk (&of_a, &of_b, &at, error);
  cpr_bulk_clear (&of_a);
  cpr_bulk_clear (&of_b);
  if (ok && at != G_MAXUINT64)
    diff_put (diff, title, "differs first at byte %" G_GUINT64_FORMAT, at);
  return ok;
}

bool
diff_bulk (Diff *diff, GError **error)
{
  for (guint i = 0; i < diff->a.reader.bulk->len; i++)
    {
      const CprBulkData *bulk = diff->a.reader.bulk->pdata[i];
      const CprBulkData *other = cpr_reader_find_bulk (&diff->b.reader, bulk->device);
      g_autofree char *title = bulk_title (bulk);

      if (other == NULL)
        diff_put (diff, title, "only in A");
      else if (!diff_data (diff, bulk, other, error))
        return false;
    }
  for (guint i = 0; i < diff->b.reader.bulk->len; i++)
    {
      const CprBulkData *bulk = diff->b.reader.bulk->pdata[i];
      g_autofree char *title = bulk_title (bulk);

      if (cpr_reader_find_bulk (&diff->a.reader, bulk->device) == NULL)
        diff_put (diff, title, "only in B");
    }
  return true;
}
