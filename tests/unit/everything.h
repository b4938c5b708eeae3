/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_EVERYTHING_H
#define TESTS_UNIT_EVERYTHING_H

#include "guest.h"

/* A struct with every kind of field there is, each layout of it, and heap memory below heap
 * memory. */

typedef struct _Node Node;

struct _Node
{
  uint32_t id;
  char *label;
  Node *next;
};

/* A list that is linked through its elements. */
typedef struct
{
  Node *first, *last;
} NodeList;

extern const CprStruct node_struct;
extern const CprList node_callbacks;
Node *node_list_add (NodeList *list, uint32_t id, const char *label);
void node_list_clear (NodeList *list);

/* A struct whose heap memory is one level further down, and in lists. */
typedef struct _Branch Branch;

struct _Branch
{
  Node inner;
  Node array[2];
  uint8_t n_some;
  Node some[2];
  NodeList list;
  Timer *timer;
};

extern const CprStruct branch_struct;
Branch *branch_new (uint32_t id);
void branch_free (Branch *branch);

enum colour
{
  RED,
  GREEN,
  BLUE = 0x7fffffff
};

typedef struct
{
  bool flag;
  char letter;
  int8_t i8;
  int16_t i16;
  int32_t i32;
  int64_t i64;
  uint8_t u8;
  uint16_t u16;
  uint32_t u32;
  uint64_t u64;
  float f32;
  double f64;
  enum colour colour;
  uint16_t optional; /* 500 */
  int64_t ignorable; /* -1 */
  int16_t array[4];
  uint8_t n_counted;
  double counted[5];
  uint64_t n_numbers;
  uint32_t *numbers; /* at most 100 */
  uint8_t bytes[7];
  uint16_t n_buffer;
  uint8_t *buffer; /* at most 1000 */
  char text[12];
  char *name; /* at most 60 */
  Timer timer;
  Timer timers[2];
  uint32_t n_queue;
  Timer queue[3];
  Branch *branch;
  NodeList nodes; /* at most 10 */
  int fd;
  int fds[3];
  int64_t when;
  bool grouped;
  uint16_t x, y; /* of the group */
} Everything;

extern const CprStruct everything_struct;
extern const CprDeviceType everything_type;

/* Sets values that are no field's default. The fds are 'disk' 0, 1 and 2 of @fds. */
void everything_fill (Everything *all, const CprFdTable *fds);
void everything_clear (Everything *all);
void assert_everything_eq (const Everything *a, const Everything *b);

/* Puts three fds that needn't be open into the table, as one that was read. */
void everything_add_fds (CprFdTable *fds);

#endif
