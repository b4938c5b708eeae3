/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A character device, its main loop, and who is at its other end. Used by tests of chardev. */
#include "char-rig.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

CharRig rig;

void
rig_setup (void)
{
  guest_init (&rig.guest);
  rig.error = NULL;
  rig.chardev = NULL;
  rig.session = session_new (&rig.guest, "vm");
  rig.folder = g_dir_make_tmp ("cpr-XXXXXX", NULL);
}

void
rig_teardown (void)
{
  if (rig.chardev != NULL)
    ck_assert (cpr_chardev_remove (rig.chardev, NULL));
  cpr_session_free (rig.session);
  g_rmdir (rig.folder);
  g_free (rig.folder);
  guest_clear (&rig.guest);
}

/* The backend is @before and @after, with the folder between them where @after begins with '/'. */
void
rig_make (const char *before, const char *after)
{
  g_autofree char *backend = g_strconcat (before, after[0] == '/' ? rig.folder : "", after, NULL);

  rig.chardev = cpr_chardev_new (rig.session, "com1", backend, &rig.error);
  assert_no_error (rig.error);
  ck_assert_ptr_nonnull (rig.chardev);
}

void
rig_refuse (const char *backend, CprError code, const char *text)
{
  char *before = process_describe ();

  ck_assert_ptr_null (cpr_chardev_new (rig.session, "com1", backend, &rig.error));
  assert_error (&rig.error, code, text);
  assert_process_is (before);
  g_free (before);
  ck_assert_uint_eq (rig.session->fds.entries->len, 0);
  ck_assert_uint_eq (rig.session->devices.devices->len, 0);
}

char *
rig_path_of (const char *name)
{
  return g_strconcat (rig.folder, "/", name, NULL);
}

void
rig_remove_file (const char *name)
{
  g_autofree char *path = rig_path_of (name);

  ck_assert_int_eq (unlink (path), 0);
}

static struct sockaddr_un
address_of (const char *name)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  g_snprintf (address.sun_path, sizeof address.sun_path, "%s/%s", rig.folder, name);
  return address;
}

int
rig_connect_to (const char *name)
{
  struct sockaddr_un address = address_of (name);
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  ck_assert_int_eq (connect (fd, (struct sockaddr *) &address, sizeof address), 0);
  return fd;
}

int
rig_listen_at (const char *name)
{
  struct sockaddr_un address = address_of (name);
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  ck_assert_int_eq (bind (fd, (struct sockaddr *) &address, sizeof address), 0);
  ck_assert_int_eq (listen (fd, 64), 0);
  return fd;
}

void
rig_serve (void)
{
  struct pollfd fds[CPR_CHARDEV_FDS];

  for (unsigned i = 0; i < 100; i++)
    {
      int timeout_ms = cpr_chardev_fill_fds (rig.chardev, fds);
      int n = poll (fds, CPR_CHARDEV_FDS, timeout_ms >= 0 && timeout_ms < 20 ? timeout_ms : 20);

      cpr_chardev_serve (rig.chardev);
      if (n == 0 && timeout_ms != 0)
        return;
    }
}

void
rig_assert_reads (const char *expected)
{
  char data[256] = "";

  ck_assert_uint_eq (cpr_chardev_read (rig.chardev, data, sizeof data - 1), strlen (expected));
  ck_assert_str_eq (data, expected);
}

void
rig_assert_gets (int fd, const char *expected)
{
  char data[256] = "";
  size_t got;

  ck_assert (cpr_fd_read_all (fd, data, strlen (expected), &got));
  ck_assert_str_eq (data, expected);
}

void
rig_writes (const char *text)
{
  ck_assert_uint_eq (cpr_chardev_write (rig.chardev, text, strlen (text)), strlen (text));
}

void
rig_end_now (void)
{
  ck_assert (cpr_chardev_remove (rig.chardev, &rig.error));
  rig.chardev = NULL;
}

void
rig_assert_waits_for (const char *expected)
{
  struct pollfd fds[CPR_CHARDEV_FDS];

  cpr_chardev_fill_fds (rig.chardev, fds);
  ck_assert_int_eq (fds[0].events, POLLIN);
  ck_assert_int_eq (fds[1].events, POLLOUT);
  ck_assert_int_eq (fds[0].fd >= 0, strstr (expected, "in") != NULL);
  ck_assert_int_eq (fds[1].fd >= 0, strstr (expected, "out") != NULL);
}

size_t
rig_fill (void)
{
  static const uint8_t piece[1000];
  size_t n, all = 0;

  while ((n = cpr_chardev_write (rig.chardev, piece, sizeof piece)) > 0)
    all += n;
  return all;
}
