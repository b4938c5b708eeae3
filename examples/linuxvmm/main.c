/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A virtual machine monitor that boots Linux and can be replaced under it. The start-up is the
 * same for a fresh VM and for one that is taken over: session, machine, load, start. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "control.h"
#include "cpus.h"
#include "devices/disk.h"
#include "devices/net.h"
#include "devices/rng.h"
#include "devices/serial.h"
#include "options.h"
#include "support/error.h"
#include "support/log.h"
#include "update.h"

#define STOP_TIMEOUT_MS 10000

/* Everything, in the order in which it is built. */
typedef struct
{
  Options options;
  CprGate *gate;
  CprSession *session;
  Control *control;
  GuestRam ram;
  Kvm *kvm;
  Bus *bus;
  Power *power;
  Serial *serial;
  Disk *disk; /* NULL: none */
  Net *net;   /* NULL: none */
  Cpus *cpus;
} Machine;

/* ---- What the library calls. */

static void
log_message (CprLogLevel level, const char *message, void *user_data)
{
  if (level <= CPR_LOG_WARNING)
    log_line ("%s", message);
}

/* ---- The start-up, in its order. A program that is asked whether it could take the guest over
 * runs it, too, and the library keeps it from having any effect. */

static bool
open_session (Machine *machine, char **argv, GError **error)
{
  const CprSessionConfig config = {
    .size = sizeof config,
    .name = "linuxvmm",
    .gate = machine->gate,
    .stop_timeout_ms = STOP_TIMEOUT_MS,
    .log = log_message,
    .argv = argv,
    .incoming = machine->options.incoming,
    .incoming_flags = CPR_INCOMING_EXIT_GOES_BACK | CPR_INCOMING_REHEARSE,
  };
  g_autofree char **fresh = options_without_incoming (argv);

  machine->session = cpr_session_new (&config, error);
  return machine->session && cpr_session_set_argv (machine->session, fresh, error);
}

/* The guest finds them in the slots in this order. */
static bool
build_virtio (Machine *machine, GError **error)
{
  const VirtioPlace place = { machine->session, machine->gate, kvm_get_vm (machine->kvm), machine->bus, &machine->ram };
  const Options *options = &machine->options;
  unsigned slot = 0;

  if (options->disk && !(machine->disk = disk_new (&place, slot++, options->disk, error)))
    return false;
  if (options->net && !(machine->net = net_new (&place, slot++, options->net, error)))
    return false;
  return !options->rng || rng_new (&place, slot, options->rng, error);
}

static bool
build_devices (Machine *machine, GError **error)
{
  CprKvmVm *vm = kvm_get_vm (machine->kvm);

  machine->bus = bus_new ();
  machine->power = power_new (machine->session, machine->bus, error);
  if (!machine->power)
    return false;
  machine->serial = serial_new (machine->session, vm, machine->bus, machine->options.serial, error);
  kvm_connect (machine->kvm, machine->bus, machine->power);
  return machine->serial && build_virtio (machine, error);
}

static void
describe (GString *text, void *user_data)
{
  const Machine *machine = user_data;

  if (machine->disk)
    {
      DiskCounts counts = disk_get_counts (machine->disk);
      g_string_append_printf (text, ", disk: %" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64 " flushes", counts.reads,
                              counts.writes, counts.flushes);
    }
  if (machine->net)
    {
      NetCounts counts = net_get_counts (machine->net);
      g_string_append_printf (text, ", net: %" PRIu64 " received, %" PRIu64 " sent", counts.received, counts.sent);
    }
}

static bool
build (Machine *machine, GError **error)
{
  const Options *options = &machine->options;

  machine->control = control_new (machine->session, options->control, describe, machine, error);
  if (!machine->control || !ram_new (&machine->ram, machine->session, options->memory, error))
    return false;
  machine->kvm = kvm_new (machine->session, &machine->ram, options->n_cpus, error);
  if (!machine->kvm || !build_devices (machine, error))
    return false;
  machine->cpus = cpus_new (machine->kvm, options->n_cpus, error);
  return machine->cpus != NULL;
}

/* As after power-on, in a fresh VM only: one that is taken over gets its state by
 * cpr_session_load(). */
static bool
boot (Machine *machine, GError **error)
{
  BootEntry entry;

  return cpr_session_is_incoming (machine->session) ||
         (linux_load (&machine->ram, &machine->options, &entry, error) && kvm_reset (machine->kvm, &entry, error));
}

static bool
start (Machine *machine, char **argv, GError **error)
{
  machine->gate = cpr_gate_new (error);
  return machine->gate && open_session (machine, argv, error) && build (machine, error) &&
         cpr_session_load (machine->session, error) && boot (machine, error) &&
         cpr_session_start (machine->session, error);
}

/* ---- The main loop. */

enum
{
  POWER,
  FAILURE,
  CONTROL,
  SERIAL = CONTROL + CONTROL_FDS,
  N_FDS = SERIAL + SERIAL_FDS
};

/* The serial port is the guest's: nobody touches it while the guest stands still. */
static void
serve_serial (const Machine *machine)
{
  if (!cpr_gate_enter (machine->gate))
    return;
  serial_serve (machine->serial);
  cpr_gate_leave (machine->gate);
}

static int
fill_fds (const Machine *machine, struct pollfd fds[N_FDS])
{
  fds[POWER] = (struct pollfd){ power_get_fd (machine->power), POLLIN, 0 };
  fds[FAILURE] = (struct pollfd){ cpus_get_failure_fd (machine->cpus), POLLIN, 0 };
  control_fill_fds (machine->control, &fds[CONTROL]);
  return serial_fill_fds (machine->serial, &fds[SERIAL]);
}

/* Until the guest ends, or leaves. */
static bool
run (const Machine *machine, GError **error)
{
  struct pollfd fds[N_FDS];

  for (;;)
    {
      int timeout_ms = fill_fds (machine, fds);

      if (poll (fds, N_FDS, timeout_ms) < 0)
        {
          if (errno != EINTR)
            return throw_errno (error, "poll");
          continue;
        }
      if (fds[POWER].revents)
        return true;
      if (fds[FAILURE].revents)
        return throw_error (error, "the guest can't go on");
      serve_serial (machine);
      if (!control_serve (machine->control, &fds[CONTROL]))
        return true;
    }
}

/* Once the vCPUs are gone. */
static bool
end_devices (const Machine *machine)
{
  if (!cpr_gate_dismiss (machine->gate, STOP_TIMEOUT_MS, NULL))
    return false;
  serial_end (machine->serial);
  return true;
}

/* A VM that was reset is a fresh one. The end of the session waits until nothing is left of the
 * last update: a program that is executed while a guardian lives would look for its state. */
static void
start_anew (const Machine *machine, char **argv, bool has_ended)
{
  g_autofree char **fresh = options_without_incoming (argv);

  if (has_ended)
    cpr_session_free (machine->session);
  execv ("/proc/self/exe", fresh);
  log_line ("reset: errno %d", errno);
}

/* After a transfer the socket's path is the new program's. */
static void
remove_socket (const Machine *machine)
{
  if (machine->options.control && machine->session &&
      cpr_session_get_state (machine->session) == CPR_SESSION_STATE_ACTIVE)
    unlink (machine->options.control);
}

static void
fail (const Machine *machine, const GError *error)
{
  if (machine->session)
    cpr_session_set_reason (machine->session, error->message);
  log_line ("%s", error->message);
  exit (EXIT_FAILURE); /* in an update that goes back to the old program */
}

int
main (int argc, char **argv)
{
  static Machine machine; /* the threads have it until the process ends */
  g_autoptr (GError) error = NULL;

  if (!options_parse (&machine.options, argv, &error))
    fail (&machine, error);
  if (machine.options.help)
    {
      options_print_help ();
      return EXIT_SUCCESS;
    }
  signal (SIGPIPE, SIG_IGN); /* a reader of the serial port that goes away must not take the VM along */
  if (!start (&machine, argv, &error))
    fail (&machine, error);
  cpr_session_reply (machine.session);

  bool ok = run (&machine, &error);
  if (!ok)
    log_line ("%s", error->message);
  remove_socket (&machine);

  bool has_ended = end_devices (&machine);
  if (ok && power_get_wish (machine.power) == POWER_RESET)
    start_anew (&machine, argv, has_ended);
  _exit (ok ? EXIT_SUCCESS : EXIT_FAILURE); /* with the guest */
}
