/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checks a VMM's tables of fields, and clears what fields point to. Called by the devices'
 * table and by convert.c. */
#include "stream/struct.h"

#include "base/error.h"

static bool
name_is_sane (const char *name)
{
  return name != NULL && name[0] != '\0' && strlen (name) <= CPR_NAME_MAX;
}

/* A count apart from its array: else the array's elements could change it after it was checked. */
static bool
count_is_sane (const CprStruct *type, const CprField *field)
{
  size_t width = field->count_width, at = field->count_offset;
  size_t size = field->layout == CPR_LAYOUT_INLINE ? field->width * field->count : sizeof (void *);

  if (width != 1 && width != 2 && width != 4 && width != 8)
    return false;
  if (at > type->size || width > type->size - at)
    return false;
  return at + width <= field->offset || at >= field->offset + size;
}

/* A struct in the struct can't be missing, a group can. */
static bool
struct_is_sane_inline (const CprField *field)
{
  return field->kind != CPR_KIND_STRUCT || field->shape == CPR_SHAPE_COUNTED ||
         field->optional == (field->needed != NULL);
}

static bool
kind_is_sane_on_heap (const CprField *field)
{
  if (field->shape == CPR_SHAPE_COUNTED)
    return field->kind == CPR_KIND_BYTES || cpr_kind_is_number (field->kind);
  return field->optional && (field->kind == CPR_KIND_STRING || field->kind == CPR_KIND_STRUCT);
}

static bool
list_is_complete (const CprList *list)
{
  return list != NULL && list->get_next != NULL && list->append != NULL && list->clear != NULL;
}

/* Only such a field may have a callback that says whether it is written: whoever walks fields takes
 * one that has it for a group. */
static bool
is_a_struct_inline (const CprField *field)
{
  return field->kind == CPR_KIND_STRUCT && field->layout == CPR_LAYOUT_INLINE && field->shape == CPR_SHAPE_ONE;
}

/* Rules for what a schema can't say. */
static const char *
find_fault_of_layout (const CprField *field)
{
  if (field->list != NULL && field->layout <= CPR_LAYOUT_HEAP)
    return "it has functions for a list and isn't one";
  if (field->needed != NULL && !is_a_struct_inline (field))
    return "it has a group's callback and isn't one struct inside its struct";
  if (field->variable != NULL && (field->layout != CPR_LAYOUT_INLINE || field->kind == CPR_KIND_STRUCT ||
                                  field->kind == CPR_KIND_STRING || field->shape == CPR_SHAPE_COUNTED))
    return "it is a variable, which only numbers, fds, times, bytes and fixed arrays of them can be";
  switch (field->layout)
    {
    case CPR_LAYOUT_INLINE:
      return struct_is_sane_inline (field)
                 ? NULL
                 : "it is a struct inside its struct, and optional without a group, or the reverse";
    case CPR_LAYOUT_HEAP:
      return kind_is_sane_on_heap (field)
                 ? NULL
                 : "it is on the heap, where only counted numbers or bytes, or an optional string or struct, can be";
    case CPR_LAYOUT_LIST:
      if (field->kind != CPR_KIND_STRUCT || field->shape != CPR_SHAPE_COUNTED)
        return "it is a list of something else than structs";
      return list_is_complete (field->list) ? NULL : "it is a list, and lacks one of its functions";
    case CPR_LAYOUT_NONE:
      if (field->shape != CPR_SHAPE_ONE || !cpr_kind_is_number (field->kind))
        return "it is retired, and wasn't one number";
      return !field->optional ? NULL : "it is retired and optional";
    default:
      return "it has an unknown layout";
    }
}

static bool
lies_in_struct (const CprStruct *type, const CprField *field)
{
  size_t size = field->layout == CPR_LAYOUT_INLINE ? field->width : 1, count = 1;

  if (field->layout == CPR_LAYOUT_NONE || field->variable != NULL)
    return true;
  if (field->layout == CPR_LAYOUT_HEAP)
    size = sizeof (void *);
  else if (field->layout == CPR_LAYOUT_INLINE)
    count = field->kind == CPR_KIND_STRING ? field->count + 1 : field->count;
  return field->offset <= type->size && size <= (type->size - field->offset) / count;
}

/* A schema has the default as it fits; a table must not have had another one. */
static bool
default_is_sane (const CprField *field)
{
  uint64_t value = field->default_value;

  if (value == 0)
    return true;
  if (!cpr_kind_is_number (field->kind) || (!field->optional && field->layout != CPR_LAYOUT_NONE))
    return false;
  if (field->kind == CPR_KIND_BOOL)
    return value == 1;
  return value == cpr_number_load (field->kind, field->width, &value);
}

static const char *
find_fault (const CprField *field)
{
  CprSchemaField made;
  const char *fault;

  if (!name_is_sane (field->name))
    return "it has a name that hasn't 1 to 255 bytes";
  /* A group's name is its author's choice. Another such name is an expression of the program's,
   * which would change with it. */
  if (field->written_as == NULL && field->needed == NULL && strpbrk (field->name, ".[]<>") != NULL)
    return "it is a member of a member, and should have a CPR_WRITTEN_AS() with its name in the state";
  if (field->count == 0 || field->count > UINT32_MAX)
    return "it has room for no element, or for more than 4294967295";
  if (field->width > CPR_LIMIT_STRUCT || (field->kind == CPR_KIND_STRUCT && field->width == 0))
    return "it has a width that no struct has";
  if (field->shape > CPR_SHAPE_COUNTED)
    return "it has an unknown shape";
  made = cpr_schema_field_from (field);
  fault = cpr_schema_field_find_fault (&made);
  if (fault == NULL)
    fault = find_fault_of_layout (field);
  if (fault == NULL && !default_is_sane (field))
    fault = "it has a default that its kind or a field that isn't optional doesn't have";
  return fault;
}

static bool
check_field (const CprStruct *type, const CprField *field, GHashTable *names, GError **error)
{
  const char *fault = find_fault (field);

  if (fault != NULL)
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "struct '%s': field '%s': %s (kind %d, width %zu, shape %d, layout %d, count %zu, default "
                      "0x%" G_GINT64_MODIFIER "x)",
                      type->name, field->name, fault, (int) field->kind, field->width, (int) field->shape,
                      (int) field->layout, field->count, field->default_value);
  if (!g_hash_table_add (names, g_strdup (field->name)))
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': two fields are named '%s'", type->name, field->name);
  if (!lies_in_struct (type, field))
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': field '%s' doesn't lie in its %zu bytes", type->name,
                      field->name, type->size);
  if (field->shape == CPR_SHAPE_COUNTED && field->layout != CPR_LAYOUT_LIST && !count_is_sane (type, field))
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "struct '%s': the count of '%s' has %zu bytes at offset %zu; 1, 2, 4 or 8 expected, in the "
                      "struct's %zu and apart from the elements",
                      type->name, field->name, (size_t) field->count_width, (size_t) field->count_offset, type->size);
  if (field->kind == CPR_KIND_STRUCT && (field->type == NULL || field->type->size != field->width))
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': field '%s' isn't of the struct it names", type->name,
                      field->name);
  return true;
}

/* It stands in for a name, so it has to be as unique. */
static bool
check_other_name (const CprStruct *type, const CprField *field, const char *other, GHashTable *names, GError **error)
{
  if (!name_is_sane (other))
    return cpr_throw (error, CPR_ERROR_INVALID,
                      "struct '%s': field '%s' is also named '%s', which hasn't 1 to %d bytes", type->name, field->name,
                      other, CPR_NAME_MAX);
  if (!g_hash_table_add (names, g_strdup (other)))
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': two fields are named '%s'", type->name, other);
  return true;
}

static bool
check_other_names (const CprStruct *type, const CprField *field, GHashTable *names, GError **error)
{
  g_auto (GStrv) aliases = field->aliases != NULL ? g_strsplit (field->aliases, " ", -1) : NULL;

  /* The same name twice is how a member of a member keeps the one that it had. */
  if (field->written_as != NULL && strcmp (field->written_as, field->name) != 0 &&
      !check_other_name (type, field, field->written_as, names, error))
    return false;
  for (char **alias = aliases; alias != NULL && *alias != NULL; alias++)
    if (!check_other_name (type, field, *alias, names, error))
      return false;
  return true;
}

static bool
has_variable (const CprStruct *type)
{
  for (const CprField *field = type->fields; field->name != NULL; field++)
    if (field->variable != NULL || (field->needed != NULL && has_variable (field->type)))
      return true;
  return false;
}

/* Structs inside of others are many, and a variable is one. A group is the struct itself. */
static bool
check_nested (const CprStruct *type, const CprField *field, GError **error)
{
  if (field->kind != CPR_KIND_STRUCT || field->needed != NULL || !has_variable (field->type))
    return true;
  return cpr_throw (error, CPR_ERROR_INVALID,
                    "struct '%s': field '%s': a variable is among the fields of '%s', and should be among those of the "
                    "device itself",
                    type->name, field->name, field->type->name);
}

/* @done: structs that were checked, so that one which is used often is checked once. */
static bool
check_struct (const CprStruct *type, unsigned depth, GHashTable *done, GError **error)
{
  g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  const CprField *field = type->fields;
  guint n_fields = 0;

  if (!name_is_sane (type->name) || field == NULL || field->name == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': it has no name or no fields",
                      type->name != NULL ? type->name : "");
  if (type->size > CPR_LIMIT_STRUCT)
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': %zu bytes are more than %d", type->name, type->size,
                      CPR_LIMIT_STRUCT);
  if (depth > CPR_LIMIT_DEPTH)
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': nested more than %d deep", type->name, CPR_LIMIT_DEPTH);
  /* Seen at this depth or a deeper one: nothing new can come of it. */
  if (GPOINTER_TO_UINT (g_hash_table_lookup (done, type)) >= depth)
    return true;
  g_hash_table_insert (done, (void *) type, GUINT_TO_POINTER (depth));
  for (; field->name != NULL; field++, n_fields++)
    {
      if (!check_field (type, field, names, error))
        return false;
      if (field->kind == CPR_KIND_STRUCT && !check_struct (field->type, depth + 1, done, error))
        return false;
      if (!check_nested (type, field, error)) /* its own fields are right by now, and end */
        return false;
    }
  if (n_fields > CPR_LIMIT_FIELDS)
    return cpr_throw (error, CPR_ERROR_INVALID, "struct '%s': more than %d fields", type->name, CPR_LIMIT_FIELDS);
  for (field = type->fields; field->name != NULL; field++)
    if (!check_other_names (type, field, names, error))
      return false;
  return true;
}

bool
cpr_struct_check (const CprStruct *type, GError **error)
{
  g_autoptr (GHashTable) done = g_hash_table_new (NULL, NULL);

  return check_struct (type, 1, done, error);
}

static bool
has_heap (const CprStruct *type)
{
  for (const CprField *field = type->fields; field->name != NULL; field++)
    if (field->layout == CPR_LAYOUT_HEAP || field->layout == CPR_LAYOUT_LIST ||
        (field->layout == CPR_LAYOUT_INLINE && field->kind == CPR_KIND_STRUCT && has_heap (field->type)))
      return true;
  return false;
}

static void release_elements (const CprField *field, uint8_t *owner, uint64_t first);

/* Frees what a struct has on the heap. */
static void
release (const CprStruct *type, uint8_t *owner)
{
  for (const CprField *field = type->fields; field->name != NULL; field++)
    if (field->layout == CPR_LAYOUT_HEAP || field->layout == CPR_LAYOUT_LIST)
      cpr_field_clear (field, owner);
    else if (field->layout == CPR_LAYOUT_INLINE && field->kind == CPR_KIND_STRUCT)
      release_elements (field, owner, 0);
}

static void
release_elements (const CprField *field, uint8_t *owner, uint64_t first)
{
  uint64_t n = field->count;

  if (field->shape == CPR_SHAPE_COUNTED)
    n = MIN (n, cpr_number_load (CPR_KIND_UINT, field->count_width, owner + field->count_offset));
  for (uint64_t i = first; i < n; i++)
    release (field->type, owner + field->offset + i * field->width);
}

static void
clear_heap (const CprField *field, void *owner)
{
  void *heap = cpr_field_at (field, owner);
  void *none = NULL;

  if (heap != NULL && field->kind == CPR_KIND_STRUCT)
    release (field->type, heap);
  g_free (heap);
  memcpy ((uint8_t *) owner + field->offset, &none, sizeof none);
}

/* A struct without pointers needn't be initialised before it is loaded into, so its counts aren't
 * looked at. */
void
cpr_field_shrink (const CprField *field, void *owner, uint64_t count)
{
  if (field->layout == CPR_LAYOUT_INLINE && field->kind == CPR_KIND_STRUCT && has_heap (field->type))
    release_elements (field, owner, count);
}

void
cpr_field_clear (const CprField *field, void *owner)
{
  uint8_t *at = cpr_field_get_place (field, owner);

  cpr_field_shrink (field, owner, 0);
  if (field->shape == CPR_SHAPE_COUNTED && field->layout != CPR_LAYOUT_LIST)
    memset ((uint8_t *) owner + field->count_offset, 0, field->count_width);
  if (field->layout == CPR_LAYOUT_HEAP)
    clear_heap (field, owner);
  else if (field->layout == CPR_LAYOUT_LIST)
    field->list->clear (at);
  else if (field->layout == CPR_LAYOUT_INLINE && field->kind == CPR_KIND_FD)
    memset (at, 0xff, field->width * field->count); /* -1 */
  else if (field->layout == CPR_LAYOUT_INLINE && field->kind == CPR_KIND_STRING)
    *at = '\0';
  else if (field->layout == CPR_LAYOUT_INLINE && field->kind == CPR_KIND_BYTES)
    memset (at, 0, field->count);
}
