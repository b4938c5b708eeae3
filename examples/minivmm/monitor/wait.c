/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* With --incoming defer: the wait for an operator who says when the guest comes, and from where.
 * Called by main() and by the library. */
#include "machine.h"
#include "monitor/state.h"
#include "support/error.h"

static bool
wait_for_operator (Monitor *monitor, GError **error)
{
  monitor->waits = true;
  bool ok = monitor_loop (monitor, error);
  monitor->waits = false;
  return ok && (monitor->incoming || throw_error (error, "the wait for migrate_incoming was ended"));
}

static bool
check_path (const char *path, GError **error)
{
  return path || throw_error (error, "--incoming defer: without a --monitor nobody can say where from");
}

char *
monitor_choose_incoming (void *user_data, GError **error)
{
  Machine *machine = user_data;
  if (!check_path (machine->options.monitor, error))
    return NULL;
  Monitor *monitor = machine->monitor = monitor_alloc (machine, machine->options.monitor);
  if (!monitor_listen (monitor, error) || !monitor_open_signals (monitor, error) || !wait_for_operator (monitor, error))
    return NULL;
  monitor_close_signals (monitor); /* the take-up may take its time */
  return update_name_incoming (monitor->incoming);
}

bool
monitor_wait (Monitor *monitor, GError **error)
{
  if (monitor->incoming || !update_is_deferred (monitor->machine))
    return true;
  if (!check_path (monitor->path, error) || !cpr_session_defer (monitor->machine->session, true, error))
    return false;
  monitor_answer (monitor, monitor->asker, "");
  monitor->asker = NOBODY;
  return wait_for_operator (monitor, error) && cpr_session_defer (monitor->machine->session, false, error);
}

bool
monitor_is_waiting (const Monitor *monitor)
{
  return monitor->waits;
}

void
monitor_accept_guest (Monitor *monitor, const char *incoming)
{
  monitor->incoming = g_strdup (incoming);
  monitor->decider = monitor->asker;
}

void
monitor_fail (Monitor *monitor, const char *reason)
{
  g_autofree char *text = g_strdup_printf ("Error: %s\n", reason);
  if (monitor && monitor->decider != NOBODY && monitor->clients[monitor->decider].fd >= 0)
    client_say (&monitor->clients[monitor->decider], text);
}
