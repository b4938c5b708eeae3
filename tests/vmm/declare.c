/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the start-up would build, by name: for tests of programs that declare that. The example
 * rehearses its start-up. */
#include "declare.h"

#include "aids.h"
#include "cards.h"
#include "ram-hash.h"
#include "release.h"
#include "soft.h"

static void
declare_vcpus (CprInventory *inventory, unsigned n_vcpus)
{
  if (release.get_accel () == &accel_kvm)
    {
      cpr_inventory_add_kvm (inventory, "kvm", n_vcpus);
      return;
    }
  for (unsigned i = 0; i < n_vcpus; i++)
    {
      char name[32];
      g_snprintf (name, sizeof name, "soft-vcpu/%u", i);
      cpr_inventory_add_device (inventory, name, &soft_vcpu_type);
    }
}

static void
declare_files (CprInventory *inventory, const Options *options)
{
  if (g_str_has_prefix (options->serial, "file:"))
    cpr_inventory_add_fd (inventory, "serial", 0);
  if (options->disk)
    cpr_inventory_add_fd (inventory, "disk", 0);
  if (options->monitor)
    {
      cpr_inventory_add_fd (inventory, "monitor-listen", 0);
      cpr_inventory_add_fd (inventory, "monitor-client", -1);
    }
  if (options->qmp)
    {
      cpr_inventory_add_fd (inventory, "qmp-listen", 0);
      cpr_inventory_add_fd (inventory, "qmp-client", -1);
    }
}

static void
declare (CprInventory *inventory, void *user_data)
{
  const Machine *machine = user_data;
  const Options *options = &machine->options;

  if (options->ram_max)
    cpr_inventory_add_ram_up_to (inventory, "ram", options->ram_max);
  else
    cpr_inventory_add_ram (inventory, "ram", options->ram_size);
  declare_files (inventory, options);
  cpr_inventory_add_device (inventory, "bus", &slots_type);
  cpr_inventory_add_device (inventory, "serial", &serial_type);
  cpr_inventory_add_device (inventory, "monitor", &monitor_type);
  if (options->qmp)
    cpr_inventory_add_device (inventory, "qmp", &qmp_type);
  cards_declare (inventory);
  if (options->vfio)
    {
      cpr_inventory_add_vfio (inventory, "vfio", "vfio0");
      cpr_inventory_add_device (inventory, "vfio0-pci", cpr_vfio_pci_get_type ());
    }
  declare_vcpus (inventory, options->n_vcpus);
  cpr_inventory_add_device (inventory, "update", &update_type);
  if (aids.verify_ram)
    cpr_inventory_add_device (inventory, "ram-hash", &ram_hash_type);
}

/* Whatever the options are; those of the cards that the release knows follow. */
#define N_TYPES 8
#define N_CARDS 8

void
declare_instead (CprSessionConfig *config)
{
  static const CprDeviceType *types[N_TYPES + N_CARDS + 1] = { NULL,           &slots_type,     &serial_type,
                                                               &monitor_type,  &soft_vcpu_type, &update_type,
                                                               &ram_hash_type, &qmp_type };
  types[0] = cpr_vfio_pci_get_type ();
  for (unsigned i = 0; known_cards[i]; i++)
    {
      g_assert (i < N_CARDS);
      types[N_TYPES + i] = known_cards[i]->type;
    }
  config->device_types = types;
  config->declare = declare;
  config->incoming_flags &= ~(unsigned) CPR_INCOMING_REHEARSE;
}
