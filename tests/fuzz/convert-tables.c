/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pairs of tables: structs with their fields, for a writer and for a reader. */
#include "convert-tables.h"

#include <string.h>

#include "base/name.h"
#include "convert-specs.h"
#include "convert-values.h"

/* The limits of both tables together. */
#define MAX_FIELDS 120
#define MAX_DEPTH  16
/* The size of a struct in memory. It can be exceeded by one field. */
#define MAX_SIZE   2048
#define MAX_INLINE 1024

/* A struct in memory; a group shares that of its owner. */
typedef struct
{
  size_t used;
  unsigned n_groups;
} Memory;

typedef struct
{
  CprStruct type;
  GArray *fields;
  Memory own, *memory;
} Table;

static void
table_free (void *data)
{
  Table *table = data;

  g_array_unref (table->fields);
  g_free (table);
}

void
tables_init (Tables *tables, Choices *choices)
{
  *tables = (Tables){ .choices = choices };
  tables->structs = g_ptr_array_new_with_free_func (table_free);
  tables->pairs = g_array_new (FALSE, FALSE, sizeof (Pair));
  tables->strings = g_ptr_array_new_with_free_func (g_free);
}

void
tables_clear (Tables *tables)
{
  g_ptr_array_unref (tables->structs);
  g_array_unref (tables->pairs);
  g_ptr_array_unref (tables->strings);
}

/* ---- Groups. */

#define NEEDED(n)                                \
  static bool needed_##n (const void *device)    \
  {                                              \
    return (*(const uint8_t *) device >> n) & 1; \
  }
NEEDED (0)
NEEDED (1)
NEEDED (2)
NEEDED (3)
NEEDED (4)
NEEDED (5)
NEEDED (6)
NEEDED (7)

static bool (*const needed[TABLES_GROUPS]) (const void *device) = { needed_0, needed_1, needed_2, needed_3,
                                                                    needed_4, needed_5, needed_6, needed_7 };

unsigned
field_get_group (const CprField *field)
{
  unsigned n = 0;

  while (needed[n] != field->needed)
    n++;
  return n;
}

/* ---- Structs. */

static size_t
place (Memory *memory, size_t size, size_t alignment)
{
  size_t at = (memory->used + alignment - 1) / alignment * alignment;

  memory->used = at + size;
  return at;
}

/* @memory: NULL for a struct with memory of its own. */
static Table *
add_table (Tables *tables, Memory *memory)
{
  Table *table = g_new0 (Table, 1);

  table->fields = g_array_new (TRUE, TRUE, sizeof (CprField));
  table->own.used = TABLES_HEADER;
  table->memory = memory != NULL ? memory : &table->own;
  table->type.name = "S";
  g_ptr_array_add (tables->structs, table);
  return table;
}

/* Changes a field for which the struct has no room. */
static void
make_room (Tables *tables, const Table *owner, Spec *spec, const CprStruct *nested)
{
  bool in_place = spec->variant == ONE || spec->variant == ARRAY || spec->variant == COUNTED;

  if (spec->kind == CPR_KIND_STRUCT && in_place &&
      (nested->size * spec->count > MAX_INLINE || owner->memory->used > MAX_SIZE))
    spec->variant = POINTER;
  else if (spec->kind != CPR_KIND_STRUCT && in_place && owner->memory->used > MAX_SIZE)
    spec->count = 1;
  if (spec->variant == LIST && tables->n_lists == LISTS)
    spec->variant = POINTER;
  spec_fit (spec);
}

static void
place_values (Tables *tables, Memory *memory, const Spec *spec, CprField *field)
{
  switch (spec->variant)
    {
    case HEAP:
    case POINTER:
      field->layout = CPR_LAYOUT_HEAP;
      field->offset = place (memory, sizeof (void *), sizeof (void *));
      break;
    case LIST:
      field->layout = CPR_LAYOUT_LIST;
      field->list = list_slot (tables->n_lists);
      list_set_type (tables->n_lists++, field->type);
      field->offset = place (memory, sizeof (void *), sizeof (void *));
      break;
    case GROUP:
      field->needed = needed[spec->group];
      break;
    case RETIRED:
      field->layout = CPR_LAYOUT_NONE;
      break;
    default:
      field->offset = place (memory, field->width * field->count + (spec->kind == CPR_KIND_STRING),
                             spec->kind == CPR_KIND_STRUCT ? 8 : field->width);
      break;
    }
}

static void
add_field (Tables *tables, Table *owner, Spec spec, const char *name, const char *aliases, const CprStruct *nested)
{
  Memory *memory = owner->memory;
  CprField field;

  make_room (tables, owner, &spec, nested);
  field = (CprField){ .name = name,
                      .aliases = aliases,
                      .kind = spec.kind,
                      .optional = spec.optional,
                      .ignorable = spec.ignorable,
                      .width = spec.width,
                      .count = spec.count,
                      .default_value = spec.default_value };
  if (spec.kind == CPR_KIND_STRUCT)
    {
      field.type = nested;
      field.width = nested->size; /* a group's isn't known yet */
    }
  if (spec.variant == ARRAY)
    field.shape = CPR_SHAPE_ARRAY;
  else if (spec.variant == COUNTED || spec.variant == LIST || (spec.variant == HEAP && spec.kind != CPR_KIND_STRING))
    field.shape = CPR_SHAPE_COUNTED;
  if (field.shape == CPR_SHAPE_COUNTED && spec.variant != LIST)
    {
      field.count_width = spec.count_width;
      field.count_offset = place (memory, spec.count_width, spec.count_width);
    }
  place_values (tables, memory, &spec, &field);
  g_array_append_val (owner->fields, field);
  owner->type.fields = (CprField *) owner->fields->data;
}

static void
set_size (Table *table, size_t size)
{
  table->type.size = size;
  for (guint i = 0; i < table->fields->len; i++)
    {
      CprField *field = &g_array_index (table->fields, CprField, i);

      if (!field_is_group (field))
        continue;
      set_size ((Table *) field->type, size);
      field->width = size;
    }
}

/* ---- Pairs. */

/* The two sides of a pair while it is made. */
typedef struct
{
  Table *writer, *reader;
  unsigned depth, deepest;
} Making;

static char *
make_name (Tables *tables, unsigned n)
{
  char *name = g_strdup_printf ("f%u", n);

  if (n % 32 == 31) /* as long as a name can be */
    {
      char *end = g_strnfill (CPR_NAME_MAX - strlen (name), 'x');
      char *both = g_strconcat (name, end, NULL);

      g_free (name);
      g_free (end);
      name = both;
    }
  g_ptr_array_add (tables->strings, name);
  return name;
}

static Pair make_pair (Tables *tables, unsigned depth, Memory *writer, Memory *reader);

/* Chooses the structs of a field that is a struct on one side or on both. */
static Pair
choose_nested (Tables *tables, Making *making, bool writer_group, bool reader_group)
{
  unsigned n = choose_byte (tables->choices);
  Pair pair = { NULL, NULL, 0 };

  if (!writer_group && !reader_group && n < 64 && tables->pairs->len > 0)
    pair = g_array_index (tables->pairs, Pair, n % tables->pairs->len);
  if (pair.depth == 0 || making->depth + pair.depth > MAX_DEPTH)
    pair = make_pair (tables, making->depth + 1, writer_group ? making->writer->memory : NULL,
                      reader_group ? making->reader->memory : NULL);
  making->deepest = MAX (making->deepest, pair.depth);
  return pair;
}

/* Changes a field where structs can't be nested deeper, or where there are enough fields or
 * groups. */
static void
limit_spec (const Tables *tables, const Making *making, Table *table, Spec *spec)
{
  if (spec->kind == CPR_KIND_STRUCT && (making->depth >= MAX_DEPTH || tables->n_fields > MAX_FIELDS / 2))
    spec->kind = CPR_KIND_UINT;
  if (spec->variant == GROUP && table->memory->n_groups == TABLES_GROUPS)
    spec->variant = POINTER;
  spec_fit (spec);
  if (spec->variant == GROUP)
    spec->group = table->memory->n_groups++;
}

/* A field as both sides know it, or only one of them. */
typedef struct
{
  Spec writer, reader;
  bool in_writer, in_reader, renamed, alias, both_names;
} Twins;

static Twins
choose_twins (Choices *choices)
{
  unsigned how = choose (choices, 24);
  Twins twins = { .in_writer = how != 23, .in_reader = how != 22 };

  twins.renamed = how >= 18 && how < 22;
  twins.alias = how >= 19; /* and not just a new name */
  twins.both_names = how == 21 && choose (choices, 4) == 3;
  twins.writer = spec_choose (choices);
  twins.reader = how < 8 ? twins.writer : spec_change (twins.writer, choices);
  return twins;
}

static void
make_field (Tables *tables, Making *making)
{
  Twins twins = choose_twins (tables->choices);
  char *name = make_name (tables, tables->n_fields++), *new_name = name, *aliases = NULL;
  Pair nested = { NULL, NULL, 0 };

  limit_spec (tables, making, making->writer, &twins.writer);
  limit_spec (tables, making, making->reader, &twins.reader);
  if (twins.renamed)
    new_name = make_name (tables, tables->n_fields++);
  if (twins.renamed && twins.alias)
    {
      aliases = g_strdup_printf ("even-older-%u %s", tables->n_fields, name);
      g_ptr_array_add (tables->strings, aliases);
    }
  if (twins.writer.kind == CPR_KIND_STRUCT || twins.reader.kind == CPR_KIND_STRUCT)
    nested = choose_nested (tables, making, twins.in_writer && twins.writer.variant == GROUP,
                            twins.in_reader && twins.reader.variant == GROUP);
  if (twins.in_writer)
    add_field (tables, making->writer, twins.writer, name, NULL, nested.writer);
  if (twins.both_names)
    add_field (tables, making->writer, (Spec){ .kind = CPR_KIND_BOOL, .width = 1, .count = 1 }, new_name, NULL, NULL);
  if (twins.in_reader)
    add_field (tables, making->reader, twins.reader, new_name, aliases, nested.reader);
}

/* A reader's fields needn't be in the writer's order. */
static void
swap_fields (Table *table, Choices *choices)
{
  CprField *fields = (CprField *) table->fields->data, field;
  guint a = choose_byte (choices) % table->fields->len, b = choose_byte (choices) % table->fields->len;

  field = fields[a];
  fields[a] = fields[b];
  fields[b] = field;
}

static void
finish (Tables *tables, Table *table)
{
  const Spec some = { .kind = CPR_KIND_UINT, .width = 1, .count = 1 };

  if (table->fields->len == 0)
    add_field (tables, table, some, "only", NULL, NULL);
  if (table->memory == &table->own)
    set_size (table, (table->own.used + 7) / 8 * 8);
}

static Pair
make_pair (Tables *tables, unsigned depth, Memory *writer, Memory *reader)
{
  Making making = { .writer = add_table (tables, writer), .reader = add_table (tables, reader), .depth = depth };
  unsigned n = 1 + choose (tables->choices, 8);
  Pair pair;

  while (n-- > 0 && tables->n_fields < MAX_FIELDS)
    make_field (tables, &making);
  finish (tables, making.writer);
  finish (tables, making.reader);
  while (choose_one_in (tables->choices, 4))
    swap_fields (making.reader, tables->choices);
  pair = (Pair){ &making.writer->type, &making.reader->type, making.deepest + 1 };
  if (writer == NULL && reader == NULL)
    g_array_append_val (tables->pairs, pair);
  return pair;
}

Pair
tables_make_pair (Tables *tables)
{
  return make_pair (tables, 1, NULL, NULL);
}

/* ---- What a careless hand could write. */

/* Changes what the field refers to, or its names. */
static void
spoil_reference (Choices *choices, CprField *field, unsigned what, const CprStruct *other)
{
  switch (what)
    {
    case 10:
      field->type = other;
      field->width = other->size;
      break;
    case 11:
      field->default_value = choose_bytes (choices, 8);
      break;
    case 12:
      field->list = NULL;
      break;
    case 13:
      field->needed = field->needed == NULL ? needed[0] : NULL;
      break;
    case 14:
      field->name = choose (choices, 2) == 0 ? "" : field[choose (choices, 2)].name;
      break;
    default:
      field->aliases = choose (choices, 2) == 0 ? "f0 f1" : "two  spaces";
      break;
    }
}

static void
spoil_field (Tables *tables, Choices *choices, CprField *field)
{
  static const size_t sizes[] = { 0, 1, 2, 3, 4, 8, 9, 255, 256, 65536, (size_t) 1 << 30, UINT32_MAX, SIZE_MAX };
  size_t size = sizes[choose (choices, G_N_ELEMENTS (sizes))];
  const Table *other = tables->structs->pdata[choose_byte (choices) % tables->structs->len];
  unsigned what = choose (choices, 16);

  switch (what)
    {
    case 0:
      field->kind = choose (choices, 12);
      break;
    case 1:
      field->shape = choose (choices, 4);
      break;
    case 2:
      field->layout = choose (choices, 5);
      break;
    case 3:
      field->optional = !field->optional;
      break;
    case 4:
      field->ignorable = !field->ignorable;
      break;
    case 5:
      field->offset += size;
      break;
    case 6:
      field->width = size;
      break;
    case 7:
      field->count = size;
      break;
    case 8:
      field->count_offset += size;
      break;
    case 9:
      field->count_width = size;
      break;
    default:
      spoil_reference (choices, field, what, &other->type);
      break;
    }
}

void
tables_spoil (Tables *tables, Choices *choices)
{
  Table *table = tables->structs->pdata[choose_byte (choices) % tables->structs->len];
  CprField *fields = (CprField *) table->fields->data;

  if (choose_one_in (choices, 32))
    table->type.size = choose_bytes (choices, 5);
  else if (choose_one_in (choices, 32))
    table->type.name = "";
  else
    spoil_field (tables, choices, &fields[choose_byte (choices) % table->fields->len]);
}
