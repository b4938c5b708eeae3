/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long a program waits for the other one in transfer mode: to its deadline, whatever the other
 * one does, or until it is cancelled. */
#include "channel-ends.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* The deadline holds, although the other end takes a byte now and then. */
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
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "update: cancelled while waiting for room for a message");
  close (ends[0]);
  close (ends[1]);
  close_both ();
}
END_TEST

/* The other end no longer reads and goes on talking. Its reason may never come. */
START_TEST (the_reason_of_who_has_gone_is_not_waited_for_for_ever)
{
  GError *error = NULL;
  pid_t pid;

  open_both ();
  ck_assert_int_eq (shutdown (ours.fd, SHUT_RD), 0);
  pid = play_forever (send_busy);
  ck_assert (!cpr_channel_send (&theirs, CPR_MESSAGE_STOPPED, NULL, 0, NULL, 0, &error));
  assert_error (&error, CPR_ERROR_ROLLED_BACK, WHOM ": it closed the connection (sending message 10)");
  end_player (pid);
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
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "update: cancelled while waiting for a message");
  close (ends[0]);
  close (ends[1]);
  close_both ();
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("channel-waits");

  tcase_add_test (tests, what_comes_too_late_is_an_error);
  tcase_add_test (tests, messages_without_end_dont_move_the_end);
  tcase_add_test (tests, a_message_in_single_bytes_doesnt_move_the_end);
  tcase_add_test (tests, half_a_message_is_none);
  tcase_add_test (tests, what_is_there_past_the_end_is_too_late);
  tcase_add_test (tests, a_slow_reader_doesnt_move_the_end);
  tcase_add_test (tests, who_waits_for_room_can_be_cancelled);
  tcase_add_test (tests, the_reason_of_who_has_gone_is_not_waited_for_for_ever);
  tcase_add_test (tests, a_wait_can_be_cancelled);
  return run_suite (suite);
}
