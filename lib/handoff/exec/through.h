/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_THROUGH_H
#define CPR_HANDOFF_EXEC_THROUGH_H

#include "handoff/exec/runner.h"
#include "kvm/vm.h"
#include "registry/fd-table.h"

/* An update in which the guest runs through the execve, in the old program. */
typedef struct _CprThrough CprThrough;

/* Makes the late area, and adds its fds to @fds. */
bool cpr_through_open (CprThrough **through, CprKvmVm *vm, CprFdTable *fds, GError **error);
/* Makes everything but the processes. */
bool cpr_through_prepare (CprThrough *through,
                          CprBatonPage *page,
                          int release,
                          CprFdTable *fds,
                          int state_fd,
                          GArray *held,
                          GError **error);
bool cpr_through_launch (CprThrough *through, GError **error);
void cpr_through_free (CprThrough *through);

#endif
