/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guardian that is let go says to the supervisor which process is the VM's. */
#include "helpers.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/signals.h"
#include "base/sys.h"
#include "handoff/exec/guardian.h"

static GError *error;
static CprBaton baton;
static CprGuardian *guardian;
static pid_t pid; /* the guardian's */
static int release, supervisor, to_supervisor;

/* The last message that waits for the supervisor. */
static void
receive (char *text, size_t size)
{
  ssize_t len;

  text[0] = '\0';
  while ((len = recv (supervisor, text, size - 1, MSG_DONTWAIT)) >= 0)
    text[len] = '\0';
}

static void
assert_told (pid_t of)
{
  char text[64], expected[64];

  snprintf (expected, sizeof expected, "MAINPID=%d", of);
  receive (text, sizeof text);
  ck_assert_str_eq (text, expected);
}

static void
setup (void)
{
  g_autoptr (GArray) keep = g_array_new (FALSE, FALSE, sizeof (int));
  CprGuardianConfig config = { .keep = keep };
  int sockets[2];
  sigset_t old;

  error = NULL;
  ck_assert (cpr_baton_new (&baton, &error));
  release = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets), 0);
  supervisor = sockets[0];
  to_supervisor = dup (sockets[1]);
  g_array_append_val (keep, release);
  config.page = baton.page;
  config.release = release;
  config.notify = sockets[1];
  guardian = cpr_guardian_new (&config, &error);
  assert_no_error (error);
  cpr_signals_block_all (&old);
  ck_assert_msg (cpr_guardian_launch (guardian, &error), "%s", error->message);
  cpr_signals_restore (&old);
  pid = cpr_guardians_find (baton.page);
  assert_told (pid);
}

static void
teardown (void)
{
  cpr_baton_clear (&baton);
  close (release);
  close (supervisor);
  close (to_supervisor);
}

START_TEST (an_update_that_fails_gives_the_role_back)
{
  cpr_guardian_free (guardian);
  assert_told (getpid ());
}
END_TEST

/* As a debugger's user does, or a freezer. */
START_TEST (a_guardian_that_was_stopped_goes_on_to_do_so)
{
  ck_assert_int_eq (kill (pid, SIGSTOP), 0);
  cpr_guardian_free (guardian);
  assert_told (getpid ());
}
END_TEST

/* A message that was dropped would be missed at the guardian's end, which would be the VM's. */
START_TEST (a_supervisor_that_is_busy_hears_of_it_when_it_has_room)
{
  struct pollfd death = { cpr_sys->pidfd_open (pid), POLLIN, 0 };
  char byte;

  while (send (to_supervisor, "x", 1, MSG_DONTWAIT) == 1)
    ;
  ck_assert_int_eq (errno, EAGAIN);
  cpr_guardians_release (baton.page, release);
  poll (&death, 1, 200); /* time for a guardian that waits for nobody */
  ck_assert_int_eq (recv (supervisor, &byte, 1, MSG_DONTWAIT), 1);
  ck_assert_int_eq (poll (&death, 1, -1), 1);
  close (death.fd);
  assert_told (getpid ());
  cpr_guardian_free (guardian);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("guardian");

  tcase_add_checked_fixture (tests, setup, teardown);
  if (!under_valgrind ()) /* it doesn't know such a clone */
    {
      tcase_add_test (tests, an_update_that_fails_gives_the_role_back);
      tcase_add_test (tests, a_guardian_that_was_stopped_goes_on_to_do_so);
      tcase_add_test (tests, a_supervisor_that_is_busy_hears_of_it_when_it_has_room);
    }
  return run_suite (suite);
}
