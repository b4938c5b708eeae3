/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structs and device types, for people. Called by show.c and ask.c. */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "text.h"

static void
show_struct (const CprSchema *schema, guint index)
{
  const CprSchemaStruct *type = cpr_schema_get_struct (schema, index);
  g_autofree char *name = inspect_text_escape (type->name, strlen (type->name));

  printf ("  %u: %s\n", index, name);
  for (guint i = 0; i < type->fields->len; i++)
    {
      const CprSchemaField *field = &g_array_index (type->fields, CprSchemaField, i);
      g_autofree char *field_name = inspect_text_escape (field->name, strlen (field->name));
      g_autofree char *kind = inspect_text_field (field);

      printf ("    %-16s %s", field_name, kind);
      if (field->kind == CPR_KIND_STRUCT)
        printf (", struct %" PRIu32, field->struct_index);
      putchar ('\n');
    }
}

void
inspect_show_schema (const CprSchema *schema)
{
  printf ("structs: %u\n", schema->structs->len);
  for (guint i = 0; i < schema->structs->len; i++)
    show_struct (schema, i);
  printf ("device types: %u\n", schema->types->len);
  for (guint i = 0; i < schema->types->len; i++)
    {
      const CprSchemaType *type = &g_array_index (schema->types, CprSchemaType, i);
      g_autofree char *name = inspect_text_escape (type->name, strlen (type->name));

      printf ("  %s: version %" PRIu32 ", loads from %" PRIu32 " on, struct %" PRIu32 "\n", name, type->version,
              type->minimum_version, type->struct_index);
    }
}
