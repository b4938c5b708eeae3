/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's knowledge of the assigned devices of a VM: when it has which. */
#include <stdio.h>

#include "guest.h"
#include "kvm-machine.h"

#ifdef __x86_64__

#  include <errno.h>
#  include <sys/ioctl.h>
#  include <unistd.h>

#  include "session/core.h"

static Guest guest;
static CprSession *session;
static KvmMachine machine;
static CprKvmVm *vm;
static CprVfioDevice devices[3]; /* the first two are of one group */
static GString *calls;           /* "+100 " for an fd that is added */
static unsigned n_calls, fail_at;
static int fail_with; /* the errno */
static int no_device; /* the errno of KVM_CREATE_DEVICE; 0: it works */
static GError *error;

/* KVM itself, but for files that aren't of VFIO. */
static int
answer (int fd, unsigned long request, void *argument)
{
  const struct kvm_device_attr *attribute = argument;

  if (request == KVM_CREATE_DEVICE && no_device != 0)
    {
      errno = no_device;
      return -1;
    }
  if (request != KVM_SET_DEVICE_ATTR || fd != vm->vfio_fd)
    return ioctl (fd, request, argument);
  ck_assert_uint_eq (attribute->group, KVM_DEV_VFIO_GROUP);
  if (++n_calls == fail_at)
    {
      errno = fail_with;
      return -1;
    }
  g_string_append_printf (calls, "%c%d ", attribute->attr == KVM_DEV_VFIO_GROUP_ADD ? '+' : '-',
                          *(const int32_t *) (uintptr_t) attribute->addr);
  return 0;
}

static void
setup (void)
{
  static CprSys sys;

  error = NULL;
  n_calls = fail_at = 0;
  fail_with = ENOMEM;
  no_device = 0;
  calls = g_string_new (NULL);
  kvm_machine_init (&machine, IRQCHIP_FULL);
  guest_init (&guest);
  session = session_new (&guest, "vm");
  vm = cpr_kvm_vm_new (session, "kvm", machine.kvm, machine.vm, 0, &error);
  ck_assert (cpr_kvm_vcpu_add (vm, 0, machine.vcpus[0], &error));
  devices[0] = (CprVfioDevice){ .name = (char *) "gpu", .fd = 200, .group_fd = 100 };
  devices[1] = (CprVfioDevice){ .name = (char *) "sound", .fd = 201, .group_fd = 100 };
  devices[2] = (CprVfioDevice){ .name = (char *) "net", .fd = 202, .group_fd = -1 };
  sys = cpr_sys_kernel;
  sys.ioctl = answer;
  cpr_sys = &sys;
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  cpr_session_free (session);
  guest_clear (&guest);
  kvm_machine_clear (&machine);
  g_string_free (calls, TRUE);
}

static void
assert_calls (const char *expected)
{
  ck_assert_str_eq (calls->str, expected);
  g_string_truncate (calls, 0);
}

static void
add_all (void)
{
  for (size_t i = 0; i < G_N_ELEMENTS (devices); i++)
    ck_assert_msg (cpr_kvm_vfio_add (vm, &devices[i], &error), "%s", error->message);
  assert_calls ("+100 +202 ");
}

START_TEST (kvm_learns_each_group_and_each_device_without_one_once)
{
  add_all ();
  ck_assert (cpr_kvm_vfio_remove (vm, &devices[0], &error));
  assert_calls (""); /* the other one is of the group */
  ck_assert (cpr_kvm_vfio_remove (vm, &devices[1], &error));
  ck_assert (cpr_kvm_vfio_remove (vm, &devices[2], &error));
  assert_calls ("-100 -202 ");
}
END_TEST

START_TEST (wrong_devices_are_refused)
{
  ck_assert (!cpr_kvm_vfio_remove (vm, &devices[2], &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "KVM VM 'kvm': it hasn't got the VFIO device 'net'");
  ck_assert (cpr_kvm_vfio_add (vm, &devices[2], &error));
  ck_assert (!cpr_kvm_vfio_add (vm, &devices[2], &error));
  assert_error (&error, CPR_ERROR_EXISTS, "KVM VM 'kvm': it has the VFIO device 'net' already");
  fail_at = 2;
  ck_assert (!cpr_kvm_vfio_add (vm, &devices[0], &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM VM 'kvm': KVM_SET_DEVICE_ATTR: adding VFIO device 'gpu'");
  ck_assert_uint_eq (vm->vfio->len, 1);
}
END_TEST

START_TEST (a_device_that_a_vm_has_cannot_be_removed)
{
  const CprVfioContainerOptions none = { .size = sizeof none, .backend = CPR_VFIO_NONE };
  CprVfioContainer *container = cpr_vfio_container_new (session, "dma", &none, &error);
  CprVfioDevice *device = cpr_vfio_device_new (container, "net", "0000:00:04.0", NULL, &error);

  assert_no_error (error);
  ck_assert (cpr_kvm_vfio_add (vm, device, &error));
  ck_assert (!cpr_vfio_device_remove (device, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "VFIO device 'net': KVM VM 'kvm' has it");
  ck_assert (cpr_kvm_vfio_remove (vm, device, &error));
  assert_calls (""); /* it has no file */
  ck_assert (cpr_vfio_device_remove (device, &error));
}
END_TEST

/* The update has a kernel of its own. */
static bool
hook (CprSession *of G_GNUC_UNUSED,
      CprEvent event,
      CprMode mode G_GNUC_UNUSED,
      void *user_data G_GNUC_UNUSED,
      GError **reason G_GNUC_UNUSED)
{
  static CprSys sys;

  if (event == CPR_EVENT_SETUP)
    {
      sys = *cpr_sys;
      sys.ioctl = answer;
      cpr_sys = &sys;
    }
  return true;
}

START_TEST (kvm_forgets_them_before_the_state_is_read_and_knows_them_again_after_a_failure)
{
  ck_assert (cpr_session_load (session, &error) && cpr_session_start (session, &error));
  add_all ();
  ck_assert (cpr_notifier_add (session, CPR_MODES_ALL, 0, hook, NULL, &error) != 0);
  ck_assert (!update_up_to_execve (session, 0, &error));
  g_clear_error (&error);
  assert_calls ("-100 -202 +100 +202 ");
}
END_TEST

START_TEST (a_program_that_loads_says_nothing_before_it_has_the_guest)
{
  ck_assert (cpr_kvm_vm_put_vfio_off (vm, &error)); /* as in a new program */
  ck_assert (cpr_kvm_vfio_add (vm, &devices[0], &error));
  ck_assert (cpr_kvm_vfio_add (vm, &devices[2], &error));
  ck_assert (cpr_session_load (session, &error));
  assert_calls ("");
  ck_assert (cpr_session_start (session, &error));
  assert_calls ("+100 +202 ");
}
END_TEST

START_TEST (where_one_cannot_be_taken_out_all_stay_and_the_save_fails)
{
  add_all ();
  fail_at = n_calls + 2;
  ck_assert (!cpr_kvm_vm_get (vm, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM VM 'kvm': KVM_SET_DEVICE_ATTR: removing VFIO device 'net'");
  assert_calls ("-100 +100 ");
  ck_assert (vm->vfio_is_on);
}
END_TEST

START_TEST (where_one_cannot_be_put_in_again_the_others_are)
{
  add_all ();
  ck_assert (cpr_kvm_vm_put_vfio_off (vm, &error));
  fail_at = n_calls + 1;
  ck_assert_uint_eq (cpr_kvm_vm_put_vfio_on (vm, &error), 1);
  assert_error (&error, CPR_ERROR_SYSTEM, "adding VFIO device 'gpu'");
  assert_calls ("-100 -202 +202 ");
}
END_TEST

START_TEST (a_device_that_kvm_does_not_know_is_out_already)
{
  add_all ();
  fail_at = n_calls + 1;
  fail_with = ENOENT;
  ck_assert (cpr_kvm_vm_put_vfio_off (vm, &error));
  assert_calls ("-202 ");
}
END_TEST

START_TEST (a_kernel_without_the_device_need_not_be_told)
{
  no_device = ENODEV;
  ck_assert (cpr_kvm_vfio_add (vm, &devices[0], &error));
  ck_assert (cpr_kvm_vm_put_vfio_off (vm, &error));
  ck_assert_uint_eq (cpr_kvm_vm_put_vfio_on (vm, &error), 0);
  assert_calls ("");
  no_device = ENOMEM;
  ck_assert (!cpr_kvm_vfio_add (vm, &devices[2], &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM VM 'kvm': KVM_CREATE_DEVICE of VFIO");
}
END_TEST

int
main (void)
{
  kvm_need ();
  BEGIN_SUITE ("kvm-vfio");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, kvm_learns_each_group_and_each_device_without_one_once);
  tcase_add_test (tests, wrong_devices_are_refused);
  tcase_add_test (tests, a_device_that_a_vm_has_cannot_be_removed);
  tcase_add_test (tests, kvm_forgets_them_before_the_state_is_read_and_knows_them_again_after_a_failure);
  tcase_add_test (tests, a_program_that_loads_says_nothing_before_it_has_the_guest);
  tcase_add_test (tests, where_one_cannot_be_taken_out_all_stay_and_the_save_fails);
  tcase_add_test (tests, where_one_cannot_be_put_in_again_the_others_are);
  tcase_add_test (tests, a_device_that_kvm_does_not_know_is_out_already);
  tcase_add_test (tests, a_kernel_without_the_device_need_not_be_told);
  return run_suite (suite);
}

#else

int
main (void)
{
  puts ("1..0 # SKIP these guests are those of x86-64");
  return 0;
}

#endif
