/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <errno.h>

START_TEST (throw_sets_domain_code_and_message)
{
  GError *error = NULL;

  ck_assert (!cpr_throw (&error, CPR_ERROR_MISMATCH, "RAM block '%s': size is %d", "pc.ram", 7));
  ck_assert_str_eq (error->message, "RAM block 'pc.ram': size is 7");
  assert_error (&error, CPR_ERROR_MISMATCH, "pc.ram");
}
END_TEST

START_TEST (throw_errno_keeps_errno_and_says_it)
{
  GError *error = NULL;
  GError *copy;

  ck_assert (!cpr_throw_errno (&error, ENOSPC, "state: writing %u bytes", 12));
  ck_assert_str_eq (error->message, "state: writing 12 bytes: No space left on device");
  ck_assert_int_eq (cpr_error_get_errno (error), ENOSPC);
  copy = g_error_copy (error);
  g_error_free (error);
  ck_assert_int_eq (cpr_error_get_errno (copy), ENOSPC);
  assert_error (&copy, CPR_ERROR_SYSTEM, "writing");
}
END_TEST

START_TEST (a_callback_sets_an_error_as_the_library_does)
{
  GError *own = NULL, *librarys = NULL;

  ck_assert (!cpr_error_set_errno (&own, CPR_ERROR_SYSTEM, ENOTTY, "vCPU %d: KVM_SET_REGS", 3));
  cpr_throw_errno (&librarys, ENOTTY, "vCPU %d: KVM_SET_REGS", 3);
  ck_assert_str_eq (own->message, "vCPU 3: KVM_SET_REGS: Inappropriate ioctl for device");
  ck_assert_str_eq (own->message, librarys->message);
  ck_assert_int_eq (own->code, librarys->code);
  ck_assert_int_eq (cpr_error_get_errno (own), ENOTTY);
  ck_assert (!cpr_error_set_errno (&own, CPR_ERROR_INVALID, EIO, "second"));
  assert_error (&own, CPR_ERROR_SYSTEM, "vCPU 3");
  g_error_free (librarys);
  ck_assert (!cpr_error_set_errno (NULL, CPR_ERROR_SYSTEM, EIO, "nobody wants it"));
  ck_assert (!cpr_error_set_errno (&own, CPR_ERROR_MISMATCH, ENOENT, "tap"));
  ck_assert_int_eq (cpr_error_get_errno (own), ENOENT);
  assert_error (&own, CPR_ERROR_MISMATCH, "tap: No such file or directory");
}
END_TEST

START_TEST (errno_is_0_where_no_system_call_failed)
{
  GError *own = NULL;
  GError *foreign = g_error_new_literal (g_quark_from_static_string ("other"), ENOSPC, "full");

  cpr_throw (&own, CPR_ERROR_INVALID, "name");
  ck_assert_int_eq (cpr_error_get_errno (own), 0);
  ck_assert_int_eq (cpr_error_get_errno (foreign), 0);
  g_error_free (own);
  g_error_free (foreign);
}
END_TEST

START_TEST (the_first_error_stays)
{
  GError *error = NULL;

  cpr_throw (&error, CPR_ERROR_CORRUPT, "first");
  ck_assert (!cpr_throw (&error, CPR_ERROR_INVALID, "second"));
  ck_assert (!cpr_throw_errno (&error, EIO, "third"));
  ck_assert_str_eq (error->message, "first");
  assert_error (&error, CPR_ERROR_CORRUPT, "first");
}
END_TEST

START_TEST (an_error_that_nobody_wants_is_no_error)
{
  ck_assert (!cpr_throw (NULL, CPR_ERROR_INVALID, "name"));
  ck_assert (!cpr_throw_errno (NULL, EIO, "name"));
}
END_TEST

START_TEST (a_callback_that_failed_without_a_reason_is_named)
{
  GError *error = NULL;

  ck_assert (!cpr_throw_callback (&error, g_error_new_literal (CPR_ERROR, CPR_ERROR_CORRUPT, "its own"), "fd 'a' 0"));
  ck_assert_str_eq (error->message, "its own");
  assert_error (&error, CPR_ERROR_CORRUPT, "its own");
  ck_assert (!cpr_throw_callback (&error, NULL, "fd '%s' %d: its open callback failed", "a", 0));
  ck_assert_str_eq (error->message, "fd 'a' 0: its open callback failed without a reason");
  assert_error (&error, CPR_ERROR_CALLBACK, "open callback");
}
END_TEST

/* The numbers are part of the contract: never renumbered. */
START_TEST (codes_keep_their_numbers)
{
  static const int codes[] = { CPR_ERROR_INVALID,  CPR_ERROR_EXISTS,      CPR_ERROR_NOT_FOUND,   CPR_ERROR_STATE,
                               CPR_ERROR_BLOCKED,  CPR_ERROR_SYSTEM,      CPR_ERROR_CORRUPT,     CPR_ERROR_VERSION,
                               CPR_ERROR_MISMATCH, CPR_ERROR_CALLBACK,    CPR_ERROR_ROLLED_BACK, CPR_ERROR_NOT_OWNER,
                               CPR_ERROR_REFUSED,  CPR_ERROR_PAUSE_BUDGET };

  for (size_t i = 0; i < G_N_ELEMENTS (codes); i++)
    ck_assert_int_eq (codes[i], (int) i + 1);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("error");

  tcase_add_test (tests, throw_sets_domain_code_and_message);
  tcase_add_test (tests, throw_errno_keeps_errno_and_says_it);
  tcase_add_test (tests, a_callback_sets_an_error_as_the_library_does);
  tcase_add_test (tests, errno_is_0_where_no_system_call_failed);
  tcase_add_test (tests, the_first_error_stays);
  tcase_add_test (tests, an_error_that_nobody_wants_is_no_error);
  tcase_add_test (tests, a_callback_that_failed_without_a_reason_is_named);
  tcase_add_test (tests, codes_keep_their_numbers);
  return run_suite (suite);
}
