/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state that waits for this process, as tests of taking up and of refusing have it. */
#include "incoming-state.h"

#include "faults.h"

Guest guest;
Machine machine;
CprManifest head;
Offer offer;

void
incoming_setup (void)
{
  guest_init (&guest);
  machine_init (&machine);
  machine_head (&head);
}

void
incoming_teardown (void)
{
  g_unsetenv (CPR_STATE_VARIABLE);
  faults_end ();
  guest_clear (&guest);
}

void
hint (int fd)
{
  g_autofree char *number = g_strdup_printf ("%d", fd);

  g_setenv (CPR_STATE_VARIABLE, number, TRUE);
}

CprSession *
incoming_try_new (const char *vm_name, GError **error)
{
  CprSessionConfig config = guest_config (&guest, vm_name);

  return cpr_session_new (&config, error);
}
