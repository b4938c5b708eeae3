/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The values of a device, each with the way to it. Called by devices.c. */
#include "flat.h"

#include <inttypes.h>

#include "../text.h"

/* A list of structs, or a struct, that is being walked through. */
typedef struct
{
  gsize path_len; /* up to its own name */
  int64_t next;   /* -1: a struct; else the index of the next element */
} Scope;

typedef struct
{
  Flat *flat;
  GString *path;
  GArray *scopes;
  const CprSchemaField *field;
  FlatValue *list; /* the one whose elements come */
} Walk;

static void
free_value (void *data)
{
  FlatValue *value = data;

  g_free (value->path);
  g_free (value->text);
  g_clear_pointer (&value->list, g_ptr_array_unref);
  g_free (value);
}

/* Takes @text. */
static FlatValue *
add (Walk *walk, char *text)
{
  FlatValue *value = g_new0 (FlatValue, 1);

  value->path = g_strdup (walk->path->str);
  value->text = text;
  value->field = *walk->field;
  g_ptr_array_add (walk->flat->values, value);
  g_hash_table_insert (walk->flat->by_path, value->path, value);
  return value;
}

/* An element of a list, or the value of a field. */
static void
put (Walk *walk, char *text)
{
  if (walk->list != NULL)
    g_ptr_array_add (walk->list->list, text);
  else
    add (walk, text);
}

static Scope *
top (const Walk *walk)
{
  return walk->scopes->len > 0 ? &g_array_index (walk->scopes, Scope, walk->scopes->len - 1) : NULL;
}

static void
push (Walk *walk, int64_t next)
{
  Scope scope = { walk->path->len, next };

  g_array_append_val (walk->scopes, scope);
}

/* A name with a dot in it isn't the way to something else. */
static void
append_name (GString *path, const char *name)
{
  g_autofree char *escaped = inspect_text_escape (name, strlen (name));

  for (const char *at = escaped; *at != '\0'; at++)
    if (*at == '.' || *at == '[')
      g_string_append_printf (path, "\\x%02x", (unsigned) *at);
    else
      g_string_append_c (path, *at);
}

static void
on_field (const CprSchemaField *field, void *data)
{
  Walk *walk = data;

  walk->field = field;
  g_string_truncate (walk->path, top (walk)->path_len);
  if (walk->path->len > 0)
    g_string_append_c (walk->path, '.');
  append_name (walk->path, field->name);
}

static void
on_absent (void *data)
{
  add (data, g_strdup ("absent"));
}

static void
on_begin_list (uint32_t count, void *data)
{
  Walk *walk = data;

  if (walk->field->kind == CPR_KIND_STRUCT)
    {
      add (walk, g_strdup_printf ("%" PRIu32 " element%s", count, count == 1 ? "" : "s"));
      push (walk, 0);
      return;
    }
  walk->list = add (walk, NULL);
  walk->list->list = g_ptr_array_new_with_free_func (g_free);
}

static void
on_end_list (void *data)
{
  Walk *walk = data;

  if (walk->list == NULL)
    g_array_set_size (walk->scopes, walk->scopes->len - 1);
  walk->list = NULL;
}

static void
on_begin_struct (void *data)
{
  Walk *walk = data;
  Scope *scope = top (walk);

  if (scope != NULL && scope->next >= 0)
    {
      g_string_truncate (walk->path, scope->path_len);
      g_string_append_printf (walk->path, "[%" PRId64 "]", scope->next++);
    }
  else if (scope != NULL && (walk->field->flags & CPR_FIELD_FLAG_OPTIONAL) != 0)
    add (walk, g_strdup ("present"));
  push (walk, -1);
}

static void
on_end_struct (void *data)
{
  Walk *walk = data;

  g_array_set_size (walk->scopes, walk->scopes->len - 1);
}

static void
on_number (const CprSchemaField *field, uint64_t value, void *data)
{
  put (data, inspect_text_number (field, value));
}

static void
on_bytes (const uint8_t *bytes, size_t len, void *data)
{
  Walk *walk = data;
  g_autofree char *text = NULL;
  FlatValue *value;

  if (walk->field->kind == CPR_KIND_STRING)
    {
      text = inspect_text_escape ((const char *) bytes, len);
      add (walk, g_strdup_printf ("\"%s\"", text));
      return;
    }
  value = add (walk, NULL);
  value->bytes = bytes;
  value->len = len;
}

static void
on_fd (const char *name, int index, void *data)
{
  put (data, inspect_text_fd (name, index));
}

void
flat_init (Flat *flat, const InspectState *state, const InspectDevice *device)
{
  Walk walk = { .flat = flat };
  const CprVisitor visitor = { .begin_field = on_field,
                               .absent = on_absent,
                               .begin_list = on_begin_list,
                               .end_list = on_end_list,
                               .begin_struct = on_begin_struct,
                               .end_struct = on_end_struct,
                               .number = on_number,
                               .bytes = on_bytes,
                               .fd = on_fd,
                               .user_data = &walk };

  flat->values = g_ptr_array_new_with_free_func (free_value);
  flat->by_path = g_hash_table_new (g_str_hash, g_str_equal);
  walk.path = g_string_new (NULL);
  walk.scopes = g_array_new (FALSE, FALSE, sizeof (Scope));
  inspect_device_walk (state, device, &visitor);
  g_string_free (walk.path, TRUE);
  g_array_unref (walk.scopes);
}

void
flat_clear (Flat *flat)
{
  g_clear_pointer (&flat->by_path, g_hash_table_unref);
  g_clear_pointer (&flat->values, g_ptr_array_unref);
}
