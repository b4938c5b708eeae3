/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_CARDS_H
#define MINIVMM_CARDS_H

#include "devices/bus.h"
#include "options.h"

/* Cards: devices that a machine needn't have. They are plugged in by --device or, while the
 * guest runs, by the monitor.
 *
 * Which cards there are is what a newer build can do and an older one can't. So a card is a
 * device of the session only while it is plugged in: a machine without one can be updated to a
 * build that doesn't know it. */
typedef struct
{
  const char *name; /* of the option, the device and its type */
  const CprDeviceType *type;
  const char *fd_name; /* of fds that it may hold; or NULL */
  void *(*new) (CprSession *session, Bus *bus, GError **error);
  void (*free) (void *card);
  void (*describe) (void *card, GString *text);
  bool (*set) (void *card, const char *field, const char *value, GError **error);
  int (*get_fd) (const void *card); /* NULL, or an fd for the main loop; when it is readable `handle` is called */
  void (*handle) (void *card);
} Card;

extern const Card watchdog_card;
extern const Card crashlog_card;
extern const CprDeviceType watchdog_type;
extern const CprDeviceType crashlog_type;

typedef struct _Cards Cards;

/* In a preflight: what cards_new() would add. */
void cards_declare (CprInventory *inventory, const Options *options);

/* Plugs in what the options name. No vCPU may run then or in the two functions below. */
Cards *cards_new (CprSession *session, Bus *bus, const Options *options, GError **error);
void cards_free (Cards *cards);

bool cards_add (Cards *cards, const char *name, GError **error);
bool cards_remove (Cards *cards, const char *name, GError **error);

/* A command line that builds what there is now: @argv with other --device options. */
char **cards_make_argv (const Cards *cards, char *const *argv);

/* For the monitor. */
bool cards_describe (const Cards *cards, const char *name, GString *text, GError **error);
bool cards_set (const Cards *cards, const char *name, const char *field, const char *value, GError **error);

/* For the main loop: -1 if there is nothing to wait for. */
int cards_get_fd (const Cards *cards);
void cards_handle (const Cards *cards);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Cards, cards_free)

#endif
