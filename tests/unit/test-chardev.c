/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Character devices: their texts, the backends without sockets, and the session that has them. */
#include "char-rig.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* ---- The text of a backend. */

START_TEST (a_backend_that_is_not_understood_is_refused_by_its_words)
{
  static const struct
  {
    const char *backend, *text;
  } wrong[] = {
    { "", "its backend should be null, stdio, pty" },
    { "vc", "and is 'vc'" },
    { "null:x", "'null:x' should be null" },
    { "file", "'file' should be file:PLACE" },
    { "file:", "'file:' should be file:PLACE" },
    { "file:x,server=on", "file has no option 'server=on'" },
    { "pty,signal=off", "pty has no option 'signal=off'" },
    { "stdio,signal=maybe", "stdio has no option 'signal=maybe'" },
    { "unix:x,server=on", "write wait=off" },
    { "unix:x,server", "write wait=off" },
    { "unix:x,server=on,wait=off,reconnect=1", "a server doesn't reconnect" },
    { "unix:x,reconnect=-1", "has no option 'reconnect=-1'" },
    { "unix:x,telnet=on", "unix has no option 'telnet=on'" },
    { "unix:x,,server=on", "x,server=on" },
    { "unix:x,", "unix has no option ''" },
    { "tcp:host", "should end with a port" },
    { "tcp:1.2.3.4:0", "should end with a port" },
    { "tcp:1.2.3.4:65536", "should end with a port" },
    { "tcp:example.org:1", "an address in numbers, and is 'example.org'" },
    { "tcp:[::1:1", "an address in numbers, and is '[::1'" },
  };

  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    rig_refuse (wrong[i].backend, i == 13 ? CPR_ERROR_SYSTEM : CPR_ERROR_INVALID, wrong[i].text);
}
END_TEST

START_TEST (a_path_that_is_too_long_for_a_socket_is_refused)
{
  g_autofree char *name = name_of (108), *backend = g_strdup_printf ("unix:%s,server=on,wait=off", name);

  rig_refuse (backend, CPR_ERROR_INVALID, "should have at most 107 bytes, and has 108");
}
END_TEST

START_TEST (names_are_checked_and_taken_once)
{
  g_autofree char *name = name_of (248);

  ck_assert_ptr_null (cpr_chardev_new (rig.session, name, "null", &rig.error));
  assert_error (&rig.error, CPR_ERROR_INVALID, "255");
  ck_assert_ptr_null (cpr_chardev_new (rig.session, "libcpr:x", "null", &rig.error));
  assert_error (&rig.error, CPR_ERROR_INVALID, "libcpr:");
  rig_make ("null", "");
  ck_assert_ptr_null (cpr_chardev_new (rig.session, "com1", "null", &rig.error));
  assert_error (&rig.error, CPR_ERROR_EXISTS, "com1");
}
END_TEST

START_TEST (what_cannot_be_opened_is_refused_and_leaves_nothing)
{
  rig_refuse ("file:/nowhere/x", CPR_ERROR_SYSTEM, "chardev 'com1': /nowhere/x: No such file");
  rig_refuse ("pipe:/nowhere/x", CPR_ERROR_SYSTEM, "chardev 'com1': /nowhere/x.in: No such file");
  rig_refuse ("unix:/nowhere/x", CPR_ERROR_SYSTEM, "chardev 'com1': unix:/nowhere/x: No such file");
  rig_refuse ("unix:/nowhere/x,server=on,wait=off", CPR_ERROR_SYSTEM, "No such file");
  rig_refuse ("unix:/dev/null,server=on,wait=off", CPR_ERROR_SYSTEM, "Address already in use");
  rig_refuse ("tcp:127.0.0.1:1", CPR_ERROR_SYSTEM, "chardev 'com1': tcp:127.0.0.1:1: Connection refused");
}
END_TEST

/* ---- Files, pipes, terminals. */

START_TEST (a_file_is_emptied_or_appended_to)
{
  g_autofree char *path = rig_path_of ("log"), *text = NULL;

  ck_assert (g_file_set_contents (path, "old", -1, NULL));
  rig_make ("file:", "/log,append=on");
  rig_writes ("new");
  rig_end_now ();
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  ck_assert_str_eq (text, "oldnew");
  g_free (text);
  rig_make ("file:", "/log");
  rig_writes ("newer");
  rig_assert_waits_for ("");
  ck_assert (g_file_get_contents (path, &text, NULL, NULL));
  ck_assert_str_eq (text, "newer");
  rig_remove_file ("log");
}
END_TEST

START_TEST (what_a_full_disk_does_not_take_is_lost_and_logged)
{
  rig_make ("file:/dev/full", "");
  rig_writes ("lost");
  ck_assert_uint_eq (cpr_chardev_get_unsent (rig.chardev), 0);
  cpr_chardev_serve (rig.chardev);
  ck_assert_ptr_nonnull (strstr (rig.guest.log->str, "chardev 'com1': output is lost: No space left on device"));
}
END_TEST

START_TEST (pipes_outlive_who_is_at_their_other_ends)
{
  g_autofree char *in = rig_path_of ("p.in"), *out = rig_path_of ("p.out");
  int writer, reader;

  ck_assert_int_eq (mkfifo (in, 0600) | mkfifo (out, 0600), 0);
  rig_make ("pipe:", "/p");
  for (unsigned i = 0; i < 2; i++)
    {
      writer = open (in, O_WRONLY | O_CLOEXEC);
      reader = open (out, O_RDONLY | O_CLOEXEC);
      ck_assert_int_eq (write (writer, "ping", 4), 4);
      close (writer);
      rig_serve ();
      rig_assert_reads ("ping");
      rig_writes ("pong");
      rig_assert_gets (reader, "pong");
      close (reader);
    }
  rig_end_now ();
  rig_remove_file ("p.in");
  rig_remove_file ("p.out");
  ck_assert (g_file_set_contents (in, "", -1, NULL));
  rig_make ("null", "");
  rig_end_now ();
  in[strlen (in) - strlen (".in")] = '\0';
  out = (g_free (out), g_strconcat ("pipe:", in, NULL));
  rig_refuse (out, CPR_ERROR_INVALID, "p.in should be a pipe, and is another file");
  rig_remove_file ("p.in");
}
END_TEST

START_TEST (a_pseudo_terminal_is_raw_and_knows_who_comes_and_goes)
{
  g_autofree char *where = NULL;
  struct termios settings;
  int terminal;

  rig_make ("pty", "");
  rig_serve ();
  ck_assert (!cpr_chardev_is_connected (rig.chardev));
  rig_writes ("nobody gets this");
  where = cpr_chardev_describe (rig.chardev);
  ck_assert (g_str_has_prefix (where, "pty:/dev/pts/"));
  for (unsigned i = 0; i < 2; i++)
    {
      terminal = open (where + strlen ("pty:"), O_RDWR | O_NOCTTY | O_CLOEXEC);
      ck_assert_int_eq (tcgetattr (terminal, &settings), 0);
      ck_assert_uint_eq (settings.c_lflag & (ICANON | ECHO | ISIG), 0);
      rig_writes ("a\nb"); /* seen at once */
      rig_assert_gets (terminal, "a\nb");
      ck_assert_int_eq (write (terminal, "c\rd\3", 4), 4);
      rig_serve ();
      ck_assert (cpr_chardev_is_connected (rig.chardev));
      rig_assert_reads ("c\rd\3");
      close (terminal);
      rig_serve ();
      ck_assert (!cpr_chardev_is_connected (rig.chardev));
    }
}
END_TEST

START_TEST (null_takes_everything_and_gives_nothing)
{
  rig_make ("null", "");
  rig_writes ("gone");
  rig_serve ();
  rig_assert_reads ("");
  rig_assert_waits_for ("");
}
END_TEST

/* ---- The session. */

/* The update fails at its execve, after the state was saved. */
START_TEST (after_an_update_that_failed_the_bytes_go_on)
{
  static uint8_t data[4096];
  size_t taken, got = 0;
  int client;

  cpr_session_free (rig.session);
  rig.session = session_new_active (&rig.guest, "vm");
  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  rig_serve ();
  ck_assert_int_eq (write (client, "typed", 5), 5);
  rig_serve ();
  taken = rig_fill ();
  ck_assert (!update_up_to_execve (rig.session, 0, &rig.error));
  g_clear_error (&rig.error);
  rig_assert_reads ("typed");
  while (got < taken)
    {
      ssize_t n = read (client, data, sizeof data);

      ck_assert_int_gt (n, 0);
      got += (size_t) n;
      rig_serve ();
    }
  close (client);
}
END_TEST

START_TEST (between_the_save_and_the_next_serve_nothing_goes_out)
{
  char data[8];
  int client;

  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  rig_serve ();
  ck_assert (cpr_chardev_get_type ()->pre_save (rig.chardev, &rig.error));
  rig_writes ("later");
  ck_assert_int_eq (recv (client, data, sizeof data, MSG_DONTWAIT), -1);
  ck_assert_uint_eq (cpr_chardev_get_unsent (rig.chardev), 5);
  rig_serve ();
  rig_assert_gets (client, "later");
  close (client);
}
END_TEST

/* The guest is another program's, or not yet this one's. */
START_TEST (who_does_not_have_the_guest_touches_nothing)
{
  static const CprSessionState states[] = { CPR_SESSION_STATE_INCOMING, CPR_SESSION_STATE_LOST,
                                            CPR_SESSION_STATE_HANDED_OVER, CPR_SESSION_STATE_UPDATING };
  int client;

  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  rig_serve ();
  ck_assert_int_eq (write (client, "typed", 5), 5);
  rig.session->was_incoming = true;
  for (size_t i = 0; i < G_N_ELEMENTS (states); i++)
    {
      rig.session->state = states[i];
      rig_assert_waits_for ("");
      cpr_chardev_serve (rig.chardev);
      rig_assert_reads ("");
    }
  rig.session->was_incoming = false;
  rig.session->state = CPR_SESSION_STATE_FRESH;
  rig_serve ();
  rig_assert_reads ("typed");
  close (client);
}
END_TEST

/* The old program goes on with the same fds. */
START_TEST (before_the_commit_its_end_closes_nothing)
{
  g_autofree char *path = rig_path_of ("s");
  int fd, client;

  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  rig_serve ();
  fd = cpr_fd_get (rig.session, "com1", CPR_CHARDEV_FD_LISTENER);
  rig.session->was_incoming = true;
  rig.session->state = CPR_SESSION_STATE_INCOMING;
  ck_assert (cpr_chardev_remove (rig.chardev, &rig.error));
  rig.chardev = NULL;
  ck_assert (g_file_test (path, G_FILE_TEST_EXISTS));
  ck_assert_int_ge (fcntl (fd, F_GETFD), 0);
  ck_assert_int_eq (cpr_fd_get (rig.session, "com1", CPR_CHARDEV_FD_LISTENER), fd);
  close (fd);
  close (cpr_fd_get (rig.session, "com1", CPR_CHARDEV_FD_CONNECTION));
  close (client);
  rig_remove_file ("s");
}
END_TEST

START_TEST (another_kind_of_backend_is_refused_when_it_is_loaded)
{
  rig_make ("null", "");
  rig.chardev->kind = CPR_CHARDEV_STDIO;
  ck_assert (!cpr_chardev_get_type ()->post_load (rig.chardev, 1, &rig.error));
  assert_error (&rig.error, CPR_ERROR_MISMATCH, "chardev 'com1': it is stdio in the state, null here");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("chardev");

  tcase_add_checked_fixture (tests, rig_setup, rig_teardown);
  tcase_add_test (tests, a_backend_that_is_not_understood_is_refused_by_its_words);
  tcase_add_test (tests, a_path_that_is_too_long_for_a_socket_is_refused);
  tcase_add_test (tests, names_are_checked_and_taken_once);
  tcase_add_test (tests, what_cannot_be_opened_is_refused_and_leaves_nothing);
  tcase_add_test (tests, a_file_is_emptied_or_appended_to);
  tcase_add_test (tests, what_a_full_disk_does_not_take_is_lost_and_logged);
  tcase_add_test (tests, pipes_outlive_who_is_at_their_other_ends);
  tcase_add_test (tests, a_pseudo_terminal_is_raw_and_knows_who_comes_and_goes);
  tcase_add_test (tests, null_takes_everything_and_gives_nothing);
  tcase_add_test (tests, after_an_update_that_failed_the_bytes_go_on);
  tcase_add_test (tests, between_the_save_and_the_next_serve_nothing_goes_out);
  tcase_add_test (tests, who_does_not_have_the_guest_touches_nothing);
  tcase_add_test (tests, before_the_commit_its_end_closes_nothing);
  tcase_add_test (tests, another_kind_of_backend_is_refused_when_it_is_loaded);
  return run_suite (suite);
}
