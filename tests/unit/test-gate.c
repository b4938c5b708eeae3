/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faults.h"
#include "visitor.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST (a_new_gate_is_closed_and_open_lets_in_who_waits)
{
  g_autoptr (CprGate) gate = gate_new (false);
  Visitor visitors[3];

  ck_assert (!cpr_gate_try_enter (gate, 0));
  for (unsigned i = 0; i < 3; i++)
    visitor_start (&visitors[i], gate, "worker", NULL, visit);
  for (unsigned i = 0; i < 3; i++)
    ck_assert_int_ne (sem_trywait (&visitors[i].inside), 0);
  cpr_gate_open (gate);
  for (unsigned i = 0; i < 3; i++)
    {
      wait_for (&visitors[i].inside);
      visitor_end (&visitors[i]);
      ck_assert (visitors[i].got_in);
    }
}
END_TEST

START_TEST (closing_a_closed_gate_and_opening_an_open_one_changes_nothing)
{
  g_autoptr (CprGate) gate = gate_new (false);

  close_gate (gate);
  cpr_gate_open (gate);
  cpr_gate_open (gate);
  ck_assert (cpr_gate_try_enter (gate, 0));
  cpr_gate_leave (gate);
  close_gate (gate);
  close_gate (gate);
  ck_assert (!cpr_gate_try_enter (gate, 0));
}
END_TEST

START_TEST (close_names_all_who_are_still_inside_and_leaves_the_gate_open)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor visitors[4];
  GError *error = NULL;

  visitor_start (&visitors[0], gate, "net0 worker", only_count, visit);
  visitor_start (&visitors[1], gate, "vCPU 3", NULL, visit);
  visitor_start (&visitors[2], gate, NULL, NULL, visit);
  visitor_start (&visitors[3], gate, "gone", NULL, visit);
  for (unsigned i = 0; i < 4; i++)
    wait_for (&visitors[i].inside);
  visitor_end (&visitors[3]);

  ck_assert (!cpr_gate_close (gate, SHORT, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "gate: still inside after 20 ms: 'net0 worker' (thread "));
  ck_assert_ptr_nonnull (strstr (error->message, "'vCPU 3' (thread "));
  ck_assert_ptr_nonnull (strstr (error->message, "'nameless' (thread "));
  ck_assert_ptr_null (strstr (error->message, "gone"));
  assert_error (&error, CPR_ERROR_BLOCKED, "gate: ");

  ck_assert (cpr_gate_try_enter (gate, 0));
  cpr_gate_leave (gate);
  for (unsigned i = 0; i < 3; i++)
    visitor_end (&visitors[i]);
  close_gate (gate);
}
END_TEST

static void *
visit_and_stay_outside (void *data)
{
  Visitor *visitor = data;

  visit (visitor);
  sem_post (&visitor->ready);
  wait_for (&visitor->may_leave);
  return NULL;
}

START_TEST (close_kicks_those_inside_and_nobody_else)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor inside[2], outside;

  visitor_start (&outside, gate, "outside", kick_visitor, visit_and_stay_outside);
  sem_post (&outside.may_leave);
  wait_for (&outside.ready);
  for (unsigned i = 0; i < 2; i++)
    {
      visitor_start (&inside[i], gate, "inside", kick_visitor, visit);
      wait_for (&inside[i].inside);
    }
  close_gate (gate);
  for (unsigned i = 0; i < 2; i++)
    {
      visitor_join (&inside[i]);
      ck_assert_uint_ge (inside[i].kicks, 1);
    }
  ck_assert_uint_eq (outside.kicks, 0);
  visitor_end (&outside);
}
END_TEST

START_TEST (a_kick_that_got_lost_is_repeated)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor visitor;

  visitor_start (&visitor, gate, "deaf", kick_visitor, visit);
  wait_for (&visitor.inside);
  visitor.n_lost = 3;
  close_gate (gate);
  visitor_join (&visitor);
  ck_assert_uint_ge (visitor.kicks, 4);
}
END_TEST

START_TEST (a_close_that_does_not_wait_kicks_once)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor visitor;
  GError *error = NULL;

  visitor_start (&visitor, gate, "vCPU 0", only_count, visit);
  wait_for (&visitor.inside);
  ck_assert (!cpr_gate_close (gate, 0, &error));
  assert_error (&error, CPR_ERROR_BLOCKED, "'vCPU 0'");
  ck_assert_uint_eq (visitor.kicks, 1);
  visitor_end (&visitor);
  ck_assert (cpr_gate_close (gate, 0, NULL));
}
END_TEST

/* Kicks are 64 ms apart by then: it isn't one of them that wakes. */
START_TEST (close_is_woken_by_the_last_who_leaves)
{
  double late[5];

  for (unsigned i = 0; i < G_N_ELEMENTS (late); i++)
    {
      g_autoptr (CprGate) gate = gate_new (true);
      Visitor visitors[2];
      pthread_t closer;
      uint64_t begin;

      for (unsigned j = 0; j < 2; j++)
        {
          visitor_start (&visitors[j], gate, "slow", only_count, visit);
          wait_for (&visitors[j].inside);
        }
      ck_assert_int_eq (pthread_create (&closer, NULL, close_gate_main, gate), 0);
      while (visitors[1].kicks < 8)
        g_usleep (1000);
      visitor_end (&visitors[1]);
      begin = cpr_now_ns ();
      visitor_end (&visitors[0]);
      pthread_join (closer, NULL);
      late[i] = ms_since (begin);
    }
  for (unsigned i = 1; i < G_N_ELEMENTS (late); i++)
    late[0] = MIN (late[0], late[i]);
  ck_assert_msg (late[0] < 10, "%g ms", late[0]);
}
END_TEST

START_TEST (waiting_ends_in_time)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor visitor;
  uint64_t begin = cpr_now_ns ();

  visitor_start (&visitor, gate, "stubborn", kick_visitor, visit);
  visitor.n_lost = UINT_MAX;
  wait_for (&visitor.inside);
  ck_assert (!cpr_gate_close (gate, 50, NULL));
  ck_assert (ms_since (begin) >= 50 && ms_since (begin) < LONG / 2);
  visitor_end (&visitor);
  close_gate (gate);
  begin = cpr_now_ns ();
  ck_assert (!cpr_gate_try_enter (gate, 50));
  ck_assert (ms_since (begin) >= 50 && ms_since (begin) < LONG / 2);
}
END_TEST

static void *
open_gate_main (void *gate)
{
  cpr_gate_open (gate);
  return NULL;
}

START_TEST (try_enter_gets_in_when_the_gate_opens)
{
  g_autoptr (CprGate) gate = gate_new (false);
  pthread_t opener;
  uint64_t begin = cpr_now_ns ();

  ck_assert_int_eq (pthread_create (&opener, NULL, open_gate_main, gate), 0);
  ck_assert (cpr_gate_try_enter (gate, LONG));
  ck_assert (ms_since (begin) < LONG / 2);
  cpr_gate_leave (gate);
  pthread_join (opener, NULL);
}
END_TEST

/* ---- Nesting. */

static void *
visit_twice (void *data)
{
  Visitor *visitor = data;
  CprGate *gate = visitor->gate;

  sem_post (&visitor->ready);
  if (!cpr_gate_enter (gate))
    return NULL;
  sem_post (&visitor->inside);
  wait_for (&visitor->may_leave); /* the gate is being closed */
  visitor->got_in = cpr_gate_enter (gate) && cpr_gate_try_enter (gate, 0);
  cpr_gate_leave (gate);
  cpr_gate_leave (gate);
  sem_post (&visitor->inside);
  wait_for (&visitor->may_leave);
  cpr_gate_leave (gate);
  return NULL;
}

START_TEST (a_member_that_is_inside_enters_again_while_the_gate_is_closed)
{
  g_autoptr (CprGate) gate = gate_new (true);
  pthread_t closer;
  Visitor visitor;

  visitor_start (&visitor, gate, NULL, NULL, visit_twice);
  wait_for (&visitor.inside);
  ck_assert_int_eq (pthread_create (&closer, NULL, close_gate_main, gate), 0);
  while (cpr_gate_try_enter (gate, 0))
    cpr_gate_leave (gate);
  sem_post (&visitor.may_leave);
  wait_for (&visitor.inside);
  ck_assert (visitor.got_in);
  ck_assert (!cpr_gate_close (gate, 0, NULL)); /* it isn't closed: the member is inside once */
  visitor_end (&visitor);
  pthread_join (closer, NULL);
  ck_assert (cpr_gate_close (gate, 0, NULL));
}
END_TEST

START_TEST (close_by_a_thread_that_is_inside_is_refused)
{
  g_autoptr (CprGate) gate = gate_new (true);
  GError *error = NULL;

  ck_assert (cpr_gate_join (gate, "main", NULL, NULL, &error));
  ck_assert (cpr_gate_enter (gate) && cpr_gate_enter (gate));
  cpr_gate_leave (gate);
  ck_assert (!cpr_gate_close (gate, LONG, &error));
  assert_error (&error, CPR_ERROR_STATE, "'main' is inside");
  ck_assert (!cpr_gate_dismiss (gate, LONG, &error));
  assert_error (&error, CPR_ERROR_STATE, "'main' is inside");
  cpr_gate_leave (gate);
  ck_assert (cpr_gate_try_enter (gate, 0));
  cpr_gate_leave (gate);
  close_gate (gate);
}
END_TEST

/* ---- Members. */

START_TEST (join_refuses_bad_names_and_a_second_membership)
{
  g_autoptr (CprGate) gate = gate_new (true);
  g_autofree char *too_long = name_of (256);
  GError *error = NULL;

  ck_assert (!cpr_gate_join (gate, "", NULL, NULL, &error));
  assert_error (&error, CPR_ERROR_INVALID, "gate: member");
  ck_assert (!cpr_gate_join (gate, too_long, NULL, NULL, &error));
  assert_error (&error, CPR_ERROR_INVALID, "gate: member");
  ck_assert (cpr_gate_join (gate, "one", NULL, NULL, &error));
  ck_assert (!cpr_gate_join (gate, "two", NULL, NULL, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "'one'");
  cpr_gate_quit (gate);
  cpr_gate_quit (gate);
  ck_assert (cpr_gate_join (gate, "two", NULL, NULL, &error));
}
END_TEST

START_TEST (a_thread_may_be_a_member_of_two_gates)
{
  g_autoptr (CprGate) one = gate_new (true), other = gate_new (true);

  ck_assert (cpr_gate_enter (one) && cpr_gate_enter (other));
  cpr_gate_leave (one);
  close_gate (one);
  cpr_gate_leave (other);
  close_gate (other);
}
END_TEST

START_TEST (quit_leaves)
{
  g_autoptr (CprGate) gate = gate_new (true);

  ck_assert (cpr_gate_enter (gate) && cpr_gate_enter (gate));
  cpr_gate_quit (gate);
  ck_assert (cpr_gate_close (gate, 0, NULL));
}
END_TEST

typedef struct
{
  Visitor visitor;
  sem_t kicking, go_on;
  atomic_bool kick_is_over;
  bool quit_too_early;
} Quitter;

static void
slow_kick (void *data)
{
  Quitter *quitter = data;

  sem_post (&quitter->kicking);
  wait_for (&quitter->go_on);
  g_usleep (1000 * SHORT); /* the time in which quitting too early would show */
  quitter->kick_is_over = true;
}

static void *
quit_while_kicked (void *data)
{
  Quitter *quitter = data;
  CprGate *gate = quitter->visitor.gate;

  cpr_gate_join (gate, "quitter", slow_kick, quitter, NULL);
  if (!cpr_gate_enter (gate))
    return NULL;
  sem_post (&quitter->visitor.ready);
  wait_for (&quitter->kicking);
  cpr_gate_leave (gate);
  sem_post (&quitter->go_on);
  cpr_gate_quit (gate);
  quitter->quit_too_early = !quitter->kick_is_over;
  return NULL;
}

START_TEST (quit_waits_for_a_kick_that_is_under_way)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Quitter quitter = { .quit_too_early = true };

  sem_init (&quitter.kicking, 0, 0);
  sem_init (&quitter.go_on, 0, 0);
  visitor_start (&quitter.visitor, gate, NULL, NULL, quit_while_kicked);
  close_gate (gate);
  visitor_join (&quitter.visitor);
  ck_assert (!quitter.quit_too_early);
}
END_TEST

/* ---- Who opens and closes. */

static void *
open_when_closed (void *data)
{
  CprGate *gate = data;

  while (cpr_gate_try_enter (gate, 0))
    cpr_gate_leave (gate);
  cpr_gate_open (gate);
  return NULL;
}

START_TEST (a_gate_that_is_opened_while_it_is_being_closed_is_an_error)
{
  g_autoptr (CprGate) gate = gate_new (true);
  GError *error = NULL;
  Visitor visitor;
  pthread_t opener;

  visitor_start (&visitor, gate, "inside", NULL, visit);
  wait_for (&visitor.inside);
  ck_assert_int_eq (pthread_create (&opener, NULL, open_when_closed, gate), 0);
  ck_assert (!cpr_gate_close (gate, LONG, &error));
  assert_error (&error, CPR_ERROR_STATE, "another thread opened it");
  pthread_join (opener, NULL);
  visitor_end (&visitor);
}
END_TEST

START_TEST (of_two_that_close_the_second_waits_for_the_first)
{
  g_autoptr (CprGate) gate = gate_new (true);
  GError *error = NULL;
  Visitor visitor;
  pthread_t closer;

  visitor_start (&visitor, gate, "inside", NULL, visit);
  wait_for (&visitor.inside);
  ck_assert_int_eq (pthread_create (&closer, NULL, close_gate_main, gate), 0);
  while (cpr_gate_try_enter (gate, 0))
    cpr_gate_leave (gate);
  ck_assert (!cpr_gate_close (gate, SHORT, &error));
  assert_error (&error, CPR_ERROR_BLOCKED, "another thread was still closing it after 20 ms");
  ck_assert (!cpr_gate_try_enter (gate, 0)); /* the first one still is */
  sem_post (&visitor.may_leave);
  close_gate (gate);
  pthread_join (closer, NULL);
  visitor_join (&visitor);
  ck_assert (!cpr_gate_try_enter (gate, 0));
}
END_TEST

START_TEST (dismiss_sends_everybody_home)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor inside, waiting;
  GError *error = NULL;

  visitor_start (&inside, gate, "inside", kick_visitor, visit);
  wait_for (&inside.inside);
  inside.n_lost = UINT_MAX;
  ck_assert (!cpr_gate_dismiss (gate, 0, &error));
  assert_error (&error, CPR_ERROR_BLOCKED, "'inside'");
  visitor_start (&waiting, gate, "waiting", kick_visitor, visit);
  visitor_join (&waiting);
  ck_assert (!waiting.got_in);
  inside.n_lost = 0;
  ck_assert (cpr_gate_dismiss (gate, LONG, &error));
  visitor_join (&inside);

  cpr_gate_open (gate);
  ck_assert (!cpr_gate_enter (gate) && !cpr_gate_try_enter (gate, LONG));
  close_gate (gate);
}
END_TEST

START_TEST (dismiss_wakes_those_who_wait)
{
  g_autoptr (CprGate) gate = gate_new (false);
  Visitor visitors[3];

  for (unsigned i = 0; i < 3; i++)
    visitor_start (&visitors[i], gate, "waiting", NULL, visit);
  ck_assert (cpr_gate_dismiss (gate, LONG, NULL));
  for (unsigned i = 0; i < 3; i++)
    {
      visitor_join (&visitors[i]);
      ck_assert (!visitors[i].got_in);
    }
}
END_TEST

START_TEST (free_lets_those_go_who_still_wait)
{
  CprGate *gate = gate_new (false);
  Visitor visitors[3];

  for (unsigned i = 0; i < 3; i++)
    visitor_start (&visitors[i], gate, "waiting", NULL, visit);
  ck_assert (!cpr_gate_try_enter (gate, 0));
  cpr_gate_free (gate);
  for (unsigned i = 0; i < 3; i++)
    {
      visitor_join (&visitors[i]);
      ck_assert (!visitors[i].got_in);
    }
}
END_TEST

static bool
child_is_kept_out (CprGate *gate)
{
  bool refused = !cpr_gate_enter (gate) && !cpr_gate_try_enter (gate, LONG) && !cpr_gate_close (gate, LONG, NULL) &&
                 !cpr_gate_dismiss (gate, LONG, NULL) && !cpr_gate_join (gate, "child", NULL, NULL, NULL);

  cpr_gate_open (gate);
  refused = refused && !cpr_gate_enter (gate);
  cpr_gate_leave (gate); /* the parent was inside */
  cpr_gate_quit (gate);
  cpr_gate_free (gate);
  return refused;
}

START_TEST (a_forked_child_never_gets_in)
{
  g_autoptr (CprGate) gate = gate_new (true);
  Visitor visitor;
  int status;
  pid_t pid;

  visitor_start (&visitor, gate, "inside", NULL, visit);
  wait_for (&visitor.inside);
  ck_assert (cpr_gate_enter (gate));
  pid = fork ();
  if (pid == 0)
    _exit (child_is_kept_out (gate) ? EXIT_SUCCESS : EXIT_FAILURE);
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  ck_assert_int_eq (status, 0);
  cpr_gate_leave (gate);
  visitor_end (&visitor);
  close_gate (gate);
}
END_TEST

START_TEST (what_the_kernel_denies_is_an_error)
{
  GError *error = NULL;
  unsigned n_failed = 0;

  for (unsigned n = 1;; n++)
    {
      CprGate *gate;

      faults_begin (n, ENOMEM, 0);
      gate = cpr_gate_new (&error);
      faults_end ();
      cpr_gate_free (gate);
      if (error == NULL)
        break;
      assert_error (&error, CPR_ERROR_SYSTEM, "gate: its memory");
      ck_assert_ptr_null (gate);
      n_failed++;
    }
  ck_assert_uint_eq (n_failed, 2);
}
END_TEST

START_TEST (keys_that_run_out_are_an_error)
{
  static CprGate *gates[PTHREAD_KEYS_MAX + 1];
  GError *error = NULL;
  unsigned n = 0;

  ck_assert_ptr_nonnull (g_strerror (EAGAIN)); /* GLib makes a key of its own for the first one */
  while ((gates[n] = cpr_gate_new (&error)) != NULL)
    n++;
  ck_assert_int_eq (cpr_error_get_errno (error), EAGAIN);
  assert_error (&error, CPR_ERROR_SYSTEM, "gate: its key");
  while (n-- > 0)
    cpr_gate_free (gates[n]);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("gate");

  tcase_add_test (tests, a_new_gate_is_closed_and_open_lets_in_who_waits);
  tcase_add_test (tests, closing_a_closed_gate_and_opening_an_open_one_changes_nothing);
  tcase_add_test (tests, close_names_all_who_are_still_inside_and_leaves_the_gate_open);
  tcase_add_test (tests, close_kicks_those_inside_and_nobody_else);
  tcase_add_test (tests, a_kick_that_got_lost_is_repeated);
  tcase_add_test (tests, a_close_that_does_not_wait_kicks_once);
  tcase_add_test (tests, close_is_woken_by_the_last_who_leaves);
  tcase_add_test (tests, waiting_ends_in_time);
  tcase_add_test (tests, try_enter_gets_in_when_the_gate_opens);
  tcase_add_test (tests, a_member_that_is_inside_enters_again_while_the_gate_is_closed);
  tcase_add_test (tests, close_by_a_thread_that_is_inside_is_refused);
  tcase_add_test (tests, join_refuses_bad_names_and_a_second_membership);
  tcase_add_test (tests, a_thread_may_be_a_member_of_two_gates);
  tcase_add_test (tests, quit_leaves);
  tcase_add_test (tests, quit_waits_for_a_kick_that_is_under_way);
  tcase_add_test (tests, a_gate_that_is_opened_while_it_is_being_closed_is_an_error);
  tcase_add_test (tests, of_two_that_close_the_second_waits_for_the_first);
  tcase_add_test (tests, dismiss_sends_everybody_home);
  tcase_add_test (tests, dismiss_wakes_those_who_wait);
  tcase_add_test (tests, free_lets_those_go_who_still_wait);
  tcase_add_test (tests, a_forked_child_never_gets_in);
  tcase_add_test (tests, what_the_kernel_denies_is_an_error);
  tcase_add_test (tests, keys_that_run_out_are_an_error);
  return run_suite (suite);
}
