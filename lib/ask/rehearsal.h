/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_ASK_REHEARSAL_H
#define CPR_ASK_REHEARSAL_H

#include "ask/question.h"
#include "state/inventory.h"

/* A start-up that is run only to see what it would take: nothing that it makes or claims has an
 * effect outside the process. */
typedef struct
{
  CprQuestion question;
  pid_t asker; /* whose state it is about */
} CprRehearsal;

/* Without a question. */
CprRehearsal *cpr_rehearsal_new (pid_t asker);
void cpr_rehearsal_free (CprRehearsal *rehearsal);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprRehearsal, cpr_rehearsal_free)

/* Fills @fds with a stand-in for each fd of the state, unclaimed. */
bool cpr_rehearsal_fill_fds (const CprRehearsal *rehearsal, CprFdTable *fds, GError **error);

/* An fd in place of one that the VMM would open: nobody else has it, it can be polled, and it never
 * blocks; -1 with errno. */
int cpr_rehearsal_open_fd (void);

/* The objects of these tables that the start-up has claimed or added. An fd of the state that is no
 * longer among @fds was taken and dropped. */
CprInventory *cpr_rehearsal_list (const CprQuestion *question,
                                  const CprFdTable *fds,
                                  const CprRamTable *ram,
                                  const CprDeviceTable *devices,
                                  const CprVfioTable *vfio);

#endif
