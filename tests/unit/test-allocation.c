/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the save and the execve nothing is allocated: memory that runs out ends a GLib
 * program, and here that would be with the guest stopped. This program's own malloc() counts. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
#  define COUNTS 0
#else
#  define COUNTS 1
#endif

static bool counting;
static unsigned allocations;

#if COUNTS

#  define SEEN_BY_ALL __attribute__ ((visibility ("default")))

/* The C library's own, by the names under which it exports them for this. */
void *__libc_malloc (size_t size);
void *__libc_calloc (size_t n, size_t size);
void *__libc_realloc (void *old, size_t size);
void *__libc_memalign (size_t alignment, size_t size);

SEEN_BY_ALL void *
malloc (size_t size)
{
  allocations += counting;
  return __libc_malloc (size);
}

SEEN_BY_ALL void *
calloc (size_t n, size_t size)
{
  allocations += counting;
  return __libc_calloc (n, size);
}

SEEN_BY_ALL void *
realloc (void *old, size_t size)
{
  allocations += counting;
  return __libc_realloc (old, size);
}

SEEN_BY_ALL void *
memalign (size_t alignment, size_t size)
{
  allocations += counting;
  return __libc_memalign (alignment, size);
}

#endif

/* ---- From the call that seals the state to the one that ends the program. */

static unsigned seals, executions;

static int
sealing_fcntl (int fd, int command, long argument)
{
  int result = cpr_sys_kernel.fcntl (fd, command, argument);

  if (command == F_ADD_SEALS && argument == CPR_STATE_SEALS)
    {
      seals++;
      counting = true;
    }
  return result;
}

static int
failing_execve (const char *path G_GNUC_UNUSED, char *const *argv G_GNUC_UNUSED, char *const *envp G_GNUC_UNUSED)
{
  counting = false;
  executions++;
  errno = ENOEXEC;
  return -1;
}

static unsigned told;

static bool
count_event (CprSession *session G_GNUC_UNUSED,
             CprEvent event,
             CprMode mode G_GNUC_UNUSED,
             void *user_data G_GNUC_UNUSED,
             GError **error G_GNUC_UNUSED)
{
  told += event == CPR_EVENT_SAVED;
  return true;
}

START_TEST (nothing_is_allocated_between_the_save_and_the_execve)
{
  char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = update_flags () | CPR_UPDATE_NO_PREFLIGHT, .argv = argv
  };
  CprSys sys = cpr_sys_kernel;
  GError *error = NULL;
  CprSession *session;
  Guest guest;
  Serial serial = serial_example;

  guest_init (&guest);
  session = session_new_active (&guest, "vm");
  ck_assert_ptr_nonnull (cpr_ram_new (session, "pc.ram", 4 * PAGE, NULL, NULL));
  ck_assert (cpr_device_add (session, "com1", &serial_type, &serial, NULL));
  for (int i = 0; i < 3; i++)
    ck_assert_uint_ne (cpr_notifier_add (session, CPR_MODES_ALL, i, count_event, NULL, NULL), 0);
  sys.fcntl = sealing_fcntl;
  sys.execve = failing_execve;
  cpr_sys = &sys;
  for (unsigned i = 1; i <= 2; i++)
    {
      ck_assert (!cpr_session_update (session, &update, &error));
      ck_assert_int_eq (cpr_error_get_errno (error), ENOEXEC);
      g_clear_error (&error);
      ck_assert_uint_eq (seals, i);
      ck_assert_uint_eq (executions, i);
      ck_assert_uint_eq (told, 3 * i);
    }
  cpr_sys = &cpr_sys_kernel;
  ck_assert_uint_eq (allocations, 0);
  cpr_session_free (session);
  guest_clear (&guest);
}
END_TEST

START_TEST (allocations_are_seen)
{
  void *made;

  counting = true;
  made = g_malloc (100);
  made = g_realloc (made, 10000);
  counting = false;
  g_free (made);
  if (COUNTS && !under_valgrind ()) /* they bring their own malloc() */
    ck_assert_uint_eq (allocations, 2);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("allocation");

  tcase_add_test (tests, allocations_are_seen);
  tcase_add_test (tests, nothing_is_allocated_between_the_save_and_the_execve);
  return run_suite (suite);
}
