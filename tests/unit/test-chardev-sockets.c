/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Character devices at sockets: who comes and goes, and who takes nothing. */
#include "char-rig.h"

#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

/* ---- Sockets. */

START_TEST (a_server_has_one_client_after_the_other)
{
  int first, second;

  rig_make ("unix:", "/s,server=on,wait=off");
  ck_assert (!cpr_chardev_is_connected (rig.chardev));
  rig_writes ("nobody gets this");
  first = rig_connect_to ("s");
  second = rig_connect_to ("s");
  rig_serve ();
  ck_assert (cpr_chardev_is_connected (rig.chardev));
  rig_writes ("hello");
  rig_assert_gets (first, "hello");
  ck_assert_int_eq (write (first, "one", 3), 3);
  ck_assert_int_eq (write (second, "two", 3), 3);
  close (first);
  rig_serve ();
  rig_assert_reads ("onetwo");
  rig_writes ("again");
  rig_assert_gets (second, "again");
  close (second);
  rig_serve ();
  ck_assert (!cpr_chardev_is_connected (rig.chardev));
  rig_assert_waits_for ("in");
}
END_TEST

START_TEST (bytes_that_were_sent_before_the_hang_up_can_be_read)
{
  int client;

  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  ck_assert_int_eq (write (client, "bye", 3), 3);
  close (client);
  rig_serve ();
  rig_assert_reads ("bye");
  rig_assert_reads ("");
  ck_assert_ptr_null (cpr_fd_table_find (&rig.session->fds, "com1", CPR_CHARDEV_FD_CONNECTION));
}
END_TEST

START_TEST (a_client_that_takes_nothing_is_waited_for_without_waiting)
{
  static uint8_t data[4096];
  size_t taken, left;
  int client;

  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  rig_serve ();
  taken = rig_fill ();
  ck_assert_uint_eq (cpr_chardev_get_unsent (rig.chardev), CPR_CHARDEV_OUTPUT_MAX);
  ck_assert_uint_eq (cpr_chardev_write (rig.chardev, "x", 1), 0);
  rig_assert_waits_for ("in out");
  for (left = taken; left > 0;)
    {
      ssize_t n = read (client, data, sizeof data);

      ck_assert_int_gt (n, 0);
      left -= (size_t) n;
      cpr_chardev_serve (rig.chardev);
    }
  ck_assert_uint_eq (cpr_chardev_get_unsent (rig.chardev), 0);
  rig_assert_waits_for ("in");
  close (client);
}
END_TEST

START_TEST (what_waits_at_the_end_is_sent_if_it_is_taken)
{
  int client;

  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  rig_serve ();
  ck_assert (cpr_chardev_get_type ()->pre_save (rig.chardev, &rig.error));
  rig_writes ("last words");
  rig_end_now ();
  rig_assert_gets (client, "last words");
  close (client);
}
END_TEST

START_TEST (a_client_that_goes_takes_along_what_waited_for_it)
{
  int client;

  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  rig_serve ();
  rig_fill ();
  close (client);
  client = rig_connect_to ("s");
  rig_serve ();
  ck_assert_uint_eq (cpr_chardev_get_unsent (rig.chardev), 0);
  rig_writes ("new");
  rig_assert_gets (client, "new");
  close (client);
}
END_TEST

START_TEST (input_waits_outside_when_there_is_no_room)
{
  static uint8_t data[CPR_CHARDEV_INPUT_MAX + 5];
  int client;

  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  ck_assert (cpr_fd_write_all (client, data, sizeof data));
  shutdown (client, SHUT_WR);
  rig_serve ();
  rig_assert_waits_for ("");
  ck_assert (cpr_chardev_is_connected (rig.chardev)); /* the end comes after what is in front of it */
  ck_assert_uint_eq (cpr_chardev_read (rig.chardev, data, sizeof data), CPR_CHARDEV_INPUT_MAX);
  rig_assert_waits_for ("in");
  rig_serve ();
  ck_assert_uint_eq (cpr_chardev_read (rig.chardev, data, sizeof data), 5);
  ck_assert (!cpr_chardev_is_connected (rig.chardev));
  close (client);
}
END_TEST

/* Who can't be sent anything may still have said something. */
START_TEST (what_came_is_read_though_nothing_can_be_sent)
{
  static uint8_t data[CPR_CHARDEV_INPUT_MAX + 5];
  int client;

  rig_make ("unix:", "/s,server=on,wait=off");
  client = rig_connect_to ("s");
  ck_assert (cpr_fd_write_all (client, data, sizeof data));
  rig_serve ();
  close (client);
  rig_writes ("late");
  ck_assert_uint_eq (cpr_chardev_get_unsent (rig.chardev), 0);
  rig_writes ("later");
  ck_assert_uint_eq (cpr_chardev_read (rig.chardev, data, sizeof data), CPR_CHARDEV_INPUT_MAX);
  rig_serve ();
  ck_assert_uint_eq (cpr_chardev_read (rig.chardev, data, sizeof data), 5);
  ck_assert (!cpr_chardev_is_connected (rig.chardev));
}
END_TEST

START_TEST (a_dead_server_s_socket_is_replaced_and_a_living_one_s_not)
{
  g_autofree char *path = rig_path_of ("s"), *backend = g_strdup_printf ("unix:%s,server=on,wait=off", path);

  close (rig_listen_at ("s"));
  rig_make ("unix:", "/s,server=on,wait=off");
  ck_assert_ptr_null (cpr_chardev_new (rig.session, "com2", backend, &rig.error));
  assert_error (&rig.error, CPR_ERROR_SYSTEM, "Address already in use");
  rig_end_now ();
  ck_assert (!g_file_test (path, G_FILE_TEST_EXISTS));
}
END_TEST

START_TEST (a_client_connects_and_a_lost_connection_stays_lost)
{
  int server = rig_listen_at ("s"), connection;

  rig_make ("unix:", "/s");
  connection = accept (server, NULL, NULL);
  rig_writes ("hi");
  rig_assert_gets (connection, "hi");
  close (connection);
  rig_serve ();
  ck_assert (!cpr_chardev_is_connected (rig.chardev));
  rig_assert_waits_for ("");
  rig_writes ("nobody gets this");
  close (server);
  rig_remove_file ("s");
}
END_TEST

START_TEST (a_client_that_reconnects_does_so_until_somebody_is_there)
{
  struct pollfd fds[CPR_CHARDEV_FDS];
  int server, connection;

  rig_make ("unix:", "/s,reconnect-ms=1");
  rig_serve ();
  ck_assert (!cpr_chardev_is_connected (rig.chardev));
  ck_assert_int_ge (cpr_chardev_fill_fds (rig.chardev, fds), 0);
  server = rig_listen_at ("s");
  for (unsigned i = 0; i < 2; i++)
    {
      while (!cpr_chardev_is_connected (rig.chardev))
        rig_serve ();
      ck_assert_int_eq (cpr_chardev_fill_fds (rig.chardev, fds), -1);
      connection = accept (server, NULL, NULL);
      rig_writes ("hi");
      rig_assert_gets (connection, "hi");
      close (connection);
      cpr_chardev_serve (rig.chardev);
    }
  close (server);
  rig_remove_file ("s");
}
END_TEST

/* ---- Servers with several clients. */

static void
make_server (unsigned n_clients)
{
  g_autofree char *backend = g_strdup_printf ("unix:%s/s,server=on,wait=off", rig.folder);

  rig.chardev = cpr_chardev_new_server (rig.session, "com1", backend, n_clients, &rig.error);
  assert_no_error (rig.error);
}

static void
serve_all (unsigned n_clients)
{
  for (unsigned i = 0; i < n_clients; i++)
    cpr_chardev_serve (cpr_chardev_get_client (rig.chardev, i));
  rig_serve ();
  for (unsigned i = 0; i < n_clients; i++)
    cpr_chardev_serve (cpr_chardev_get_client (rig.chardev, i));
}

static void
assert_client_reads (unsigned place, const char *expected)
{
  char data[256] = "";

  cpr_chardev_read (cpr_chardev_get_client (rig.chardev, place), data, sizeof data - 1);
  ck_assert_str_eq (data, expected);
}

START_TEST (each_client_of_a_server_has_a_place_and_the_others_wait)
{
  int fds[3];

  make_server (2);
  for (unsigned i = 0; i < 3; i++)
    {
      fds[i] = rig_connect_to ("s");
      ck_assert_int_eq (write (fds[i], &"abc"[i], 1), 1);
      rig_serve ();
    }
  rig_assert_waits_for (""); /* the third one waits outside */
  serve_all (2);
  assert_client_reads (0, "a");
  assert_client_reads (1, "b");
  ck_assert_uint_eq (cpr_chardev_write (cpr_chardev_get_client (rig.chardev, 1), "B", 1), 1);
  rig_assert_gets (fds[1], "B");
  ck_assert_int_ge (cpr_fd_get (rig.session, "com1", CPR_CHARDEV_FD_CLIENTS + 1), 0);
  ck_assert_int_eq (write (fds[0], "z", 1), 1);
  close (fds[0]);
  serve_all (2);
  ck_assert (!cpr_chardev_is_connected (cpr_chardev_get_client (rig.chardev, 0)));
  assert_client_reads (0, "z"); /* until then nobody gets the place */
  serve_all (2);
  assert_client_reads (0, "c");
  close (fds[1]);
  close (fds[2]);
}
END_TEST

START_TEST (a_connection_can_be_ended_from_this_side)
{
  char byte;
  int fd;

  make_server (1);
  fd = rig_connect_to ("s");
  ck_assert_int_eq (write (fd, "unread", 6), 6);
  serve_all (1);
  ck_assert_uint_eq (cpr_chardev_write (cpr_chardev_get_client (rig.chardev, 0), "bye", 3), 3);
  cpr_chardev_disconnect (cpr_chardev_get_client (rig.chardev, 0));
  cpr_chardev_disconnect (cpr_chardev_get_client (rig.chardev, 0));
  rig_assert_gets (fd, "bye");
  ck_assert_int_le (read (fd, &byte, 1), 0);
  close (fd);
  assert_client_reads (0, "");
  fd = rig_connect_to ("s");
  ck_assert_int_eq (write (fd, "next", 4), 4);
  serve_all (1);
  assert_client_reads (0, "next");
  close (fd);
}
END_TEST

START_TEST (only_a_server_has_several_clients)
{
  static const char *const backends[] = { "null", "unix:x", "tcp:127.0.0.1:1", "pty" };

  for (size_t i = 0; i < G_N_ELEMENTS (backends); i++)
    {
      ck_assert_ptr_null (cpr_chardev_new_server (rig.session, "com1", backends[i], 2, &rig.error));
      assert_error (&rig.error, CPR_ERROR_INVALID, "chardev 'com1': it should be a server, and is");
    }
  ck_assert_uint_eq (rig.session->devices.devices->len, 0);
}
END_TEST

static int
listen_on_tcp (uint16_t *port)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t len = sizeof address;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  ck_assert_int_eq (bind (fd, (struct sockaddr *) &address, sizeof address), 0);
  ck_assert_int_eq (listen (fd, 4), 0);
  ck_assert_int_eq (getsockname (fd, (struct sockaddr *) &address, &len), 0);
  *port = ntohs (address.sin_port);
  return fd;
}

START_TEST (tcp_connects_at_once_and_in_the_background)
{
  static const char *const options[] = { "", ",reconnect=1", ",nodelay=off" };
  uint16_t port;
  int server = listen_on_tcp (&port);

  for (size_t i = 0; i < G_N_ELEMENTS (options); i++)
    {
      g_autofree char *backend = g_strdup_printf ("tcp:%s:%u%s", i == 0 ? "localhost" : "", port, options[i]);
      int connection;

      rig_make (backend, "");
      while (!cpr_chardev_is_connected (rig.chardev))
        rig_serve ();
      connection = accept (server, NULL, NULL);
      rig_writes ("hi");
      rig_assert_gets (connection, "hi");
      close (connection);
      rig_end_now ();
    }
  close (server);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("chardev-sockets");

  tcase_add_checked_fixture (tests, rig_setup, rig_teardown);
  tcase_add_test (tests, a_server_has_one_client_after_the_other);
  tcase_add_test (tests, bytes_that_were_sent_before_the_hang_up_can_be_read);
  tcase_add_test (tests, a_client_that_takes_nothing_is_waited_for_without_waiting);
  tcase_add_test (tests, what_waits_at_the_end_is_sent_if_it_is_taken);
  tcase_add_test (tests, a_client_that_goes_takes_along_what_waited_for_it);
  tcase_add_test (tests, input_waits_outside_when_there_is_no_room);
  tcase_add_test (tests, what_came_is_read_though_nothing_can_be_sent);
  tcase_add_test (tests, a_dead_server_s_socket_is_replaced_and_a_living_one_s_not);
  tcase_add_test (tests, a_client_connects_and_a_lost_connection_stays_lost);
  tcase_add_test (tests, a_client_that_reconnects_does_so_until_somebody_is_there);
  tcase_add_test (tests, each_client_of_a_server_has_a_place_and_the_others_wait);
  tcase_add_test (tests, a_connection_can_be_ended_from_this_side);
  tcase_add_test (tests, only_a_server_has_several_clients);
  tcase_add_test (tests, tcp_connects_at_once_and_in_the_background);
  return run_suite (suite);
}
