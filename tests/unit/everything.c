/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "everything.h"

/* ---- A list. */

static void *
get_next (const void *container, const void *element)
{
  return element != NULL ? ((const Node *) element)->next : ((const NodeList *) container)->first;
}

static void *
append (void *container)
{
  return node_list_add (container, 0, NULL);
}

static void
clear (void *container)
{
  node_list_clear (container);
}

const CprList node_callbacks = { get_next, append, clear };

Node *
node_list_add (NodeList *list, uint32_t id, const char *label)
{
  Node *node = g_new0 (Node, 1);

  node->id = id;
  node->label = g_strdup (label);
  if (list->last != NULL)
    list->last->next = node;
  else
    list->first = node;
  list->last = node;
  return node;
}

void
node_list_clear (NodeList *list)
{
  for (Node *node = list->first, *next; node != NULL; node = next)
    {
      next = node->next;
      g_free (node->label);
      g_free (node);
    }
  *list = (NodeList){ NULL, NULL };
}

static const CprField node_fields[] = { CPR_FIELD (Node, id), CPR_FIELD_HEAP_STRING (Node, label, 40), CPR_FIELD_END };
const CprStruct node_struct = { "Node", sizeof (Node), node_fields };

/* ---- A branch. */

static const CprField branch_fields[] = {
  CPR_FIELD_STRUCT (Branch, inner, Node, node_struct),
  CPR_FIELD_STRUCT_ARRAY (Branch, array, Node, node_struct),
  CPR_FIELD_STRUCT_COUNTED (Branch, some, n_some, Node, node_struct),
  CPR_FIELD_LIST (Branch, list, Node, node_struct, 4, node_callbacks),
  CPR_FIELD_POINTER (Branch, timer, Timer, timer_struct),
  CPR_FIELD_END,
};
const CprStruct branch_struct = { "Branch", sizeof (Branch), branch_fields };

Branch *
branch_new (uint32_t id)
{
  Branch *branch = g_new0 (Branch, 1);

  branch->inner = (Node){ id, g_strdup ("inner"), NULL };
  branch->array[1] = (Node){ id + 1, g_strdup (""), NULL };
  branch->n_some = 1;
  branch->some[0] = (Node){ id + 2, g_strdup ("some"), NULL };
  node_list_add (&branch->list, id + 3, "listed");
  branch->timer = g_new0 (Timer, 1);
  branch->timer->period = id;
  return branch;
}

void
branch_free (Branch *branch)
{
  if (branch == NULL)
    return;
  g_free (branch->inner.label);
  for (int i = 0; i < 2; i++)
    {
      g_free (branch->array[i].label);
      g_free (branch->some[i].label);
    }
  node_list_clear (&branch->list);
  g_free (branch->timer);
  g_free (branch);
}

/* ---- Everything. */

static bool
is_grouped (const void *device)
{
  return ((const Everything *) device)->grouped;
}

static const CprField group_fields[] = { CPR_FIELD (Everything, x), CPR_FIELD (Everything, y), CPR_FIELD_END };
static const CprStruct group_struct = { "Group", sizeof (Everything), group_fields };

static const CprField everything_fields[] = {
  CPR_FIELD (Everything, flag),
  CPR_FIELD (Everything, letter),
  CPR_FIELD (Everything, i8),
  CPR_FIELD (Everything, i16),
  CPR_FIELD (Everything, i32),
  CPR_FIELD (Everything, i64),
  CPR_FIELD (Everything, u8),
  CPR_FIELD (Everything, u16),
  CPR_FIELD (Everything, u32),
  CPR_FIELD (Everything, u64),
  CPR_FIELD (Everything, f32),
  CPR_FIELD (Everything, f64),
  CPR_FIELD (Everything, colour),
  CPR_FIELD_OPTIONAL (Everything, optional, 500),
  CPR_FIELD_IGNORABLE (Everything, ignorable, -1),
  CPR_FIELD_ARRAY (Everything, array),
  CPR_FIELD_COUNTED (Everything, counted, n_counted),
  CPR_FIELD_HEAP_ARRAY (Everything, numbers, n_numbers, 100),
  CPR_FIELD_BYTES (Everything, bytes),
  CPR_FIELD_HEAP_BYTES (Everything, buffer, n_buffer, 1000),
  CPR_FIELD_STRING (Everything, text),
  CPR_FIELD_HEAP_STRING (Everything, name, 60),
  CPR_FIELD_STRUCT (Everything, timer, Timer, timer_struct),
  CPR_FIELD_STRUCT_ARRAY (Everything, timers, Timer, timer_struct),
  CPR_FIELD_STRUCT_COUNTED (Everything, queue, n_queue, Timer, timer_struct),
  CPR_FIELD_POINTER (Everything, branch, Branch, branch_struct),
  CPR_FIELD_LIST (Everything, nodes, Node, node_struct, 10, node_callbacks),
  CPR_FIELD_FD (Everything, fd),
  CPR_FIELD_FD_ARRAY (Everything, fds),
  CPR_FIELD_TIME (Everything, when),
  CPR_FIELD (Everything, grouped),
  CPR_FIELD_GROUP (Everything, "position", group_struct, is_grouped),
  CPR_FIELD_RETIRED (gone, uint16_t, 7),
  CPR_FIELD_END,
};
const CprStruct everything_struct = { "Everything", sizeof (Everything), everything_fields };
const CprDeviceType everything_type = {
  .size = sizeof (CprDeviceType),
  .name = "everything",
  .version = 1,
  .minimum_version = 1,
  .state = { "Everything", sizeof (Everything), everything_fields },
};

static int
fd_of (const CprFdTable *fds, int index)
{
  const CprFdEntry *entry = fds != NULL ? cpr_fd_table_find (fds, "disk", index) : NULL;

  return entry != NULL ? entry->fd : -1;
}

void
everything_add_fds (CprFdTable *fds)
{
  CprCursor cursor;
  CprWriter writer;

  cpr_writer_init (&writer, -1);
  cpr_writer_put_u32 (&writer, 3);
  for (uint32_t i = 0; i < 3; i++)
    {
      cpr_writer_put_string (&writer, "disk");
      cpr_writer_put_u32 (&writer, i);
      cpr_writer_put_u32 (&writer, 100 + i);
      for (int j = 0; j < 8; j++)
        cpr_writer_put_u32 (&writer, 0);
    }
  cursor = written_from (&writer, CPR_FORMAT_HEADER_SIZE);
  ck_assert (cpr_fd_table_read (fds, &cursor, NULL));
  cpr_writer_clear (&writer);
}

static void
fill_numbers (Everything *all)
{
  *all = (Everything){
    .flag = true,
    .letter = '\xff',
    .i8 = INT8_MIN,
    .i16 = INT16_MIN,
    .i32 = INT32_MIN,
    .i64 = INT64_MIN,
    .u8 = UINT8_MAX,
    .u16 = UINT16_MAX,
    .u32 = UINT32_MAX,
    .u64 = UINT64_MAX,
    .f32 = 0.1f,
    .f64 = -0.0,
    .colour = BLUE,
    .optional = 501,
    .ignorable = INT64_MAX,
    .array = { -1, 2, -3, 4 },
    .n_counted = 2,
    .counted = { 1.5, -2.5 },
    .bytes = { 0, 1, 2, 0, 4, 5, 0xff },
    .text = "eleven char",
    .timer = { 1, -1 },
    .timers = { { 2, -2 }, { 3, -3 } },
    .n_queue = 3,
    .queue = { { 4, -4 }, { 5, -5 }, { 6, -6 } },
    .when = 123456789,
    .grouped = true,
    .x = 11,
    .y = 12,
  };
}

void
everything_fill (Everything *all, const CprFdTable *fds)
{
  fill_numbers (all);
  all->n_numbers = 3;
  all->numbers = g_new (uint32_t, 3);
  for (uint32_t i = 0; i < 3; i++)
    all->numbers[i] = UINT32_MAX - i;
  all->n_buffer = 5;
  all->buffer = (uint8_t *) g_strdup ("a\nb\tc");
  all->name = g_strdup ("a name");
  all->branch = branch_new (1000);
  node_list_add (&all->nodes, 7, "seven");
  node_list_add (&all->nodes, 8, NULL);
  node_list_add (&all->nodes, 9, "");
  all->fd = fd_of (fds, 0);
  all->fds[0] = fd_of (fds, 1);
  all->fds[1] = -1;
  all->fds[2] = fd_of (fds, 2);
}

void
everything_clear (Everything *all)
{
  g_clear_pointer (&all->numbers, g_free);
  g_clear_pointer (&all->buffer, g_free);
  g_clear_pointer (&all->name, g_free);
  g_clear_pointer (&all->branch, branch_free);
  node_list_clear (&all->nodes);
}

static void
assert_timers_eq (const Timer *a, const Timer *b, size_t n)
{
  for (size_t i = 0; i < n; i++)
    {
      ck_assert_uint_eq (a[i].period, b[i].period);
      ck_assert_int_eq (a[i].drift, b[i].drift);
    }
}

static void
assert_node_eq (const Node *a, const Node *b)
{
  ck_assert_uint_eq (a->id, b->id);
  ck_assert_pstr_eq (a->label, b->label);
}

static void
assert_lists_eq (const NodeList *a, const NodeList *b)
{
  const Node *x = a->first, *y = b->first;

  for (; x != NULL && y != NULL; x = x->next, y = y->next)
    assert_node_eq (x, y);
  ck_assert (x == NULL && y == NULL);
}

static void
assert_branch_eq (const Branch *a, const Branch *b)
{
  ck_assert ((a == NULL) == (b == NULL));
  if (a == NULL)
    return;
  assert_node_eq (&a->inner, &b->inner);
  assert_node_eq (&a->array[0], &b->array[0]);
  assert_node_eq (&a->array[1], &b->array[1]);
  ck_assert_uint_eq (a->n_some, b->n_some);
  for (unsigned i = 0; i < a->n_some; i++)
    assert_node_eq (&a->some[i], &b->some[i]);
  assert_lists_eq (&a->list, &b->list);
  ck_assert ((a->timer == NULL) == (b->timer == NULL));
  if (a->timer != NULL)
    assert_timers_eq (a->timer, b->timer, 1);
}

static void
assert_arrays_eq (const Everything *a, const Everything *b)
{
  ck_assert_mem_eq (a->array, b->array, sizeof a->array);
  ck_assert_uint_eq (a->n_counted, b->n_counted);
  ck_assert_mem_eq (a->counted, b->counted, a->n_counted * sizeof a->counted[0]);
  ck_assert_uint_eq (a->n_numbers, b->n_numbers);
  for (uint64_t i = 0; i < a->n_numbers; i++)
    ck_assert_uint_eq (a->numbers[i], b->numbers[i]);
  ck_assert_mem_eq (a->bytes, b->bytes, sizeof a->bytes);
  ck_assert_uint_eq (a->n_buffer, b->n_buffer);
  for (unsigned i = 0; i < a->n_buffer; i++)
    ck_assert_uint_eq (a->buffer[i], b->buffer[i]);
  ck_assert_str_eq (a->text, b->text);
  ck_assert_pstr_eq (a->name, b->name);
  assert_timers_eq (&a->timer, &b->timer, 1);
  assert_timers_eq (a->timers, b->timers, 2);
  ck_assert_uint_eq (a->n_queue, b->n_queue);
  assert_timers_eq (a->queue, b->queue, a->n_queue);
}

void
assert_everything_eq (const Everything *a, const Everything *b)
{
  ck_assert (a->flag == b->flag && a->letter == b->letter && a->colour == b->colour);
  ck_assert (a->i8 == b->i8 && a->i16 == b->i16 && a->i32 == b->i32 && a->i64 == b->i64);
  ck_assert (a->u8 == b->u8 && a->u16 == b->u16 && a->u32 == b->u32 && a->u64 == b->u64);
  ck_assert_mem_eq (&a->f32, &b->f32, sizeof a->f32);
  ck_assert_mem_eq (&a->f64, &b->f64, sizeof a->f64);
  ck_assert_uint_eq (a->optional, b->optional);
  ck_assert_int_eq (a->ignorable, b->ignorable);
  assert_arrays_eq (a, b);
  assert_branch_eq (a->branch, b->branch);
  assert_lists_eq (&a->nodes, &b->nodes);
  ck_assert_int_eq (a->fd, b->fd);
  ck_assert_mem_eq (a->fds, b->fds, sizeof a->fds);
  ck_assert_int_eq (a->when, b->when);
  ck_assert (a->grouped == b->grouped && a->x == b->x && a->y == b->y);
}
