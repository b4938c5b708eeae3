/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The differences in the values of devices. Called by diff.c. */
#include "parts.h"
#include "flat.h"
#include "../text.h"

/* How many elements that differ in one list are printed; the others are counted. */
#define MOST_ELEMENTS 8
/* Bytes that are shown whole. */
#define SHORT_BYTES 32

static char *
describe (const FlatValue *value)
{
  GString *made;

  if (value->text != NULL)
    return g_strdup (value->text);
  if (value->list == NULL)
    return value->len <= SHORT_BYTES ? inspect_text_hex (value->bytes, value->len)
                                     : g_strdup_printf ("%zu bytes", value->len);
  made = g_string_new ("[");
  for (guint i = 0; i < MIN (value->list->len, MOST_ELEMENTS); i++)
    g_string_append_printf (made, "%s%s", i > 0 ? ", " : "", (char *) value->list->pdata[i]);
  if (value->list->len > MOST_ELEMENTS)
    g_string_append_printf (made, ", … (%u in all)", value->list->len);
  g_string_append_c (made, ']');
  return g_string_free (made, FALSE);
}

static void
diff_lists (Diff *diff, const char *title, const FlatValue *a, const FlatValue *b)
{
  guint common = MIN (a->list->len, b->list->len), n = 0;

  if (a->list->len != b->list->len)
    diff_put (diff, title, "%s: %u elements -> %u", a->path, a->list->len, b->list->len);
  for (guint i = 0; i < common; i++)
    if (strcmp (a->list->pdata[i], b->list->pdata[i]) != 0 && n++ < MOST_ELEMENTS)
      diff_put (diff, title, "%s[%u]: %s -> %s", a->path, i, (char *) a->list->pdata[i], (char *) b->list->pdata[i]);
  if (n > MOST_ELEMENTS)
    diff_put (diff, title, "%s: %u more elements differ", a->path, n - MOST_ELEMENTS);
}

static void
diff_bytes (Diff *diff, const char *title, const FlatValue *a, const FlatValue *b)
{
  size_t common = MIN (a->len, b->len), at = 0;

  if (a->len == b->len && memcmp (a->bytes, b->bytes, a->len) == 0)
    return;
  while (at < common && a->bytes[at] == b->bytes[at])
    at++;
  if (a->len <= SHORT_BYTES && b->len <= SHORT_BYTES)
    diff_value (diff, title, a->path, inspect_text_hex (a->bytes, a->len), inspect_text_hex (b->bytes, b->len));
  else if (a->len != b->len)
    diff_put (diff, title, "%s: %zu bytes -> %zu, the first difference at byte %zu", a->path, a->len, b->len, at);
  else
    diff_put (diff, title, "%s: differs first at byte %zu: %02x -> %02x", a->path, at, a->bytes[at], b->bytes[at]);
}

static void
diff_values (Diff *diff, const char *title, const FlatValue *a, const FlatValue *b)
{
  if (a->list != NULL && b->list != NULL)
    diff_lists (diff, title, a, b);
  else if (a->bytes != NULL && b->bytes != NULL)
    diff_bytes (diff, title, a, b);
  else
    diff_value (diff, title, a->path, describe (a), describe (b));
}

static void
diff_flat (Diff *diff, const char *title, const Flat *a, const Flat *b)
{
  for (guint i = 0; i < a->values->len; i++)
    {
      const FlatValue *value = a->values->pdata[i], *other = g_hash_table_lookup (b->by_path, value->path);
      g_autofree char *text = other == NULL ? describe (value) : NULL;

      if (other == NULL)
        diff_put (diff, title, "%s: %s only in A", value->path, text);
      else
        diff_values (diff, title, value, other);
    }
  for (guint i = 0; i < b->values->len; i++)
    {
      const FlatValue *value = b->values->pdata[i];

      if (g_hash_table_lookup (a->by_path, value->path) == NULL)
        {
          g_autofree char *text = describe (value);

          diff_put (diff, title, "%s: %s only in B", value->path, text);
        }
    }
}

static char *
device_title (const InspectDevice *device)
{
  g_autofree char *name = inspect_text_quote (device->name);

  return g_strdup_printf ("device %s", name);
}

static void
diff_device (Diff *diff, const InspectDevice *a, const InspectDevice *b)
{
  g_autofree char *title = device_title (a);
  Flat of_a, of_b;

  diff_value (diff, title, "type", inspect_text_quote (a->type->name), inspect_text_quote (b->type->name));
  flat_init (&of_a, &diff->a, a);
  flat_init (&of_b, &diff->b, b);
  diff_flat (diff, title, &of_a, &of_b);
  flat_clear (&of_a);
  flat_clear (&of_b);
}

static GHashTable *
index_devices (const InspectState *state)
{
  GHashTable *by_name = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < state->devices->len; i++)
    {
      InspectDevice *device = &g_array_index (state->devices, InspectDevice, i);

      g_hash_table_insert (by_name, (char *) device->name, device);
    }
  return by_name;
}

void
diff_devices (Diff *diff)
{
  g_autoptr (GHashTable) in_a = index_devices (&diff->a), in_b = index_devices (&diff->b);

  for (guint i = 0; i < diff->a.devices->len; i++)
    {
      const InspectDevice *device = &g_array_index (diff->a.devices, InspectDevice, i);
      const InspectDevice *other = g_hash_table_lookup (in_b, device->name);
      g_autofree char *title = device_title (device);

      if (other == NULL)
        diff_put (diff, title, "only in A");
      else
        diff_device (diff, device, other);
    }
  for (guint i = 0; i < diff->b.devices->len; i++)
    {
      const InspectDevice *device = &g_array_index (diff->b.devices, InspectDevice, i);
      g_autofree char *title = device_title (device);

      if (!g_hash_table_contains (in_a, device->name))
        diff_put (diff, title, "only in B");
    }
}
