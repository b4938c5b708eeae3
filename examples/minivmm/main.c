/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A virtual machine monitor that can be replaced under its guest. The start-up is the same for a
 * fresh VM and for one that is taken over: session, parts, load, start. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "guests/guests.h"
#include "release.h"
#include "support/log.h"

/* ---- What the library calls: the first two while no vCPU runs. */

static bool
stop_guest (void *user_data, GError **error)
{
  Machine *machine = user_data;
  machine->n_stops++;
  qmp_stopped (machine->qmp);
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
  qmp_started (machine->qmp);
}

static void
log_message (CprLogLevel level, const char *message, void *user_data)
{
  if (level <= CPR_LOG_WARNING)
    log_line ("%s", message);
}

/* ---- The start-up, in its order. */

static bool
open_session (Machine *machine, GError **error)
{
  const Options *options = &machine->options;
  CprSessionConfig config = {
    .size = sizeof config,
    .name = options->name,
    .gate = machine->gate,
    .stop_timeout_ms = VM_STOP_TIMEOUT_MS,
    .stop = stop_guest,
    .start = start_guest,
    .log = log_message,
    .user_data = machine,
    .required_modes = options->required_modes,
    .incoming = options->incoming,
    .choose_incoming = monitor_choose_incoming,
    .open_incoming = update_open_incoming,
    .incoming_flags =
        CPR_INCOMING_EXIT_GOES_BACK | CPR_INCOMING_REHEARSE | (options->incoming_map ? CPR_INCOMING_MAP_RAM : 0),
  };
  if (release.configure)
    release.configure (&config);
  machine->session = cpr_session_new (&config, error);
  return machine->session != NULL;
}

static bool
build_parts (Machine *machine, GError **error)
{
  for (const Part *const *part = release.parts; *part; part++)
    if ((*part)->build && !(*part)->build (machine, error))
      return false;
  return true;
}

static bool
run (Machine *machine, GError **error)
{
  machine->gate = cpr_gate_new (error);
  return machine->gate && open_session (machine, error) && build_parts (machine, error) &&
         cpr_session_load (machine->session, error) && vm_loaded (machine->vm, error) &&
         monitor_wait (machine->monitor, error) && cpr_session_start (machine->session, error) &&
         monitor_run (machine->monitor, error);
}

static void
clear (Machine *machine)
{
  unsigned n = 0;
  while (release.parts[n])
    n++;
  while (n-- > 0)
    if (release.parts[n]->clear)
      release.parts[n]->clear (machine);
  cpr_session_free (machine->session);
  cpr_gate_free (machine->gate);
}

/* ---- The process. */

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
  if (!options_parse (&machine.options, argv, &error))
    {
      log_line ("%s", error->message);
      return EXIT_FAILURE;
    }
  if (machine.options.help)
    {
      options_print_help ();
      return EXIT_SUCCESS;
    }

  /* Gives up a transfer: the monitor is busy with it. */
  updating = &machine;
  signal (SIGUSR2, cancel_update);
  /* A reader of the serial port that goes away must not take the VM along. */
  signal (SIGPIPE, SIG_IGN);
  bool ok = run (&machine, &error);
  signal (SIGUSR2, SIG_IGN);
  bool gave_up = !ok && machine.quit && !machine.session; /* while it waited for a guest */
  if (!ok && !gave_up)
    {
      log_line ("%s", error->message);
      monitor_fail (machine.monitor, error->message);
      /* Before the commit this goes back to the old program, which tells whoever asked. Else it
       * does nothing. */
      if (machine.session)
        cpr_session_abort (machine.session, error, NULL);
    }
  clear (&machine);
  return ok || gave_up ? EXIT_SUCCESS : EXIT_FAILURE;
}
