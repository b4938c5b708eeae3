/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream/convert.h"

#include "base/error.h"

typedef struct
{
  const CprSchemaField *from;
  const CprField *to; /* NULL: this program doesn't know the field */
  CprPlan *nested;    /* of a struct; with a `to` of NULL it only skips */
} CprPlanStep;

struct _CprPlan
{
  const char *name;
  GArray *steps;      /* CprPlanStep, in the order of the stream */
  GPtrArray *missing; /* const CprField *: not in the stream, set to their defaults */
};

static bool
is_number (CprKind kind)
{
  return kind == CPR_KIND_UINT || kind == CPR_KIND_INT;
}

static const char *
kind_name (CprKind kind)
{
  static const char *const names[] = { "?", "bool", "uint", "int", "float", "bytes", "struct" };

  return kind < G_N_ELEMENTS (names) ? names[kind] : names[0];
}

/* Programs keep their fields in order, so the search goes on from where the last one was found. */
static const CprField *
find_field (const CprStruct *type, const char *name, const CprField **hint)
{
  const CprField *start = *hint != NULL && (*hint)->name != NULL ? *hint : type->fields;
  const CprField *field = start;

  do
    {
      if (strcmp (field->name, name) == 0)
        {
          *hint = field + 1;
          return field;
        }
      field++;
      if (field->name == NULL)
        field = type->fields;
    }
  while (field != start);
  return NULL;
}

static bool
check_pair (const CprPlan *plan, const CprSchemaField *from, const CprField *to, GError **error)
{
  const unsigned shape = CPR_FIELD_FLAG_ARRAY | CPR_FIELD_FLAG_COUNTED;
  bool alike = from->kind == to->kind && (from->kind == CPR_KIND_STRUCT || from->width == to->width);

  if (!alike && !(is_number (from->kind) && is_number (to->kind)))
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "field '%s' of struct '%s' is %s of %u bytes in the state, %s of %zu here", to->name, plan->name,
                      kind_name (from->kind), from->width, kind_name (to->kind), to->width);
  if ((from->flags & shape) != (to->flags & shape) ||
      ((from->flags & CPR_FIELD_FLAG_COUNTED) == 0 && from->count != to->count))
    return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s' of struct '%s' has %u elements%s in the state, %zu%s here",
                      to->name, plan->name, from->count, (from->flags & CPR_FIELD_FLAG_COUNTED) != 0 ? " at most" : "",
                      to->count, (to->flags & CPR_FIELD_FLAG_COUNTED) != 0 ? " at most" : "");
  return true;
}

static CprPlan *plan_new (const CprSchema *schema, uint32_t struct_index, const CprStruct *to, GError **error);

static bool
add_step (CprPlan *plan, const CprSchema *schema, const CprSchemaField *from, const CprField *to, GError **error)
{
  CprPlanStep step = { .from = from, .to = to };

  if (to != NULL && !check_pair (plan, from, to, error))
    return false;
  if (to == NULL && (from->flags & CPR_FIELD_FLAG_OPTIONAL) == 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s' of struct '%s' is in the state and not known here",
                      from->name, plan->name);
  if (from->kind == CPR_KIND_STRUCT)
    {
      step.nested = plan_new (schema, from->struct_index, to->type, error);
      if (step.nested == NULL)
        return false;
    }
  g_array_append_val (plan->steps, step);
  return true;
}

static bool
add_missing (CprPlan *plan, const CprStruct *to, GHashTable *found, GError **error)
{
  for (const CprField *field = to->fields; field->name != NULL; field++)
    if (!g_hash_table_contains (found, field))
      {
        if ((field->flags & CPR_FIELD_FLAG_OPTIONAL) == 0)
          return cpr_throw (error, CPR_ERROR_MISMATCH,
                            "field '%s' of struct '%s' isn't in the state and has no default here", field->name,
                            to->name);
        g_ptr_array_add (plan->missing, (void *) field);
      }
  return true;
}

static void
clear_step (void *data)
{
  cpr_plan_free (((CprPlanStep *) data)->nested);
}

static CprPlan *
plan_new (const CprSchema *schema, uint32_t struct_index, const CprStruct *to, GError **error)
{
  const CprSchemaStruct *from = &g_array_index (schema->structs, CprSchemaStruct, struct_index);
  g_autoptr (GHashTable) found = g_hash_table_new (NULL, NULL);
  g_autoptr (CprPlan) plan = g_new0 (CprPlan, 1);
  const CprField *hint = NULL;

  plan->name = to->name;
  plan->steps = g_array_sized_new (FALSE, FALSE, sizeof (CprPlanStep), from->fields->len);
  g_array_set_clear_func (plan->steps, clear_step);
  plan->missing = g_ptr_array_new ();
  for (guint i = 0; i < from->fields->len; i++)
    {
      const CprSchemaField *field = &g_array_index (from->fields, CprSchemaField, i);
      const CprField *match = find_field (to, field->name, &hint);

      if (match != NULL)
        g_hash_table_add (found, (void *) match);
      if (!add_step (plan, schema, field, match, error))
        return NULL;
    }
  if (!add_missing (plan, to, found, error))
    return NULL;
  return g_steal_pointer (&plan);
}

CprPlan *
cpr_plan_new (const CprSchema *schema, uint32_t struct_index, const CprStruct *to, GError **error)
{
  return plan_new (schema, struct_index, to, error);
}

void
cpr_plan_free (CprPlan *plan)
{
  if (plan == NULL)
    return;
  g_clear_pointer (&plan->steps, g_array_unref);
  g_clear_pointer (&plan->missing, g_ptr_array_unref);
  g_free (plan);
}

static bool
throw_cut_off (const CprPlan *plan, const CprPlanStep *step, GError **error)
{
  return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s' of struct '%s' is cut off", step->from->name, plan->name);
}

static bool
store (const CprPlan *plan, const CprPlanStep *step, uint8_t *at, uint64_t value, GError **error)
{
  if (cpr_number_store (step->to->kind, step->to->width, at, step->from->kind, value))
    return true;
  return cpr_throw (error, CPR_ERROR_MISMATCH,
                    step->from->kind == CPR_KIND_INT
                        ? "field '%s' of struct '%s': %" G_GINT64_FORMAT " doesn't fit into %s of %zu bytes"
                        : "field '%s' of struct '%s': %" G_GUINT64_FORMAT " doesn't fit into %s of %zu bytes",
                    step->to->name, plan->name, value, kind_name (step->to->kind), step->to->width);
}

static bool
bools_are_sane (const uint8_t *from, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (from[i] > 1)
      return false;
  return true;
}

/* An optional field of which only the presence byte is in the stream, or that is unknown here. Sets *done
 * when the field needs nothing more. */
static bool
apply_optional (
    const CprPlan *plan, const CprPlanStep *step, CprCursor *cursor, uint8_t *at, bool *done, GError **error)
{
  unsigned present = cpr_cursor_get_u8 (cursor);

  if (cursor->failed)
    return throw_cut_off (plan, step, error);
  if (present > 1)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s' of struct '%s': its presence is %u", step->from->name,
                      plan->name, present);
  *done = present == 0 || step->to == NULL;
  if (present == 0)
    return step->to == NULL ||
           store (plan, step, at, cpr_number_load (step->from->kind, step->from->width, &step->from->default_value),
                  error);
  if (step->to != NULL)
    return true;
  if ((step->from->flags & CPR_FIELD_FLAG_IGNORABLE) == 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "field '%s' of struct '%s' isn't at its default in the state and not known here",
                      step->from->name, plan->name);
  return cpr_cursor_get (cursor, step->from->width) != NULL || throw_cut_off (plan, step, error);
}

static bool
apply_count (
    const CprPlan *plan, const CprPlanStep *step, CprCursor *cursor, uint8_t *to, uint64_t *count, GError **error)
{
  *count = cpr_cursor_get_u32 (cursor);
  if (cursor->failed)
    return throw_cut_off (plan, step, error);
  if (*count > step->from->count)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s' of struct '%s' has %" G_GUINT64_FORMAT " of %u elements",
                      step->from->name, plan->name, *count, step->from->count);
  if (*count > step->to->count ||
      !cpr_number_store (CPR_KIND_UINT, step->to->count_width, to != NULL ? to + step->to->count_offset : NULL,
                         CPR_KIND_UINT, *count))
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "field '%s' of struct '%s' has %" G_GUINT64_FORMAT " elements in the state, at most %zu here",
                      step->to->name, plan->name, *count, step->to->count);
  return true;
}

static bool
apply_values (
    const CprPlan *plan, const CprPlanStep *step, CprCursor *cursor, uint8_t *at, size_t count, GError **error)
{
  const CprSchemaField *from = step->from;
  const CprField *to = step->to;
  const uint8_t *data = cpr_cursor_get (cursor, count * from->width);

  if (data == NULL)
    return throw_cut_off (plan, step, error);
  if (from->kind == CPR_KIND_BOOL && !bools_are_sane (data, count))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s' of struct '%s': a bool is neither 0 nor 1", from->name,
                      plan->name);
  if (from->kind == to->kind && from->width == to->width)
    {
      if (at != NULL)
        memcpy (at, data, count * from->width);
      return true;
    }
  for (size_t i = 0; i < count; i++)
    if (!store (plan, step, at != NULL ? at + i * to->width : NULL,
                cpr_number_load (from->kind, from->width, data + i * from->width), error))
      return false;
  return true;
}

static bool
apply_step (const CprPlan *plan, const CprPlanStep *step, CprCursor *cursor, uint8_t *to, GError **error)
{
  uint8_t *at = to != NULL && step->to != NULL ? to + step->to->offset : NULL;
  uint64_t count = step->from->count;
  bool done = false;

  if ((step->from->flags & CPR_FIELD_FLAG_OPTIONAL) != 0)
    {
      if (!apply_optional (plan, step, cursor, at, &done, error))
        return false;
      if (done)
        return true;
    }
  if ((step->from->flags & CPR_FIELD_FLAG_COUNTED) != 0 && !apply_count (plan, step, cursor, to, &count, error))
    return false;
  if (step->from->kind != CPR_KIND_STRUCT)
    return apply_values (plan, step, cursor, at, (size_t) count, error);
  for (uint64_t i = 0; i < count; i++)
    if (!cpr_plan_apply (step->nested, cursor, at != NULL ? at + i * step->to->width : NULL, error))
      return false;
  return true;
}

bool
cpr_plan_apply (const CprPlan *plan, CprCursor *cursor, void *to, GError **error)
{
  for (guint i = 0; i < plan->steps->len; i++)
    if (!apply_step (plan, &g_array_index (plan->steps, CprPlanStep, i), cursor, to, error))
      return false;
  for (guint i = 0; to != NULL && i < plan->missing->len; i++)
    {
      const CprField *field = plan->missing->pdata[i];

      memcpy ((uint8_t *) to + field->offset, &field->default_value, field->width);
    }
  return true;
}
