/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads the fields of a device by another program's schema into this program's struct, as a plan
 * says. Called by the devices' load.c. Where `owner` is NULL nothing is stored. */
#include "stream/convert.h"

#include "base/error.h"

static bool
store_number (const CprPlanStep *step, void *at, uint64_t value, GError **error)
{
  const CprSchemaField *from = step->from;
  g_autofree char *is = NULL;

  if (cpr_number_store (step->to->kind, step->to->width, at, from->kind, from->width, value))
    return true;
  is = cpr_kind_describe (step->to->kind, step->to->width);
  if (from->kind == CPR_KIND_FLOAT)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s': a value doesn't fit into %s", step->to->name, is);
  return cpr_throw (error, CPR_ERROR_MISMATCH,
                    from->kind == CPR_KIND_INT ? "field '%s': %" G_GINT64_FORMAT " doesn't fit into %s"
                                               : "field '%s': %" G_GUINT64_FORMAT " doesn't fit into %s",
                    step->to->name, value, is);
}

static bool set_count (const CprPlanStep *step, uint32_t count, uint8_t *owner, uint8_t **at, GError **error);

/* A fixed array that was left out, where this program counts. */
static bool
fill_absent (const CprPlanStep *step, uint8_t *owner, GError **error)
{
  const CprField *to = step->to;
  uint8_t *at;

  if (!set_count (step, step->from->count, owner, &at, error))
    return false;
  for (uint32_t i = 0; cpr_kind_is_number (to->kind) && i < step->from->count; i++)
    if (!store_number (step, at != NULL ? at + i * to->width : NULL, step->from->default_value, error))
      return false;
  if (at != NULL && !cpr_kind_is_number (to->kind))
    memset (at, to->kind == CPR_KIND_FD ? 0xff : 0, step->from->count * to->width);
  return true;
}

/* Sets a field to what its absence stands for. */
static bool
set_absent (const CprPlanStep *step, uint8_t *owner, GError **error)
{
  const CprField *to = step->to;
  uint64_t value = step->from->default_value;

  if (to->kind == CPR_KIND_STRUCT && to->layout == CPR_LAYOUT_INLINE && to->shape != CPR_SHAPE_COUNTED &&
      to->needed == NULL)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s' is NULL in the state, and always there in this program",
                      to->name);
  if (to->needed != NULL)
    return true;
  if (to->shape == CPR_SHAPE_COUNTED && (step->from->flags & CPR_FIELD_FLAG_COUNTED) == 0)
    return fill_absent (step, owner, error);
  if (!cpr_kind_is_number (to->kind) || to->shape == CPR_SHAPE_COUNTED)
    {
      if (owner != NULL)
        cpr_field_clear (to, owner);
      return true;
    }
  for (size_t i = 0; i < to->count; i++)
    if (!store_number (step, owner != NULL ? cpr_field_get_place (to, owner) + i * to->width : NULL, value, error))
      return false;
  return true;
}

static void
set_missing (const CprField *field, uint8_t *owner)
{
  if (field->needed != NULL)
    return;
  if (!cpr_kind_is_number (field->kind) || field->shape == CPR_SHAPE_COUNTED)
    {
      cpr_field_clear (field, owner);
      return;
    }
  for (size_t i = 0; i < field->count; i++)
    memcpy (cpr_field_get_place (field, owner) + i * field->width, &field->default_value, field->width);
}

/* Makes room for the elements and says where they go. */
static bool
set_count (const CprPlanStep *step, uint32_t count, uint8_t *owner, uint8_t **at, GError **error)
{
  const CprField *to = step->to;

  *at = owner != NULL ? cpr_field_get_place (to, owner) : NULL;
  if (to->shape != CPR_SHAPE_COUNTED)
    return true;
  if (owner != NULL)
    cpr_field_shrink (to, owner, count);
  if (count > to->count ||
      (to->layout != CPR_LAYOUT_LIST &&
       !cpr_number_store (CPR_KIND_UINT, to->count_width, owner != NULL ? owner + to->count_offset : NULL,
                          CPR_KIND_UINT, 4, count)))
    return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s' has %u elements in the state, at most %zu here", to->name,
                      count, to->count);
  if (owner == NULL)
    return true;
  if (to->layout == CPR_LAYOUT_LIST)
    to->list->clear (*at);
  else if (to->layout == CPR_LAYOUT_HEAP)
    {
      void *heap = cpr_field_at (to, owner);

      heap = g_realloc (heap, count * to->width); /* 0: frees it */
      memcpy (*at, &heap, sizeof heap);
      *at = heap;
    }
  return true;
}

static bool
apply_numbers (const CprPlanStep *step, CprCursor *cursor, uint32_t count, uint8_t *at, GError **error)
{
  const CprSchemaField *from = step->from;
  const CprField *to = step->to;
  const uint8_t *data = cpr_cursor_get (cursor, (size_t) count * from->width);

  if (data == NULL)
    return cpr_field_throw_cut_off (from, error);
  if (from->kind == CPR_KIND_BOOL && !cpr_bools_are_sane (data, count))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "field '%s': a bool is neither 0 nor 1", from->name);
  if (from->kind == to->kind && from->width == to->width)
    {
      if (at != NULL && count > 0)
        memcpy (at, data, (size_t) count * from->width);
      return true;
    }
  for (uint32_t i = 0; i < count; i++)
    if (!store_number (step, at != NULL ? at + i * to->width : NULL,
                       cpr_number_load (from->kind, from->width, data + i * from->width), error))
      return false;
  return true;
}

static void
move_times (uint8_t *at, uint32_t count, int64_t offset_ns)
{
  for (uint32_t i = 0; i < count; i++)
    {
      uint64_t time;

      memcpy (&time, at + 8 * i, sizeof time);
      time += (uint64_t) offset_ns;
      memcpy (at + 8 * i, &time, sizeof time);
    }
}

static bool
apply_string (const CprPlanStep *step, CprCursor *cursor, uint8_t *owner, GError **error)
{
  const CprField *to = step->to;
  uint32_t len;
  const uint8_t *bytes = cpr_string_value_read (step->from, cursor, &len, error);

  if (bytes == NULL)
    return false;
  if (len > to->count)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s' has %u bytes in the state, at most %zu here", to->name,
                      len, to->count);
  if (owner == NULL)
    return true;
  if (to->layout == CPR_LAYOUT_HEAP)
    {
      char *copy = g_strndup ((const char *) bytes, len);

      cpr_field_clear (to, owner);
      memcpy (owner + to->offset, &copy, sizeof copy);
      return true;
    }
  memset (owner + to->offset, 0, to->count + 1);
  memcpy (owner + to->offset, bytes, len);
  return true;
}

static bool
apply_fds (
    const CprPlanStep *step, CprCursor *cursor, uint32_t count, uint8_t *at, const CprCodec *codec, GError **error)
{
  for (uint32_t i = 0; i < count; i++)
    {
      int fd = -1, index;
      const char *name;

      if (!cpr_fd_value_read (step->from, cursor, &name, &index, error))
        return false;
      if (index >= 0 && codec != NULL)
        fd = codec->find_fd (codec->fds, name, index);
      if (index >= 0 && codec != NULL && fd < 0)
        return cpr_throw (error, CPR_ERROR_MISMATCH, "field '%s': the fd '%s' %d isn't there", step->to->name, name,
                          index);
      if (at != NULL)
        memcpy (at + i * sizeof fd, &fd, sizeof fd);
    }
  return true;
}

/* Where the next struct goes; made where there is none yet. */
static uint8_t *
place_struct (const CprField *to, uint8_t *owner, uint8_t *at, uint32_t i)
{
  void *heap;

  if (owner == NULL)
    return NULL;
  if (to->layout == CPR_LAYOUT_LIST)
    return to->list->append (at);
  if (to->layout == CPR_LAYOUT_INLINE)
    return at + i * to->width;
  heap = cpr_field_at (to, owner);
  if (heap == NULL)
    {
      heap = g_malloc0 (to->width);
      memcpy (owner + to->offset, &heap, sizeof heap);
    }
  return heap;
}

/* An array of structs that consist of runs, as encode.c writes it. */
static bool
apply_plain_structs (const CprPlanStep *step, CprCursor *cursor, uint32_t count, uint8_t *at, GError **error)
{
  const CprPlan *plan = step->nested;
  const uint8_t *data = cpr_cursor_get (cursor, (size_t) count * plan->plain_size);

  if (data == NULL)
    return cpr_field_throw_cut_off (step->from, error);
  for (guint i = 0; at != NULL && i < plan->steps->len;)
    {
      const CprPlanStep *run = &g_array_index (plan->steps, CprPlanStep, i);

      for (uint32_t n = 0; n < count; n++)
        memcpy (at + n * step->to->width + run->to->offset, data + n * plan->plain_size, run->run);
      data += run->run;
      i += run->run_steps;
    }
  return true;
}

static bool
apply_structs (const CprPlanStep *step,
               CprCursor *cursor,
               uint32_t count,
               uint8_t *owner,
               uint8_t *at,
               const CprCodec *codec,
               GError **error)
{
  if (step->nested->plain_size > 0 && step->to->layout == CPR_LAYOUT_INLINE)
    return apply_plain_structs (step, cursor, count, at, error);
  for (uint32_t i = 0; i < count; i++)
    if (!cpr_plan_apply (step->nested, cursor, place_struct (step->to, owner, at, i), codec, error))
      {
        g_prefix_error (error, "field '%s': ", step->to->name);
        return false;
      }
  return true;
}

static bool
apply_values (
    const CprPlanStep *step, CprCursor *cursor, uint32_t count, uint8_t *owner, const CprCodec *codec, GError **error)
{
  uint8_t *at;

  if (!set_count (step, count, owner, &at, error))
    return false;
  switch (step->to->kind)
    {
    case CPR_KIND_STRUCT:
      return apply_structs (step, cursor, count, owner, at, codec, error);
    case CPR_KIND_STRING:
      return apply_string (step, cursor, owner, error);
    case CPR_KIND_FD:
      return apply_fds (step, cursor, count, at, codec, error);
    case CPR_KIND_TIME:
      if (!apply_numbers (step, cursor, count, at, error))
        return false;
      if (at != NULL && codec != NULL && codec->time_offset_ns != 0)
        move_times (at, count, codec->time_offset_ns);
      return true;
    default:
      return apply_numbers (step, cursor, count, at, error);
    }
}

/* A field that this program doesn't know, or doesn't want any more. */
static bool
drop (const CprPlan *plan, const CprPlanStep *step, CprCursor *cursor, GError **error)
{
  if (!step->droppable && cpr_cursor_left (cursor) > 0 && cursor->data[cursor->pos] == 1)
    {
      g_autofree char *value = cpr_field_describe_value (step->from, cursor);

      return cpr_throw (error, CPR_ERROR_MISMATCH,
                        "field '%s' isn't at its default in the state and not known here%s%s", step->from->name,
                        value != NULL ? ": " : "", value != NULL ? value : "");
    }
  return cpr_field_walk (plan->schema, step->from, cursor, NULL, NULL, error);
}

static bool
apply_step (const CprPlan *plan,
            const CprPlanStep *step,
            CprCursor *cursor,
            uint8_t *owner,
            const CprCodec *codec,
            GError **error)
{
  uint32_t count;
  bool present;

  if (step->to == NULL)
    return drop (plan, step, cursor, error);
  if (!cpr_field_begin (step->from, cursor, &present, &count, error))
    return false;
  if (!present)
    return set_absent (step, owner, error);
  return apply_values (step, cursor, count, owner, codec, error);
}

static bool
apply_run (const CprPlanStep *step, CprCursor *cursor, uint8_t *owner, GError **error)
{
  const uint8_t *data = cpr_cursor_get (cursor, step->run);

  if (data == NULL)
    return cpr_field_throw_cut_off (step->from, error);
  if (owner != NULL)
    memcpy (owner + step->to->offset, data, step->run);
  return true;
}

bool
cpr_plan_apply (const CprPlan *plan, CprCursor *cursor, void *to, const CprCodec *codec, GError **error)
{
  for (guint i = 0; i < plan->steps->len;)
    {
      const CprPlanStep *step = &g_array_index (plan->steps, CprPlanStep, i);

      if (step->run > 0 ? !apply_run (step, cursor, to, error) : !apply_step (plan, step, cursor, to, codec, error))
        return false;
      i += MAX (step->run_steps, 1);
    }
  for (guint i = 0; to != NULL && i < plan->missing->len; i++)
    set_missing (plan->missing->pdata[i], to);
  return true;
}
