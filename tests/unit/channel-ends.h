/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_CHANNEL_ENDS_H
#define TESTS_UNIT_CHANNEL_ENDS_H

#include "helpers.h"

#include "handoff/transfer/hello.h"

#define WHOM "other end"

/* Two ends; what is sent on one can be received on the other. */
extern CprChannel ours, theirs;
/* The last message that @theirs received. */
extern CprMessage message;

void open_both (void);
void close_both (void);
bool receive (GError **error);

#endif
