/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which cards are plugged in, for commands.c and as a part of the machine. */
#include "cards.h"

#include <string.h>

#include "aids.h"
#include "support/error.h"

#define KNOWN_MAX 2

static struct
{
  CprSession *session;
  Monitor *monitor;
  void *cards[KNOWN_MAX]; /* beside known_cards; NULL: it isn't plugged in */
} machine_cards;

static bool
find_known (const char *name, unsigned *at, GError **error)
{
  for (*at = 0; known_cards[*at]; (*at)++)
    if (!strcmp (known_cards[*at]->name, name))
      return true;
  return throw_error (error, "card '%s': this build doesn't know it", name);
}

static bool
find_card (const char *name, unsigned *at, GError **error)
{
  return find_known (name, at, error) &&
         (machine_cards.cards[*at] || throw_error (error, "card '%s': it isn't there", name));
}

bool
cards_add (const char *name, GError **error)
{
  unsigned at;
  if (!find_known (name, &at, error))
    return false;
  if (machine_cards.cards[at])
    return throw_error (error, "card '%s': it is there already", name);
  const Card *card = known_cards[at];
  void *device = card->new (machine_cards.session, slots_get (), error);
  machine_cards.cards[at] = device;
  if (device && card->get_fd)
    monitor_watch (machine_cards.monitor, card->get_fd (device), card->handle, device);
  return device != NULL;
}

static void
unplug (unsigned at)
{
  const Card *card = known_cards[at];
  void *device = g_steal_pointer (&machine_cards.cards[at]);
  if (card->get_fd)
    monitor_unwatch (machine_cards.monitor, card->get_fd (device));
  card->free (device);
}

bool
cards_remove (const char *name, GError **error)
{
  unsigned at;
  if (!find_card (name, &at, error))
    return false;
  unplug (at);
  return true;
}

char **
cards_make_argv (char *const *argv)
{
  GPtrArray *made = g_ptr_array_new ();
  for (; *argv; argv++)
    if (!strcmp (*argv, "--device") && argv[1])
      argv++;
    else if (!g_str_has_prefix (*argv, "--device="))
      g_ptr_array_add (made, g_strdup (*argv));
  for (unsigned i = 0; known_cards[i]; i++)
    if (machine_cards.cards[i])
      {
        g_ptr_array_add (made, g_strdup ("--device"));
        g_ptr_array_add (made, g_strdup (known_cards[i]->name));
      }
  g_ptr_array_add (made, NULL);
  return (char **) g_ptr_array_free (made, FALSE);
}

bool
cards_describe (const char *name, GString *text, GError **error)
{
  unsigned at;
  if (!find_card (name, &at, error))
    return false;
  known_cards[at]->describe (machine_cards.cards[at], text);
  return true;
}

bool
cards_set (const char *name, const char *field, const char *value, GError **error)
{
  unsigned at;
  return find_card (name, &at, error) && known_cards[at]->set (machine_cards.cards[at], field, value, error);
}

/* ---- The part. */

void
cards_declare (CprInventory *inventory)
{
  for (unsigned i = 0, at; i < aids.n_cards; i++)
    {
      g_autoptr (GError) error = NULL;
      if (!find_known (aids.cards[i], &at, &error))
        {
          cpr_inventory_refuse (inventory, error->message);
          continue;
        }
      cpr_inventory_add_device (inventory, known_cards[at]->name, known_cards[at]->type);
      if (known_cards[at]->fd_name)
        cpr_inventory_add_fd (inventory, known_cards[at]->fd_name, -1); /* it may have one, or none */
    }
}

bool
cards_build (Machine *machine, GError **error)
{
  machine_cards.session = machine->session;
  machine_cards.monitor = machine->monitor;
  for (unsigned i = 0; i < aids.n_cards; i++)
    if (!cards_add (aids.cards[i], error))
      return false;
  return true;
}

void
cards_clear (Machine *machine)
{
  for (unsigned i = 0; known_cards[i]; i++)
    if (machine_cards.cards[i])
      unplug (i);
}
