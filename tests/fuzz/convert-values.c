/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "convert-values.h"

#include <string.h>

/* ---- Lists: a chain of elements. */

typedef struct Node
{
  struct Node *next;
  uint64_t unused; /* the element after it lies as malloc() would have put it */
} Node;

static const CprStruct *list_types[LISTS];

static void *
get_next (const void *container, const void *element)
{
  const Node *node;

  if (element != NULL)
    node = ((const Node *) element - 1)->next;
  else
    memcpy (&node, container, sizeof node);
  return node != NULL ? (void *) (node + 1) : NULL;
}

static void *
append (void *container, unsigned slot)
{
  Node *made = g_malloc0 (sizeof (Node) + list_types[slot]->size), **link = container;

  while (*link != NULL)
    link = &(*link)->next;
  *link = made;
  return made + 1;
}

static void
clear (void *container, unsigned slot)
{
  Node *node, *next;

  memcpy (&node, container, sizeof node);
  for (; node != NULL; node = next)
    {
      next = node->next;
      object_clear_memory (list_types[slot], (uint8_t *) (node + 1));
      g_free (node);
    }
  memset (container, 0, sizeof node);
}

#define SLOT(n)                        \
  static void *append_##n (void *list) \
  {                                    \
    return append (list, n);           \
  }                                    \
  static void clear_##n (void *list)   \
  {                                    \
    clear (list, n);                   \
  }
#define SLOTS(what)                                                                                             \
  what (0) what (1) what (2) what (3) what (4) what (5) what (6) what (7) what (8) what (9) what (10) what (11) \
      what (12) what (13) what (14) what (15)
SLOTS (SLOT)

#define SLOT_CALLBACKS(n) { get_next, append_##n, clear_##n },
static const CprList lists[LISTS] = { SLOTS (SLOT_CALLBACKS) };

const CprList *
list_slot (unsigned slot)
{
  return &lists[slot];
}

void
list_set_type (unsigned slot, const CprStruct *type)
{
  list_types[slot] = type;
}

/* ---- Values. */

static void
value_clear (Value *value)
{
  g_clear_pointer (&value->numbers, g_free);
  g_clear_pointer (&value->bytes, g_free);
  g_clear_pointer (&value->objects, g_ptr_array_unref);
}

void
object_free (void *data)
{
  Object *object = data;

  for (size_t i = 0; i < object->n_values; i++)
    value_clear (&object->values[i]);
  g_free (object->values);
  g_free (object);
}

static Object *
object_new (const CprStruct *type)
{
  Object *object = g_new0 (Object, 1);

  while (type->fields[object->n_values].name != NULL)
    object->n_values++;
  object->values = g_new0 (Value, object->n_values);
  return object;
}

void
value_set_numbers (Value *value, size_t n)
{
  g_free (value->numbers);
  value->numbers = g_new0 (uint64_t, n);
  value->n = n;
}

void
value_set_bytes (Value *value, const uint8_t *bytes, size_t n)
{
  g_free (value->bytes);
  value->bytes = g_malloc0 (n + 1);
  if (bytes != NULL && n > 0)
    memcpy (value->bytes, bytes, n);
  value->n = n;
}

void
value_set_objects (Value *value, const CprStruct *type, size_t n)
{
  g_clear_pointer (&value->objects, g_ptr_array_unref);
  value->objects = g_ptr_array_new_with_free_func (object_free);
  for (size_t i = 0; i < n; i++)
    g_ptr_array_add (value->objects, object_zero (type));
  value->n = n;
}

/* How many structs there are in memory whatever the state. */
static size_t
count_in_place (const CprField *field)
{
  return field->layout == CPR_LAYOUT_INLINE ? field->count : 0;
}

/* What zeroed memory stands for. */
static void
value_zero (const CprField *field, Value *value)
{
  size_t n = field->shape == CPR_SHAPE_COUNTED ? 0 : field->count;

  if (field->layout == CPR_LAYOUT_NONE)
    return;
  if (field->kind == CPR_KIND_STRUCT)
    {
      value_set_objects (value, field->type, count_in_place (field));
      value->n = field->layout == CPR_LAYOUT_INLINE ? n : 0;
    }
  else if (field->kind == CPR_KIND_STRING)
    {
      value_set_bytes (value, NULL, 0);
      value->present = field->layout == CPR_LAYOUT_INLINE;
    }
  else if (field->kind == CPR_KIND_BYTES)
    value_set_bytes (value, NULL, n);
  else
    value_set_numbers (value, n);
}

Object *
object_zero (const CprStruct *type)
{
  Object *object = object_new (type);

  for (size_t i = 0; i < object->n_values; i++)
    value_zero (&type->fields[i], &object->values[i]);
  return object;
}

/* ---- Choosing them. */

static size_t
choose_n (const CprField *field, Choices *choices)
{
  unsigned n = choose_byte (choices);

  if (field->shape != CPR_SHAPE_COUNTED)
    return field->count;
  if (n == 255)
    n = (unsigned) field->count;
  else if (n < 192)
    n %= 4;
  n = (unsigned) MIN (n, field->count);
  return field->count_width == 1 ? MIN (n, 255) : n;
}

static uint64_t
choose_fd (Choices *choices, bool *bad)
{
  unsigned n = choose_byte (choices);

  if (n == 255 && bad != NULL)
    {
      *bad = true;
      return FDS_END;
    }
  return n < 64 ? UINT64_MAX : FDS_FIRST + n % (FDS_GONE - FDS_FIRST + (n >= 224));
}

static void
choose_numbers (const CprField *field, Value *value, Choices *choices, bool *bad)
{
  bool standard = field->optional && choose (choices, 3) == 0;

  value_set_numbers (value, choose_n (field, choices));
  for (size_t i = 0; i < value->n; i++)
    if (field->kind == CPR_KIND_FD)
      value->numbers[i] = standard ? UINT64_MAX : choose_fd (choices, bad);
    else
      value->numbers[i] = standard ? field->default_value : number_choose (choices, field->kind, field->width);
}

static void
choose_data (const CprField *field, Value *value, Choices *choices)
{
  bool zero = choose (choices, 3) == 0, string = field->kind == CPR_KIND_STRING;

  value->present = field->layout == CPR_LAYOUT_INLINE || !zero || choose (choices, 2) == 0;
  value_set_bytes (value, NULL, string ? choose_byte (choices) % (field->count + 1) : choose_n (field, choices));
  if (string && (zero || !value->present))
    value->n = 0;
  for (size_t i = 0; i < value->n && !(zero && !string); i++)
    value->bytes[i] = (uint8_t) (string ? 1 + choose (choices, 255) : choose_byte (choices));
}

static void
choose_structs (const CprField *field, Value *value, Choices *choices, unsigned *budget, bool *bad)
{
  size_t n, in_memory = count_in_place (field);

  value->present = choose (choices, 4) > 0;
  if (field->layout == CPR_LAYOUT_HEAP)
    n = value->present;
  else
    n = choose_n (field, choices);
  if (in_memory == 0 && n > *budget)
    n = 0;
  *budget -= (unsigned) (in_memory == 0 ? n : 0);
  if (field->layout == CPR_LAYOUT_HEAP)
    value->present = n > 0;
  value->objects = g_ptr_array_new_with_free_func (object_free);
  value->n = n;
  for (size_t i = 0; i < MAX (n, in_memory); i++)
    {
      /* What isn't used, or not needed, isn't saved. */
      bool used = i < n && (!field_is_group (field) || value->present);

      g_ptr_array_add (value->objects, object_choose (field->type, choices, budget, used ? bad : NULL));
    }
}

/* Something that can't be saved, for what can be so. */
static void
choose_bad (const CprField *field, Value *value, bool *bad)
{
  bool counted = field->shape == CPR_SHAPE_COUNTED;

  if (counted && field->layout != CPR_LAYOUT_LIST)
    value->bad = field->layout == CPR_LAYOUT_HEAP || field->count_width > 1 || field->count < 255;
  else if (field->kind == CPR_KIND_STRING)
    value->bad = value->present;
  *bad = *bad || value->bad;
}

Object *
object_choose (const CprStruct *type, Choices *choices, unsigned *budget, bool *bad)
{
  Object *object = object_new (type);

  for (size_t i = 0; i < object->n_values; i++)
    {
      const CprField *field = &type->fields[i];
      Value *value = &object->values[i];

      if (field->layout == CPR_LAYOUT_NONE)
        continue;
      if (field->kind == CPR_KIND_STRUCT)
        choose_structs (field, value, choices, budget, bad);
      else if (field->kind == CPR_KIND_STRING || field->kind == CPR_KIND_BYTES)
        choose_data (field, value, choices);
      else
        choose_numbers (field, value, choices, bad);
      if (bad != NULL && choose_byte (choices) == 255)
        choose_bad (field, value, bad);
    }
  return object;
}

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

/* Of an array in the struct. What isn't in use is nobody's: pointers there would be left over. */
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

static bool
values_equal (const CprField *field, const Value *a, const Value *b)
{
  if (a->n != b->n || (field->kind == CPR_KIND_STRING && a->present != b->present))
    return false;
  if (a->n == 0)
    return true;
  if (field->kind == CPR_KIND_STRUCT)
    {
      for (size_t i = 0; i < a->n; i++)
        if (!objects_equal (field->type, a->objects->pdata[i], b->objects->pdata[i]))
          return false;
      return true;
    }
  if (field->kind == CPR_KIND_STRING || field->kind == CPR_KIND_BYTES)
    return memcmp (a->bytes, b->bytes, a->n) == 0;
  return memcmp (a->numbers, b->numbers, a->n * sizeof *a->numbers) == 0;
}

bool
objects_equal (const CprStruct *type, const Object *a, const Object *b)
{
  for (size_t i = 0; i < a->n_values; i++)
    if (type->fields[i].layout != CPR_LAYOUT_NONE && !values_equal (&type->fields[i], &a->values[i], &b->values[i]))
      return false;
  return true;
}
