/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitor's commands: a table, and a function for each. */
#include "monitor/commands.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "guests/guests.h"
#include "release.h"
#include "support/error.h"

/* After an update it is another program's guest, or nobody's. */
static bool
has_guest (const Machine *machine)
{
  return cpr_session_get_state (machine->session) == CPR_SESSION_STATE_ACTIVE;
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
  double gap_us = (double) report.longest_gap * 1000 / (double) vm_get_counter_khz (call->machine->vm);

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
  update_describe (call->machine, call->answer);
  return true;
}

static bool
info_blockers (const Call *call)
{
  update_describe_blockers (call->machine, call->answer);
  return true;
}

static bool
info_version (const Call *call)
{
  g_string_append_printf (call->answer, "minivmm build %u, pid %d, accel %s\n", release.number, (int) getpid (),
                          vm_get_accel_name (call->machine->vm));
  return true;
}

static bool
info_serial (const Call *call)
{
  serial_describe (call->machine->serial, call->answer);
  return true;
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

static bool
set_parameter (const Call *call)
{
  static const char mode[] = "mode ", command[] = "cpr-exec-command ";
  if (g_str_has_prefix (call->arguments, mode))
    return update_set_mode (&call->machine->update, call->arguments + strlen (mode), call->error);
  if (g_str_has_prefix (call->arguments, command))
    return update_set_command (&call->machine->update, call->arguments + strlen (command), call->error);
  return throw_error (call->error, "unknown parameter '%s'", call->arguments);
}

static bool
set_capability (const Call *call)
{
  if (!strcmp (call->arguments, "x-ignore-shared on"))
    call->machine->update.in_place = true;
  else if (!strcmp (call->arguments, "x-ignore-shared off"))
    call->machine->update.in_place = false;
  else
    return throw_error (call->error, "unknown capability '%s'", call->arguments);
  return true;
}

/* The answer to success comes from the new program: the monitor's state says who asked. */
static bool
migrate (const Call *call)
{
  const char *uri = call->arguments + (g_str_has_prefix (call->arguments, "-d") ? 2 : 0);
  if (!update_run (call->machine, uri + strspn (uri, " "), call->error))
    return false;
  return monitor_leave (call->machine->monitor, call->error);
}

static bool
migrate_check (const Call *call)
{
  return update_check (call->machine, call->answer, call->error);
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
ram_grow (const Call *call)
{
  uint64_t size;
  return options_parse_size ("ram_grow", call->arguments, &size, call->error) &&
         grow_ram (call->machine, size, call->error);
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
  { "info serial", "", "the serial port's registers", false, info_serial },
  { "info vfio", "", "the function of the host that the guest has", false, info_vfio },
  { "info dma", "", "what a guest counts that has one", false, info_dma },
  { "info fds", "", "the fds that survive an update", false, info_fds },
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
  { "ram_grow", "SIZE[K|M|G]", "plug in as much memory as is missing to SIZE, up to --ram-max", true, ram_grow },
  { "quit", "", "end the VM", false, quit },
  { "help", "", "show this", false, help },
  { .name = NULL },
};

static void
list_commands (const Command *command, GString *text)
{
  for (; command && command->name; command++)
    g_string_append_printf (text, "%s%s%s -- %s\n", command->name, *command->arguments ? " " : "", command->arguments,
                            command->help);
}

static bool
help (const Call *call)
{
  list_commands (commands, call->answer);
  list_commands (release.commands, call->answer);
  return true;
}

static const Command *
find_command (const Command *command, const char *line, const char **arguments)
{
  for (; command && command->name; command++)
    {
      size_t len = strlen (command->name);
      if (strncmp (line, command->name, len) || (line[len] && line[len] != ' '))
        continue;
      *arguments = line + len + strspn (line + len, " ");
      return command;
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
  const Command *command = find_command (release.commands, stripped, &call.arguments);
  if (!command)
    command = find_command (commands, stripped, &call.arguments);
  if (!command)
    g_string_append_printf (answer, "unknown command: '%s'\n", stripped);
  else if (command->needs_guest && !has_guest (machine))
    g_string_append_printf (answer, "Error: %s is not permitted in a session that is handed over\n", command->name);
  else if (!command->run (&call))
    g_string_append_printf (answer, "Error: %s\n", error->message);
}
