/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "monitor/commands.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "support/error.h"

typedef struct
{
  Machine *machine;
  const char *arguments;
  GString *answer;
  GError **error;
} Call;

typedef struct
{
  const char *name;
  const char *arguments;
  const char *help;
  bool needs_guest; /* it touches what another program may have by now: RAM, vCPUs, devices */
  bool (*run) (const Call *call);
} Command;

/* After an update it is another program's guest, or nobody's. */
static bool
has_guest (const Machine *machine)
{
  return cpr_session_get_state (machine->session) == CPR_SESSION_STATE_ACTIVE;
}

/* Here or, after a transfer, elsewhere. A guest that was saved stands still. */
static bool
guest_runs (const Machine *machine)
{
  if (has_guest (machine))
    return cpr_session_get_run_state (machine->session) == CPR_RUN_STATE_RUNNING;
  return cpr_session_get_state (machine->session) == CPR_SESSION_STATE_LOST || update_has_left (machine->update);
}

static bool
info_status (const Call *call)
{
  static const char *const names[] = {
    [CPR_RUN_STATE_RUNNING] = "running",
    [CPR_RUN_STATE_PAUSED] = "paused",
    [CPR_RUN_STATE_SUSPENDED] = "suspended",
    [CPR_RUN_STATE_PAUSED_SUSPENDED] = "paused (suspended)",
  };
  const Machine *machine = call->machine;
  g_string_append_printf (call->answer, "VM status: %s\nstops: %u\n",
                          has_guest (machine) ? names[cpr_session_get_run_state (machine->session)]
                                              : "paused (postmigrate)",
                          machine->n_stops);
  return true;
}

static bool
info_guest (const Call *call)
{
  GuestReport report;
  guest_get_report (&call->machine->ram, vm_get_n_vcpus (call->machine->vm), &report);
  double gap_us = (double) report.longest_gap * 1000 / (double) vm_get_tsc_khz (call->machine->vm);

  g_string_append_printf (call->answer, "reports: %" PRIu64 "\n", report.n_reports);
  g_string_append_printf (call->answer, "ticks: %" PRIu64 "\n", report.ticks);
  g_string_append_printf (call->answer, "passes: %" PRIu64 "\n", report.passes);
  g_string_append_printf (call->answer, "progress: %" PRIu64 "\n", report.progress);
  g_string_append_printf (call->answer, "memory errors: %" PRIu64 "\n", report.errors);
  if (report.errors)
    g_string_append_printf (call->answer, "first bad page: %#" PRIx64 "\n", report.first_bad);
  if (report.doubled)
    g_string_append_printf (call->answer, "run by two programs: %" PRIu64 " times\n", report.doubled);
  g_string_append_printf (call->answer, "longest gap: %.0f us\n", gap_us);
  return true;
}

static bool
info_migrate (const Call *call)
{
  update_describe (call->machine->update, call->answer);
  return true;
}

static bool
info_blockers (const Call *call)
{
  update_describe_blockers (call->machine->update, call->answer);
  return true;
}

static bool
info_version (const Call *call)
{
  g_string_append_printf (call->answer, "minivmm build %d, pid %d, accel %s\n", MINIVMM_BUILD, (int) getpid (),
                          vm_get_accel_name (call->machine->vm));
  return true;
}

static bool
info_ram (const Call *call)
{
  if (guest_runs (call->machine))
    return throw_error (call->error, "the guest must be paused or suspended");
  g_string_append_printf (call->answer, "size: %" PRIu64 "\nhash: %016" PRIx64 "\n", call->machine->ram.size,
                          ram_hash_compute (&call->machine->ram));
  return true;
}

static bool
info_serial (const Call *call)
{
  serial_describe (call->machine->serial, call->answer);
  return true;
}

static bool
info_bus (const Call *call)
{
  bus_describe (call->machine->bus, call->answer);
  return true;
}

static bool
info_card (const Call *call)
{
  return cards_describe (call->machine->cards, call->arguments, call->answer, call->error);
}

static void
describe_fd (const char *name, int index, int fd, bool claimed, void *user_data)
{
  g_string_append_printf (user_data, "%s/%d: %d\n", name, index, fd);
}

static bool
info_vfio (const Call *call)
{
  if (!call->machine->vfio)
    return throw_error (call->error, "there is none");
  vfio_describe (call->machine->vfio, call->answer);
  return true;
}

static bool
info_dma (const Call *call)
{
  GuestDmaReport report;
  guest_get_dma_report (&call->machine->ram, &report);
  g_string_append_printf (call->answer, "begun: %" PRIu64 "\nmsis: %" PRIu64 "\nunexplained: %" PRIu64 "\n",
                          report.begun, report.msis, report.unexplained);
  return true;
}

static bool
info_fds (const Call *call)
{
  cpr_fd_foreach (call->machine->session, describe_fd, call->answer);
  return true;
}

static bool
reset_gap (const Call *call)
{
  guest_reset_gaps (&call->machine->ram, vm_get_n_vcpus (call->machine->vm));
  return true;
}

/* What is plugged in belongs to the command line of the next program, and to that of this one
 * should it have to come back: else they wouldn't build it. */
static bool
note_cards (Machine *machine, GError **error)
{
  char **argv = cards_make_argv (machine->cards, machine->options.argv);
  g_strfreev (machine->argv);
  machine->argv = machine->options.argv = argv;
  return cpr_session_set_argv (machine->session, argv, error);
}

static bool
plug (const Call *call, bool (*change) (Cards *cards, const char *name, GError **error))
{
  Machine *machine = call->machine;
  vm_stop (machine->vm);
  bool ok = change (machine->cards, call->arguments, call->error) && note_cards (machine, call->error);
  if (cpr_session_get_run_state (machine->session) == CPR_RUN_STATE_RUNNING)
    vm_start (machine->vm);
  return ok;
}

static bool
device_add (const Call *call)
{
  return plug (call, cards_add);
}

static bool
device_del (const Call *call)
{
  return plug (call, cards_remove);
}

static bool
device_set (const Call *call)
{
  g_auto (GStrv) words = g_strsplit (call->arguments, " ", 3);
  guint64 value;
  if (g_strv_length (words) != 3)
    return throw_error (call->error, "device_set DEVICE FIELD VALUE");
  if (strcmp (words[0], "serial") != 0)
    return cards_set (call->machine->cards, words[0], words[1], words[2], call->error);
  return g_ascii_string_to_unsigned (words[2], 10, 0, UINT64_MAX, &value, call->error) &&
         serial_set (call->machine->serial, words[1], value, call->error);
}

/* As the guest does, but without waiting for who reads the serial port. */
static bool
port_in (const Call *call)
{
  guint64 port = g_ascii_strtoull (call->arguments, NULL, 0);
  g_string_append_printf (call->answer, "0x%02x\n", bus_in (call->machine->bus, (uint16_t) port));
  return true;
}

static bool
port_out (const Call *call)
{
  char *value;
  guint64 port = g_ascii_strtoull (call->arguments, &value, 0);
  bus_out (call->machine->bus, (uint16_t) port, (uint8_t) g_ascii_strtoull (value, NULL, 0));
  return true;
}

static bool
set_parameter (const Call *call)
{
  static const char mode[] = "mode ", command[] = "cpr-exec-command ";
  if (g_str_has_prefix (call->arguments, mode))
    return update_set_mode (call->machine->update, call->arguments + strlen (mode), call->error);
  if (g_str_has_prefix (call->arguments, command))
    return update_set_command (call->machine->update, call->arguments + strlen (command), call->error);
  return throw_error (call->error, "unknown parameter '%s'", call->arguments);
}

static bool
set_capability (const Call *call)
{
  if (!strcmp (call->arguments, "x-ignore-shared on"))
    update_set_in_place (call->machine->update, true);
  else if (!strcmp (call->arguments, "x-ignore-shared off"))
    update_set_in_place (call->machine->update, false);
  else
    return throw_error (call->error, "unknown capability '%s'", call->arguments);
  return true;
}

/* The answer to success comes from the new program: the monitor's state says who asked. */
static bool
migrate (const Call *call)
{
  const char *uri = call->arguments + (g_str_has_prefix (call->arguments, "-d") ? 2 : 0);
  if (!update_run (call->machine->update, uri + strspn (uri, " "), call->error))
    return false;
  return monitor_leave (call->machine->monitor, call->error);
}

static bool
migrate_check (const Call *call)
{
  return update_check (call->machine->update, call->answer, call->error);
}

static bool
stop (const Call *call)
{
  return cpr_session_pause (call->machine->session, call->error);
}

static bool
cont (const Call *call)
{
  return cpr_session_resume (call->machine->session, call->error);
}

/* In place of the guest's own wish: the built-in guests know no ACPI. */
static bool
system_suspend (const Call *call)
{
  const Machine *machine = call->machine;
  CprRunState state = cpr_session_get_run_state (machine->session);
  if ((state == CPR_RUN_STATE_RUNNING || state == CPR_RUN_STATE_PAUSED) &&
      !guest_put_to_sleep (&machine->ram, state == CPR_RUN_STATE_RUNNING, call->error))
    return false;
  return cpr_session_suspend (machine->session, call->error);
}

static bool
system_wakeup (const Call *call)
{
  guest_wake (&call->machine->ram);
  return cpr_session_wakeup (call->machine->session, call->error);
}

static bool
quit (const Call *call)
{
  call->machine->quit = true;
  return true;
}

static bool help (const Call *call);

static const Command commands[] = {
  { "info status", "", "running, paused, suspended or both; postmigrate: the guest was handed over", false,
    info_status },
  { "info guest", "", "what the guest reports", false, info_guest },
  { "info migrate", "", "how the last update went, with times", false, info_migrate },
  { "info blockers", "", "why no update is possible now", false, info_blockers },
  { "info version", "", "build, process and accelerator", false, info_version },
  { "info ram", "", "size and hash of guest RAM, while it doesn't run", false, info_ram },
  { "info serial", "", "the serial port's registers", false, info_serial },
  { "info bus", "", "what is in the bus's slots", false, info_bus },
  { "info card", "CARD", "a card's state", false, info_card },
  { "info vfio", "", "the function of the host that the guest has", false, info_vfio },
  { "info dma", "", "what a guest counts that has one", false, info_dma },
  { "info fds", "", "the fds that survive an update", false, info_fds },
  { "device_add", "CARD", "plug in a card, with the guest running", true, device_add },
  { "device_del", "CARD", "unplug it", true, device_del },
  { "device_set", "DEVICE FIELD VALUE", "change what a guest can't", true, device_set },
  { "in", "PORT", "read a port, as the guest would", true, port_in },
  { "out", "PORT VALUE", "write a port, as the guest would", true, port_out },
  { "gap_reset", "", "forget the longest gap", true, reset_gap },
  { "migrate_set_parameter", "mode cpr-exec | mode cpr-transfer | mode cpr-reboot | cpr-exec-command BINARY ARG...",
    "what to update to", false, set_parameter },
  { "migrate_set_capability", "x-ignore-shared on | off", "cpr-reboot: RAM that is in a file stays there", false,
    set_capability },
  { "migrate", "[-d] [URI]",
    "update: cpr-exec: by default to this very program; cpr-transfer: to the one at URI; cpr-reboot: save to file:PATH "
    "or "
    "exec:COMMAND",
    false, migrate },
  { "migrate_check", "", "ask whether an update would work, with the guest running", false, migrate_check },
  { "stop", "", "pause the guest", false, stop },
  { "cont", "", "let it run again", false, cont },
  { "system_suspend", "", "send the guest to sleep", true, system_suspend },
  { "system_wakeup", "", "wake it", true, system_wakeup },
  { "quit", "", "end the VM", false, quit },
  { "help", "", "show this", false, help },
};

static bool
help (const Call *call)
{
  for (size_t i = 0; i < G_N_ELEMENTS (commands); i++)
    g_string_append_printf (call->answer, "%s%s%s -- %s\n", commands[i].name, *commands[i].arguments ? " " : "",
                            commands[i].arguments, commands[i].help);
  return true;
}

static const Command *
find_command (const char *line, const char **arguments)
{
  for (size_t i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      size_t len = strlen (commands[i].name);
      if (strncmp (line, commands[i].name, len) || (line[len] && line[len] != ' '))
        continue;
      *arguments = line + len + strspn (line + len, " ");
      return &commands[i];
    }
  return NULL;
}

void
command_execute (Machine *machine, const char *line, GString *answer)
{
  g_autofree char *stripped = g_strstrip (g_strdup (line));
  g_autoptr (GError) error = NULL;
  Call call = { .machine = machine, .answer = answer, .error = &error };

  if (!*stripped)
    return;
  const Command *command = find_command (stripped, &call.arguments);
  if (!command)
    g_string_append_printf (answer, "unknown command: '%s'\n", stripped);
  else if (command->needs_guest && !has_guest (machine))
    g_string_append_printf (answer, "Error: %s is not permitted in a session that is handed over\n", command->name);
  else if (!command->run (&call))
    g_string_append_printf (answer, "Error: %s\n", error ? error->message : "no reason was given");
}
