/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clocks of a process. Two processes have the same clocks if their boots are the same, and the
 * offsets of their time namespaces. */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "handoff/incoming.h"

#define NONE "monotonic           0         0\nboottime            0         0\n"
#define FAR  "monotonic      100000         0\nboottime            0         0\n"

static const char *offsets; /* NULL: it can't be opened */
static int offsets_errnum;
static GError *error;

/* The clocks in a time namespace with these offsets. */
static int
open_offsets (const char *path, int flags, mode_t mode)
{
  int fd;

  if (strcmp (path, "/proc/self/timens_offsets") != 0)
    return cpr_sys_kernel.open (path, flags, mode);
  errno = offsets_errnum;
  if (offsets == NULL)
    return -1;
  fd = file_new (0);
  ck_assert_int_eq (pwrite (fd, offsets, strlen (offsets), 0), (ssize_t) strlen (offsets));
  return fd;
}

static bool
get (char id[CPR_BOOT_ID_SIZE + 1], const char *with_offsets, int errnum)
{
  CprSys elsewhere = cpr_sys_kernel;
  bool ok;

  offsets = with_offsets;
  offsets_errnum = errnum;
  elsewhere.open = open_offsets;
  cpr_sys = &elsewhere;
  ok = cpr_boot_id_get (id, &error);
  cpr_sys = &cpr_sys_kernel;
  return ok;
}

START_TEST (without_offsets_it_is_the_hosts)
{
  char id[CPR_BOOT_ID_SIZE + 1], same[CPR_BOOT_ID_SIZE + 1];
  g_autofree char *host = NULL;

  ck_assert (g_file_get_contents ("/proc/sys/kernel/random/boot_id", &host, NULL, NULL));
  ck_assert (get (id, NONE, 0));
  ck_assert_str_eq (id, g_strchomp (host));
  ck_assert (get (same, NULL, ENOENT)); /* a kernel without time namespaces */
  ck_assert_str_eq (same, host);
  ck_assert (get (same, "", 0));
  ck_assert_str_eq (same, host);
}
END_TEST

START_TEST (with_offsets_it_is_theirs)
{
  static const char *const others[] = {
    "monotonic      100001         0\nboottime            0         0\n",
    "monotonic      100000         1\nboottime            0         0\n",
    "monotonic     -100000         0\nboottime            0         0\n",
    "monotonic      100000         0\nboottime            1         0\n",
    "monotonic           0         0\nboottime       100000         0\n",
  };
  char host[CPR_BOOT_ID_SIZE + 1], id[CPR_BOOT_ID_SIZE + 1], other[CPR_BOOT_ID_SIZE + 1];

  ck_assert (get (host, NONE, 0) && get (id, FAR, 0) && get (other, FAR, 0));
  ck_assert_str_eq (id, other);
  ck_assert_str_ne (id, host);
  ck_assert_uint_eq (strlen (id), CPR_BOOT_ID_SIZE);
  ck_assert (cpr_boot_id_is_of_same_boot (id, host));
  for (size_t i = 0; i < G_N_ELEMENTS (others); i++)
    {
      ck_assert (get (other, others[i], 0));
      ck_assert_str_ne (other, id);
      ck_assert_str_ne (other, host);
      ck_assert (cpr_boot_id_is_of_same_boot (other, id));
    }
  other[0] = other[0] == 'f' ? 'e' : 'f';
  ck_assert (!cpr_boot_id_is_of_same_boot (other, id));
}
END_TEST

START_TEST (offsets_that_cannot_be_read_are_an_error)
{
  char id[CPR_BOOT_ID_SIZE + 1];

  ck_assert (!get (id, NULL, EMFILE));
  assert_error (&error, CPR_ERROR_SYSTEM, "/proc/self/timens_offsets: ");
}
END_TEST

START_TEST (a_state_of_other_clocks_is_refused_and_on_the_way_back_converted)
{
  CprManifest manifest = { .vm_name = (char *) MACHINE_NAME, .uid = geteuid () };
  int64_t offset_ns;

  ck_assert (get (manifest.boot_id, FAR, 0));
  manifest.saved_ns = cpr_now_ns () + UINT64_C (100000) * 1000000000;
  manifest.saved_real_ns = cpr_real_now_ns ();
  ck_assert (!cpr_incoming_check_identity (&manifest, MACHINE_NAME, CPR_BOOT_SAME_CLOCKS, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "state: it was saved in another time namespace");
  ck_assert (cpr_incoming_check_identity (&manifest, MACHINE_NAME, CPR_BOOT_SAME, NULL));
  ck_assert (cpr_incoming_check_identity (&manifest, MACHINE_NAME, CPR_BOOT_ANY, NULL));
  ck_assert (cpr_manifest_get_time_offset (&manifest, &offset_ns, NULL));
  ck_assert_int_lt (offset_ns, INT64_C (-99000) * 1000000000); /* the clock of the day may be set meanwhile */
  ck_assert_int_gt (offset_ns, INT64_C (-101000) * 1000000000);

  manifest.boot_id[0] = manifest.boot_id[0] == 'f' ? 'e' : 'f';
  ck_assert (!cpr_incoming_check_identity (&manifest, MACHINE_NAME, CPR_BOOT_SAME, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "state: it is of boot ");
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("boot-id");

  tcase_add_test (tests, without_offsets_it_is_the_hosts);
  tcase_add_test (tests, with_offsets_it_is_theirs);
  tcase_add_test (tests, offsets_that_cannot_be_read_are_an_error);
  tcase_add_test (tests, a_state_of_other_clocks_is_refused_and_on_the_way_back_converted);
  return run_suite (suite);
}
