/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Claims all fds under a prefix. */
#include "guest.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "session/core.h"

static const struct
{
  const char *name;
  int index;
} entries[] = { { "client", 10 }, { "tap", 0 },   { "client-tls", 1 }, { "client", 2 },
                { "client", 0 },  { "clien", 0 }, { "zz", 5 } };

static Guest guest;
static CprSession *session;
static GError *error;
static GString *calls;
static int fds[G_N_ELEMENTS (entries)];
static int fails_at; /* the index at which the callback fails */
static bool fails_silently;

/* A table as it is after a take-up: nothing is claimed. */
static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
  calls = g_string_new (NULL);
  fails_at = -1;
  fails_silently = false;
  session = session_new (&guest, "vm");
  ck_assert_ptr_nonnull (cpr_ram_new (session, "pc.ram", PAGE, NULL, &error));
  for (size_t i = 0; i < G_N_ELEMENTS (entries); i++)
    {
      fds[i] = eventfd (0, EFD_CLOEXEC);
      ck_assert (cpr_fd_add (session, entries[i].name, entries[i].index, fds[i], &error));
    }
  for (guint i = 0; i < session->fds.entries->len; i++)
    ((CprFdEntry *) session->fds.entries->pdata[i])->claimed = false;
}

static void
teardown (void)
{
  cpr_session_free (session);
  for (size_t i = 0; i < G_N_ELEMENTS (entries); i++)
    close (fds[i]);
  g_string_free (calls, TRUE);
  guest_clear (&guest);
}

static bool
taken (const char *name, int index, int fd, void *user_data, GError **to)
{
  ck_assert_ptr_eq (user_data, &guest);
  ck_assert_int_eq (cpr_fd_get (session, name, index), fd);
  g_string_append_printf (calls, "%s %d;", name, index);
  if (index == fails_at && !fails_silently)
    return cpr_error_set_errno (to, CPR_ERROR_SYSTEM, EMFILE, "epoll");
  return index != fails_at;
}

START_TEST (all_of_a_prefix_are_claimed_by_name_and_index)
{
  ck_assert (cpr_fd_take_all (session, "client", taken, &guest, &error));
  ck_assert_str_eq (calls->str, "client 0;client 2;client 10;client-tls 1;");
  ck_assert_int_eq (cpr_fd_get (session, "client", 10), fds[0]);
  ck_assert_int_eq (cpr_fd_get (session, "clien", 0), -1);
  ck_assert_int_eq (cpr_fd_get (session, "tap", 0), -1);
}
END_TEST

START_TEST (an_empty_prefix_means_all_but_the_library_s_own)
{
  ck_assert (cpr_fd_take_all (session, "", taken, &guest, &error));
  ck_assert_str_eq (calls->str, "clien 0;client 0;client 2;client 10;client-tls 1;tap 0;zz 5;");
  ck_assert (cpr_fd_take_all (session, "", taken, &guest, &error));
  ck_assert (cpr_fd_take_all (session, "libcpr:", taken, &guest, &error));
  ck_assert_str_eq (calls->str, "clien 0;client 0;client 2;client 10;client-tls 1;tap 0;zz 5;");
}
END_TEST

START_TEST (what_was_claimed_before_is_left_out)
{
  ck_assert_int_eq (cpr_fd_take (session, "client", 2, &error), fds[3]);
  ck_assert (cpr_fd_take_all (session, "client", taken, &guest, &error));
  ck_assert_str_eq (calls->str, "client 0;client 10;client-tls 1;");
}
END_TEST

START_TEST (a_callback_that_fails_leaves_the_rest_unclaimed)
{
  fails_at = 2;
  ck_assert (!cpr_fd_take_all (session, "client", taken, &guest, &error));
  ck_assert_str_eq (error->message, "epoll: Too many open files");
  assert_error (&error, CPR_ERROR_SYSTEM, "epoll");
  ck_assert_str_eq (calls->str, "client 0;client 2;");
  ck_assert_int_eq (cpr_fd_get (session, "client", 2), fds[3]);
  ck_assert_int_eq (cpr_fd_get (session, "client", 10), -1);

  fails_at = 10;
  fails_silently = true;
  ck_assert (!cpr_fd_take_all (session, "client", taken, &guest, &error));
  assert_error (&error, CPR_ERROR_CALLBACK, "fd 'client' 10: its callback failed without a reason");

  fails_at = -1;
  ck_assert (cpr_fd_take_all (session, "client", taken, &guest, &error));
  ck_assert_str_eq (calls->str, "client 0;client 2;client 10;client-tls 1;");
}
END_TEST

/* Removes itself, takes one that would come later, and removes another one. */
static bool
change_table (const char *name, int index, int fd, void *user_data, GError **to)
{
  g_string_append_printf (calls, "%s %d;", name, index);
  ck_assert (cpr_fd_remove (session, name, index, to));
  if (index == 0)
    {
      ck_assert_int_eq (cpr_fd_take (session, "client", 2, to), fds[3]);
      ck_assert (cpr_fd_remove (session, "client-tls", 1, to));
      ck_assert (cpr_fd_add (session, "client", 99, fd, to));
    }
  ck_assert_ptr_null (user_data);
  return true;
}

START_TEST (the_callback_may_change_the_table)
{
  ck_assert (cpr_fd_take_all (session, "client", change_table, NULL, &error));
  ck_assert_str_eq (calls->str, "client 0;client 10;");
  ck_assert_int_eq (cpr_fd_get (session, "client", 0), -1);
  ck_assert_int_eq (cpr_fd_get (session, "client", 2), fds[3]);
  ck_assert_int_eq (cpr_fd_get (session, "client", 99), fds[4]);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("take-all");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, all_of_a_prefix_are_claimed_by_name_and_index);
  tcase_add_test (tests, an_empty_prefix_means_all_but_the_library_s_own);
  tcase_add_test (tests, what_was_claimed_before_is_left_out);
  tcase_add_test (tests, a_callback_that_fails_leaves_the_rest_unclaimed);
  tcase_add_test (tests, the_callback_may_change_the_table);
  return run_suite (suite);
}
