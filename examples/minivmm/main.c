/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A virtual machine monitor that can be replaced under its guest. The start-up is the same for a
 * fresh VM and for one that is taken over: session, RAM and fds, devices, load, start. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/error.h"
#include "fail.h"
#include "guests/guests.h"
#include "accel/kvm-state.h"
#include "support/log.h"
#include "machine.h"

static bool
stop_guest (void *user_data, GError **error)
{
  Machine *machine = user_data;
  machine->n_stops++;
  vm_stop (machine->vm);
  guest_release (&machine->ram);
  return true;
}

static void
start_guest (void *user_data)
{
  Machine *machine = user_data;
  if (machine->disk)
    disk_hold (machine->disk);
  guest_claim (&machine->ram);
  vm_start (machine->vm);
}

static void
log_message (CprLogLevel level, const char *message, void *user_data)
{
  if (level <= CPR_LOG_WARNING)
    log_line ("%s", message);
}

static bool
lives (Machine *machine, const char *step, GError **error)
{
  return !cpr_session_is_incoming (machine->session) || survives (&machine->options, step, error);
}

/* What this program can load, whatever its arguments; open_session() puts the library's own at
 * the end. */
static const CprDeviceType *device_types[] = {
  &bus_type,      &serial_type, &monitor_type,  &update_type,
  &ram_hash_type, &kvm_vm_type, &kvm_vcpu_type, &soft_vcpu_type,
#if MINIVMM_BUILD >= 2
  &watchdog_type,
#endif
#if MINIVMM_BUILD >= 3
  &crashlog_type,
#endif
  NULL,           NULL,
};

/* In a preflight: what the rest of this file would build. Without effect outside the process. */
static void
declare_parts (CprInventory *inventory, void *user_data)
{
  const Machine *machine = user_data;
  const Options *options = &machine->options;

  guest_ram_declare (inventory, options);
  bus_declare (inventory);
  serial_declare (inventory, options->serial);
  if (options->disk)
    disk_declare (inventory);
  monitor_declare (inventory, options->monitor);
  cards_declare (inventory, options);
  vfio_declare (inventory, options);
  vm_declare (inventory, options);
  update_declare (inventory);
  if (options->verify_ram)
    ram_hash_declare (inventory);
}

static bool
open_session (Machine *machine, GError **error)
{
  g_autofree char *incoming = update_name_incoming (machine->options.incoming);
  const CprSessionConfig config = {
    .size = sizeof config,
    .name = machine->options.name,
    .stop = stop_guest,
    .start = start_guest,
    .log = log_message,
    .user_data = machine,
    .device_types = device_types,
    .declare = declare_parts,
    .incoming = incoming,
    .open_incoming = update_open_incoming,
    .incoming_flags = machine->options.incoming_map ? CPR_INCOMING_MAP_RAM : 0,
  };
  device_types[G_N_ELEMENTS (device_types) - 2] = cpr_vfio_pci_get_type ();
  machine->session = cpr_session_new (&config, error);
  return machine->session && lives (machine, "new", error);
}

static bool
open_ram (Machine *machine, GError **error)
{
  return guest_ram_new (&machine->ram, machine->session, &machine->options, error) && lives (machine, "ram", error);
}

static bool
open_fds (Machine *machine, GError **error)
{
  machine->bus = bus_new (machine->session, error);
  if (!machine->bus)
    return false;
  machine->serial = serial_new (machine->session, machine->bus, machine->options.serial, error);
  if (!machine->serial)
    return false;
  if (machine->options.disk && !(machine->disk = disk_new (machine->session, machine->options.disk, error)))
    return false;
  machine->monitor = monitor_new (machine, machine->options.monitor, error);
  return machine->monitor && lives (machine, "fds", error);
}

static bool
create_devices (Machine *machine, GError **error)
{
  const Options *options = &machine->options;
  machine->cards = cards_new (machine->session, machine->bus, options, error);
  if (!machine->cards)
    return false;
  if (options->vfio && !(machine->vfio = vfio_new (machine->session, &machine->ram, options, error)))
    return false;
  CprUpdateInfo info = { .size = sizeof info };
  cpr_session_get_update_info (machine->session, &info);
  const AccelConfig config = {
    .session = machine->session,
    .ram = &machine->ram,
    .bus = machine->bus,
    .n_vcpus = options->n_vcpus,
    .ahead = cpr_session_is_incoming (machine->session) && info.mode == CPR_MODE_TRANSFER,
    .vfio = machine->vfio,
  };
  machine->vm = vm_new (&config, options, error);
  if (!machine->vm)
    return false;
  machine->update = update_new (machine->session, options, error);
  if (!machine->update)
    return false;
  update_set_serve (machine->update, monitor_serve, machine->monitor);
  if (options->verify_ram && !(machine->ram_hash = ram_hash_new (machine->session, &machine->ram, error)))
    return false;

  /* A device that is taken over gets its state by cpr_session_load(). */
  if (!cpr_session_is_incoming (machine->session) && !vm_reset (machine->vm, options->guest, error))
    return false;
  if (!lives (machine, "devices", error))
    {
      serial_close (machine->serial);
      return false;
    }
  return true;
}

static bool
run (Machine *machine, GError **error)
{
  return open_session (machine, error) && open_ram (machine, error) && open_fds (machine, error) &&
         create_devices (machine, error) && cpr_session_load (machine->session, error) &&
         vm_loaded (machine->vm, error) && lives (machine, "start", error) &&
         cpr_session_start (machine->session, error) && lives (machine, "running", error) &&
         monitor_run (machine->monitor, error);
}

static void
clear (Machine *machine)
{
  ram_hash_free (machine->ram_hash);
  update_free (machine->update);
  vm_free (machine->vm);
  vfio_free (machine->vfio);
  cards_free (machine->cards);
  monitor_free (machine->monitor);
  disk_free (machine->disk);
  serial_free (machine->serial);
  bus_free (machine->bus);
  cpr_session_free (machine->session);
  g_strfreev (machine->argv);
}

/* Messages go to fd 2, whatever that is: were it closed, the next file that is opened, a disk's
 * image maybe, would get them. */
static void
open_stderr (void)
{
  int fd = fcntl (STDERR_FILENO, F_GETFD) < 0 ? open ("/dev/null", O_WRONLY) : STDERR_FILENO;
  if (fd < 0 || fd == STDERR_FILENO)
    return;
  dup2 (fd, STDERR_FILENO);
  close (fd);
}

static Machine *updating;

static void
cancel_update (int number)
{
  if (updating->session)
    cpr_session_cancel (updating->session);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  Machine machine = { 0 };

  open_stderr ();
  if (!options_parse (&machine.options, argc, argv, &error))
    {
      log_line ("%s", error->message);
      return EXIT_FAILURE;
    }
  if (machine.options.help)
    {
      fputs (options_get_help (), stdout);
      return EXIT_SUCCESS;
    }

  /* Gives up a transfer: the monitor is busy with it. */
  updating = &machine;
  signal (SIGUSR2, cancel_update);
  /* A reader of the serial port that goes away must not take the VM along. */
  signal (SIGPIPE, SIG_IGN);
  bool ok = run (&machine, &error);
  signal (SIGUSR2, SIG_IGN);
  if (!ok)
    {
      log_line ("%s", error->message);
      /* Before the commit this goes back to the old program, which tells whoever asked. Else it
       * does nothing. */
      if (machine.session)
        cpr_session_abort (machine.session, error, NULL);
    }
  clear (&machine);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
