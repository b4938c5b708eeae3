/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fd of a new VM: its number, and what may go wrong on the way. KVM is played. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/vm.h"
#include "session/core.h"

#define TYPE 7

static Guest guest;
static CprSession *session;
static GError *error;
static CprSys sys;
static int kvm, dups_left, n_dups, ioctl_errno;
static bool was_interruptible;

static int
play_ioctl (int fd, unsigned long request, void *argument)
{
  sigset_t mask;

  ck_assert_int_eq (fd, kvm);
  ck_assert_uint_eq (request, KVM_CREATE_VM);
  ck_assert_ptr_eq (argument, GSIZE_TO_POINTER (TYPE));
  pthread_sigmask (SIG_BLOCK, NULL, &mask);
  was_interruptible = sigismember (&mask, SIGUSR1) == 0 || sigismember (&mask, SIGALRM) == 0;
  errno = ioctl_errno;
  return ioctl_errno != 0 ? -1 : eventfd (0, EFD_CLOEXEC);
}

static int
play_fcntl (int fd, int command, long argument)
{
  n_dups += command == F_DUPFD_CLOEXEC;
  if (command == F_DUPFD_CLOEXEC && dups_left-- <= 0)
    {
      errno = EMFILE;
      return -1;
    }
  return cpr_sys_kernel.fcntl (fd, command, argument);
}

static void
setup (void)
{
  error = NULL;
  guest_init (&guest);
  session = session_new (&guest, "vm");
  kvm = eventfd (0, EFD_CLOEXEC);
  dups_left = G_MAXINT;
  n_dups = ioctl_errno = 0;
  was_interruptible = false;
  sys = cpr_sys_kernel;
  sys.ioctl = play_ioctl;
  sys.fcntl = play_fcntl;
  cpr_sys = &sys;
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  close (kvm);
  cpr_session_free (session);
  guest_clear (&guest);
}

/* The number that the VM has after @generation updates; the VM is closed. */
static int
create (uint64_t generation, bool is_way_back)
{
  int fd;

  session->timeline.generation = generation;
  session->timeline.is_way_back = is_way_back;
  fd = cpr_kvm_create_vm (session, kvm, TYPE, &error);
  ck_assert_msg (fd >= 0, "%s", error != NULL ? error->message : "no error");
  ck_assert (!was_interruptible);
  close (fd);
  return fd;
}

START_TEST (each_of_the_last_updates_and_the_way_back_has_a_number_of_its_own)
{
  const uint64_t first = 1000;
  bool used[CPR_KVM_N_CLASSES] = { false };
  g_autofree char *before = process_describe ();

  for (uint64_t generation = first; generation < first + CPR_KVM_N_CLASSES; generation++)
    {
      bool is_way_back = generation == first + CPR_KVM_N_CLASSES - 1;
      unsigned class = (unsigned) create (generation, is_way_back) % CPR_KVM_N_CLASSES;

      ck_assert (!used[class]);
      used[class] = true;
    }
  assert_process_is (before);
}
END_TEST

START_TEST (gaps_among_lower_numbers_do_not_matter)
{
  int fds[40], expected = create (3, false);

  for (size_t i = 0; i < G_N_ELEMENTS (fds); i++)
    fds[i] = eventfd (0, EFD_CLOEXEC);
  for (size_t i = 0; i < G_N_ELEMENTS (fds); i += 3)
    close (fds[i]);
  ck_assert_uint_eq ((unsigned) create (3, false) % CPR_KVM_N_CLASSES, (unsigned) expected % CPR_KVM_N_CLASSES);
  for (size_t i = 0; i < G_N_ELEMENTS (fds); i++)
    if (i % 3 != 0)
      close (fds[i]);
}
END_TEST

START_TEST (each_update_makes_as_many_calls)
{
  int expected = (create (0, false), n_dups);

  for (uint64_t generation = 1; generation < CPR_KVM_N_CLASSES; generation++)
    {
      n_dups = 0;
      create (generation, false);
      ck_assert_int_eq (n_dups, expected);
    }
}
END_TEST

/* The numbers that are taken meanwhile are given back where the VM needs one of them. */
START_TEST (a_limit_on_fds_that_has_room_for_the_vm_is_enough)
{
  struct rlimit before, low;
  int free_fd = fcntl (kvm, F_DUPFD_CLOEXEC, 0);

  close (free_fd);
  getrlimit (RLIMIT_NOFILE, &before);
  for (uint64_t generation = 0; generation < CPR_KVM_N_CLASSES; generation++)
    for (unsigned room = 1; room <= CPR_KVM_N_CLASSES; room++)
      {
        low = (struct rlimit){ (rlim_t) free_fd + room, before.rlim_max };
        ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &low), 0);
        create (generation, false);
        ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &before), 0);
      }
}
END_TEST

START_TEST (two_vms_of_a_program_have_two_numbers)
{
  int first = cpr_kvm_create_vm (session, kvm, TYPE, &error), second = cpr_kvm_create_vm (session, kvm, TYPE, &error);

  ck_assert (first >= 0 && second >= 0 && first != second);
  ck_assert_int_eq (fcntl (first, F_GETFD), FD_CLOEXEC);
  close (first);
  close (second);
}
END_TEST

/* No number is worth a VM that isn't made. */
START_TEST (without_room_for_more_fds_any_number_does)
{
  g_autofree char *before = process_describe ();

  for (int room = 0; room < (int) CPR_KVM_N_CLASSES; room++)
    {
      dups_left = room;
      create (5, false);
    }
  assert_process_is (before);
}
END_TEST

START_TEST (an_error_is_the_kernels_and_leaves_nothing)
{
  g_autofree char *before = process_describe ();

  ioctl_errno = ENOMEM;
  ck_assert_int_eq (cpr_kvm_create_vm (session, kvm, TYPE, &error), -1);
  ck_assert_int_eq (cpr_error_get_errno (error), ENOMEM);
  assert_error (&error, CPR_ERROR_SYSTEM, "KVM: KVM_CREATE_VM of type 7");
  assert_process_is (before);
}
END_TEST

START_TEST (a_forked_child_makes_none)
{
  pid_t child = fork ();
  int status;

  if (child == 0)
    _exit (cpr_kvm_create_vm (session, kvm, TYPE, &error) == -1 && g_error_matches (error, CPR_ERROR, CPR_ERROR_STATE)
               ? 0
               : 1);
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("kvm-create");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, each_of_the_last_updates_and_the_way_back_has_a_number_of_its_own);
  tcase_add_test (tests, gaps_among_lower_numbers_do_not_matter);
  tcase_add_test (tests, each_update_makes_as_many_calls);
  tcase_add_test (tests, a_limit_on_fds_that_has_room_for_the_vm_is_enough);
  tcase_add_test (tests, two_vms_of_a_program_have_two_numbers);
  tcase_add_test (tests, without_room_for_more_fds_any_number_does);
  tcase_add_test (tests, an_error_is_the_kernels_and_leaves_nothing);
  tcase_add_test (tests, a_forked_child_makes_none);
  return run_suite (suite);
}
