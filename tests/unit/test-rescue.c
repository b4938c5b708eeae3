/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "handoff/exec/rescue.h"

#define NOBODY 65534

static CprBaton baton;
static CprBatonWord offered;
static int pidfd;

/* A candidate that waits until it is killed or, with an @exit_code, exits at once. It isn't reaped:
 * the guardian isn't its parent. */
static void
start_candidate (bool dumpable, int exit_code)
{
  const CprBatonWord mine = { CPR_BATON_OWNED, 0, getpid () };

  ck_assert (cpr_baton_new (&baton, NULL));
  offered = (CprBatonWord){ CPR_BATON_OFFERED, 1, fork () };
  if (offered.pid == 0)
    {
      prctl (PR_SET_DUMPABLE, dumpable);
      if (exit_code >= 0)
        _exit (exit_code);
      for (;;)
        pause ();
    }
  ck_assert (cpr_baton_move (baton.page, mine, offered));
  pidfd = cpr_sys->pidfd_open (offered.pid);
  ck_assert_int_ge (pidfd, 0);
}

static void
end_candidate (void)
{
  ck_assert_int_eq (waitpid (offered.pid, NULL, 0), offered.pid);
  close (pidfd);
  cpr_baton_clear (&baton);
}

START_TEST (a_candidate_that_hangs_is_ended)
{
  start_candidate (true, -1);
  ck_assert (cpr_rescue_fence (baton.page, offered, pidfd, false));
  ck_assert_int_eq (cpr_baton_get (baton.page).state, CPR_BATON_FENCED);
  ck_assert_uint_eq (baton.page->cause, CPR_BATON_CAUSE_TIMEOUT);
  ck_assert_int_eq (baton.page->status, SIGKILL);
  end_candidate ();
}
END_TEST

START_TEST (the_status_of_one_that_ended_is_seen)
{
  start_candidate (true, 3);
  ck_assert (cpr_rescue_fence (baton.page, offered, pidfd, true));
  ck_assert_uint_eq (baton.page->cause, CPR_BATON_CAUSE_DIED);
  ck_assert (WIFEXITED (baton.page->status));
  ck_assert_int_eq (WEXITSTATUS (baton.page->status), 3);
  end_candidate ();
}
END_TEST

/* For such a process /proc shows an exit code of 0 to all but root. */
START_TEST (a_status_that_may_not_be_seen_is_not_known)
{
  g_autofree char *said = NULL;

  if (geteuid () == 0)
    ck_assert_int_eq (setresuid (NOBODY, NOBODY, NOBODY), 0);
  start_candidate (false, -1);
  ck_assert_int_eq (kill (offered.pid, SIGKILL), 0);
  ck_assert (cpr_rescue_fence (baton.page, offered, pidfd, true));
  ck_assert_int_eq (baton.page->status, -1);
  said = cpr_baton_describe_failure (baton.page);
  ck_assert_ptr_nonnull (strstr (said, "its status isn't known"));
  end_candidate ();
}
END_TEST

START_TEST (nothing_is_fenced_once_the_baton_has_moved_on)
{
  CprBatonWord committed;

  start_candidate (true, -1);
  committed = (CprBatonWord){ CPR_BATON_OWNED, 1, offered.pid };
  ck_assert (cpr_baton_move (baton.page, offered, committed));
  ck_assert (!cpr_rescue_fence (baton.page, offered, pidfd, false));
  ck_assert_int_eq (waitpid (offered.pid, NULL, WNOHANG), 0);
  kill (offered.pid, SIGKILL);
  end_candidate ();
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("rescue");

  if (!under_valgrind ()) /* it knows no pidfds, by which a candidate is ended and seen to end */
    {
      tcase_add_test (tests, a_candidate_that_hangs_is_ended);
      tcase_add_test (tests, the_status_of_one_that_ended_is_seen);
      tcase_add_test (tests, a_status_that_may_not_be_seen_is_not_known);
      tcase_add_test (tests, nothing_is_fenced_once_the_baton_has_moved_on);
    }
  return run_suite (suite);
}
