/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_INCOMING_STATE_H
#define TESTS_UNIT_INCOMING_STATE_H

#include "machine.h"

/* The old program's tables, the state that it offers, and the new program's guest. */
extern Guest guest;
extern Machine machine;
extern CprManifest head;
extern Offer offer;

void incoming_setup (void);
void incoming_teardown (void);

/* Names the state's fd in the environment. */
void hint (int fd);
/* A session of that VM, which takes up the state that it finds. */
CprSession *incoming_try_new (const char *vm_name, GError **error);

#endif
