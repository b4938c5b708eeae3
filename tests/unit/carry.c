/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "carry.h"

static void
write_schema (Carried *carried, const CprStruct *from)
{
  const CprDeviceType type = { .size = sizeof type, .name = "t", .version = 1, .state = *from };
  CprSchemaBuilder builder;

  cpr_schema_builder_init (&builder);
  cpr_schema_builder_add (&builder, &type);
  cpr_schema_builder_write (&builder, &carried->writer);
  cpr_schema_builder_clear (&builder);
}

static void
read_back (Carried *carried, size_t fields)
{
  CprCursor cursor = written_from (&carried->writer, CPR_FORMAT_HEADER_SIZE);
  GError *error = NULL;

  cursor.len = fields - CPR_FORMAT_HEADER_SIZE;
  ck_assert_msg (cpr_schema_read (&carried->schema, &cursor, &error), "%s", error != NULL ? error->message : "");
  carried->index = g_array_index (carried->schema.types, CprSchemaType, 0).struct_index;
  carried->fields = written_from (&carried->writer, fields);
}

static size_t
begin (Carried *carried, const CprStruct *from)
{
  GError *error = NULL;

  *carried = (Carried){ .index = 0 };
  ck_assert_msg (cpr_struct_check (from, &error), "%s", error != NULL ? error->message : "");
  cpr_writer_init (&carried->writer, -1);
  write_schema (carried, from);
  return carried->writer.len;
}

bool
carried_write (Carried *carried, const CprStruct *from, const void *source, const CprCodec *codec, GError **error)
{
  size_t fields = begin (carried, from);

  if (!cpr_struct_encode (from, source, codec, &carried->writer, error))
    return false;
  read_back (carried, fields);
  return true;
}

void
carried_make (Carried *carried, const CprStruct *from, const void *bytes, size_t len)
{
  size_t fields = begin (carried, from);

  cpr_writer_put (&carried->writer, bytes, len);
  read_back (carried, fields);
}

/* A copy of its own size, so that a tool sees every read beyond it. */
static bool
apply (const CprPlan *plan, const CprCursor *fields, void *target, const CprCodec *codec, GError **error)
{
  g_autofree uint8_t *copy = g_memdup2 (fields->data, fields->len);
  CprCursor cursor = { .data = copy, .len = fields->len };

  if (!cpr_plan_apply (plan, &cursor, target, codec, error))
    return false;
  ck_assert_uint_eq (cpr_cursor_left (&cursor), 0);
  return true;
}

bool
carried_read (const Carried *carried, const CprStruct *to, void *target, const CprCodec *codec, GError **error)
{
  g_autoptr (CprPlans) plans = cpr_plans_new (&carried->schema);
  GError *unexpected = NULL;
  const CprPlan *plan;

  ck_assert_msg (cpr_struct_check (to, &unexpected), "%s", unexpected != NULL ? unexpected->message : "");
  plan = cpr_plans_get (plans, carried->index, to, error);
  if (plan == NULL || !apply (plan, &carried->fields, NULL, codec, error))
    return false;
  ck_assert_msg (apply (plan, &carried->fields, target, codec, &unexpected), "the check did not find this error: %s",
                 unexpected != NULL ? unexpected->message : "");
  return true;
}

void
carried_clear (Carried *carried)
{
  cpr_schema_clear (&carried->schema);
  cpr_writer_clear (&carried->writer);
}

bool
carry_with (
    const CprStruct *from, const void *source, const CprStruct *to, void *target, const CprCodec *codec, GError **error)
{
  Carried carried;
  bool ok = carried_write (&carried, from, source, codec, error) && carried_read (&carried, to, target, codec, error);

  carried_clear (&carried);
  return ok;
}

bool
carry (const CprStruct *from, const void *source, const CprStruct *to, void *target, GError **error)
{
  return carry_with (from, source, to, target, NULL, error);
}
