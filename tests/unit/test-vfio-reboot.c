/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Assigned devices in reboot mode: the guest sleeps, and everything is made again. */
#include "vfio-programs.h"

#include <unistd.h>

#include <linux/vfio.h>

static VfioProgram program;
static GError *error;
static char *folder, *state, *uri;

static void
setup (void)
{
  error = NULL;
  sim_begin ();
  folder = g_dir_make_tmp ("libcpr-vfio-reboot-XXXXXX", NULL);
  ck_assert_ptr_nonnull (folder);
  state = g_build_filename (folder, "state", NULL);
  uri = g_strconcat ("file:", state, NULL);
}

static void
teardown (void)
{
  sim_end ();
  unlink (state);
  ck_assert_int_eq (rmdir (folder), 0);
  g_free (folder);
  g_free (state);
  g_free (uri);
}

static bool
open_irq (void)
{
  return cpr_vfio_irq_open (program.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error) >= 0 &&
         cpr_vfio_irq_enable (program.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, CPR_VFIO_IRQ_TRIGGER, &error);
}

static void
start_vm (void)
{
  vfio_program_start (&program, CPR_VFIO_TYPE1);
  ck_assert (vfio_map (&program, 0, 0, 8, &error) && vfio_map (&program, 32, 8, 16, &error) && open_irq ());
  ck_assert (cpr_session_load (program.session, &error) && cpr_session_start (program.session, &error));
}

static bool
save (void)
{
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_REBOOT, .uri = uri };

  return cpr_session_update (program.session, &update, &error);
}

static void
save_vm (void)
{
  start_vm ();
  ck_assert (cpr_session_suspend (program.session, &error));
  ck_assert_msg (save (), "%s", error != NULL ? error->message : "");
  vfio_program_clear (&program);
  ck_assert_int_eq (sim.open_devices, 0);
  ck_assert_int_eq (sim.open_containers, 0);
  sim_exec ();
}

/* A start-up as far as the devices: the calls are those of a fresh session. */
static void
take_up (void)
{
  CprSessionConfig config;

  program = (VfioProgram){ .session = NULL };
  guest_init (&program.guest);
  config = guest_config (&program.guest, MACHINE_NAME);
  config.incoming = uri;
  program.session = cpr_session_new (&config, &error);
  assert_no_error (error);
  program.ram = cpr_ram_new (program.session, "pc.ram", RAM_SIZE, NULL, &error);
  assert_no_error (error);
  program.container = cpr_vfio_container_new (program.session, "c", NULL, &error);
  assert_no_error (error);
  program.device = cpr_vfio_device_new (program.container, "d", sim_path ("0000:00:04.0"), NULL, &error);
  assert_no_error (error);
}

START_TEST (a_guest_that_is_awake_stays)
{
  start_vm ();
  ck_assert (!save ());
  assert_error (&error, CPR_ERROR_BLOCKED,
                "VFIO container 'c': its devices don't survive; the guest must be suspended");
  ck_assert (cpr_session_pause (program.session, &error));
  ck_assert (!save ()); /* that isn't sleep */
  assert_error (&error, CPR_ERROR_BLOCKED, "must be suspended");
  ck_assert (cpr_session_resume (program.session, &error));
  ck_assert (program.guest.running);
  vfio_assert_attached (&program);
  ck_assert_int_ne (access (state, F_OK), 0);
  vfio_program_clear (&program);
}
END_TEST

START_TEST (a_sleeping_guest_finds_its_devices_made_anew)
{
  save_vm ();
  take_up ();
  ck_assert (!cpr_vfio_irq_is_enabled (program.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER));
  ck_assert_msg (open_irq (), "%s", error != NULL ? error->message : "");
  ck_assert (vfio_map (&program, 0, 0, 24, &error)); /* not as before: nobody has anything of before */
  ck_assert_msg (cpr_session_load (program.session, &error), "%s", error != NULL ? error->message : "");
  ck_assert (cpr_session_start (program.session, &error));
  vfio_assert_attached (&program);
  ck_assert (cpr_vfio_irq_is_enabled (program.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER));
  ck_assert_int_eq (cpr_session_get_run_state (program.session), CPR_RUN_STATE_SUSPENDED);
  ck_assert (!program.guest.running);
  ck_assert (cpr_session_wakeup (program.session, &error));
  ck_assert (program.guest.running);
  vfio_program_clear (&program);
}
END_TEST

START_TEST (before_the_commit_it_may_be_changed_again)
{
  save_vm ();
  take_up ();
  ck_assert (open_irq () && vfio_map (&program, 0, 0, 24, &error));
  ck_assert (cpr_dma_unmap (program.container, 0, 24 * PAGE, &error) && vfio_map (&program, 64, 0, 8, &error));
  ck_assert (cpr_vfio_irq_disable (program.device, VFIO_PCI_MSI_IRQ_INDEX, &error));
  ck_assert (cpr_vfio_irq_close (program.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error));
  ck_assert (cpr_session_load (program.session, &error));
  ck_assert (open_irq ()); /* loaded, not started */
  ck_assert (cpr_session_start (program.session, &error));
  vfio_assert_attached (&program);
  ck_assert (save ()); /* it still sleeps */
  vfio_program_clear (&program);
}
END_TEST

START_TEST (a_device_that_cant_be_had_leaves_the_state)
{
  save_vm ();
  take_up ();
  ck_assert (cpr_dma_map (program.container, 0, program.ram, 0, RAM_SIZE, MAP_RW, &error));
  ck_assert (!cpr_vfio_irq_enable (program.device, VFIO_PCI_MSI_IRQ_INDEX, 7, 1, CPR_VFIO_IRQ_TRIGGER, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "d");
  vfio_program_clear (&program);
  ck_assert_int_eq (sim.open_devices, 0);
  ck_assert_int_eq (access (state, F_OK), 0);
  sim_exec ();
  take_up ();
  ck_assert (cpr_session_load (program.session, &error) && cpr_session_start (program.session, &error));
  vfio_program_clear (&program);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("vfio-reboot");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_guest_that_is_awake_stays);
  tcase_add_test (tests, a_sleeping_guest_finds_its_devices_made_anew);
  tcase_add_test (tests, before_the_commit_it_may_be_changed_again);
  tcase_add_test (tests, a_device_that_cant_be_had_leaves_the_state);
  return run_suite (suite);
}
