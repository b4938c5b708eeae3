/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/surroundings.h"

/* Each test runs in a process of its own, so it may change what it likes. */

static CprSurroundings wanted;
static CprProgram program;

static void
setup (void)
{
  program = (CprProgram){ .exe_fd = -1, .n_limits = RLIM_NLIMITS };
  for (int i = 0; i < RLIM_NLIMITS; i++)
    ck_assert_int_eq (getrlimit (i, &program.limits[i]), 0);
  cpr_surroundings_read (&wanted);
}

static void
assert_restored (void)
{
  CprSurroundings here;

  ck_assert_ptr_eq (cpr_surroundings_restore (&wanted, &program), NULL);
  cpr_surroundings_read (&here);
  for (int i = 0; i < CPR_SURROUNDINGS_LIMITS; i++)
    {
      ck_assert_uint_ge (here.limits[i].hard, wanted.limits[i].hard);
      here.limits[i] = wanted.limits[i]; /* lowered at the last moment only */
    }
  ck_assert_mem_eq (&here, &wanted, sizeof wanted);
}

/* Root's privileges over limits and priorities, given up for good. */
static void
give_up_privileges (void)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

  ck_assert_int_eq (syscall (SYS_capset, &header, data), 0);
}

START_TEST (what_it_reads_is_there)
{
  uint64_t cpus = 0;

  ck_assert_uint_eq (wanted.size, sizeof wanted);
  for (int i = 0; i < CPR_SURROUNDINGS_NAMESPACES; i++)
    if (i != 6 && i != 7) /* time namespaces: Linux 5.6 with CONFIG_TIME_NS */
      ck_assert_uint_ne (wanted.namespaces[i], 0);
  ck_assert_uint_ne (wanted.root_inode, 0);
  ck_assert_uint_ne (wanted.credentials, 0);
  ck_assert_uint_ne (wanted.capabilities, 0);
  ck_assert_uint_ne (wanted.confinement, 0);
  ck_assert_uint_ne (wanted.control_group, 0);
  ck_assert_int_eq (wanted.session, getsid (0));
  for (int i = 0; i < CPR_SURROUNDINGS_CPUS / 64; i++)
    cpus |= wanted.cpus[i];
  ck_assert_uint_ne (cpus, 0);
}
END_TEST

START_TEST (nothing_changed_is_nothing_to_do)
{
  give_up_privileges ();
  assert_restored ();
}
END_TEST

START_TEST (what_may_be_put_back_is)
{
  const cpu_set_t *all = (const cpu_set_t *) (const void *) wanted.cpus;
  cpu_set_t one;
  int cpu = 0;

  while (!CPU_ISSET (cpu, all))
    cpu++;
  CPU_ZERO (&one);
  CPU_SET (cpu, &one);
  ck_assert_int_eq (sched_setaffinity (0, sizeof one, &one), 0);
  ck_assert_int_ge (personality (ADDR_NO_RANDOMIZE), 0);
  ck_assert_int_eq (syscall (SYS_ioprio_set, 1, 0, 3 << 13), 0);
  assert_restored ();
}
END_TEST

/* Without the privilege there is another right outcome: see the tests below. */
static bool
may (int capability)
{
  return prctl (PR_CAPBSET_READ, capability, 0, 0, 0) == 1 && geteuid () == 0;
}

START_TEST (priorities_are_put_back)
{
  const struct sched_param param = { .sched_priority = 0 };
  int fd = open ("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

  ck_assert_int_eq (write (fd, "500", 3), 3);
  close (fd);
  if (may (CAP_SYS_NICE))
    {
      ck_assert_int_eq (setpriority (PRIO_PROCESS, 0, 19), 0);
      ck_assert_int_eq (sched_setscheduler (0, SCHED_BATCH, &param), 0);
    }
  assert_restored ();
}
END_TEST

START_TEST (a_lowered_hard_limit_is_put_back_with_privileges)
{
  const struct rlimit low = { 32, 32 };

  if (may (CAP_SYS_RESOURCE))
    ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &low), 0);
  assert_restored ();
}
END_TEST

START_TEST (a_lowered_hard_limit_is_lost_without_privileges)
{
  const struct rlimit low = { 32, 32 };

  give_up_privileges ();
  ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &low), 0);
  ck_assert_str_eq (cpr_surroundings_restore (&wanted, &program), "limits");
}
END_TEST

START_TEST (a_nice_value_is_lost_without_privileges)
{
  struct rlimit none = { 0, 0 };

  ck_assert_int_eq (setrlimit (RLIMIT_NICE, &none), 0);
  give_up_privileges ();
  ck_assert_int_eq (setpriority (PRIO_PROCESS, 0, 19), 0);
  ck_assert_str_eq (cpr_surroundings_restore (&wanted, &program), "nice value");
}
END_TEST

/* The old program had lowered its limit itself. Both programs have the lower one. */
START_TEST (what_the_old_program_had_lowered_itself_is_not_lost)
{
  const struct rlimit low = { 32, 32 };

  give_up_privileges ();
  ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &low), 0);
  cpr_surroundings_read (&wanted);
  ck_assert_ptr_null (cpr_surroundings_restore (&wanted, &program));
}
END_TEST

START_TEST (no_new_privs_is_lost)
{
  ck_assert_int_eq (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ck_assert_str_eq (cpr_surroundings_restore (&wanted, &program), "no_new_privs or seccomp filters");
}
END_TEST

START_TEST (what_cannot_be_put_back_is_named)
{
  CprSurroundings here = wanted;

  wanted.root_inode++;
  ck_assert_str_eq (cpr_surroundings_restore (&wanted, &program), "root directory");
  wanted = here;
  wanted.namespaces[CPR_SURROUNDINGS_NAMESPACES - 1]++;
  ck_assert_str_eq (cpr_surroundings_restore (&wanted, &program), "namespaces");
  wanted = here;
  wanted.credentials++;
  ck_assert_str_eq (cpr_surroundings_restore (&wanted, &program), "user or groups");
  wanted = here;
  wanted.capabilities++;
  ck_assert_str_eq (cpr_surroundings_restore (&wanted, &program), "capabilities");
  wanted = here;
  wanted.control_group++;
  ck_assert_str_eq (cpr_surroundings_restore (&wanted, &program), "control group");
  wanted = here;
  wanted.session++;
  ck_assert_str_eq (cpr_surroundings_restore (&wanted, &program), "session or process group");
}
END_TEST

START_TEST (a_program_that_recorded_nothing_is_taken_as_it_is)
{
  memset (&wanted, 0, sizeof wanted);
  ck_assert_ptr_null (cpr_surroundings_restore (&wanted, &program));
}
END_TEST

static pid_t
start_holder (void)
{
  pid_t pid = fork ();

  ck_assert_int_ge (pid, 0);
  if (pid == 0)
    for (;;)
      pause ();
  return pid;
}

static void
assert_streams_restored (pid_t guardian)
{
  CprStream here[CPR_STREAMS];

  ck_assert (cpr_streams_restore (wanted.streams, guardian));
  cpr_streams_read (here);
  ck_assert_mem_eq (here, wanted.streams, sizeof here);
}

START_TEST (a_stream_that_was_redirected_or_closed_is_put_back)
{
  pid_t holder = start_holder ();
  int zero = open ("/dev/zero", O_RDONLY | O_CLOEXEC);

  ck_assert_int_eq (dup2 (zero, STDIN_FILENO), STDIN_FILENO);
  assert_streams_restored (holder);
  close (STDIN_FILENO);
  assert_streams_restored (holder);
  close (zero);
  kill (holder, SIGKILL);
  ck_assert_int_eq (waitpid (holder, NULL, 0), holder);
}
END_TEST

START_TEST (what_is_at_the_number_of_a_stream_that_was_closed_is_not_passed_on)
{
  close (STDIN_FILENO);
  cpr_surroundings_read (&wanted);
  ck_assert_int_eq (open ("/dev/zero", O_RDONLY), STDIN_FILENO);
  assert_streams_restored (0);
}
END_TEST

START_TEST (a_stream_that_nobody_has_is_lost)
{
  wanted.streams[0] = (CprStream){ .is_known = true, .is_open = true, .device = 1, .inode = 2 };
  ck_assert (!cpr_streams_restore (wanted.streams, getpid ()));
}
END_TEST

START_TEST (a_stream_that_is_not_known_is_left_alone)
{
  wanted.streams[0] = (CprStream){ .is_known = false };
  ck_assert (cpr_streams_restore (wanted.streams, 0));
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("surroundings");

  tcase_add_checked_fixture (tests, setup, NULL);
  tcase_add_test (tests, what_it_reads_is_there);
  tcase_add_test (tests, what_cannot_be_put_back_is_named);
  tcase_add_test (tests, a_program_that_recorded_nothing_is_taken_as_it_is);
  if (!under_valgrind ()) /* there all tests are one process, which these change for good; and it knows no pidfds */
    {
      tcase_add_test (tests, nothing_changed_is_nothing_to_do);
      tcase_add_test (tests, what_may_be_put_back_is);
      tcase_add_test (tests, priorities_are_put_back);
      tcase_add_test (tests, a_lowered_hard_limit_is_put_back_with_privileges);
      tcase_add_test (tests, a_lowered_hard_limit_is_lost_without_privileges);
      tcase_add_test (tests, a_nice_value_is_lost_without_privileges);
      tcase_add_test (tests, what_the_old_program_had_lowered_itself_is_not_lost);
      tcase_add_test (tests, no_new_privs_is_lost);
      tcase_add_test (tests, a_stream_that_was_redirected_or_closed_is_put_back);
      tcase_add_test (tests, what_is_at_the_number_of_a_stream_that_was_closed_is_not_passed_on);
      tcase_add_test (tests, a_stream_that_nobody_has_is_lost);
      tcase_add_test (tests, a_stream_that_is_not_known_is_left_alone);
    }
  return run_suite (suite);
}
