/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a PCI function: what the VMM emulates is carried; another function is refused. */
#include "vfio-programs.h"

#include "carry.h"
#include "vfio/device.h"

static VfioProgram old;
static GError *error;

static void
setup (void)
{
  error = NULL;
  sim_begin ();
}

typedef struct
{
  uint8_t config[256], emulated[256];
  void *state;
} Function;

static void
function_add (Function *function, VfioProgram *program, const uint8_t *compared)
{
  const CprVfioPciOptions options = { .size = sizeof options,
                                      .config = function->config,
                                      .config_size = sizeof function->config,
                                      .emulated = function->emulated,
                                      .compared = compared };
  const CprDevice *device;

  ck_assert_msg (cpr_vfio_pci_add (program->device, "pci0", &options, &error), "%s",
                 error != NULL ? error->message : "");
  device = program->session->devices.devices->pdata[program->session->devices.devices->len - 1];
  ck_assert_str_eq (device->name, "pci0");
  function->state = device->state;
}

/* Saves one function and loads it into the other. */
static bool
function_carry (const Function *from, const Function *to)
{
  const CprDeviceType *type = cpr_vfio_pci_get_type ();

  ck_assert (type->pre_save (from->state, &error));
  ck_assert (carry (&type->state, from->state, &type->state, to->state, &error));
  return type->post_load (to->state, 1, &error);
}

START_TEST (what_the_vmm_emulates_is_carried_and_the_rest_left)
{
  Function before = { .config = { 0 } }, after = { .config = { 0 } };

  vfio_program_start (&old, CPR_VFIO_TYPE1);
  memset (before.config, 0x5a, sizeof before.config);
  memset (before.emulated + 0x10, 0xff, 24);
  before.emulated[4] = 0x0f;
  memcpy (after.emulated, before.emulated, sizeof after.emulated);
  after.emulated[0x10] = 0; /* the new program leaves this to the device */
  function_add (&before, &old, NULL);
  cpr_device_table_remove (&old.session->devices, "pci0", NULL);
  function_add (&after, &old, NULL);
  ck_assert_msg (function_carry (&before, &after), "%s", error != NULL ? error->message : "");
  for (size_t i = 0; i < sizeof after.config; i++)
    ck_assert_uint_eq (after.config[i], before.config[i] & before.emulated[i] & after.emulated[i]);
  ck_assert (cpr_vfio_device_remove (old.device, &error));
  ck_assert_uint_eq (old.session->devices.devices->len, 0);
  vfio_program_clear (&old);
}
END_TEST

START_TEST (another_function_is_named)
{
  static const uint8_t all[256] = { [0x40] = 0xff };
  Function before = { .config = { 0 } }, after = { .config = { 0 } }, third = { .config = { 0 } };

  vfio_program_start (&old, CPR_VFIO_TYPE1);
  function_add (&before, &old, NULL);
  cpr_device_table_remove (&old.session->devices, "pci0", NULL);
  sim.config[4] ^= 0xff; /* the command register may change */
  sim.bar_size *= 2;
  function_add (&after, &old, NULL);
  cpr_device_table_remove (&old.session->devices, "pci0", NULL);
  ck_assert (!function_carry (&before, &after));
  assert_error (&error, CPR_ERROR_MISMATCH,
                "region 0 has 1048576 bytes at offset 0x0 in the state, 2097152 at 0x0 here");
  sim.bar_size /= 2;
  sim.config[0x09] ^= 1;
  sim.config[0x40] ^= 1;
  function_add (&after, &old, NULL);
  cpr_device_table_remove (&old.session->devices, "pci0", NULL);
  ck_assert (!function_carry (&before, &after));
  assert_error (&error, CPR_ERROR_MISMATCH, "the configuration space at 0x09 has 0x40 in the state, 0x41 here");
  function_add (&third, &old, all); /* it doesn't care for 0x09, the other not for 0x40 */
  ck_assert (function_carry (&before, &third));
  vfio_program_clear (&old);
}
END_TEST

START_TEST (a_function_that_can_not_be_read_is_refused)
{
  Function function = { .config = { 0 } };
  CprVfioPciOptions options = {
    .size = sizeof options, .config = function.config, .config_size = 256, .emulated = function.emulated
  };

  vfio_program_start (&old, CPR_VFIO_TYPE1);
  for (unsigned at = 1; at <= 11; at++) /* GET_INFO, 9 regions, the configuration space */
    {
      sim_fail (at, EIO);
      ck_assert (!cpr_vfio_pci_add (old.device, "pci0", &options, &error));
      assert_error (&error, CPR_ERROR_SYSTEM, "PCI function 'pci0': ");
    }
  sim_fail (0, 0);
  options.config_size = 62;
  ck_assert (!cpr_vfio_pci_add (old.device, "pci0", &options, &error));
  assert_error (&error, CPR_ERROR_INVALID, "has 62 bytes, not 64 to 4096");
  options.config_size = 256;
  ck_assert (cpr_vfio_pci_add (old.device, "pci0", &options, &error));
  ck_assert (!cpr_vfio_pci_add (old.device, "pci0", &options, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "device 'pci0'");
  vfio_program_clear (&old);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("vfio-pci");

  tcase_add_checked_fixture (tests, setup, sim_end);
  tcase_add_test (tests, what_the_vmm_emulates_is_carried_and_the_rest_left);
  tcase_add_test (tests, another_function_is_named);
  tcase_add_test (tests, a_function_that_can_not_be_read_is_refused);
  return run_suite (suite);
}
