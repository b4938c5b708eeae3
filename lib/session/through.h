/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_THROUGH_H
#define CPR_SESSION_THROUGH_H

#include "session/core.h"

/* In the old program: the VM whose guest is to run through the execve; NULL: it stands still. */
CprKvmVm *cpr_session_choose_through (CprSession *session, const CprUpdate *update);

/* In the new one: before the devices are loaded, what KVM keeps is only noted. Right before the
 * commit the guest is asked for, and what KVM keeps is set. */
bool cpr_session_defer_kvm (CprSession *session, GError **error);
bool cpr_session_load_late (CprSession *session, GError **error);
void cpr_session_log_through (const CprSession *session, uint64_t started_ns);

#endif
