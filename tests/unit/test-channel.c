/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What two programs say to each other in transfer mode: whatever arrives is taken as it is
 * meant, or refused. */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handoff/transfer/channel.h"

#define WHOM "other end"

/* Two ends; what is sent on one can be received on the other. */
static CprChannel ours, theirs;
static CprMessage message;

static void
open_both (void)
{
  int ends[2];

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ck_assert (cpr_channel_open (&ours, ends[0], WHOM, NULL) && cpr_channel_open (&theirs, ends[1], WHOM, NULL));
}

static void
close_both (void)
{
  cpr_message_clear (&message);
  cpr_channel_close (&ours);
  cpr_channel_close (&theirs);
}

static bool
receive (GError **error)
{
  return cpr_channel_receive (&theirs, &message, "a message", error);
}

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

/* @len bytes of nothing, with @n copies of @fd. */
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
      assert_error (&error, said ? CPR_ERROR_ROLLED_BACK : CPR_ERROR_SYSTEM,
                    said ? WHOM ": device 'x' broke" : WHOM ": sending message 10: Broken pipe");
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

START_TEST (what_comes_too_late_is_an_error)
{
  GError *error = NULL;

  open_both ();
  theirs.deadline_ns = cpr_now_ns () + 1000000;
  ck_assert (!receive (&error));
  assert_error (&error, CPR_ERROR_ROLLED_BACK, WHOM ": nothing came in time, waiting for a message");
  close_both ();
}
END_TEST

/* ---- An end that nobody moves. */

/* A process that plays the other end until it is killed. */
static pid_t
play_forever (void (*play_once) (void))
{
  pid_t pid = fork ();

  if (pid == 0)
    for (;;)
      play_once ();
  return pid;
}

static void
end_player (pid_t pid)
{
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  close_both ();
}

static void
send_busy (void)
{
  cpr_channel_send (&ours, CPR_MESSAGE_BUSY, NULL, 0, NULL, 0, NULL);
}

static void
send_byte (void)
{
  static const char bytes[] = "\11\0\0\0\0\4\0\0"; /* FAILED, with 1024 bytes */
  static unsigned at;
  char byte = at < CPR_MESSAGE_HEADER ? bytes[at] : 'x';

  if (at++ < CPR_MESSAGE_HEADER + CPR_MESSAGE_MAX - 1)
    send (ours.fd, &byte, 1, MSG_NOSIGNAL);
  g_usleep (1000);
}

static void
read_byte (void)
{
  char byte;

  if (recv (ours.fd, &byte, 1, 0) < 0)
    pause ();
  g_usleep (1000);
}

/* Receives until there is an error. */
static void
assert_too_late (void (*play_once) (void))
{
  GError *error = NULL;
  pid_t pid;

  open_both ();
  pid = play_forever (play_once);
  theirs.deadline_ns = cpr_now_ns () + 100 * 1000000;
  while (receive (&error))
    cpr_message_clear (&message);
  assert_error (&error, CPR_ERROR_ROLLED_BACK, WHOM ": nothing came in time, waiting for a message");
  end_player (pid);
}

START_TEST (messages_without_end_dont_move_the_end)
{
  assert_too_late (send_busy);
}
END_TEST

START_TEST (a_message_in_single_bytes_doesnt_move_the_end)
{
  assert_too_late (send_byte);
}
END_TEST

START_TEST (half_a_message_is_none)
{
  static const uint32_t head[] = { CPR_MESSAGE_FAILED, 6 };
  GError *error = NULL;

  open_both ();
  ck_assert_int_eq (send (ours.fd, head, sizeof head, 0), sizeof head);
  theirs.deadline_ns = cpr_now_ns () + 1000000;
  ck_assert (!receive (&error));
  assert_error (&error, CPR_ERROR_ROLLED_BACK, WHOM ": nothing came in time");
  ck_assert_int_eq (message.type, CPR_MESSAGE_NONE);
  close_both ();
}
END_TEST

START_TEST (what_is_there_past_the_end_is_too_late)
{
  GError *error = NULL;

  open_both ();
  send_busy ();
  theirs.deadline_ns = cpr_now_ns ();
  ck_assert (!receive (&error));
  assert_error (&error, CPR_ERROR_ROLLED_BACK, WHOM ": nothing came in time");
  close_both ();
}
END_TEST

/* The end comes although a bit is taken now and then. */
START_TEST (a_slow_reader_doesnt_move_the_end)
{
  static const uint8_t text[CPR_MESSAGE_MAX];
  GError *error = NULL;
  pid_t pid;

  open_both ();
  pid = play_forever (read_byte);
  theirs.deadline_ns = cpr_now_ns () + 100 * 1000000;
  while (cpr_channel_send (&theirs, CPR_MESSAGE_FAILED, text, sizeof text, NULL, 0, &error))
    ;
  assert_error (&error, CPR_ERROR_ROLLED_BACK, WHOM ": nothing came in time, waiting for room for a message");
  end_player (pid);
}
END_TEST

START_TEST (who_waits_for_room_can_be_cancelled)
{
  static const uint8_t text[CPR_MESSAGE_MAX];
  GError *error = NULL;
  int ends[2];

  open_both ();
  ck_assert_int_eq (pipe2 (ends, O_CLOEXEC), 0);
  theirs.cancel_fd = ends[0];
  ck_assert_int_eq (write (ends[1], text, 1), 1);
  while (cpr_channel_send (&theirs, CPR_MESSAGE_FAILED, text, sizeof text, NULL, 0, &error))
    ;
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "cancelled, waiting for room for a message");
  close (ends[0]);
  close (ends[1]);
  close_both ();
}
END_TEST

/* It reads nothing any more and goes on talking: its reason may come for ever, or never. */
START_TEST (the_reason_of_who_has_gone_is_not_waited_for_for_ever)
{
  GError *error = NULL;
  pid_t pid;

  open_both ();
  ck_assert_int_eq (shutdown (ours.fd, SHUT_RD), 0);
  pid = play_forever (send_busy);
  ck_assert (!cpr_channel_send (&theirs, CPR_MESSAGE_STOPPED, NULL, 0, NULL, 0, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, WHOM ": sending message 10: Broken pipe");
  end_player (pid);
}
END_TEST

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
  ck_abort_msg ("there is room for any number");
}

START_TEST (a_listener_that_accepts_nobody_is_given_up)
{
  g_autofree char *folder = g_dir_make_tmp ("cpr-XXXXXX", NULL), *path = g_build_filename (folder, "socket", NULL);
  int listener = cpr_channel_listen (path, NULL), fds[16], ends[2];
  unsigned n = fill_listener (path, fds, G_N_ELEMENTS (fds));
  GError *error = NULL;

  ck_assert_int_lt (cpr_channel_connect (path, cpr_now_ns () + 50 * 1000000, -1, &error), 0);
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "nobody accepted the connection in time");
  ck_assert_int_eq (pipe2 (ends, O_CLOEXEC), 0);
  ck_assert_int_eq (write (ends[1], "", 1), 1);
  ck_assert_int_lt (cpr_channel_connect (path, 0, ends[0], &error), 0);
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "cancelled, connecting to the socket");
  ck_assert_int_lt (cpr_channel_listen (path, &error), 0); /* somebody listens there, and has no room */
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

START_TEST (a_wait_can_be_cancelled)
{
  static const char byte;
  GError *error = NULL;
  int ends[2];

  open_both ();
  ck_assert_int_eq (pipe2 (ends, O_CLOEXEC), 0);
  theirs.cancel_fd = ends[0];
  ck_assert_int_eq (write (ends[1], &byte, 1), 1);
  ck_assert (!receive (&error));
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "cancelled, waiting for a message");
  close (ends[0]);
  close (ends[1]);
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

/* Plays them to somebody who expects a HELLO and then whatever comes. How many messages were
 * good; each failure has a reason. */
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

/* ---- HELLO. */

typedef struct
{
  uint64_t magic;
  uint32_t version, oldest, pid;
  uint16_t len;
  char name[4];
} __attribute__ ((packed)) Hello;

static const Hello good = { UINT64_C (0x31524546534e5254), 1, 1, 7, 3, "vm1" };

static void
assert_refused (Hello hello, size_t len, int code, const char *words)
{
  GError *error = NULL;
  CprHello parsed;

  ck_assert (!cpr_hello_parse (&parsed, &hello, len, &error));
  ck_assert_int_eq (error->code, code);
  ck_assert_msg (strstr (error->message, words) != NULL, "%s", error->message);
  ck_assert_ptr_null (parsed.vm_name);
  g_clear_error (&error);
}

START_TEST (a_greeting_says_who_it_is)
{
  CprHello parsed;

  ck_assert (cpr_hello_parse (&parsed, &good, sizeof good, NULL));
  ck_assert_uint_eq (parsed.pid, 7);
  ck_assert_str_eq (parsed.vm_name, "vm1");
  g_free (parsed.vm_name);
}
END_TEST

START_TEST (a_greeting_that_cannot_be_right_is_refused)
{
  Hello newer = good, older = good, other = good, empty = good;

  newer.version = 9;
  newer.oldest = 5;
  older.version = older.oldest = 0;
  other.magic++;
  empty.len = 0;
  assert_refused (newer, sizeof good, CPR_ERROR_VERSION, "versions 5 to 9 of the transfer, this program 1 to 1");
  assert_refused (older, sizeof good, CPR_ERROR_VERSION, "versions 0 to 0");
  assert_refused (other, sizeof good, CPR_ERROR_CORRUPT, "doesn't speak like libcpr");
  assert_refused (empty, sizeof good, CPR_ERROR_CORRUPT, "can't be right");
  for (size_t len = 0; len < sizeof good; len++)
    assert_refused (good, len, CPR_ERROR_CORRUPT, "it");
}
END_TEST

START_TEST (a_newer_one_that_still_speaks_this_version_is_taken)
{
  Hello newer = good;
  CprHello parsed;

  newer.version = 4;
  ck_assert (cpr_hello_parse (&parsed, &newer, sizeof newer, NULL));
  g_free (parsed.vm_name);
}
END_TEST

/* A greeting whose clocks are ahead by so much. */
static void
send_hello_ahead (int64_t monotonic_ns, int64_t boottime_ns)
{
  CprClocks clocks = cpr_clocks_get ();
  uint8_t bytes[sizeof good + sizeof clocks];
  Hello own = good;

  own.pid = (uint32_t) getpid ();
  clocks.monotonic_ns += (uint64_t) monotonic_ns;
  clocks.boottime_ns += (uint64_t) boottime_ns;
  memcpy (bytes, &own, sizeof own);
  memcpy (bytes + sizeof own, &clocks, sizeof clocks);
  ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_HELLO, bytes, sizeof bytes, NULL, 0, NULL));
}

START_TEST (a_greeting_on_other_clocks_is_refused)
{
  static const struct
  {
    int64_t monotonic_ns, boottime_ns;
    const char *clock, *where;
  } cases[] = {
    { INT64_C (100000) * 1000000000, 0, "CLOCK_MONOTONIC", "ahead" },
    { INT64_C (-1) * 1000000000, 0, "CLOCK_MONOTONIC", "behind" },
    { 0, INT64_C (1) * 1000000000, "CLOCK_BOOTTIME", "ahead" },
    { 0, INT64_C (-1) * 1000000000, "CLOCK_BOOTTIME", "behind" },
    { INT64_MIN, 0, "CLOCK_MONOTONIC", "ahead" }, /* of all that can be said */
  };

  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const CprClocks asked = cpr_clocks_get ();
      GError *error = NULL;

      open_both ();
      send_hello_ahead (cases[i].monotonic_ns, cases[i].boottime_ns);
      ck_assert (!cpr_channel_receive_hello (&theirs, "vm1", &asked, &error));
      ck_assert_ptr_nonnull (strstr (error->message, cases[i].clock));
      ck_assert_ptr_nonnull (strstr (error->message, cases[i].where));
      assert_error (&error, CPR_ERROR_MISMATCH, WHOM ": it is in another time namespace: ");
      close_both ();
    }
}
END_TEST

START_TEST (a_greeting_on_the_same_clocks_or_on_none_is_taken)
{
  CprClocks asked = cpr_clocks_get ();
  Hello without = good;

  open_both ();
  ck_assert (cpr_channel_send_hello (&ours, "vm1", NULL));
  ck_assert (cpr_channel_receive_hello (&theirs, "vm1", &asked, NULL));
  without.pid = (uint32_t) getpid ();
  ck_assert (cpr_channel_send (&ours, CPR_MESSAGE_HELLO, &without, sizeof without, NULL, 0, NULL));
  ck_assert (cpr_channel_receive_hello (&theirs, "vm1", &asked, NULL));
  close_both ();
}
END_TEST

START_TEST (another_vm_is_refused)
{
  GError *error = NULL;

  open_both ();
  ck_assert (cpr_channel_send_hello (&ours, "vm2", NULL));
  ck_assert (!cpr_channel_receive_hello (&theirs, "vm1", NULL, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, WHOM ": it is for VM 'vm2', this program is for VM 'vm1'");
  close_both ();
}
END_TEST

/* ---- Sockets. */

START_TEST (a_stale_socket_is_replaced_and_a_file_is_not)
{
  g_autofree char *folder = g_dir_make_tmp ("cpr-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "socket", NULL), *file = g_build_filename (folder, "file", NULL);
  GError *error = NULL;
  struct stat st;
  int fd = cpr_channel_listen (path, NULL), client;

  ck_assert_int_ge (fd, 0);
  ck_assert (stat (path, &st) == 0 && S_ISSOCK (st.st_mode) && (st.st_mode & 0777) == 0600);
  ck_assert_int_lt (cpr_channel_listen (path, &error), 0); /* somebody listens there */
  ck_assert_int_eq (cpr_error_get_errno (error), EEXIST);
  g_clear_error (&error);
  client = cpr_channel_connect (path, 0, -1, NULL);
  ck_assert_int_ge (client, 0);
  close (client);
  close (fd);
  fd = cpr_channel_listen (path, NULL);
  ck_assert_int_ge (fd, 0);
  close (fd);

  ck_assert (g_file_set_contents (file, "x", 1, NULL));
  ck_assert_int_lt (cpr_channel_listen (file, &error), 0);
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
  BEGIN_SUITE ("channel");

  tcase_add_test (tests, a_message_arrives_as_it_was_sent);
  tcase_add_test (tests, as_many_fds_as_the_kernel_takes_arrive_in_order);
  tcase_add_test (tests, more_fds_than_a_message_can_have_are_closed);
  tcase_add_test (tests, the_reason_of_a_failure_is_an_error_in_one_line);
  tcase_add_test (tests, what_cant_be_sent_has_the_reason_of_who_has_gone);
  tcase_add_test (tests, the_end_of_the_connection_is_an_error);
  tcase_add_test (tests, the_end_of_the_process_is_an_error_although_the_connection_stays);
  tcase_add_test (tests, what_comes_too_late_is_an_error);
  tcase_add_test (tests, messages_without_end_dont_move_the_end);
  tcase_add_test (tests, a_message_in_single_bytes_doesnt_move_the_end);
  tcase_add_test (tests, half_a_message_is_none);
  tcase_add_test (tests, what_is_there_past_the_end_is_too_late);
  tcase_add_test (tests, a_slow_reader_doesnt_move_the_end);
  tcase_add_test (tests, who_waits_for_room_can_be_cancelled);
  tcase_add_test (tests, the_reason_of_who_has_gone_is_not_waited_for_for_ever);
  tcase_add_test (tests, a_listener_that_accepts_nobody_is_given_up);
  tcase_add_test (tests, a_wait_can_be_cancelled);
  tcase_add_test (tests, another_process_cannot_speak_for_the_peer);
  tcase_add_test (tests, only_messages_that_can_be_right_are_taken);
  tcase_add_test (tests, every_prefix_of_a_conversation_is_refused_where_it_ends);
  tcase_add_test (tests, every_flipped_byte_is_survived);
  tcase_add_test (tests, fds_that_nobody_asked_for_are_closed);
  tcase_add_test (tests, a_greeting_says_who_it_is);
  tcase_add_test (tests, a_greeting_that_cannot_be_right_is_refused);
  tcase_add_test (tests, a_newer_one_that_still_speaks_this_version_is_taken);
  tcase_add_test (tests, a_greeting_on_other_clocks_is_refused);
  tcase_add_test (tests, a_greeting_on_the_same_clocks_or_on_none_is_taken);
  tcase_add_test (tests, another_vm_is_refused);
  tcase_add_test (tests, a_stale_socket_is_replaced_and_a_file_is_not);
  tcase_add_test (tests, uris_that_cannot_be_right_are_refused);
  tcase_add_test (tests, what_is_no_stream_socket_is_refused);
  return run_suite (suite);
}
