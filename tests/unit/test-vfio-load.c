/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Assigned devices in cpr_session_load(): it attaches them, and goes back where it can't. */
#include "vfio-programs.h"

#include "successor.h"
#include "vfio/device.h"
#include "vfio/irq.h"

#include <linux/vfio.h>

static GError *error;

static void
setup (void)
{
  error = NULL;
  sim_begin ();
}

/* The old program has a container with a device, a mapping and an interrupt. */
static void
add_assigned (Machine *machine)
{
  const CprVfioContainerOptions options = { .size = sizeof options, .backend = CPR_VFIO_TYPE1 };
  const CprVfioDeviceOptions device_options = { .size = sizeof device_options };
  const CprDmaMapping mapping = { .size = 4 * PAGE, .block = machine->block, .flags = MAP_RW };
  CprVfioContainer *container = cpr_vfio_container_create (&machine->vfio, "c", &options, &error);
  CprVfioDevice *device;

  assert_no_error (error);
  device = cpr_vfio_device_create (container, "d", sim_path ("0000:00:04.0"), &device_options, &error);
  assert_no_error (error);
  ck_assert_ptr_nonnull (cpr_vfio_container_map (container, &mapping, &error));
  ck_assert_int_ge (cpr_vfio_irq_make (device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error), 3);
  container->claimed = device->claimed = g_array_index (device->irqs, CprVfioIrq, 0).claimed = false;
  sim_exec ();
}

typedef struct
{
  Guest guest;
  Successor successor;
  VfioProgram program;
} Load;

static void
load_init (Load *load, unsigned attempt)
{
  CprSession *session;

  *load = (Load){ .program = { .session = NULL } };
  guest_init (&load->guest);
  successor_init_with (&load->successor, &load->guest, attempt, add_assigned);
  load->program.session = session = load->successor.session;
  load->program.container = cpr_vfio_container_new (session, "c", NULL, &error);
  assert_no_error (error);
  load->program.device = cpr_vfio_device_new (load->program.container, "d", sim_path ("0000:00:04.0"), NULL, &error);
  assert_no_error (error);
  load->program.ram = session->ram.blocks->pdata[0];
}

static void
load_claim (Load *load)
{
  ck_assert (vfio_map (&load->program, 0, 0, 4, &error));
  ck_assert_int_ge (cpr_vfio_irq_open (load->program.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error),
                    3);
}

static void
load_clear (Load *load)
{
  g_unsetenv (CPR_STATE_VARIABLE);
  successor_clear (&load->successor);
  guest_clear (&load->guest);
}

START_TEST (load_attaches_and_then_the_guest_runs)
{
  Load load;

  load_init (&load, 1);
  load_claim (&load);
  ck_assert_msg (cpr_session_load (load.program.session, &error), "%s", error != NULL ? error->message : "");
  vfio_assert_attached (&load.program);
  ck_assert (cpr_session_start (load.program.session, &error));
  ck_assert (load.guest.running);
  ck_assert (cpr_dma_unmap (load.program.container, 0, 4 * PAGE, &error)); /* it is this program's now */
  ck_assert_uint_eq (sim.n_mappings, 0);
  load_clear (&load);
}
END_TEST

/* The played kernel executes nothing, so that the way back fails, too. The error has both
 * reasons. */
START_TEST (load_that_can_not_attach_goes_back)
{
  Load load;

  load_init (&load, 1);
  load_claim (&load);
  sim.memlock = PAGE;
  ck_assert (!cpr_session_load (load.program.session, &error));
  ck_assert_int_eq (cpr_session_get_state (load.program.session), CPR_SESSION_STATE_LOST);
  ck_assert_ptr_nonnull (strstr (error->message, "way back"));
  assert_error (&error, CPR_ERROR_SYSTEM, "MAP_DMA with VADDR of 16384 bytes at 0x0");
  ck_assert (!load.guest.running);
  load_clear (&load);
}
END_TEST

START_TEST (load_names_what_nobody_took)
{
  Load load;
  int irq;

  load_init (&load, 1);
  irq = g_array_index (load.program.device->irqs, CprVfioIrq, 0).fd;
  ck_assert (vfio_map (&load.program, 0, 0, 4, &error));
  ck_assert (!cpr_session_load (load.program.session, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "interrupt 0 of kind 1 is in the state, and nobody took it");
  load_clear (&load);
  cpr_fd_clear (&irq);
}
END_TEST

START_TEST (the_way_back_takes_a_container_as_it_is)
{
  Load load;

  load_init (&load, 2);
  load_claim (&load);
  vfio_lose (0);
  ck_assert (cpr_session_load (load.program.session, &error));
  ck_assert (cpr_session_start (load.program.session, &error));
  ck_assert_ptr_nonnull (strstr (load.guest.log->str, "the kernel has lost 1 mappings"));
  load_clear (&load);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("vfio-load");

  tcase_add_checked_fixture (tests, setup, sim_end);
  tcase_add_test (tests, load_attaches_and_then_the_guest_runs);
  tcase_add_test (tests, load_that_can_not_attach_goes_back);
  tcase_add_test (tests, load_names_what_nobody_took);
  tcase_add_test (tests, the_way_back_takes_a_container_as_it_is);
  return run_suite (suite);
}
