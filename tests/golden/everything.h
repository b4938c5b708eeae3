/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef GOLDEN_EVERYTHING_H
#define GOLDEN_EVERYTHING_H

#include "registry/device/device.h"
#include "registry/fd-table.h"

/* A state with every kind, shape and layout of field, always of the same bytes. It was written to
 * tests/golden/v1/everything.cpr and never changes. Additions of a later format get a state of
 * their own. */

typedef struct
{
  uint16_t vector;
  bool masked;
} Line;

typedef struct _Event Event;
struct _Event
{
  uint64_t when;
  char *what;
  Event *next;
};

typedef struct
{
  bool on;
  uint8_t u8;
  uint16_t u16;
  uint32_t u32;
  uint64_t u64;
  int8_t i8;
  int16_t i16;
  int32_t i32;
  int64_t i64;
  float f;
  double d;
  uint32_t left_out; /* 5: not written */
  uint32_t written;  /* not 5 */
  uint16_t array[3];
  uint8_t used;
  uint32_t counted[4];
  uint8_t mac[6];
  size_t n_blob;
  uint8_t *blob;
  uint32_t n_heap;
  int32_t *heap;
  char label[16];
  char *path;
  char *no_path;
  Line line;
  Line lines[2];
  uint8_t n_some;
  Line some[4];
  Line *extra;
  Line *no_extra;
  Event *events;
  int fd;
  int no_fd;
  int fds[2];
  int64_t deadline;
  uint32_t fifo_level;
  bool fifo_on;
} Everything;

extern const CprDeviceType everything_type;
extern const CprDeviceType everything_bus_type;

void everything_fill (Everything *everything);
void everything_clear (Everything *everything);
bool everything_equal (const Everything *a, const Everything *b);

/* The whole state, in memory. */
void everything_write (CprWriter *writer);

/* The fd table of the state, without any fd being open. */
void everything_init_fds (CprFdTable *fds);

#define EVERYTHING_BULK 3001
uint8_t everything_bulk_byte (size_t at);

#endif
