/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The differences in structs and device types. Called by diff.c. */
#include <inttypes.h>

#include "parts.h"
#include "../text.h"

typedef struct
{
  Diff *diff;
  char *title;      /* "type 'x'" */
  GHashTable *done; /* pairs of structs; one that is used often is compared where it is used first */
} Types;

static const CprSchemaField *
find_field (const CprSchemaStruct *type, const char *name)
{
  for (guint i = 0; i < type->fields->len; i++)
    {
      const CprSchemaField *field = &g_array_index (type->fields, CprSchemaField, i);

      if (strcmp (field->name, name) == 0)
        return field;
    }
  return NULL;
}

static char *
extend (const char *path, const CprSchemaField *field)
{
  g_autofree char *name = inspect_text_escape (field->name, strlen (field->name));

  return g_strdup_printf ("%s%s%s", path, path[0] != '\0' ? "." : "", name);
}

/* Structs are no deeper than CPR_LIMIT_DEPTH. */
static void
diff_structs (Types *types, const char *path, uint32_t index_a, uint32_t index_b)
{
  const CprSchemaStruct *a = cpr_schema_get_struct (&types->diff->a.manifest.schema, index_a);
  const CprSchemaStruct *b = cpr_schema_get_struct (&types->diff->b.manifest.schema, index_b);
  gint64 pair = (gint64) ((uint64_t) index_a << 32 | index_b);

  if (!g_hash_table_add (types->done, g_memdup2 (&pair, sizeof pair)))
    return;
  for (guint i = 0; i < a->fields->len; i++)
    {
      const CprSchemaField *field = &g_array_index (a->fields, CprSchemaField, i), *other = find_field (b, field->name);
      g_autofree char *name = extend (path, field), *was = inspect_text_field (field), *is = NULL;

      if (other == NULL)
        {
          diff_put (types->diff, types->title, "field %s (%s) only in A", name, was);
          continue;
        }
      is = inspect_text_field (other);
      if (strcmp (was, is) != 0)
        diff_put (types->diff, types->title, "field %s: %s -> %s", name, was, is);
      if (field->kind == CPR_KIND_STRUCT && other->kind == CPR_KIND_STRUCT)
        diff_structs (types, name, field->struct_index, other->struct_index);
    }
  for (guint i = 0; i < b->fields->len; i++)
    {
      const CprSchemaField *field = &g_array_index (b->fields, CprSchemaField, i);
      g_autofree char *name = extend (path, field), *is = inspect_text_field (field);

      if (find_field (a, field->name) == NULL)
        diff_put (types->diff, types->title, "field %s (%s) only in B", name, is);
    }
}

static const CprSchemaType *
find_type (const CprSchema *schema, const char *name)
{
  for (guint i = 0; i < schema->types->len; i++)
    {
      const CprSchemaType *type = &g_array_index (schema->types, CprSchemaType, i);

      if (strcmp (type->name, name) == 0)
        return type;
    }
  return NULL;
}

static char *
type_title (const CprSchemaType *type)
{
  g_autofree char *name = inspect_text_quote (type->name);

  return g_strdup_printf ("type %s", name);
}

static char *
number (uint32_t value)
{
  return g_strdup_printf ("%" PRIu32, value);
}

static void
diff_type (Diff *diff, const CprSchemaType *a, const CprSchemaType *b)
{
  g_autofree char *title = type_title (a);
  g_autoptr (GHashTable) done = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  Types types = { .diff = diff, .title = title, .done = done };

  diff_value (diff, title, "version", number (a->version), number (b->version));
  diff_value (diff, title, "minimum version", number (a->minimum_version), number (b->minimum_version));
  diff_structs (&types, "", a->struct_index, b->struct_index);
}

void
diff_types (Diff *diff)
{
  const CprSchema *a = &diff->a.manifest.schema, *b = &diff->b.manifest.schema;

  for (guint i = 0; i < a->types->len; i++)
    {
      const CprSchemaType *type = &g_array_index (a->types, CprSchemaType, i), *other = find_type (b, type->name);
      g_autofree char *title = type_title (type);

      if (other == NULL)
        diff_put (diff, title, "only in A");
      else
        diff_type (diff, type, other);
    }
  for (guint i = 0; i < b->types->len; i++)
    {
      const CprSchemaType *type = &g_array_index (b->types, CprSchemaType, i);
      g_autofree char *title = type_title (type);

      if (find_type (a, type->name) == NULL)
        diff_put (diff, title, "only in B");
    }
}
