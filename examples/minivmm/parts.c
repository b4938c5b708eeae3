/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of the machine: how main() builds and clears each of them. */
#include "parts.h"

#include "support/error.h"
#include "support/log.h"

/* ---- Guest RAM. It belongs to the session. */

static bool
build_ram (Machine *machine, GError **error)
{
  return guest_ram_new (&machine->ram, machine->session, &machine->options, error);
}

const Part ram_part = { .build = build_ram };

/* The guest is told last. */
bool
grow_ram (Machine *machine, uint64_t size, GError **error)
{
  GuestRam *ram = &machine->ram;
  const GuestRam was = *ram;

  if (machine->vfio)
    return throw_error (error, "RAM doesn't grow here while a function of the host has all of it for DMA");
  if (!cpr_ram_grow (machine->session, ram->block, size, error))
    return false;
  guest_ram_divide (ram, size);
  if (!vm_add_ram (machine->vm, was.low_size, was.low_size, ram->low_size - was.low_size, error) ||
      !vm_add_ram (machine->vm, GUEST_RAM_HIGH + was.high_size, GUEST_RAM_LOW_MAX + was.high_size,
                   ram->high_size - was.high_size, error))
    {
      guest_ram_divide (ram, was.size);
      return false;
    }
  guest_tell_ram (ram);
  return true;
}

/* ---- The bus. It has no state: devices are put on it again. */

static bool
build_bus (Machine *machine, GError **error)
{
  machine->bus = bus_new ();
  return true;
}

static void
clear_bus (Machine *machine)
{
  bus_free (machine->bus);
}

const Part bus_part = { .build = build_bus, .clear = clear_bus };

/* ---- The serial port. */

static bool
build_serial (Machine *machine, GError **error)
{
  machine->serial = serial_new (machine->session, machine->bus, machine->options.serial, error);
  return machine->serial != NULL;
}

static void
clear_serial (Machine *machine)
{
  serial_free (machine->serial);
}

const Part serial_part = { .build = build_serial, .clear = clear_serial };

/* ---- The disk. */

static bool
build_disk (Machine *machine, GError **error)
{
  if (!machine->options.disk)
    return true;
  machine->disk = disk_new (machine->session, machine->options.disk, error);
  return machine->disk != NULL;
}

static void
clear_disk (Machine *machine)
{
  disk_free (machine->disk);
}

const Part disk_part = { .build = build_disk, .clear = clear_disk };

/* ---- The monitor. */

static bool
build_monitor (Machine *machine, GError **error)
{
  machine->monitor = monitor_new (machine, machine->options.monitor, error);
  return machine->monitor != NULL;
}

static void
clear_monitor (Machine *machine)
{
  monitor_free (machine->monitor);
}

const Part monitor_part = { .build = build_monitor, .clear = clear_monitor };

/* ---- QMP, in the monitor's main loop. */

static bool
build_qmp (Machine *machine, GError **error)
{
  if (!machine->options.qmp)
    return true;
  machine->qmp = qmp_new (machine, machine->options.qmp, error);
  return machine->qmp != NULL;
}

static void
clear_qmp (Machine *machine)
{
  qmp_free (machine->qmp);
}

const Part qmp_part = { .build = build_qmp, .clear = clear_qmp };

/* ---- A function of the host. */

static bool
build_vfio (Machine *machine, GError **error)
{
  if (!machine->options.vfio)
    return true;
  machine->vfio = vfio_new (machine->session, &machine->ram, &machine->options, error);
  return machine->vfio != NULL;
}

static void
clear_vfio (Machine *machine)
{
  vfio_free (machine->vfio);
}

const Part vfio_part = { .build = build_vfio, .clear = clear_vfio };

/* ---- The vCPUs and what executes them. */

static void
pause_after_failure (void *user_data)
{
  Machine *machine = user_data;
  g_autoptr (GError) error = NULL;
  vm_clear_failure (machine->vm);
  if (!cpr_session_pause (machine->session, &error))
    log_line ("%s", error->message);
}

static bool
build_vm (Machine *machine, GError **error)
{
  bool incoming = cpr_session_is_incoming (machine->session);
  const AccelConfig config = {
    .session = machine->session,
    .ram = &machine->ram,
    .bus = machine->bus,
    .n_vcpus = machine->options.n_vcpus,
    .ahead = !incoming || update_is_transferred (machine->session),
    .vfio = machine->vfio,
  };
  machine->vm = vm_new (&config, machine->gate, error);
  if (!machine->vm)
    return false;
  monitor_watch (machine->monitor, vm_get_failure_fd (machine->vm), pause_after_failure, machine);
  /* A VM that is taken over gets its state by cpr_session_load(). */
  return incoming || vm_reset (machine->vm, machine->options.guest, error);
}

static void
clear_vm (Machine *machine)
{
  vm_free (machine->vm);
}

const Part vm_part = { .build = build_vm, .clear = clear_vm };

/* ---- The next update. */

const Part update_part = { .build = update_add };
