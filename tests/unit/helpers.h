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

/* True under valgrind, which is slow and can't follow a clone that shares memory. */
bool under_valgrind (void);
/* The flags of updates that fail after the preflight. They leave out the preflight. */
unsigned update_flags (void);

/* *@error is of the domain CPR_ERROR, has @code and says @text; it is cleared. */
#define assert_error(error, code, text) assert_error_at (__FILE__, __LINE__, error, code, text)
void assert_error_at (const char *file, int line, GError **error, int code, const char *text);
#define assert_no_error(error) ck_assert_msg ((error) == NULL, "%s", (error)->message)

/* A name of @len bytes; g_free() it. */
char *name_of (size_t len);

/* An anonymous file of @size bytes. */
int file_new (size_t size);
/* The bytes that were written to memory from @start on. The header comes first. */
CprCursor written_from (const CprWriter *writer, size_t start);
/* The number of mappings of this process whose line in /proc/self/maps has @text. */
unsigned count_mappings (const char *text);

/* Everything that a failed call must leave as it was: open fds (their kinds and flags), mappings of
 * the library's memfds, children, environment, signal mask, umask, working directory and interval
 * timer. The answer is a text, so that a difference can be read. */
char *process_describe (void);
#define assert_process_is(before) assert_process_at (__FILE__, __LINE__, before)
void assert_process_at (const char *file, int line, const char *before);

#endif
