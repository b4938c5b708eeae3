/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Assigned devices in transfer mode, with two processes and one simulated kernel. The new program
 * may fail, die or be cancelled at any point. The kernel has the old program's addresses again
 * before the guest goes on. */
#include "vfio-successor.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/vfio.h>

static const CprVfioBackend backends[] = { CPR_VFIO_TYPE1, CPR_VFIO_IOMMUFD };

static VfioProgram old;
static GError *error;
static int irq;

/* Called when the guest has been stopped. */
static void (*when_stopped) (void);
/* Called when its state has been saved. */
static void (*when_saved) (void);
/* Called when the update has failed. */
static void (*when_failed) (void);

static bool
notice (CprSession *session, CprEvent event, CprMode mode, void *user_data, GError **unused)
{
  const uint64_t three = 3;

  if (event == CPR_EVENT_STOPPED && when_stopped != NULL)
    when_stopped ();
  if (event == CPR_EVENT_SAVED)
    {
      if (write (irq, &three, sizeof three) != sizeof three) /* interrupts come */
        g_error ("writing to the eventfd failed");
      if (when_saved != NULL)
        when_saved ();
    }
  if (event == CPR_EVENT_FAILED && when_failed != NULL)
    when_failed ();
  return true;
}

static void
start_old (CprVfioBackend backend)
{
  when_stopped = when_saved = when_failed = NULL;
  vfio_program_start (&old, backend);
  ck_assert (vfio_map_all (&old, &error));
  irq = cpr_vfio_irq_open (old.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error);
  ck_assert_int_ge (irq, 3);
  ck_assert (cpr_vfio_irq_enable (old.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, CPR_VFIO_IRQ_TRIGGER, &error));
  ck_assert_uint_ne (cpr_notifier_add (old.session, CPR_MODES_ALL, 0, notice, NULL, &error), 0);
  ck_assert (cpr_session_load (old.session, &error) && cpr_session_start (old.session, &error));
}

/* The interrupts of an update that failed are this program's. */
static void
drain (void)
{
  uint64_t count;

  if (read (irq, &count, sizeof count) < 0)
    ck_assert_int_eq (errno, EAGAIN);
}

static bool
transfer_to (VfioSuccessor *successor, unsigned flags)
{
  const CprUpdate update = { .size = sizeof update,
                             .mode = CPR_MODE_TRANSFER,
                             .flags = flags,
                             .uri = successor->uri,
                             .deadline_ms = 60000,
                             .preflight_timeout_ms = 60000 };

  drain ();
  return cpr_session_update (old.session, &update, &error);
}

/* Transfers to a program that ends as @ending says. True: that program has the guest. */
static bool
transfer (VfioEnding ending)
{
  VfioSuccessor successor;
  bool ok;
  int code;

  vfio_successor_start (&successor, ending);
  ok = transfer_to (&successor, 0);
  code = vfio_successor_end (&successor, ending);
  ck_assert_msg (ok == (code == VFIO_SUCCESSOR_RUNS_IT), "the new program ended with %d: %s", code,
                 error != NULL ? error->message : "no error");
  return ok;
}

/* The guest is here, and the kernel has the right addresses of its RAM. */
static void
assert_here (void)
{
  ck_assert_int_eq (cpr_session_get_state (old.session), CPR_SESSION_STATE_ACTIVE);
  ck_assert (old.guest.running);
  vfio_assert_attached (&old);
}

/* The guest is gone, with everything that the kernel holds. This program can no longer affect the
 * devices. */
static void
assert_gone (void)
{
  unsigned ioctls = sim.ioctls;

  ck_assert_int_eq (cpr_session_get_state (old.session), CPR_SESSION_STATE_HANDED_OVER);
  ck_assert (!old.guest.running);
  ck_assert_uint_eq (sim.locked[sim_mm], 0);
  ck_assert_uint_eq (sim.n_mappings, N_MAPS);
  for (guint i = 0; i < sim.n_mappings; i++)
    {
      ck_assert (sim.mappings[i].valid);
      ck_assert_int_eq (sim.mappings[i].mm, sim.n_mms);
    }
  vfio_program_clear (&old);
  ck_assert_uint_eq (sim.ioctls, ioctls);
}

static void
setup (void)
{
  error = NULL;
  sim_begin ();
}

static void
teardown (void)
{
  sim_end ();
}

/* ---- It works. */

static void
assert_refused (bool ok)
{
  ck_assert (!ok);
  ck_assert_int_eq (error->code, CPR_ERROR_STATE);
  g_clear_error (&error);
}

/* Nothing can be changed that the new program was told of, or has. */
static void
nothing_can_be_changed (void)
{
  assert_refused (vfio_map (&old, 512, 0, 1, &error));
  assert_refused (cpr_dma_unmap (old.container, 0, PAGE, &error));
  assert_refused (cpr_vfio_container_new (old.session, "late", NULL, &error) != NULL);
  assert_refused (cpr_vfio_device_new (old.container, "late", sim_path ("0000:00:04.1"), NULL, &error) != NULL);
  assert_refused (cpr_vfio_device_remove (old.device, &error));
  assert_refused (cpr_vfio_irq_open (old.device, VFIO_PCI_MSI_IRQ_INDEX, 1, CPR_VFIO_IRQ_TRIGGER, &error) >= 0);
  assert_refused (cpr_vfio_irq_enable (old.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, CPR_VFIO_IRQ_TRIGGER, &error));
  assert_refused (cpr_vfio_irq_disable (old.device, VFIO_PCI_MSI_IRQ_INDEX, &error));
  assert_refused (cpr_vfio_irq_close (old.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error));
}

START_TEST (devices_go_over_with_mappings_and_interrupts)
{
  unsigned set_irqs;

  start_old (backends[_i]);
  set_irqs = sim.set_irqs;
  when_stopped = nothing_can_be_changed;
  ck_assert_msg (transfer (COMMITS), "%s", error != NULL ? error->message : "");
  nothing_can_be_changed ();
  ck_assert_uint_eq (sim.set_irqs, set_irqs);
  ck_assert_uint_eq (sim.vaddr_maps, backends[_i] == CPR_VFIO_TYPE1 ? N_MAPS : 0);
  ck_assert_uint_eq (sim.change_process, backends[_i] == CPR_VFIO_IOMMUFD);
  assert_gone ();
}
END_TEST

static void
map_one_more (void)
{
  ck_assert (vfio_map (&old, 512, 0, 1, &error));
}

START_TEST (what_could_not_be_done_meanwhile_can_be_when_it_is_over)
{
  start_old (backends[_i]);
  when_failed = map_one_more;
  ck_assert (!transfer (GIVES_UP));
  g_clear_error (&error);
  ck_assert_uint_eq (sim.n_mappings, N_MAPS + 1);
  assert_here ();
  ck_assert (cpr_dma_unmap (old.container, 512 * PAGE, PAGE, &error));
  ck_assert (transfer (MAPS_MORE));
  ck_assert_uint_eq (sim.n_mappings, N_MAPS + 1);
  ck_assert_uint_eq (sim.mappings[N_MAPS].iova, 600 * PAGE);
  ck_assert_int_eq (sim.mappings[N_MAPS].mm, sim.n_mms);
  vfio_program_clear (&old);
}
END_TEST

START_TEST (devices_block_nothing_and_what_can_not_go_over_is_refused_where_it_must)
{
  const CprVfioContainerOptions options = { .size = sizeof options, .backend = CPR_VFIO_TYPE1 };

  vfio_program_init (&old, CPR_MODES_TRANSFER);
  old.container = cpr_vfio_container_new (old.session, "c", &options, &error);
  ck_assert_ptr_nonnull (cpr_vfio_device_new (old.container, "d", sim_path ("0000:00:04.0"), NULL, &error));
  sim.has_update_vaddr = false;
  ck_assert_ptr_null (cpr_vfio_device_new (old.container, "e", sim_path ("0000:00:05.0"), NULL, &error));
  assert_error (&error, CPR_ERROR_BLOCKED, "its mappings can't be given the addresses of a new program");
  vfio_program_clear (&old);
}
END_TEST

/* ---- The guest comes back. */

static void
cancel (int number)
{
  cpr_session_cancel (old.session);
}

START_TEST (what_the_new_program_has_done_is_undone)
{
  signal (SIGUSR2, cancel);
  start_old (backends[_i]);
  sim.memlock = N_PAGES * PAGE; /* there is room for it once */
  for (VfioEnding ending = CANCELLED_EARLY; ending < COMMITS; ending++)
    {
      unsigned before = sim.vaddr_maps + sim.change_process;

      ck_assert (!transfer (ending));
      ck_assert_int_eq (error->code, CPR_ERROR_ROLLED_BACK);
      g_clear_error (&error);
      assert_here ();
      ck_assert (ending == CANCELLED_EARLY ? sim.vaddr_maps + sim.change_process == before
                                           : sim.vaddr_maps + sim.change_process > before + 1);
      ck_assert_ptr_null (strstr (old.guest.log->str, "VFIO:"));
    }
  ck_assert (transfer (COMMITS));
  assert_gone ();
  signal (SIGUSR2, SIG_DFL);
}
END_TEST

/* The new program's n-th call to the kernel about a device fails. */
START_TEST (any_call_of_the_new_program_may_fail)
{
  static const int errnums[] = { EIO, EINVAL, ENOMEM };
  bool reached = true;
  unsigned n_back = 0;

  for (unsigned at = 1; reached; at++)
    for (size_t e = 0; e < G_N_ELEMENTS (errnums); e++)
      {
        start_old (backends[_i]);
        sim_fail_forked (at, errnums[e]);
        if (transfer (COMMITS)) /* what failed wasn't needed */
          {
            reached = sim.failed_any;
            assert_gone ();
            continue;
          }
        g_clear_error (&error);
        assert_here ();
        n_back++;
        sim_fail_forked (0, 0);
        ck_assert_msg (transfer (COMMITS), "%s", error != NULL ? error->message : "");
        assert_gone ();
      }
  ck_assert_uint_gt (n_back, 0);
}
END_TEST

/* That call is the new program's last one, with half of the mappings moved, for instance. */
START_TEST (the_new_program_may_die_at_any_call)
{
  unsigned at = 0;

  start_old (backends[_i]);
  do
    {
      sim_fail_forked (++at, SIM_DIES);
      if (transfer (COMMITS))
        break;
      g_clear_error (&error);
      assert_here ();
    }
  while (sim.failed_any);
  ck_assert (!sim.failed_any);
  ck_assert_uint_gt (at, backends[_i] == CPR_VFIO_TYPE1 ? N_MAPS : 1);
  assert_gone ();
}
END_TEST

START_TEST (too_little_lockable_memory_in_the_new_program_is_no_harm_to_the_old_one)
{
  start_old (backends[_i]);
  sim.memlock = N_PAGES * PAGE;
  sim.forked_memlock = 40 * PAGE; /* type1: the largest one fits */
  ck_assert (!transfer (COMMITS));
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "Cannot allocate memory");
  assert_here ();
  sim.forked_memlock = 0;
  ck_assert (transfer (COMMITS));
  assert_gone ();
}
END_TEST

/* Limits what the old program may lock, and takes the capability to lock more. @limit: NULL
 * restores both. */
static void
limit_locking (const rlim_t *limit)
{
  static struct __user_cap_data_struct old_data[_LINUX_CAPABILITY_U32S_3];
  static struct rlimit old_limit;
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  struct rlimit low;

  if (limit != NULL)
    {
      ck_assert_int_eq (syscall (SYS_capget, &header, old_data), 0);
      ck_assert_int_eq (getrlimit (RLIMIT_MEMLOCK, &old_limit), 0);
    }
  memcpy (data, old_data, sizeof data);
  low = old_limit;
  if (limit != NULL)
    {
      data[0].effective &= ~(1u << CAP_IPC_LOCK);
      low.rlim_cur = *limit;
    }
  ck_assert_int_eq (setrlimit (RLIMIT_MEMLOCK, &low), 0);
  ck_assert_int_eq (syscall (SYS_capset, &header, data), 0);
}

/* An iommufd needs room for both. */
START_TEST (a_way_back_that_may_lock_too_little_is_refused_before_the_stop)
{
  const rlim_t needed = (backends[_i] == CPR_VFIO_IOMMUFD ? 2 : 1) * N_PAGES * PAGE, low = needed - PAGE;
  const unsigned flags[] = { 0, CPR_UPDATE_NO_WAY_BACK, 0 };

  start_old (backends[_i]);
  for (size_t i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      bool goes = i > 0, lasts = i == 2;
      VfioSuccessor successor;

      vfio_successor_start (&successor, lasts ? COMMITS : GIVES_UP);
      limit_locking (lasts ? &needed : &low);
      ck_assert_int_eq (transfer_to (&successor, flags[i]), lasts);
      limit_locking (NULL);
      ck_assert_uint_eq (old.guest.stops, goes ? i : 0);
      if (!goes)
        assert_error (&error, CPR_ERROR_REFUSED, "way back: limit on locked memory: it is");
      g_clear_error (&error);
      vfio_successor_end (&successor, COMMITS);
      ck_assert_int_eq (strstr (old.guest.log->str, "preflight: way back: limit on locked memory") != NULL, goes);
    }
  assert_gone ();
}
END_TEST

/* ---- The way back fails. */

static unsigned back_at, back_until;
static int back_errnum;

static void
fail_the_way_back (void)
{
  sim_fail (back_at, back_errnum);
  sim.fail_until = back_until;
}

START_TEST (any_call_of_the_way_back_may_fail)
{
  static const int errnums[] = { EIO, EINVAL, ENOMEM, ENOENT, EBUSY };
  bool reached = true;

  start_old (backends[_i]);
  when_saved = fail_the_way_back;
  for (back_at = 1; reached; back_at++)
    for (size_t e = 0; e < G_N_ELEMENTS (errnums); e++)
      {
        back_until = back_at;
        back_errnum = errnums[e];
        ck_assert (!transfer (GIVES_UP));
        assert_error (&error, CPR_ERROR_ROLLED_BACK, "the disk is full");
        reached = sim.failed_any;
        sim_fail (0, 0);
        assert_here ();
        ck_assert_ptr_null (strstr (old.guest.log->str, "VFIO:"));
      }
  ck_assert_uint_gt (back_at, 2);
  when_saved = NULL;
  ck_assert (transfer (COMMITS));
  assert_gone ();
}
END_TEST

/* All calls of the way back fail. The guest goes on all the same, and the next program puts the
 * devices right. */
START_TEST (a_way_back_that_fails_for_good_is_logged)
{
  start_old (backends[_i]);
  back_at = 1;
  back_until = G_MAXUINT;
  back_errnum = EIO;
  when_saved = fail_the_way_back;
  ck_assert (!transfer (DIES));
  g_clear_error (&error);
  ck_assert (old.guest.running);
  ck_assert_ptr_nonnull (
      strstr (old.guest.log->str, "VFIO: DMA goes on, but the kernel wasn't told again where guest RAM is"));
  when_saved = NULL;
  sim_fail (0, 0);
  ck_assert_msg (transfer (COMMITS), "%s", error != NULL ? error->message : "");
  assert_gone ();
}
END_TEST

static void
lose_one (void)
{
  sim_remove_mapping (1);
}

START_TEST (a_mapping_that_the_kernel_has_lost_is_logged)
{
  start_old (CPR_VFIO_TYPE1);
  when_stopped = lose_one;
  ck_assert (!transfer (COMMITS));
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "the kernel has mappings of");
  ck_assert (old.guest.running);
  ck_assert_ptr_nonnull (strstr (old.guest.log->str, "VFIO: the kernel has lost 1 mappings for DMA"));
  vfio_program_clear (&old);
}
END_TEST

/* ---- A mapping that is made while the new program answers. It can't be; if it were, that one
 * would know too little. */

static unsigned n_sent;

static ssize_t
count_sent (int fd, const struct msghdr *message, int flags)
{
  n_sent++;
  return cpr_sys_kernel.sendmsg (fd, message, flags);
}

/* The greeting, fds and the question have been sent. */
static ssize_t
map_secretly (int fd, struct msghdr *message, int flags)
{
  const CprDmaMapping mapping = { .iova = 512 * PAGE, .size = PAGE, .block = old.ram, .flags = MAP_RW };

  if (n_sent == 3 && sim.n_mappings == N_MAPS)
    ck_assert_ptr_nonnull (cpr_vfio_container_map (old.container, &mapping, &error));
  return cpr_sys_kernel.recvmsg (fd, message, flags);
}

START_TEST (another_map_than_the_new_program_was_told_of_is_refused)
{
  const CprSys *simulated = cpr_sys;
  CprSys table = *simulated;
  VfioSuccessor successor;

  start_old (backends[_i]);
  vfio_successor_start (&successor, COMMITS);
  n_sent = 0;
  table.sendmsg = count_sent;
  table.recvmsg = map_secretly;
  cpr_sys = &table;
  ck_assert (!transfer_to (&successor, 0));
  cpr_sys = simulated;
  assert_error (&error, CPR_ERROR_ROLLED_BACK, "the assigned devices and their mappings have changed");
  ck_assert_int_eq (vfio_successor_end (&successor, COMMITS), 2);
  ck_assert_uint_eq (sim.n_mappings, N_MAPS + 1);
  assert_here ();
  vfio_program_clear (&old);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("vfio-transfer");

  if (under_valgrind ()) /* it knows no pidfds, without which there is no transfer */
    return run_suite (suite);

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_loop_test (tests, devices_go_over_with_mappings_and_interrupts, 0, 2);
  tcase_add_loop_test (tests, what_could_not_be_done_meanwhile_can_be_when_it_is_over, 0, 2);
  tcase_add_test (tests, devices_block_nothing_and_what_can_not_go_over_is_refused_where_it_must);
  tcase_add_loop_test (tests, what_the_new_program_has_done_is_undone, 0, 2);
  tcase_add_loop_test (tests, any_call_of_the_new_program_may_fail, 0, 2);
  tcase_add_loop_test (tests, the_new_program_may_die_at_any_call, 0, 2);
  tcase_add_loop_test (tests, too_little_lockable_memory_in_the_new_program_is_no_harm_to_the_old_one, 0, 2);
  tcase_add_loop_test (tests, a_way_back_that_may_lock_too_little_is_refused_before_the_stop, 0, 2);
  tcase_add_loop_test (tests, any_call_of_the_way_back_may_fail, 0, 2);
  tcase_add_loop_test (tests, a_way_back_that_fails_for_good_is_logged, 0, 2);
  tcase_add_test (tests, a_mapping_that_the_kernel_has_lost_is_logged);
  tcase_add_loop_test (tests, another_map_than_the_new_program_was_told_of_is_refused, 0, 2);
  return run_suite (suite);
}
