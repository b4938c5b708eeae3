/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values as a struct in memory holds them: put there, and got back. */
#include "convert-specs.h"
#include "convert-values.h"

#include <string.h>

/* ---- Into memory. */

static void
put_count (const CprField *field, const Value *value, uint8_t *memory)
{
  uint64_t n = value->n;

  if (field->shape != CPR_SHAPE_COUNTED || field->layout == CPR_LAYOUT_LIST)
    return;
  if (value->bad && (field->count_width > 1 || field->count < 255))
    n = field->count + 1;
  else if (value->bad) /* and no memory */
    n = 1;
  memcpy (memory + field->count_offset, &n, field->count_width);
}

/* The number of elements that an array in the struct has in use. The others belong to nobody:
 * pointers in them would be leaked. */
static size_t
get_used (const CprField *field, const uint8_t *memory)
{
  uint64_t n = 0;

  if (field->shape != CPR_SHAPE_COUNTED)
    return field->count;
  memcpy (&n, memory + field->count_offset, field->count_width);
  return MIN (n, field->count);
}

static void
put_objects (const CprField *field, const Value *value, uint8_t *memory)
{
  uint8_t *at = memory + field->offset;

  if (field->layout == CPR_LAYOUT_INLINE)
    {
      size_t used = get_used (field, memory);

      for (size_t i = 0; i < used; i++)
        object_put (field->type, value->objects->pdata[i], at + i * field->width);
      memset (at + used * field->width, 0, (field->count - used) * field->width);
    }
  else if (field->layout == CPR_LAYOUT_LIST)
    {
      memset (at, 0, sizeof (void *));
      for (size_t i = 0; i < value->n; i++)
        object_put (field->type, value->objects->pdata[i], field->list->append (at));
    }
  else
    {
      uint8_t *heap = value->n > 0 ? g_malloc (field->width) : NULL;

      if (heap != NULL)
        object_put (field->type, value->objects->pdata[0], heap);
      memcpy (at, &heap, sizeof heap);
    }
}

static void
put_string (const CprField *field, const Value *value, uint8_t *at)
{
  char *heap;

  if (field->layout == CPR_LAYOUT_INLINE)
    {
      memset (at, value->bad ? 'x' : 0, field->count + 1);
      if (!value->bad)
        memcpy (at, value->bytes, value->n);
      return;
    }
  heap = value->present ? g_strndup ((const char *) value->bytes, value->n) : NULL;
  if (value->bad)
    {
      g_free (heap);
      heap = g_strnfill (field->count + 1, 'x');
    }
  memcpy (at, &heap, sizeof heap);
}

static void
put_elements (const CprField *field, const Value *value, uint8_t *at)
{
  uint8_t *heap = at;

  if (field->layout == CPR_LAYOUT_HEAP)
    {
      heap = value->n > 0 && !value->bad ? g_malloc (value->n * field->width) : NULL;
      memcpy (at, &heap, sizeof heap);
    }
  for (size_t i = 0; heap != NULL && i < value->n; i++)
    if (field->kind == CPR_KIND_BYTES)
      heap[i] = value->bytes[i];
    else
      memcpy (heap + i * field->width, &value->numbers[i], field->width);
}

static void
put_fields (const CprStruct *type, const Object *object, uint8_t *memory)
{
  for (size_t i = 0; i < object->n_values; i++)
    {
      const CprField *field = &type->fields[i];
      const Value *value = &object->values[i];

      if (field->layout == CPR_LAYOUT_NONE)
        continue;
      put_count (field, value, memory);
      if (field_is_group (field))
        {
          memory[0] |= (uint8_t) (value->present << field_get_group (field));
          put_fields (field->type, value->objects->pdata[0], memory);
        }
      else if (field->kind == CPR_KIND_STRUCT)
        put_objects (field, value, memory);
      else if (field->kind == CPR_KIND_STRING)
        put_string (field, value, memory + field->offset);
      else
        put_elements (field, value, memory + field->offset);
    }
}

void
object_put (const CprStruct *type, const Object *object, uint8_t *memory)
{
  memset (memory, 0xa5, type->size);
  memory[0] = 0;
  put_fields (type, object, memory);
}

/* ---- Out of memory. */

static size_t
get_count (const CprField *field, const uint8_t *memory)
{
  uint64_t n = 0;

  if (field->shape != CPR_SHAPE_COUNTED)
    return field->count;
  if (field->layout != CPR_LAYOUT_LIST)
    memcpy (&n, memory + field->count_offset, field->count_width);
  else
    for (void *at = NULL; (at = field->list->get_next (memory + field->offset, at)) != NULL;)
      n++;
  g_assert (n <= field->count);
  return (size_t) n;
}

static const uint8_t *
get_heap (const uint8_t *at)
{
  const uint8_t *heap;

  memcpy (&heap, at, sizeof heap);
  return heap;
}

static void
get_objects (const CprField *field, Value *value, const uint8_t *memory)
{
  const uint8_t *at = memory + field->offset;

  value->objects = g_ptr_array_new_with_free_func (object_free);
  value->n = get_count (field, memory);
  if (field->layout == CPR_LAYOUT_INLINE)
    for (size_t i = 0; i < field->count; i++)
      g_ptr_array_add (value->objects, object_get (field->type, at + i * field->width));
  else if (field->layout == CPR_LAYOUT_LIST)
    for (void *element = NULL; (element = field->list->get_next (at, element)) != NULL;)
      g_ptr_array_add (value->objects, object_get (field->type, element));
  else
    {
      const uint8_t *heap = get_heap (at);

      value->n = heap != NULL;
      if (heap != NULL)
        g_ptr_array_add (value->objects, object_get (field->type, heap));
    }
}

static void
get_string (const CprField *field, Value *value, const uint8_t *at)
{
  if (field->layout == CPR_LAYOUT_HEAP)
    at = get_heap (at);
  value->present = at != NULL;
  value_set_bytes (value, at, at != NULL ? strlen ((const char *) at) : 0);
  g_assert (value->n <= field->count);
}

static void
get_elements (const CprField *field, Value *value, const uint8_t *memory)
{
  const uint8_t *at = memory + field->offset;
  size_t n = get_count (field, memory);

  if (field->layout == CPR_LAYOUT_HEAP)
    at = get_heap (at);
  g_assert (at != NULL || n == 0);
  if (field->kind == CPR_KIND_BYTES)
    {
      value_set_bytes (value, at, n);
      return;
    }
  value_set_numbers (value, n);
  for (size_t i = 0; i < n; i++)
    {
      memcpy (&value->numbers[i], at + i * field->width, field->width);
      if (field->kind == CPR_KIND_BOOL)
        g_assert (value->numbers[i] <= 1);
      value->numbers[i] =
          number_fit (field->kind == CPR_KIND_FD ? CPR_KIND_INT : field->kind, field->width, value->numbers[i]);
    }
}

Object *
object_get (const CprStruct *type, const uint8_t *memory)
{
  Object *object = object_new (type);

  for (size_t i = 0; i < object->n_values; i++)
    {
      const CprField *field = &type->fields[i];
      Value *value = &object->values[i];

      if (field->layout == CPR_LAYOUT_NONE)
        continue;
      if (field->kind == CPR_KIND_STRUCT)
        get_objects (field, value, memory);
      else if (field->kind == CPR_KIND_STRING)
        get_string (field, value, memory + field->offset);
      else
        get_elements (field, value, memory);
    }
  return object;
}

void
object_clear_memory (const CprStruct *type, uint8_t *memory)
{
  for (const CprField *field = type->fields; field->name != NULL; field++)
    {
      uint8_t *at = memory + field->offset, *heap;

      if (field->layout == CPR_LAYOUT_LIST)
        field->list->clear (at);
      else if (field->layout == CPR_LAYOUT_INLINE && field->kind == CPR_KIND_STRUCT)
        for (size_t i = 0; i < get_used (field, memory); i++)
          object_clear_memory (field->type, at + i * field->width);
      else if (field->layout == CPR_LAYOUT_HEAP)
        {
          memcpy (&heap, at, sizeof heap);
          if (heap != NULL && field->kind == CPR_KIND_STRUCT)
            object_clear_memory (field->type, heap);
          g_free (heap);
          memset (at, 0, sizeof (void *));
        }
    }
}

void
object_mark_fields (const CprStruct *type, uint8_t *mask)
{
  for (const CprField *field = type->fields; field->name != NULL; field++)
    {
      uint8_t *at = mask + field->offset;

      if (field->layout == CPR_LAYOUT_NONE)
        continue;
      if (field->shape == CPR_SHAPE_COUNTED && field->layout != CPR_LAYOUT_LIST)
        memset (mask + field->count_offset, 1, field->count_width);
      if (field->layout != CPR_LAYOUT_INLINE)
        memset (at, 1, sizeof (void *));
      else if (field->kind == CPR_KIND_STRUCT)
        for (size_t i = 0; i < field->count; i++)
          object_mark_fields (field->type, at + i * field->width);
      else
        memset (at, 1, field->kind == CPR_KIND_STRING ? field->count + 1 : field->count * field->width);
    }
}
