/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_HELPERS_H
#define TESTS_UNIT_HELPERS_H

#include <check.h>

#include <libcpr/libcpr.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "handoff/exec/exec.h"
#include "registry/device/device.h"
#include "registry/fd-table.h"
#include "registry/ram/ram.h"
#include "registry/vfio/table.h"
#include "state/seal.h"

#define PAGE ((size_t) 4096)

/* Runs the suite and answers with main()'s exit status. A GLib critical fails the test it comes
 * from. */
int run_suite (Suite *suite);

/* Adds a suite of one test case. */
#define BEGIN_SUITE(name)              \
  Suite *suite = suite_create (name);  \
  TCase *tests = tcase_create ("all"); \
  suite_add_tcase (suite, tests);      \
  tcase_set_timeout (tests, 60)

/* The tools that can't follow a clone that shares memory, and are slow. */
bool under_valgrind (void);
/* For updates that fail after the preflight: it is left out. */
unsigned update_flags (void);

/* *@error is of the domain CPR_ERROR, has @code and says @text; it is cleared. */
#define assert_error(error, code, text) assert_error_at (__FILE__, __LINE__, error, code, text)
void assert_error_at (const char *file, int line, GError **error, int code, const char *text);
#define assert_no_error(error) ck_assert_msg ((error) == NULL, "%s", (error)->message)

/* A name of @len bytes; g_free() it. */
char *name_of (size_t len);

/* An anonymous file of @size bytes. */
int file_new (size_t size);
/* What was written to memory from @start on; the header comes first. */
CprCursor written_from (const CprWriter *writer, size_t start);
/* The number of mappings of this process whose line in /proc/self/maps has @text. */
unsigned count_mappings (const char *text);

/* What a failed call must leave as it was: open fds (what they are and their flags), mappings of
 * the library's memfds, children, environment, signal mask, umask, working directory, interval
 * timer. As text, so that a difference can be read. */
char *process_describe (void);
#define assert_process_is(before) assert_process_at (__FILE__, __LINE__, before)
void assert_process_at (const char *file, int line, const char *before);

/* ---- The kernel, with faults. */

/* Every call that goes through the table. The n-th is answered with an error instead; the undo
 * of an update begins at the latest when execve was called, and isn't disturbed. */
typedef struct
{
  unsigned fail_at; /* 1: the first; 0: none */
  int errnum;       /* 0: one that is usual for the call */
  int exec_errnum;  /* what execve answers with; 0: it is really executed */
  unsigned calls;
  const char *failed; /* the name of the call that failed, or NULL */
  bool executed;      /* execve or execveat was called */
  int mappings;       /* made and not yet unmapped */
} Faults;

extern Faults faults;
/* Until faults_end() the library talks to the faulty kernel. */
void faults_begin (unsigned fail_at, int errnum, int exec_errnum);
void faults_end (void);

/* ---- A VM. */

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

/* An update that comes as far as the execve, which fails with ENOEXEC. It is played: nothing is
 * ever executed. */
bool update_up_to_execve (CprSession *session, unsigned pause_budget_ms, GError **error);

/* A blocker of exec mode, which has to work; and all that block @modes: "*" before the library's
 * own, "|" after each. */
uint64_t block_exec (CprSession *session, const char *reason);
void assert_blockers (CprSession *session, unsigned modes, const char *expected);

/* What a session registers, as the tables hold it: two fds, a RAM block, two devices. */
typedef struct
{
  CprFdTable fds;
  CprRamTable ram;
  CprVfioTable vfio; /* empty */
  CprDeviceTable devices;
  CprProgram program;
  int pipe[2];
  CprRamBlock *block;
  Serial serial;
  Disk disk;
} Machine;

#define MACHINE_NAME "unit"

void machine_init (Machine *machine);
void machine_clear (Machine *machine);
void machine_head (CprManifest *head);
/* Its state, as cpr_session_update() writes it: to @fd, still without its end, or all of it. */
void machine_write (Machine *machine, const CprManifest *head, int fd, CprWriter *writer);
void machine_write_to_memory (Machine *machine, const CprManifest *head, CprWriter *writer);

/* A state that was handed to this process: sealed in a memfd, with its baton offered. The fds
 * belong to whoever takes it up, or to offer_clear(). */
typedef struct
{
  CprExecve *exec;
  int state_fd, baton_fd, release_fd, exe_fd;
} Offer;

void offer_make (Offer *offer, Machine *machine, const CprManifest *head);
/* Closes what is still open of it. */
void offer_clear (Offer *offer, Machine *machine);

#endif
