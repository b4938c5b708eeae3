/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages between two programs in transfer mode: each is taken as it was sent, or refused. */
#include "channel-ends.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned
count_fds (void)
{
  g_autoptr (GArray) fds = cpr_fd_list (NULL);

  return fds->len;
}

START_TEST (a_message_arrives_as_it_was_sent)
{
  static const char text[] = "0123456789ab";
  int fds[] = { open ("/dev/null", O_RDWR), open ("/dev/zero", O_RDWR), open ("/dev/full", O_RDWR) };
  struct stat sent, received;

  open_both ();
  ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_FDS, text, 12, fds, 3, NULL));
  ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_READY, NULL, 0, NULL, 0, NULL));
  ck_assert (receive (NULL));
  ck_assert_int_eq (message.type, CPR_MESSAGE_FDS);
  ck_assert_uint_eq (message.len, 12);
  ck_assert_mem_eq (message.data, text, 12);
  ck_assert_uint_eq (message.n_fds, 3);
  for (int i = 0; i < 3; i++)
    {
      ck_assert (fstat (fds[i], &sent) == 0 && fstat (message.fds[i], &received) == 0);
      ck_assert_uint_eq (sent.st_rdev, received.st_rdev);
      ck_assert_int_eq (fcntl (message.fds[i], F_GETFD), FD_CLOEXEC);
      close (fds[i]);
    }
  ck_assert_int_eq (theirs.peer, getpid ());
  ck_assert (receive (NULL));
  ck_assert_int_eq (message.type, CPR_MESSAGE_READY);
  ck_assert_uint_eq (message.n_fds, 0);
  close_both ();
}
END_TEST

START_TEST (as_many_fds_as_the_kernel_takes_arrive_in_order)
{
  uint32_t numbers[CPR_MESSAGE_FDS_MAX];
  int fds[CPR_MESSAGE_FDS_MAX], zero = open ("/dev/zero", O_RDWR), null = open ("/dev/null", O_RDWR);
  unsigned before;

  open_both ();
  before = count_fds ();
  for (unsigned i = 0; i < CPR_MESSAGE_FDS_MAX; i++)
    {
      numbers[i] = i;
      fds[i] = i % 3 == 0 ? zero : null;
    }
  ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_FDS, numbers, sizeof numbers, fds, CPR_MESSAGE_FDS_MAX, NULL));
  ck_assert (receive (NULL));
  ck_assert_uint_eq (message.n_fds, CPR_MESSAGE_FDS_MAX);
  for (unsigned i = 0; i < CPR_MESSAGE_FDS_MAX; i++)
    {
      struct stat is, was;

      ck_assert (fstat (fds[i], &was) == 0 && fstat (message.fds[i], &is) == 0 && is.st_rdev == was.st_rdev);
    }
  cpr_message_clear (&message);
  ck_assert_uint_eq (count_fds (), before);
  close (zero);
  close (null);
  close_both ();
}
END_TEST

/* Sends @len zero bytes with @n copies of @fd. */
static void
send_raw (int socket, size_t len, int fd, unsigned n)
{
  static union
  {
    char bytes[CMSG_SPACE (CPR_MESSAGE_FDS_MAX * sizeof (int))];
    struct cmsghdr alignment;
  } control;
  char zeros[CPR_MESSAGE_HEADER] = { 0 };
  struct iovec part = { zeros, len };
  struct msghdr header = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE (n * sizeof (int))
  };

  control.alignment = (struct cmsghdr){ CMSG_LEN (n * sizeof (int)), SOL_SOCKET, SCM_RIGHTS };
  for (unsigned i = 0; i < n; i++)
    memcpy (CMSG_DATA (&control.alignment) + i * sizeof fd, &fd, sizeof fd);
  ck_assert_int_eq (sendmsg (socket, &header, 0), (ssize_t) len);
}

/* Each part of a message may come with as many as the kernel takes. */
START_TEST (more_fds_than_a_message_can_have_are_closed)
{
  GError *error = NULL;
  unsigned before;

  open_both ();
  before = count_fds ();
  send_raw (ours.fd, 4, ours.fd, 200);
  send_raw (ours.fd, 4, ours.fd, CPR_MESSAGE_FDS_MAX);
  ck_assert (!receive (&error));
  assert_error (&error, CPR_ERROR_CORRUPT, WHOM ": it sent fds in the middle of a message");
  ck_assert_uint_eq (count_fds (), before);
  close_both ();
}
END_TEST

START_TEST (the_reason_of_a_failure_is_an_error_in_one_line)
{
  GError *error = NULL;

  open_both ();
  cpr_channel_send_failure (&ours, "device 'x':\nit\x1b[31m broke");
  ck_assert (!receive (&error));
  ck_assert_int_eq (error->code, CPR_ERROR_ROLLED_BACK);
  ck_assert (strchr (error->message, '\n') == NULL && strchr (error->message, '\x1b') == NULL);
  ck_assert_ptr_nonnull (strstr (error->message, WHOM ": device 'x':"));
  g_clear_error (&error);
  close_both ();
}
END_TEST

START_TEST (what_cant_be_sent_has_the_reason_of_who_has_gone)
{
  GError *error = NULL;

  for (int said = 0; said <= 1; said++)
    {
      open_both ();
      ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_BUSY, NULL, 0, NULL, 0, NULL));
      if (said)
        cpr_channel_send_failure (&ours, "device 'x' broke");
      cpr_channel_close (&ours);
      ck_assert (!cpr_channel_send (&theirs, CPR_MESSAGE_STOPPED, NULL, 0, NULL, 0, &error));
      assert_error (&error, CPR_ERROR_ROLLED_BACK,
                    said ? WHOM ": device 'x' broke" : WHOM ": it closed the connection (sending message 10)");
      close_both ();
    }
}
END_TEST

START_TEST (the_end_of_the_connection_is_an_error)
{
  GError *error = NULL;

  open_both ();
  cpr_channel_close (&ours);
  ck_assert (!receive (&error));
  assert_error (&error, CPR_ERROR_ROLLED_BACK, WHOM ": it closed the connection, waiting for a message");
  close_both ();
}
END_TEST

START_TEST (the_end_of_the_process_is_an_error_although_the_connection_stays)
{
  GError *error = NULL;
  pid_t pid;

  open_both ();
  pid = fork ();
  if (pid == 0)
    _exit (0);
  theirs.pidfd = cpr_sys->pidfd_open (pid);
  if (theirs.pidfd < 0 && under_valgrind ()) /* it knows no pidfds */
    {
      waitpid (pid, NULL, 0);
      close_both ();
      return;
    }
  ck_assert (!receive (&error));
  ck_assert_ptr_nonnull (strstr (error->message, "ended, waiting for a message"));
  g_clear_error (&error);
  waitpid (pid, NULL, 0);
  close_both ();
}
END_TEST

START_TEST (another_process_cannot_speak_for_the_peer)
{
  GError *error = NULL;
  pid_t pid;

  open_both ();
  ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_BUSY, NULL, 0, NULL, 0, NULL));
  ck_assert (receive (NULL));
  pid = fork ();
  if (pid == 0)
    _exit (cpr_channel_send (&ours, CPR_MESSAGE_READY, NULL, 0, NULL, 0, NULL) ? 0 : 1);
  waitpid (pid, NULL, 0);
  ck_assert (!receive (&error));
  ck_assert_int_eq (error->code, CPR_ERROR_MISMATCH);
  ck_assert_ptr_nonnull (strstr (error->message, "sent a message in the place of process"));
  g_clear_error (&error);
  close_both ();
}
END_TEST

/* ---- Rubbish. */

START_TEST (only_messages_that_can_be_right_are_taken)
{
  for (uint32_t type = 0; type < 20; type++)
    for (uint32_t len = 0; len <= CPR_MESSAGE_MAX + 1; len++)
      for (unsigned n_fds = 0; n_fds <= 4; n_fds++)
        {
          bool has_fds = type == CPR_MESSAGE_FDS || type == CPR_MESSAGE_QUESTION || type == CPR_MESSAGE_ANSWER ||
                         type == CPR_MESSAGE_STATE;
          bool ok = cpr_message_check (type, len, n_fds, NULL);

          ck_assert (!ok || (type >= CPR_MESSAGE_HELLO && type <= CPR_MESSAGE_STOPPED && len <= CPR_MESSAGE_MAX));
          ck_assert (!ok || (n_fds > 0) == has_fds);
          ck_assert (!ok || type != CPR_MESSAGE_FDS || len == 4 * n_fds);
        }
}
END_TEST

/* The bytes of a whole conversation's beginning, as they go over the wire. */
static GByteArray *
record (void)
{
  GByteArray *bytes = g_byte_array_new ();
  uint8_t buffer[4096];
  ssize_t len;

  open_both ();
  ck_assert (cpr_channel_send_hello (&ours, "vm1", NULL));
  ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_BUSY, NULL, 0, NULL, 0, NULL));
  ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_FAILED, "why", 3, NULL, 0, NULL));
  len = recv (theirs.fd, buffer, sizeof buffer, MSG_DONTWAIT);
  while (len > 0)
    {
      g_byte_array_append (bytes, buffer, (guint) len);
      len = recv (theirs.fd, buffer, sizeof buffer, MSG_DONTWAIT);
    }
  close_both ();
  ck_assert_uint_gt (bytes->len, 40);
  return bytes;
}

/* Plays the bytes to an end that expects a HELLO and then any message. Returns how many messages
 * were good. The failure has a reason. */
static unsigned
play (const uint8_t *data, size_t len, unsigned fds_left)
{
  GError *error = NULL;
  unsigned n = 0;

  open_both ();
  ck_assert (len == 0 || send (ours.fd, data, len, 0) == (ssize_t) len);
  cpr_fd_clear (&ours.fd);
  if (cpr_channel_receive_hello (&theirs, "vm1", NULL, &error))
    do
      n++;
    while (n < 100 && receive (&error));
  ck_assert_ptr_nonnull (error);
  g_clear_error (&error);
  close_both ();
  ck_assert_uint_eq (count_fds (), fds_left);
  return n;
}

START_TEST (every_prefix_of_a_conversation_is_refused_where_it_ends)
{
  g_autoptr (GByteArray) all = record ();
  unsigned before = count_fds (), most = 0;

  for (guint len = 0; len <= all->len; len++)
    {
      unsigned n = play (all->data, len, before);

      ck_assert_uint_ge (n, most);
      most = n;
    }
  ck_assert_uint_eq (most, 2); /* HELLO and BUSY; FAILED is an error */
}
END_TEST

START_TEST (every_flipped_byte_is_survived)
{
  static const uint8_t masks[] = { 0x01, 0x80, 0xff };
  g_autoptr (GByteArray) all = record ();
  unsigned before = count_fds ();

  for (guint at = 0; at < all->len; at++)
    for (size_t i = 0; i < G_N_ELEMENTS (masks); i++)
      {
        all->data[at] ^= masks[i];
        ck_assert_uint_le (play (all->data, all->len, before), 3);
        all->data[at] ^= masks[i];
      }
}
END_TEST

START_TEST (fds_that_nobody_asked_for_are_closed)
{
  int fd = open ("/dev/null", O_RDWR);
  GError *error = NULL;
  unsigned before;

  open_both ();
  before = count_fds ();
  ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_READY, NULL, 0, &fd, 1, NULL));
  ck_assert (!receive (&error));
  assert_error (&error, CPR_ERROR_CORRUPT, WHOM ": it sent a message of type 6 with 0 bytes and 1 fds");
  ck_assert_uint_eq (count_fds (), before);
  close (fd);
  close_both ();
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("channel");

  tcase_add_test (tests, a_message_arrives_as_it_was_sent);
  tcase_add_test (tests, as_many_fds_as_the_kernel_takes_arrive_in_order);
  tcase_add_test (tests, more_fds_than_a_message_can_have_are_closed);
  tcase_add_test (tests, the_reason_of_a_failure_is_an_error_in_one_line);
  tcase_add_test (tests, what_cant_be_sent_has_the_reason_of_who_has_gone);
  tcase_add_test (tests, the_end_of_the_connection_is_an_error);
  tcase_add_test (tests, the_end_of_the_process_is_an_error_although_the_connection_stays);
  tcase_add_test (tests, another_process_cannot_speak_for_the_peer);
  tcase_add_test (tests, only_messages_that_can_be_right_are_taken);
  tcase_add_test (tests, every_prefix_of_a_conversation_is_refused_where_it_ends);
  tcase_add_test (tests, every_flipped_byte_is_survived);
  tcase_add_test (tests, fds_that_nobody_asked_for_are_closed);
  return run_suite (suite);
}
