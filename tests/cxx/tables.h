/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_CXX_TABLES_H
#define TESTS_CXX_TABLES_H

/* A device with a field of every kind. Both a C file and a C++ file include these tables, and the
 * test compares what the two compilers make of them. */

#include <libcpr/libcpr.h>

G_BEGIN_DECLS

typedef struct
{
  uint16_t x;
  bool set;
} Inner;

enum colour
{
  RED,
  BLUE = 7
};

typedef struct
{
  bool flag;
  char letter;
  int8_t i8;
  uint16_t u16;
  int i32;
  unsigned long ul;
  long long ll;
  enum colour colour;
  float f;
  double d;
  const uint32_t constant;
  struct
  {
    uint32_t flags__, words[2];
  } hdr;
  uint32_t array[4], queue[3], n_heap, n_bytes;
  uint8_t n_queue;
  int16_t *heap;
  uint8_t raw[5], *heap_bytes;
  char text[16], *label;
  Inner inner, inners[2], counted[3], *pointer;
  uint64_t n_counted;
  GSList *list;
  int fd, fds[2];
  int64_t when;
  uint8_t fifo_depth;
  uint64_t drops;
  int32_t before_us, after_us;
} Everything;

extern uint32_t a_variable, some_variables[3];
extern Inner a_struct;

/* The C file's tables. */
extern const CprStruct c_struct;

G_END_DECLS

static void *
list_get_next (const void *container, const void *element)
{
  GSList *link = *(GSList *const *) container;

  if (element != NULL)
    link = g_slist_find (link, element)->next;
  return link != NULL ? link->data : NULL;
}

static void *
list_append (void *container)
{
  GSList **list = (GSList **) container;
  void *element = g_malloc0 (sizeof (Inner));

  *list = g_slist_append (*list, element);
  return element;
}

static void
list_clear (void *container)
{
  GSList **list = (GSList **) container;

  g_slist_free_full (*list, g_free);
  *list = NULL;
}

static bool
is_delayed (const void *device)
{
  return ((const Everything *) device)->before_us != 0;
}

static const CprList list_callbacks = { list_get_next, list_append, list_clear };
static const CprField inner_fields[] = { CPR_FIELD (Inner, x), CPR_FIELD_OPTIONAL (Inner, set, true), CPR_FIELD_END };
static const CprStruct inner_struct = { "Inner", sizeof (Inner), inner_fields };
static const CprField delay_fields[] = { CPR_FIELD (Everything, before_us), CPR_FIELD (Everything, after_us),
                                         CPR_FIELD_END };
static const CprStruct delay_struct = { "Delay", sizeof (Everything), delay_fields };

static const CprField everything_fields[] = {
  CPR_FIELD (Everything, flag),
  CPR_FIELD (Everything, letter),
  CPR_FIELD (Everything, i8),
  CPR_FIELD (Everything, u16, CPR_ALIASES ("short oldest")),
  CPR_FIELD (Everything, i32, CPR_OPTIONAL),
  CPR_FIELD (Everything, ul, CPR_IGNORABLE, CPR_WRITTEN_AS ("unsigned_long")),
  CPR_FIELD (Everything, ll),
  CPR_FIELD (Everything, colour),
  CPR_FIELD (Everything, f),
  CPR_FIELD (Everything, d, CPR_OPTIONAL),
  CPR_FIELD (Everything, constant),
  CPR_FIELD (Everything, hdr.flags__, CPR_WRITTEN_AS ("flags")),
  CPR_FIELD_ARRAY (Everything, hdr.words, CPR_WRITTEN_AS ("words")),
  CPR_FIELD_ARRAY (Everything, array, CPR_OPTIONAL),
  CPR_FIELD_COUNTED (Everything, queue, n_queue),
  CPR_FIELD_HEAP_ARRAY (Everything, heap, n_heap, 100),
  CPR_FIELD_BYTES (Everything, raw),
  CPR_FIELD_HEAP_BYTES (Everything, heap_bytes, n_bytes, 1000),
  CPR_FIELD_STRING (Everything, text),
  CPR_FIELD_HEAP_STRING (Everything, label, 255, CPR_ALIASES ("owner")),
  CPR_FIELD_STRUCT (Everything, inner, Inner, inner_struct),
  CPR_FIELD_STRUCT_ARRAY (Everything, inners, Inner, inner_struct),
  CPR_FIELD_STRUCT_COUNTED (Everything, counted, n_counted, Inner, inner_struct, CPR_OPTIONAL),
  CPR_FIELD_POINTER (Everything, pointer, Inner, inner_struct),
  CPR_FIELD_LIST (Everything, list, Inner, inner_struct, 50, list_callbacks),
  CPR_FIELD_FD (Everything, fd),
  CPR_FIELD_FD_ARRAY (Everything, fds, CPR_OPTIONAL),
  CPR_FIELD_TIME (Everything, when),
  CPR_FIELD_OPTIONAL (Everything, fifo_depth, 16),
  CPR_FIELD_IGNORABLE (Everything, drops, -1, CPR_ALIASES ("lost")),
  CPR_FIELD_GROUP (Everything, "delay", delay_struct, is_delayed),
  CPR_FIELD_RETIRED (pace, int16_t, -100),
  CPR_FIELD_VARIABLE (a_variable),
  CPR_FIELD_VARIABLE_ARRAY (some_variables, CPR_OPTIONAL),
  CPR_FIELD_VARIABLE_BYTES (a_struct),
  CPR_FIELD_END,
};
static const CprStruct everything_struct = { "Everything", sizeof (Everything), everything_fields };

#endif
