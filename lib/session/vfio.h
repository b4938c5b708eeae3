/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_VFIO_H
#define CPR_SESSION_VFIO_H

#include "session/core.h"

/* The table of assigned devices, new or handed over, belongs to the session. */
void cpr_session_adopt_vfio (CprSession *session);
/* The end of loading: nothing is left unclaimed, and the kernel is told where guest RAM is. */
bool cpr_session_attach_vfio (CprSession *session, GError **error);
/* The guest is this process's again, and another one may have told the kernel where it has guest
 * RAM. */
void cpr_session_take_back_vfio (CprSession *session);
/* Once the guest runs: lets go what may be left unclaimed, and sees what stands in the way of
 * the next update. */
void cpr_session_finish_vfio (CprSession *session);

/* Makes the container's blockers again, after whatever may have changed whether it survives. False
 * with an error where a blocker isn't permitted; then the caller undoes what brought it. */
bool cpr_session_update_obstacle (CprVfioContainer *container, GError **error);

#endif
