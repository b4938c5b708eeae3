/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_CARDS_H
#define VMM_CARDS_H

#include "slots.h"

/* Cards: devices that a machine needn't have. They are plugged in by --device or, while the
 * guest runs, by the monitor's commands.
 *
 * A newer build knows more cards than an older one. So a card is a device of the session only
 * while it is plugged in: a machine without one can be updated to a build that doesn't know it. */
typedef struct
{
  const char *name; /* of the option, the device and its type */
  const CprDeviceType *type;
  const char *fd_name; /* of fds that it may hold; or NULL */
  void *(*new) (CprSession *session, Slots *slots, GError **error);
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

/* The cards that this release knows; release.c has the list. NULL ends it. */
extern const Card *const known_cards[];

/* In a preflight: what --device names. */
void cards_declare (CprInventory *inventory);

/* For a part of the machine: plugs in what --device names. */
bool cards_build (Machine *machine, GError **error);
void cards_clear (Machine *machine);

/* With the guest stopped. */
bool cards_add (const char *name, GError **error);
bool cards_remove (const char *name, GError **error);

/* A command line that builds what there is now: @argv with other --device options. */
char **cards_make_argv (char *const *argv);

/* For the monitor. */
bool cards_describe (const char *name, GString *text, GError **error);
bool cards_set (const char *name, const char *field, const char *value, GError **error);

#endif
