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
  tcase_add_test (tests, a_client_that_goes_takes_along_what_waited_for_it);
  tcase_add_test (tests, input_waits_outside_when_there_is_no_room);
  tcase_add_test (tests, what_came_is_read_though_nothing_can_be_sent);
  tcase_add_test (tests, a_dead_server_s_socket_is_replaced_and_a_living_one_s_not);
  tcase_add_test (tests, a_client_connects_and_a_lost_connection_stays_lost);
  tcase_add_test (tests, a_client_that_reconnects_does_so_until_somebody_is_there);
  tcase_add_test (tests, tcp_connects_at_once_and_in_the_background);
  return run_suite (suite);
}
