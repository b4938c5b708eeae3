/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The greeting of transfer mode: who may speak, in which version, on which clocks, for which VM. */
#include "channel-ends.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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
  assert_refused (other, sizeof good, CPR_ERROR_CORRUPT, "should begin with libcpr's magic number, and doesn't");
  assert_refused (empty, sizeof good, CPR_ERROR_CORRUPT, "its greeting has no name of a VM");
  for (size_t len = 0; len < sizeof good; len++)
    assert_refused (good, len, CPR_ERROR_CORRUPT, "it");
}
END_TEST

START_TEST (a_greeting_waits_for_another_process_only)
{
  const uint32_t header[] = { CPR_MESSAGE_HELLO, sizeof good };
  int ends[2], status;
  pid_t child;

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ck_assert (!cpr_hello_is_waiting (ends[1]));
  ck_assert_int_eq (write (ends[0], header, sizeof header), sizeof header);
  ck_assert_int_eq (write (ends[0], &good, sizeof good), sizeof good);
  ck_assert (!cpr_hello_is_waiting (ends[1]));
  child = fork ();
  if (child == 0)
    _exit (cpr_hello_is_waiting (ends[1]) && cpr_hello_is_waiting (ends[1]) ? 0 : 1);
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
  close (ends[0]);
  close (ends[1]);
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

int
main (void)
{
  BEGIN_SUITE ("hello");

  tcase_add_test (tests, a_greeting_says_who_it_is);
  tcase_add_test (tests, a_greeting_that_cannot_be_right_is_refused);
  tcase_add_test (tests, a_greeting_waits_for_another_process_only);
  tcase_add_test (tests, a_newer_one_that_still_speaks_this_version_is_taken);
  tcase_add_test (tests, a_greeting_on_other_clocks_is_refused);
  tcase_add_test (tests, a_greeting_on_the_same_clocks_or_on_none_is_taken);
  tcase_add_test (tests, another_vm_is_refused);
  return run_suite (suite);
}
