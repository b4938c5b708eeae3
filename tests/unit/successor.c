/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "successor.h"

#include <unistd.h>

static void
offer (Successor *successor, unsigned attempt, void (*prepare) (Machine *machine))
{
  const CprBatonWord first = { CPR_BATON_OFFERED, 1, getpid () }, second = { CPR_BATON_OFFERED, 2, getpid () };
  g_autofree char *number = NULL;
  CprManifest head;

  machine_init (&successor->machine);
  if (prepare != NULL)
    prepare (&successor->machine);
  machine_head (&head);
  offer_make (&successor->offer, &successor->machine, &head);
  successor->page = successor->offer.exec->baton.page;
  if (attempt == 2)
    ck_assert (cpr_baton_move (successor->page, first, second));
  number = g_strdup_printf ("%d", successor->offer.state_fd);
  g_setenv (CPR_STATE_VARIABLE, number, TRUE);
  successor->machine.block->owned = false;
}

void
successor_init (Successor *successor, Guest *guest, unsigned attempt)
{
  successor_init_with (successor, guest, attempt, NULL);
}

void
successor_init_with (Successor *successor, Guest *guest, unsigned attempt, void (*prepare) (Machine *machine))
{
  CprSessionConfig config = guest_config (guest, MACHINE_NAME);
  CprSession *session;
  GError *error = NULL;

  *successor = (Successor){ .session = NULL };
  offer (successor, attempt, prepare);
  successor->session = session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert_ptr_nonnull (cpr_ram_new (session, "pc.ram", 4 * PAGE, NULL, NULL));
  ck_assert_int_ge (cpr_fd_take (session, "console", 0, NULL), 0);
  ck_assert_int_ge (cpr_fd_take (session, "console", 1, NULL), 0);
  ck_assert (cpr_device_add (session, "com1", &serial_type, &successor->serial, NULL));
  ck_assert (cpr_device_add (session, "sda", &disk_type, &successor->disk, NULL));
}

void
successor_clear (Successor *successor)
{
  cpr_session_free (successor->session);
  offer_clear (&successor->offer, &successor->machine);
}
