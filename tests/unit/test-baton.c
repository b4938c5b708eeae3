/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "handoff/carrier.h"

/* The documented table of transitions, as a predicate of its own. */
static bool
is_documented (CprBatonWord from, CprBatonWord to)
{
  bool same_pid = from.pid == to.pid, same_attempt = from.attempt == to.attempt, next = from.attempt + 1 == to.attempt;

  if (from.state == CPR_BATON_OWNED) /* to itself, before execve, or to the new program of a transfer */
    return to.state == CPR_BATON_OFFERED && next;
  if (from.state == CPR_BATON_OFFERED)
    switch (to.state)
      {
      case CPR_BATON_OWNED: /* the commit, or an execve that failed */
        return same_pid && same_attempt;
      case CPR_BATON_OFFERED: /* before a rollback */
        return same_pid && next;
      case CPR_BATON_FENCED: /* by the guardian, which puts its own pid in */
      case CPR_BATON_PARKED:
        return same_attempt;
      }
  if (from.state ==
      CPR_BATON_FENCED) /* the rescue; or, attempts used up, the end; or the old program of a transfer goes on */
    return same_pid && ((to.state == CPR_BATON_OFFERED && next) ||
                        ((to.state == CPR_BATON_PARKED || to.state == CPR_BATON_OWNED) && same_attempt));
  return from.state == CPR_BATON_PARKED && to.state == CPR_BATON_OFFERED && same_pid && next; /* told to try again */
}

static CprBatonWord
word_at (unsigned n)
{
  static const pid_t pids[] = { 1, 77, 4194304 };

  return (CprBatonWord){ .state = CPR_BATON_OWNED + n / 12, .attempt = n / 3 % 4, .pid = pids[n % 3] };
}

#define N_WORDS (4 * 4 * 3)

START_TEST (only_documented_steps_are_legal)
{
  unsigned legal = 0;

  for (unsigned i = 0; i < N_WORDS; i++)
    for (unsigned j = 0; j < N_WORDS; j++)
      {
        CprBatonWord from = word_at (i), to = word_at (j);

        ck_assert_msg (cpr_baton_is_legal (from, to) == is_documented (from, to),
                       "%u attempt %u of %d to %u attempt %u of %d", from.state, from.attempt, from.pid, to.state,
                       to.attempt, to.pid);
        legal += is_documented (from, to);
      }
  ck_assert_uint_gt (legal, 0);
}
END_TEST

static void
set_word (CprBatonPage *page, CprBatonWord word)
{
  atomic_store (&page->word, (uint64_t) word.state << 56 | (uint64_t) word.attempt << 48 | (uint32_t) word.pid);
}

static void
assert_word (const CprBatonPage *page, CprBatonWord word)
{
  CprBatonWord now = cpr_baton_get (page);

  ck_assert_int_eq (now.state, word.state);
  ck_assert_uint_eq (now.attempt, word.attempt);
  ck_assert_int_eq (now.pid, word.pid);
}

START_TEST (move_takes_legal_steps_and_no_others)
{
  CprBatonPage page = { .magic = 0 };

  for (unsigned i = 0; i < N_WORDS; i++)
    for (unsigned j = 0; j < N_WORDS; j++)
      {
        CprBatonWord from = word_at (i), to = word_at (j);

        set_word (&page, from);
        ck_assert (cpr_baton_move (&page, from, to) == is_documented (from, to));
        assert_word (&page, is_documented (from, to) ? to : from);
      }
}
END_TEST

/* Were the count to begin again with 0, the guest would look like one that was never offered. */
START_TEST (the_last_attempt_is_followed_by_itself)
{
  const CprBatonWord parked = { CPR_BATON_PARKED, CPR_BATON_LAST_ATTEMPT, 77 };
  const CprBatonWord again = { CPR_BATON_OFFERED, CPR_BATON_LAST_ATTEMPT, 77 };
  const CprBatonWord more = { CPR_BATON_OFFERED, CPR_BATON_LAST_ATTEMPT + 1, 77 };
  CprBatonPage page = { .magic = 0 };

  set_word (&page, parked);
  ck_assert (!cpr_baton_move (&page, parked, more));
  assert_word (&page, parked);
  ck_assert (cpr_baton_move (&page, parked, again));
  assert_word (&page, again);
}
END_TEST

START_TEST (move_from_another_word_loses)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, 1, 77 }, owned = { CPR_BATON_OWNED, 1, 77 };
  CprBatonPage page = { .magic = 0 };

  for (unsigned i = 0; i < N_WORDS; i++)
    {
      CprBatonWord word = word_at (i);

      set_word (&page, word);
      if (word.state == offered.state && word.attempt == offered.attempt && word.pid == offered.pid)
        continue;
      ck_assert (!cpr_baton_move (&page, offered, owned));
      assert_word (&page, word);
    }
}
END_TEST

START_TEST (one_of_two_that_race_wins)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, 1, 77 }, owned = { CPR_BATON_OWNED, 1, 77 },
                     fenced = { CPR_BATON_FENCED, 1, 99 };
  CprBatonPage page = { .magic = 0 };

  set_word (&page, offered);
  ck_assert (cpr_baton_move (&page, offered, fenced));
  ck_assert (!cpr_baton_move (&page, offered, owned));
  assert_word (&page, fenced);
}
END_TEST

START_TEST (a_new_baton_is_owned_by_its_maker)
{
  CprBaton baton;

  ck_assert (cpr_baton_new (&baton, NULL));
  assert_word (baton.page, (CprBatonWord){ CPR_BATON_OWNED, 0, getpid () });
  ck_assert_int_eq (fcntl (baton.fd, F_GETFD), FD_CLOEXEC);
  ck_assert_int_lt (ftruncate (baton.fd, 0), 0); /* nobody pulls the page away under the others */
  ck_assert_int_lt (ftruncate (baton.fd, 1 << 20), 0);
  cpr_baton_clear (&baton);
  cpr_baton_clear (&baton);
}
END_TEST

START_TEST (an_opened_baton_is_the_same_page)
{
  CprBaton baton, second;

  ck_assert (cpr_baton_new (&baton, NULL));
  ck_assert (cpr_baton_open (&second, dup (baton.fd), NULL));
  ck_assert (cpr_baton_move (second.page, (CprBatonWord){ CPR_BATON_OWNED, 0, getpid () },
                             (CprBatonWord){ CPR_BATON_OFFERED, 1, getpid () }));
  assert_word (baton.page, (CprBatonWord){ CPR_BATON_OFFERED, 1, getpid () });
  cpr_baton_clear (&second);
  cpr_baton_clear (&baton);
}
END_TEST

START_TEST (what_is_no_baton_is_not_opened)
{
  int unsealed = file_new (4096), empty = cpr_memfd_new ("unit-test", 0), wrong_size = cpr_memfd_new ("unit-test", 0);
  int fds[] = { unsealed, empty, wrong_size, 1000 };
  g_autofree char *before = NULL;
  GError *error = NULL;
  CprBaton baton;

  ck_assert_int_eq (ftruncate (empty, 4096), 0);
  ck_assert_int_eq (fcntl (empty, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  ck_assert_int_eq (ftruncate (wrong_size, 8192), 0);
  ck_assert_int_eq (fcntl (wrong_size, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
  before = process_describe ();
  for (size_t i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      g_autofree char *name = g_strdup_printf ("baton: fd %d", fds[i]);

      ck_assert (!cpr_baton_open (&baton, fds[i], &error));
      assert_error (&error, CPR_ERROR_CORRUPT, name);
    }
  assert_process_is (before);
  close (unsealed);
  close (empty);
  close (wrong_size);
}
END_TEST

START_TEST (a_baton_that_fails_leaves_nothing)
{
  g_autofree char *before = process_describe ();
  unsigned n = 0;
  GError *error = NULL;
  CprBaton baton;
  bool made;

  do
    {
      faults_begin (++n, 0, 0);
      made = cpr_baton_new (&baton, &error);
      faults_end ();
      if (!made)
        {
          assert_error (&error, CPR_ERROR_SYSTEM, "baton");
          ck_assert_int_eq (faults.mappings, 0);
          assert_process_is (before);
        }
    }
  while (!made);
  cpr_baton_clear (&baton);
  ck_assert_uint_ge (n, 5); /* memfd_create, ftruncate, seals, mmap */
}
END_TEST

START_TEST (the_page_holds_as_many_guardians_as_it_says)
{
  CprBatonPage page = { .magic = 0 };

  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    ck_assert (cpr_baton_add_guardian (&page, 100 + i));
  ck_assert (!cpr_baton_add_guardian (&page, 200));
  for (int i = 0; i < CPR_BATON_GUARDIANS; i++)
    ck_assert_int_eq (page.guardians[i], 100 + i);
}
END_TEST

START_TEST (a_guardian_that_closed_its_fds_says_so_for_itself_alone)
{
  CprBatonPage page = { .magic = 0 };

  cpr_baton_add_guardian (&page, 100);
  cpr_baton_add_guardian (&page, 101);
  cpr_baton_set_closed (&page, 101);
  cpr_baton_set_closed (&page, 102); /* in no slot */
  ck_assert (!cpr_baton_is_closed (&page, 0));
  ck_assert (cpr_baton_is_closed (&page, 1));
}
END_TEST

START_TEST (the_next_guardian_in_a_slot_has_its_fds)
{
  CprBatonPage page = { .magic = 0 };

  cpr_baton_add_guardian (&page, 100);
  cpr_baton_set_closed (&page, 100);
  cpr_baton_remove_guardian (&page, 100);
  cpr_baton_add_guardian (&page, 101);
  ck_assert (!cpr_baton_is_closed (&page, 0));
}
END_TEST

START_TEST (the_last_step_is_one_of_the_present_attempt)
{
  CprBatonPage page = { .magic = 0 };

  cpr_baton_begin_attempt (&page, 1000);
  page.stamps[CPR_STEP_EXEC] = 1001;
  ck_assert_str_eq (cpr_baton_get_step_name (cpr_baton_get_last_step (&page)), "exec");
  page.stamps[CPR_STEP_TAKE_UP] = 1002;
  page.stamps[CPR_STEP_CLAIM] = 1003;
  page.stamps[CPR_STEP_LOAD] = 1004;
  ck_assert_str_eq (cpr_baton_get_step_name (cpr_baton_get_last_step (&page)), "load");
  cpr_baton_begin_attempt (&page, 2000);
  ck_assert_str_eq (cpr_baton_get_step_name (cpr_baton_get_last_step (&page)), "exec");
  page.stamps[CPR_STEP_TAKE_UP] = 2001;
  ck_assert_str_eq (cpr_baton_get_step_name (cpr_baton_get_last_step (&page)), "take-up");
}
END_TEST

/* A page of another release may name a step that this release doesn't have. */
START_TEST (a_step_has_one_name_and_one_of_the_page_always_has_one)
{
  for (CprStep step = CPR_STEP_EXEC; step <= CPR_STEP_COMMIT; step++)
    ck_assert_str_eq (cpr_baton_get_step_name (step), cpr_step_get_name (step));
  ck_assert_str_eq (cpr_baton_get_step_name ((CprStep) 1000), "exec");
  ck_assert_str_eq (cpr_baton_get_step_name (CPR_STEP_SAVE), "exec");
}
END_TEST

/* In every mode: the old program must not start a guest that another process owns. */
START_TEST (an_offer_of_what_another_process_owns_loses_the_guest)
{
  CprBatonPage page = { .magic = 0 };
  CprCarrier carrier = { .page = &page };
  GError *error = NULL;

  set_word (&page, (CprBatonWord){ CPR_BATON_OWNED, 0, getpid () });
  ck_assert (cpr_carrier_offer_baton (&carrier, 77, &error));
  ck_assert (!carrier.lost && cpr_baton_get (&page).pid == 77);
  ck_assert (!cpr_carrier_offer_baton (&carrier, 78, &error));
  assert_error (&error, CPR_ERROR_NOT_OWNER, "baton: ");
  ck_assert (carrier.lost && cpr_baton_get (&page).pid == 77);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("baton");

  tcase_add_test (tests, only_documented_steps_are_legal);
  tcase_add_test (tests, move_takes_legal_steps_and_no_others);
  tcase_add_test (tests, the_last_attempt_is_followed_by_itself);
  tcase_add_test (tests, move_from_another_word_loses);
  tcase_add_test (tests, one_of_two_that_race_wins);
  tcase_add_test (tests, a_new_baton_is_owned_by_its_maker);
  tcase_add_test (tests, an_opened_baton_is_the_same_page);
  tcase_add_test (tests, what_is_no_baton_is_not_opened);
  tcase_add_test (tests, a_baton_that_fails_leaves_nothing);
  tcase_add_test (tests, the_page_holds_as_many_guardians_as_it_says);
  tcase_add_test (tests, a_guardian_that_closed_its_fds_says_so_for_itself_alone);
  tcase_add_test (tests, the_next_guardian_in_a_slot_has_its_fds);
  tcase_add_test (tests, the_last_step_is_one_of_the_present_attempt);
  tcase_add_test (tests, a_step_has_one_name_and_one_of_the_page_always_has_one);
  tcase_add_test (tests, an_offer_of_what_another_process_owns_loses_the_guest);
  return run_suite (suite);
}
