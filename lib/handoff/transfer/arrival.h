/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_TRANSFER_ARRIVAL_H
#define CPR_HANDOFF_TRANSFER_ARRIVAL_H

#include "handoff/carrier.h"

/* The new program's half of transfer mode, for the table in handoff/transfer/transfer.c. */
bool cpr_arrival_find (int *fd, GError **error);
bool cpr_arrival_take_up (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error);
bool cpr_arrival_await_state (CprIncoming *incoming, const CprRamTable *ram, GError **error);
bool cpr_arrival_defer (CprIncoming *incoming, bool deferred, GError **error);
bool cpr_arrival_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error);
void cpr_arrival_finish (CprIncoming *incoming);
void cpr_arrival_clear (CprIncoming *incoming);
int cpr_arrival_take_fd (void *incoming, uint32_t where, GError **error);

#endif
