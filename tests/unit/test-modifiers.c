/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The modifiers that each macro of a field takes: field.h is compared with the check of tables. */
#include "helpers.h"

#include "stream/struct.h"

typedef struct
{
  uint32_t x;
} Inner;

typedef struct
{
  uint32_t one, array[2], n_counted, counted[2], n_heap, n_heap_bytes, n_structs;
  uint32_t *heap;
  uint8_t bytes[2], *heap_bytes;
  char string[4], *heap_string;
  Inner inner, inners[2], structs[2], *pointer;
  void *list;
  int fd, fds[2];
  int64_t time;
} Outer;

static void *
get_next (const void *container G_GNUC_UNUSED, const void *element G_GNUC_UNUSED)
{
  return NULL;
}

static void *
append (void *container G_GNUC_UNUSED)
{
  return NULL;
}

static void
clear (void *container G_GNUC_UNUSED)
{
}

static bool
is_needed (const void *owner G_GNUC_UNUSED)
{
  return true;
}

static const CprField inner_fields[] = { CPR_FIELD (Inner, x), CPR_FIELD_END };
static const CprStruct inner_struct = { "Inner", sizeof (Inner), inner_fields };
static const CprField group_fields[] = { CPR_FIELD (Outer, one), CPR_FIELD_END };
static const CprStruct group_struct = { "Group", sizeof (Outer), group_fields };
static const CprList callbacks = { get_next, append, clear };

static uint32_t variable, variables[2];

static const struct
{
  const char *macro;
  CprField field;
} rows[] = {
  { "CPR_FIELD", CPR_FIELD (Outer, one) },
  { "CPR_FIELD_OPTIONAL", CPR_FIELD_OPTIONAL (Outer, one, 7) },
  { "CPR_FIELD_IGNORABLE", CPR_FIELD_IGNORABLE (Outer, one, 7) },
  { "CPR_FIELD_ARRAY", CPR_FIELD_ARRAY (Outer, array) },
  { "CPR_FIELD_COUNTED", CPR_FIELD_COUNTED (Outer, counted, n_counted) },
  { "CPR_FIELD_HEAP_ARRAY", CPR_FIELD_HEAP_ARRAY (Outer, heap, n_heap, 5) },
  { "CPR_FIELD_BYTES", CPR_FIELD_BYTES (Outer, bytes) },
  { "CPR_FIELD_HEAP_BYTES", CPR_FIELD_HEAP_BYTES (Outer, heap_bytes, n_heap_bytes, 5) },
  { "CPR_FIELD_STRING", CPR_FIELD_STRING (Outer, string) },
  { "CPR_FIELD_HEAP_STRING", CPR_FIELD_HEAP_STRING (Outer, heap_string, 5) },
  { "CPR_FIELD_STRUCT", CPR_FIELD_STRUCT (Outer, inner, Inner, inner_struct) },
  { "CPR_FIELD_POINTER", CPR_FIELD_POINTER (Outer, pointer, Inner, inner_struct) },
  { "CPR_FIELD_STRUCT_ARRAY", CPR_FIELD_STRUCT_ARRAY (Outer, inners, Inner, inner_struct) },
  { "CPR_FIELD_STRUCT_COUNTED", CPR_FIELD_STRUCT_COUNTED (Outer, structs, n_structs, Inner, inner_struct) },
  { "CPR_FIELD_LIST", CPR_FIELD_LIST (Outer, list, Inner, inner_struct, 5, callbacks) },
  { "CPR_FIELD_FD", CPR_FIELD_FD (Outer, fd) },
  { "CPR_FIELD_FD_ARRAY", CPR_FIELD_FD_ARRAY (Outer, fds) },
  { "CPR_FIELD_TIME", CPR_FIELD_TIME (Outer, time) },
  { "CPR_FIELD_GROUP", CPR_FIELD_GROUP (Outer, "group", group_struct, is_needed) },
  { "CPR_FIELD_RETIRED", CPR_FIELD_RETIRED (gone, uint32_t, 7) },
  { "CPR_FIELD_VARIABLE", CPR_FIELD_VARIABLE (variable) },
  { "CPR_FIELD_VARIABLE_ARRAY", CPR_FIELD_VARIABLE_ARRAY (variables) },
  { "CPR_FIELD_VARIABLE_BYTES", CPR_FIELD_VARIABLE_BYTES (variables) },
};

/* The documented modifiers of a macro. */
static char *
read_modifiers (const char *macro)
{
  const char *top = g_getenv ("abs_top_srcdir") != NULL ? g_getenv ("abs_top_srcdir") : g_getenv ("top_srcdir");
  g_autofree char *path = g_strdup_printf ("%s/include/libcpr/field.h", top != NULL ? top : ".");
  g_autofree char *head = g_strdup_printf ("/**\n * %s:\n", macro), *text = NULL;
  const char *at, *end;

  ck_assert_msg (g_file_get_contents (path, &text, NULL, NULL), "%s: set abs_top_srcdir", path);
  at = strstr (text, head);
  ck_assert_msg (at != NULL, "%s isn't documented", macro);
  end = strstr (at, "*/");
  at = strstr (at, " * @...: modifiers: ");
  ck_assert_msg (at != NULL && at < end, "%s: its modifiers aren't documented", macro);
  return g_strndup (at, strcspn (at, "\n"));
}

static bool
is_sane (CprField field, bool optional, bool ignorable)
{
  CprField fields[] = { field, CPR_FIELD_END };
  const CprStruct type = { "Outer", sizeof (Outer), fields };

  fields[0].optional = optional;
  fields[0].ignorable = ignorable;
  return cpr_struct_check (&type, NULL);
}

START_TEST (each_macro_lists_the_modifiers_that_it_takes)
{
  const CprField field = rows[_i].field;
  g_autofree char *said = read_modifiers (rows[_i].macro);
  bool by_itself = field.optional;

  ck_assert_msg (is_sane (field, field.optional, field.ignorable), "%s", rows[_i].macro);
  ck_assert_msg ((strstr (said, "%CPR_OPTIONAL") != NULL) == (!by_itself && is_sane (field, true, false)), "%s: %s",
                 rows[_i].macro, said);
  ck_assert_msg ((strstr (said, "%CPR_IGNORABLE") != NULL) == (!by_itself && is_sane (field, true, true)), "%s: %s",
                 rows[_i].macro, said);
  ck_assert_msg ((strstr (said, ".ignorable = true") != NULL) ==
                     (by_itself && !field.ignorable && is_sane (field, true, true)),
                 "%s: %s", rows[_i].macro, said);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("modifiers");

  tcase_add_loop_test (tests, each_macro_lists_the_modifiers_that_it_takes, 0, G_N_ELEMENTS (rows));
  return run_suite (suite);
}
