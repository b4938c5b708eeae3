/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Character devices where a call to the kernel fails, or does less than it was told to. */
#include "char-rig.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static CprSys sys;
static unsigned n_calls, fail_at; /* 0: none */
static int fail_errnum;
static bool is_short; /* reads and writes are of one byte */

static bool
fails (void)
{
  errno = fail_errnum;
  return ++n_calls == fail_at;
}

static ssize_t
faulty_read (int fd, void *data, size_t len)
{
  return fails () ? -1 : cpr_sys_kernel.read (fd, data, is_short ? 1 : len);
}

static ssize_t
faulty_write (int fd, const void *data, size_t len)
{
  return fails () ? -1 : cpr_sys_kernel.write (fd, data, is_short ? 1 : len);
}

static ssize_t
faulty_sendmsg (int fd, const struct msghdr *message, int flags)
{
  struct iovec part = { message->msg_iov->iov_base, is_short ? 1 : message->msg_iov->iov_len };
  const struct msghdr one = { .msg_iov = &part, .msg_iovlen = 1 };

  return fails () ? -1 : cpr_sys_kernel.sendmsg (fd, &one, flags);
}

static int
faulty_open (const char *path, int flags, mode_t mode)
{
  return fails () ? -1 : cpr_sys_kernel.open (path, flags, mode);
}

static int
faulty_fstat (int fd, struct stat *st)
{
  return fails () ? -1 : cpr_sys_kernel.fstat (fd, st);
}

static int
faulty_fcntl (int fd, int command, long argument)
{
  return fails () ? -1 : cpr_sys_kernel.fcntl (fd, command, argument);
}

static int
faulty_ioctl (int fd, unsigned long request, void *argument)
{
  return fails () ? -1 : cpr_sys_kernel.ioctl (fd, request, argument);
}

static int
faulty_socket (int domain, int type, int protocol)
{
  return fails () ? -1 : cpr_sys_kernel.socket (domain, type, protocol);
}

static int
faulty_bind (int fd, const struct sockaddr *address, socklen_t len)
{
  return fails () ? -1 : cpr_sys_kernel.bind (fd, address, len);
}

static int
faulty_listen (int fd, int backlog)
{
  return fails () ? -1 : cpr_sys_kernel.listen (fd, backlog);
}

static int
faulty_accept4 (int fd, struct sockaddr *address, socklen_t *len, int flags)
{
  return fails () ? -1 : cpr_sys_kernel.accept4 (fd, address, len, flags);
}

static int
faulty_connect (int fd, const struct sockaddr *address, socklen_t len)
{
  return fails () ? -1 : cpr_sys_kernel.connect (fd, address, len);
}

static int
faulty_poll (struct pollfd *fds, nfds_t n, int timeout_ms)
{
  return fails () ? -1 : cpr_sys_kernel.poll (fds, n, timeout_ms);
}

static int
faulty_getsockopt (int fd, int level, int option, void *value, socklen_t *len)
{
  return fails () ? -1 : cpr_sys_kernel.getsockopt (fd, level, option, value, len);
}

static int
faulty_setsockopt (int fd, int level, int option, const void *value, socklen_t len)
{
  return fails () ? -1 : cpr_sys_kernel.setsockopt (fd, level, option, value, len);
}

static void
begin (unsigned at, int errnum)
{
  sys = cpr_sys_kernel;
  sys.read = faulty_read;
  sys.write = faulty_write;
  sys.sendmsg = faulty_sendmsg;
  sys.open = faulty_open;
  sys.fstat = faulty_fstat;
  sys.fcntl = faulty_fcntl;
  sys.ioctl = faulty_ioctl;
  sys.socket = faulty_socket;
  sys.bind = faulty_bind;
  sys.listen = faulty_listen;
  sys.accept4 = faulty_accept4;
  sys.connect = faulty_connect;
  sys.poll = faulty_poll;
  sys.getsockopt = faulty_getsockopt;
  sys.setsockopt = faulty_setsockopt;
  n_calls = 0;
  fail_at = at;
  fail_errnum = errnum;
  cpr_sys = &sys;
}

/* Whether there was such a call. */
static bool
end (void)
{
  cpr_sys = &cpr_sys_kernel;
  return fail_at != 0 && n_calls >= fail_at;
}

static void
setup (void)
{
  rig_setup ();
  is_short = false;
}

static void
teardown (void)
{
  end ();
  rig_teardown ();
}

/* ---- Making one. */

/* Each call fails once. The device is made all the same, or nothing is left of it. */
static void
try_to_make (const char *backend)
{
  unsigned at = 0;
  bool was_hit = true;

  while (was_hit)
    {
      char *before = process_describe ();

      begin (++at, EMFILE);
      rig.chardev = cpr_chardev_new (rig.session, "com1", backend, &rig.error);
      was_hit = end ();
      if (rig.chardev != NULL)
        rig_end_now ();
      else
        assert_error (&rig.error, CPR_ERROR_SYSTEM, "Too many open files");
      assert_process_is (before);
      g_free (before);
      ck_assert_uint_eq (rig.session->fds.entries->len, 0);
      ck_assert_uint_eq (rig.session->devices.devices->len, 0);
    }
  ck_assert_uint_gt (at, 1);
}

START_TEST (whatever_fails_in_its_making_nothing_is_left)
{
  g_autofree char *s = rig_path_of ("s"), *log = rig_path_of ("log"), *other = rig_path_of ("other");
  g_autofree char *server = g_strdup_printf ("unix:%s,server=on,wait=off", s), *file = g_strdup_printf ("file:%s", log);
  g_autofree char *client = g_strdup_printf ("unix:%s", other);
  int listener = rig_listen_at ("other");

  try_to_make (server);
  try_to_make ("pty");
  try_to_make (file);
  try_to_make (client);
  close (listener);
  unlink (s);
  unlink (log);
  unlink (other);
}
END_TEST

/* ---- Using one. */

/* A client comes, says "ping" and gets "pong". What the guest got is *@got. */
static int
play (char got[16])
{
  int client;
  size_t n = 0;

  client = rig_connect_to ("s");
  ck_assert_int_eq (write (client, "ping", 4), 4);
  for (unsigned i = 0; i < 20; i++)
    {
      cpr_chardev_serve (rig.chardev);
      n += cpr_chardev_read (rig.chardev, got + n, 15 - n);
    }
  got[n] = '\0';
  cpr_chardev_write (rig.chardev, "pong", 4);
  rig_serve ();
  return client;
}

static void
assert_pong (int client)
{
  char got[16] = "";

  ck_assert_int_eq (recv (client, got, sizeof got - 1, MSG_DONTWAIT), 4);
  ck_assert_str_eq (got, "pong");
  close (client);
}

START_TEST (a_call_that_is_interrupted_or_has_to_wait_loses_nothing_and_doubles_nothing)
{
  static const int errnums[] = { EINTR, EAGAIN };

  for (size_t i = 0; i < G_N_ELEMENTS (errnums); i++)
    {
      unsigned at = 0;
      bool was_hit = true;

      while (was_hit)
        {
          char got[16];
          int client;

          rig_make ("unix:", "/s,server=on,wait=off");
          begin (++at, errnums[i]);
          client = play (got);
          was_hit = end ();
          if (fail_at <= n_calls && !cpr_chardev_is_connected (rig.chardev)) /* it couldn't be added to the table */
            ck_assert_ptr_nonnull (strstr (rig.guest.log->str, "a client was turned away"));
          else
            {
              ck_assert_str_eq (got, "ping");
              assert_pong (client);
              client = -1;
            }
          if (client >= 0)
            close (client);
          g_string_truncate (rig.guest.log, 0);
          rig_end_now ();
        }
      ck_assert_uint_gt (at, 5);
    }
}
END_TEST

/* It goes on with the next client. */
START_TEST (a_connection_that_breaks_ends_and_the_next_client_is_served)
{
  unsigned at = 0;
  bool was_hit = true;

  while (was_hit)
    {
      char got[16];
      int client;

      rig_make ("unix:", "/s,server=on,wait=off");
      begin (++at, EIO);
      client = play (got);
      was_hit = end ();
      ck_assert_msg (strcmp (got, "ping") == 0 || got[0] == '\0', "%s", got);
      close (client);
      for (struct pollfd fds[CPR_CHARDEV_FDS]; cpr_chardev_fill_fds (rig.chardev, fds) >= 0;)
        rig_serve (); /* it is accepted a little later */
      rig_serve ();
      while (cpr_chardev_read (rig.chardev, got, sizeof got) > 0)
        ;
      client = play (got);
      ck_assert_str_eq (got, "ping");
      assert_pong (client);
      rig_end_now ();
    }
  ck_assert_uint_gt (at, 5);
}
END_TEST

START_TEST (bytes_that_go_one_by_one_all_go)
{
  char got[16];
  int client;

  is_short = true;
  rig_make ("unix:", "/s,server=on,wait=off");
  begin (0, 0);
  client = play (got);
  end ();
  ck_assert_str_eq (got, "ping");
  assert_pong (client);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("chardev-faults");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, whatever_fails_in_its_making_nothing_is_left);
  tcase_add_test (tests, a_call_that_is_interrupted_or_has_to_wait_loses_nothing_and_doubles_nothing);
  tcase_add_test (tests, a_connection_that_breaks_ends_and_the_next_client_is_served);
  tcase_add_test (tests, bytes_that_go_one_by_one_all_go);
  return run_suite (suite);
}
