/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "devices/cards.h"

#include <string.h>

#include "support/error.h"

/* What this build knows. */
static const Card *const known[] = {
#if MINIVMM_BUILD >= 2
  &watchdog_card,
#endif
#if MINIVMM_BUILD >= 3
  &crashlog_card,
#endif
  NULL,
};
#define N_KNOWN G_N_ELEMENTS (known)

struct _Cards
{
  CprSession *session;
  Bus *bus;
  void *cards[N_KNOWN]; /* NULL: it isn't plugged in */
};

static bool
find_known (const char *name, unsigned *at, GError **error)
{
  for (*at = 0; known[*at]; (*at)++)
    if (!strcmp (known[*at]->name, name))
      return true;
  return throw_error (error, "card '%s': this build doesn't know it", name);
}

static bool
find_card (const Cards *cards, const char *name, unsigned *at, GError **error)
{
  return find_known (name, at, error) && (cards->cards[*at] || throw_error (error, "card '%s': it isn't there", name));
}

bool
cards_add (Cards *cards, const char *name, GError **error)
{
  unsigned at;
  if (!find_known (name, &at, error))
    return false;
  if (cards->cards[at])
    return throw_error (error, "card '%s': it is there already", name);
  cards->cards[at] = known[at]->new (cards->session, cards->bus, error);
  return cards->cards[at] != NULL;
}

bool
cards_remove (Cards *cards, const char *name, GError **error)
{
  unsigned at;
  if (!find_card (cards, name, &at, error))
    return false;
  known[at]->free (g_steal_pointer (&cards->cards[at]));
  return true;
}

static void
declare_card (CprInventory *inventory, const Card *card)
{
  cpr_inventory_add_device (inventory, card->name, card->type);
  if (card->fd_name)
    cpr_inventory_add_fd (inventory, card->fd_name, -1); /* it may have one, or none */
}

void
cards_declare (CprInventory *inventory, const Options *options)
{
  for (unsigned i = 0, at; i < options->n_cards; i++)
    {
      g_autoptr (GError) error = NULL;
      if (find_known (options->cards[i], &at, &error))
        declare_card (inventory, known[at]);
      else
        cpr_inventory_refuse (inventory, error->message);
    }
}

Cards *
cards_new (CprSession *session, Bus *bus, const Options *options, GError **error)
{
  g_autoptr (Cards) cards = g_new0 (Cards, 1);
  cards->session = session;
  cards->bus = bus;
  for (unsigned i = 0; i < options->n_cards; i++)
    if (!cards_add (cards, options->cards[i], error))
      return NULL;
  return g_steal_pointer (&cards);
}

void
cards_free (Cards *cards)
{
  if (!cards)
    return;
  for (unsigned i = 0; known[i]; i++)
    if (cards->cards[i])
      known[i]->free (cards->cards[i]);
  g_free (cards);
}

char **
cards_make_argv (const Cards *cards, char *const *argv)
{
  GPtrArray *made = g_ptr_array_new ();
  for (; *argv; argv++)
    if (!strcmp (*argv, "--device") && argv[1])
      argv++;
    else if (!g_str_has_prefix (*argv, "--device="))
      g_ptr_array_add (made, g_strdup (*argv));
  for (unsigned i = 0; known[i]; i++)
    if (cards->cards[i])
      {
        g_ptr_array_add (made, g_strdup ("--device"));
        g_ptr_array_add (made, g_strdup (known[i]->name));
      }
  g_ptr_array_add (made, NULL);
  return (char **) g_ptr_array_free (made, FALSE);
}

bool
cards_describe (const Cards *cards, const char *name, GString *text, GError **error)
{
  unsigned at;
  if (!find_card (cards, name, &at, error))
    return false;
  known[at]->describe (cards->cards[at], text);
  return true;
}

bool
cards_set (const Cards *cards, const char *name, const char *field, const char *value, GError **error)
{
  unsigned at;
  return find_card (cards, name, &at, error) && known[at]->set (cards->cards[at], field, value, error);
}

/* Only one card has an fd so far. */
int
cards_get_fd (const Cards *cards)
{
  for (unsigned i = 0; known[i]; i++)
    if (cards->cards[i] && known[i]->get_fd)
      return known[i]->get_fd (cards->cards[i]);
  return -1;
}

void
cards_handle (const Cards *cards)
{
  for (unsigned i = 0; known[i]; i++)
    if (cards->cards[i] && known[i]->get_fd)
      known[i]->handle (cards->cards[i]);
}
