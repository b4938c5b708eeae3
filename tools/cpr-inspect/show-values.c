/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The values of a device, as a tree for people. Called by show.c. */
#include "show-values.h"

#include <inttypes.h>
#include <stdio.h>

#include "stream/value.h"
#include "text.h"

/* How many elements, or bytes, are printed: nobody reads more, and --json has all. */
#define MOST 64

typedef struct
{
  unsigned depth;
  const CprSchemaField *field;
  GArray *scopes; /* int: -1: in a struct; else in a list of structs, the next one's index */
  int padding;    /* after the field's name, before its value */
  bool in_list;   /* of values on one line */
  uint32_t n, count;
} Tree;

static void
put_indent (const Tree *tree)
{
  printf ("%*s", (int) (4 + 2 * tree->depth), "");
}

static int *
top_scope (const Tree *tree)
{
  return tree->scopes->len > 0 ? &g_array_index (tree->scopes, int, tree->scopes->len - 1) : NULL;
}

static void
push_scope (Tree *tree, int scope)
{
  g_array_append_val (tree->scopes, scope);
}

static void
pop_scope (Tree *tree)
{
  g_array_set_size (tree->scopes, tree->scopes->len - 1);
}

static void
on_field (const CprSchemaField *field, void *data)
{
  Tree *tree = data;
  g_autofree char *name = inspect_text_escape (field->name, strlen (field->name));

  tree->field = field;
  put_indent (tree);
  fputs (name, stdout);
  tree->padding = 19 - 2 * (int) tree->depth - (int) g_utf8_strlen (name, -1);
}

static void
put_padding (const Tree *tree)
{
  printf ("%*s", MAX (tree->padding, 1), "");
}

static void
on_absent (void *data)
{
  const CprSchemaField *field = ((Tree *) data)->field;

  put_padding (data);
  fputs ("absent", stdout);
  if (cpr_kind_is_number (field->kind) && (field->flags & CPR_FIELD_FLAG_COUNTED) == 0)
    {
      g_autofree char *value = inspect_text_number (field, field->default_value);

      printf (" (%s%s)", (field->flags & CPR_FIELD_FLAG_ARRAY) != 0 ? "all " : "", value);
    }
  putchar ('\n');
}

static void
on_begin_list (uint32_t count, void *data)
{
  Tree *tree = data;

  put_padding (tree);
  if (tree->field->kind == CPR_KIND_STRUCT)
    {
      printf ("%" PRIu32 " element%s\n", count, count == 1 ? "" : "s");
      push_scope (tree, 0);
      tree->depth++;
      return;
    }
  tree->in_list = true;
  tree->n = 0;
  tree->count = count;
  putchar ('[');
}

static void
on_end_list (void *data)
{
  Tree *tree = data;

  if (!tree->in_list)
    {
      pop_scope (tree);
      tree->depth--;
      return;
    }
  tree->in_list = false;
  if (tree->count > MOST)
    printf (", … (%" PRIu32 " in all)", tree->count);
  puts ("]");
}

/* A value on the line of its field, or one more of its list. */
static void
put_value (Tree *tree, const char *text)
{
  if (!tree->in_list)
    {
      put_padding (tree);
      puts (text);
    }
  else if (tree->n++ < MOST)
    printf ("%s%s", tree->n > 1 ? ", " : "", text);
}

static void
on_begin_struct (void *data)
{
  Tree *tree = data;
  int *scope = top_scope (tree);

  if (scope != NULL && *scope >= 0)
    {
      put_indent (tree);
      printf ("[%d]\n", (*scope)++);
    }
  else if (scope != NULL)
    putchar ('\n');
  tree->depth += scope != NULL;
  push_scope (tree, -1);
}

static void
on_end_struct (void *data)
{
  Tree *tree = data;

  pop_scope (tree);
  tree->depth -= tree->scopes->len > 0;
}

static void
on_number (const CprSchemaField *field, uint64_t value, void *data)
{
  Tree *tree = data;
  g_autofree char *text = NULL;

  if (tree->in_list && tree->n >= MOST)
    return;
  text = inspect_text_number (field, value);
  put_value (tree, text);
}

static void
on_bytes (const uint8_t *bytes, size_t len, void *data)
{
  const CprSchemaField *field = ((Tree *) data)->field;
  g_autofree char *text = NULL;

  put_padding (data);
  if (field->kind == CPR_KIND_STRING)
    {
      text = inspect_text_escape ((const char *) bytes, len);
      printf ("\"%s\"\n", text);
      return;
    }
  text = inspect_text_hex (bytes, MIN (len, MOST));
  if (len > MOST)
    printf ("%s… (%zu bytes)\n", text, len);
  else
    puts (len > 0 ? text : "no bytes");
}

static void
on_fd (const char *name, int index, void *data)
{
  g_autofree char *text = inspect_text_fd (name, index);

  put_value (data, text);
}

void
inspect_show_device (const InspectState *state, const InspectDevice *device)
{
  g_autofree char *name = inspect_text_escape (device->name, strlen (device->name));
  g_autofree char *type = inspect_text_escape (device->type->name, strlen (device->type->name));
  Tree tree = { .scopes = g_array_new (FALSE, FALSE, sizeof (int)) };
  const CprVisitor visitor = { .begin_field = on_field,
                               .absent = on_absent,
                               .begin_list = on_begin_list,
                               .end_list = on_end_list,
                               .begin_struct = on_begin_struct,
                               .end_struct = on_end_struct,
                               .number = on_number,
                               .bytes = on_bytes,
                               .fd = on_fd,
                               .user_data = &tree };

  printf ("  %s: %s\n", name, type);
  inspect_device_walk (state, device, &visitor);
  g_array_unref (tree.scopes);
}
