/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the structs of a stream become this program's: matches fields by name, once for each pair
 * of structs. Called by the devices' device.c and load.c, and by the preflight. */
#include "stream/plan.h"

#include "base/error.h"

struct _CprPlans
{
  const CprSchema *schema;
  GHashTable *plans; /* Key → CprPlan */
};

typedef struct
{
  uint32_t from;
  const CprStruct *to;
} Key;

static guint
key_hash (gconstpointer data)
{
  const Key *key = data;

  return g_direct_hash (key->to) * 31 + key->from;
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
  const Key *x = a, *y = b;

  return x->from == y->from && x->to == y->to;
}

static void
plan_free (void *data)
{
  CprPlan *plan = data;

  g_clear_pointer (&plan->steps, g_array_unref);
  g_clear_pointer (&plan->missing, g_ptr_array_unref);
  g_free (plan);
}

CprPlans *
cpr_plans_new (const CprSchema *schema)
{
  CprPlans *plans = g_new0 (CprPlans, 1);

  plans->schema = schema;
  plans->plans = g_hash_table_new_full (key_hash, key_equal, g_free, plan_free);
  return plans;
}

void
cpr_plans_free (CprPlans *plans)
{
  if (plans == NULL)
    return;
  g_hash_table_unref (plans->plans);
  g_free (plans);
}

/* This program's fields by all of their names. Programs keep their fields in order, so the next
 * one is tried first, and the table is only made when that fails. */
typedef struct
{
  const CprStruct *type;
  const CprField *next;
  GHashTable *by_name;
} Finder;

static void
index_fields (Finder *finder)
{
  finder->by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (const CprField *field = finder->type->fields; field->name != NULL; field++)
    {
      g_auto (GStrv) aliases = field->aliases != NULL ? g_strsplit (field->aliases, " ", -1) : NULL;

      g_hash_table_insert (finder->by_name, g_strdup (field->name), (void *) field);
      if (field->written_as != NULL)
        g_hash_table_insert (finder->by_name, g_strdup (field->written_as), (void *) field);
      for (char **alias = aliases; alias != NULL && *alias != NULL; alias++)
        g_hash_table_insert (finder->by_name, g_strdup (*alias), (void *) field);
    }
}

static const CprField *
find_field (Finder *finder, const char *name)
{
  const CprField *field = finder->next;
  const char *written_as = field->written_as != NULL ? field->written_as : field->name;

  if (written_as == NULL || strcmp (written_as, name) != 0)
    {
      if (finder->by_name == NULL)
        index_fields (finder);
      field = g_hash_table_lookup (finder->by_name, name);
    }
  if (field != NULL)
    finder->next = field + 1;
  return field;
}

static char *
describe (CprKind kind, size_t width, unsigned flags, size_t count)
{
  g_autofree char *one = kind == CPR_KIND_BYTES ? g_strdup ("raw bytes") : cpr_kind_describe (kind, width);
  const char *of = kind == CPR_KIND_BYTES ? "" : "of ";

  if ((flags & CPR_FIELD_FLAG_ARRAY) == 0)
    return g_steal_pointer (&one);
  return g_strdup_printf ("%s%zu %s%s", (flags & CPR_FIELD_FLAG_COUNTED) != 0 ? "at most " : "", count, of, one);
}

static bool
shapes_convert (const CprSchemaField *from, const CprSchemaField *to)
{
  bool counted = (from->flags & CPR_FIELD_FLAG_COUNTED) != 0, to_counted = (to->flags & CPR_FIELD_FLAG_COUNTED) != 0;

  if ((from->flags & CPR_FIELD_FLAG_ARRAY) != (to->flags & CPR_FIELD_FLAG_ARRAY))
    return false;
  if (from->kind == CPR_KIND_STRING || counted)
    return to_counted || from->kind == CPR_KIND_STRING;
  return to_counted ? from->count <= to->count : from->count == to->count;
}

static bool
check_pair (const CprSchemaField *from, const CprField *to, GError **error)
{
  CprSchemaField mine = cpr_schema_field_from (to);
  g_autofree char *was = NULL, *is = NULL;

  if (cpr_kinds_convert (from->kind, to->kind) && shapes_convert (from, &mine))
    return true;
  was = describe (from->kind, from->width, from->flags, from->count);
  is = describe (mine.kind, mine.width, mine.flags, mine.count);
  return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s' is %s in the state, %s here", to->name, was, is);
}

static const CprPlan *get_plan (CprPlans *plans, uint32_t from, const CprStruct *to, GError **error);

static bool
add_step (CprPlans *plans, CprPlan *plan, const CprSchemaField *from, const CprField *to, GError **error)
{
  CprPlanStep step = { .from = from, .to = to, .droppable = (from->flags & CPR_FIELD_FLAG_IGNORABLE) != 0 };

  if (to == NULL && (from->flags & CPR_FIELD_FLAG_OPTIONAL) == 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s' is in the state and not known here", from->name);
  if (to != NULL && to->layout == CPR_LAYOUT_NONE)
    {
      step.to = NULL;
      step.droppable = true;
    }
  else if (to != NULL)
    {
      if (!check_pair (from, to, error))
        return false;
      if (from->kind == CPR_KIND_STRUCT)
        {
          step.nested = get_plan (plans, from->struct_index, to->type, error);
          if (step.nested == NULL)
            {
              g_prefix_error (error, "field '%s': ", to->name);
              return false;
            }
        }
    }
  g_array_append_val (plan->steps, step);
  return true;
}

static bool
add_missing (CprPlan *plan, const CprStruct *to, GHashTable *found, GError **error)
{
  for (const CprField *field = to->fields; field->name != NULL; field++)
    {
      if (field->layout == CPR_LAYOUT_NONE || g_hash_table_contains (found, field))
        continue;
      if (!field->optional)
        return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s' isn't in the state and has no default here",
                          field->name);
      g_ptr_array_add (plan->missing, (void *) field);
    }
  return true;
}

/* Bytes that are the same in the stream and in memory, and lie together in both. */
static bool
is_plain (const CprPlanStep *step)
{
  const CprSchemaField *from = step->from;
  const CprField *to = step->to;

  if (to == NULL || to->layout != CPR_LAYOUT_INLINE || to->shape == CPR_SHAPE_COUNTED || to->variable != NULL)
    return false;
  if ((from->flags & ~(unsigned) CPR_FIELD_FLAG_ARRAY) != 0 || !cpr_kind_is_plain (from->kind))
    return false;
  return from->kind == to->kind && from->width == to->width;
}

static void
find_runs (CprPlan *plan)
{
  for (guint i = 0; i < plan->steps->len;)
    {
      CprPlanStep *first = &g_array_index (plan->steps, CprPlanStep, i), *step = first;
      guint n = 0;

      while (i + n < plan->steps->len && is_plain (step) && step->to->offset == first->to->offset + first->run)
        {
          first->run += (size_t) step->from->count * step->from->width;
          n++;
          step++;
        }
      first->run_steps = n;
      i += MAX (n, 1);
    }
}

static size_t
get_plain_size (const CprPlan *plan)
{
  size_t size = 0;

  for (guint i = 0; i < plan->steps->len;)
    {
      const CprPlanStep *step = &g_array_index (plan->steps, CprPlanStep, i);

      if (step->run == 0)
        return 0;
      size += step->run;
      i += step->run_steps;
    }
  return plan->missing->len == 0 ? size : 0;
}

static bool
match (CprPlans *plans, CprPlan *plan, uint32_t struct_index, Finder *finder, GHashTable *found, GError **error)
{
  const CprSchemaStruct *from = cpr_schema_get_struct (plans->schema, struct_index);

  for (guint i = 0; i < from->fields->len; i++)
    {
      const CprSchemaField *field = &g_array_index (from->fields, CprSchemaField, i);
      const CprField *to = find_field (finder, field->name);

      if (to != NULL && !g_hash_table_add (found, (void *) to))
        return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s' is in the state under two of its names", to->name);
      if (!add_step (plans, plan, field, to, error))
        return false;
    }
  return add_missing (plan, finder->type, found, error);
}

static const CprPlan *
get_plan (CprPlans *plans, uint32_t from, const CprStruct *to, GError **error)
{
  Key key = { from, to };
  Finder finder = { .type = to, .next = to->fields };
  g_autoptr (GHashTable) found = NULL;
  CprPlan *plan = g_hash_table_lookup (plans->plans, &key);
  bool ok;

  if (plan != NULL)
    return plan;
  plan = g_new0 (CprPlan, 1);
  plan->schema = plans->schema;
  plan->steps = g_array_new (FALSE, FALSE, sizeof (CprPlanStep));
  plan->missing = g_ptr_array_new ();
  found = g_hash_table_new (NULL, NULL);
  ok = match (plans, plan, from, &finder, found, error);
  g_clear_pointer (&finder.by_name, g_hash_table_unref);
  if (!ok)
    {
      plan_free (plan);
      return NULL;
    }
  find_runs (plan);
  plan->plain_size = get_plain_size (plan);
  g_hash_table_insert (plans->plans, g_memdup2 (&key, sizeof key), plan);
  return plan;
}

const CprPlan *
cpr_plans_get (CprPlans *plans, uint32_t struct_index, const CprStruct *to, GError **error)
{
  return get_plan (plans, struct_index, to, error);
}

static void
find_dropped (const CprPlan *plan,
              const char *prefix,
              void (*func) (const char *field, void *user_data),
              void *user_data)
{
  for (guint i = 0; i < plan->steps->len; i++)
    {
      const CprPlanStep *step = &g_array_index (plan->steps, CprPlanStep, i);
      g_autofree char *name = g_strconcat (prefix, step->from->name, NULL);

      if (step->to == NULL && (step->from->flags & CPR_FIELD_FLAG_IGNORABLE) != 0)
        func (name, user_data);
      if (step->nested != NULL)
        {
          g_autofree char *inner = g_strconcat (name, ".", NULL);

          find_dropped (step->nested, inner, func, user_data);
        }
    }
}

void
cpr_plan_foreach_dropped (const CprPlan *plan, void (*func) (const char *field, void *user_data), void *user_data)
{
  find_dropped (plan, "", func, user_data);
}
