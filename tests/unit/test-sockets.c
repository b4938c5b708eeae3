/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sockets of transfer mode: their URIs, who listens, who connects and for how long. */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "handoff/transfer/channel.h"

#define WHOM "other end"

/* Connections that nobody accepts, as many as there is room for. */
static unsigned
fill_listener (const char *path, int *fds, unsigned n)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  for (unsigned i = 0; i < n; i++)
    {
      fds[i] = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      if (connect (fds[i], (const struct sockaddr *) &address, sizeof address) < 0)
        {
          ck_assert_int_eq (errno, EAGAIN);
          close (fds[i]);
          return i;
        }
    }
  ck_abort_msg ("the listener has room for %u connections or more", n);
}

START_TEST (a_listener_that_accepts_nobody_is_given_up)
{
  g_autofree char *folder = g_dir_make_tmp ("cpr-XXXXXX", NULL), *path = g_build_filename (folder, "socket", NULL);
  int listener = cpr_channel_listen (path, 1, NULL), fds[16], ends[2];
  unsigned n = fill_listener (path, fds, G_N_ELEMENTS (fds));
  GError *error = NULL;

  ck_assert_int_lt (cpr_channel_connect (path, cpr_now_ns () + 50 * 1000000, -1, &error), 0);
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "nobody accepted the connection in time");
  ck_assert_int_eq (pipe2 (ends, O_CLOEXEC), 0);
  ck_assert_int_eq (write (ends[1], "", 1), 1);
  ck_assert_int_lt (cpr_channel_connect (path, 0, ends[0], &error), 0);
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "update: cancelled while connecting to the socket");
  ck_assert_int_lt (cpr_channel_listen (path, 1, &error), 0); /* somebody listens there, and has no room */
  ck_assert_int_eq (cpr_error_get_errno (error), EEXIST);
  g_clear_error (&error);
  while (n-- > 0)
    close (fds[n]);
  close (ends[0]);
  close (ends[1]);
  close (listener);
  unlink (path);
  ck_assert_int_eq (rmdir (folder), 0);
}
END_TEST

/* ---- Sockets. */

START_TEST (a_stale_socket_is_replaced_and_a_file_is_not)
{
  g_autofree char *folder = g_dir_make_tmp ("cpr-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "socket", NULL), *file = g_build_filename (folder, "file", NULL);
  GError *error = NULL;
  struct stat st;
  int fd = cpr_channel_listen (path, 1, NULL), client;

  ck_assert_int_ge (fd, 0);
  ck_assert (stat (path, &st) == 0 && S_ISSOCK (st.st_mode) && (st.st_mode & 0777) == 0600);
  ck_assert_int_lt (cpr_channel_listen (path, 1, &error), 0); /* somebody listens there */
  ck_assert_int_eq (cpr_error_get_errno (error), EEXIST);
  g_clear_error (&error);
  client = cpr_channel_connect (path, 0, -1, NULL);
  ck_assert_int_ge (client, 0);
  close (client);
  close (fd);
  fd = cpr_channel_listen (path, 1, NULL);
  ck_assert_int_ge (fd, 0);
  close (fd);

  ck_assert (g_file_set_contents (file, "x", 1, NULL));
  ck_assert_int_lt (cpr_channel_listen (file, 1, &error), 0);
  ck_assert_int_eq (cpr_error_get_errno (error), EEXIST);
  g_clear_error (&error);
  ck_assert (stat (file, &st) == 0 && S_ISREG (st.st_mode));
  unlink (file);
  unlink (path);
  ck_assert_int_eq (rmdir (folder), 0);
}
END_TEST

START_TEST (uris_that_cannot_be_right_are_refused)
{
  static const char *const wrong[] = {
    "", "unix", "unix-fd:", "unix-fd:2", "unix-fd:-1", "unix-fd:3x", "tcp:1:2", "/x"
  };
  const char *path;
  int fd;

  ck_assert (cpr_channel_parse ("unix:/a:b", &path, &fd, NULL));
  ck_assert_str_eq (path, "/a:b");
  ck_assert_int_eq (fd, -1);
  ck_assert (cpr_channel_parse ("unix-fd:3", &path, &fd, NULL));
  ck_assert_ptr_null (path);
  ck_assert_int_eq (fd, 3);
  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      GError *error = NULL;

      ck_assert_msg (!cpr_channel_parse (wrong[i], &path, &fd, &error), "%s", wrong[i]);
      ck_assert_int_eq (error->code, CPR_ERROR_INVALID);
      g_clear_error (&error);
    }
}
END_TEST

START_TEST (what_is_no_stream_socket_is_refused)
{
  GError *error = NULL;
  CprChannel channel;
  int ends[2];

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_DGRAM, 0, ends), 0);
  ck_assert (!cpr_channel_open (&channel, ends[0], WHOM, &error));
  ck_assert_int_eq (error->code, CPR_ERROR_INVALID);
  g_clear_error (&error);
  close (ends[0]);
  close (ends[1]);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("sockets");

  tcase_add_test (tests, a_listener_that_accepts_nobody_is_given_up);
  tcase_add_test (tests, a_stale_socket_is_replaced_and_a_file_is_not);
  tcase_add_test (tests, uris_that_cannot_be_right_are_refused);
  tcase_add_test (tests, what_is_no_stream_socket_is_refused);
  return run_suite (suite);
}
