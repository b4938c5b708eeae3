/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The values of a struct, chosen from an input. */
#include "convert-specs.h"
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

Object *
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

/* The number of structs that are in memory, whatever the state says. */
static size_t
count_in_place (const CprField *field)
{
  return field->layout == CPR_LAYOUT_INLINE ? field->count : 0;
}

/* Sets the value that zeroed memory stands for. */
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
      /* An element that isn't used is not saved, nor is a group that isn't needed. */
      bool used = i < n && (!field_is_group (field) || value->present);

      g_ptr_array_add (value->objects, object_choose (field->type, choices, budget, used ? bad : NULL));
    }
}

/* Makes the value one that can't be saved, if the field has such values. */
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
