/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_GUEST_H
#define TESTS_UNIT_GUEST_H

#include "helpers.h"

typedef struct
{
  uint32_t period;
  int16_t drift;
} Timer;

#define SERIAL_QUEUE 3

typedef struct
{
  bool enabled;
  uint8_t ier;
  int64_t skew;
  double scale;
  uint32_t fifo[4];
  uint16_t n_queue;
  Timer queue[SERIAL_QUEUE];
  Timer timer;
  uint8_t blob[5];
  uint32_t depth; /* optional, 16 */
  int8_t cache;   /* ignorable, -1 */
} Serial;

typedef struct
{
  uint64_t sector;
  bool dirty;
} Disk;

extern const CprStruct timer_struct;
extern const CprDeviceType serial_type, disk_type;
extern const Serial serial_example;
extern const Disk disk_example;
void assert_serial_eq (const Serial *a, const Serial *b);

/* @depth structs, each with nothing but the next in it, and at last a uint32_t; they live as
 * long as @nested. */
typedef struct
{
  CprStruct structs[CPR_LIMIT_DEPTH + 1];
  CprField fields[CPR_LIMIT_DEPTH + 1][2];
} Nest;

const CprStruct *nest (Nest *nested, unsigned depth);

#define MACHINE_NAME "unit"

/* The callbacks of a session count, and refuse to stop or start a guest twice. */
typedef struct
{
  bool running;
  int starts, stops;
  enum
  {
    STOP_WORKS,
    STOP_FAILS,
    STOP_FAILS_SILENTLY
  } stop;
  GString *log;
} Guest;

void guest_init (Guest *guest);
void guest_clear (Guest *guest);
CprSessionConfig guest_config (Guest *guest, const char *name);
/* A fresh session for @guest, and one whose guest runs. */
CprSession *session_new (Guest *guest, const char *name);
CprSession *session_new_active (Guest *guest, const char *name);

/* Updates up to the execve, which fails with ENOEXEC. That call is played: nothing is ever
 * executed. */
bool update_up_to_execve (CprSession *session, unsigned pause_budget_ms, GError **error);

/* Adds a blocker of exec mode, which has to succeed; and compares all blockers of @modes with a
 * list. "*" precedes the library's own, and "|" follows each. */
uint64_t block_exec (CprSession *session, const char *reason);
void assert_blockers (CprSession *session, unsigned modes, const char *expected);

#endif
