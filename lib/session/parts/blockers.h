/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_BLOCKERS_H
#define CPR_SESSION_PARTS_BLOCKERS_H

#include <libcpr/libcpr.h>

/* Why modes aren't possible now. Every function may be called by any thread. */
typedef struct _CprBlockers CprBlockers;

/* @required: the modes that can't be blocked. */
CprBlockers *cpr_blockers_new (unsigned required);
/* @locked: a lock that another thread may have been holding, as in a forked child, is left as it
 * is. */
void cpr_blockers_free (CprBlockers *blockers, bool locked);

/* Whether a blocker of these modes could be there at all: CPR_ERROR_BLOCKED with @reason if one
 * of them is required. */
bool cpr_blockers_permit (CprBlockers *blockers, unsigned modes, const char *reason, GError **error);

/* @owner: what it is about, for one of the library's own, or NULL; 0 on failure. */
uint64_t
cpr_blockers_add (CprBlockers *blockers, const void *owner, unsigned modes, const char *reason, GError **error);
bool cpr_blockers_remove (CprBlockers *blockers, uint64_t blocker, GError **error);
/* All of @owner's. */
void cpr_blockers_remove_owned (CprBlockers *blockers, const void *owner);
void cpr_blockers_foreach (CprBlockers *blockers, unsigned modes, CprBlockerFunc func, void *user_data);

/* One of the library's own that isn't in the way while the guest is suspended: for devices whose
 * state only their driver in the guest can make again. It stands in nobody's list, and required
 * modes don't refuse it. */
void cpr_blockers_add_unless_suspended (CprBlockers *blockers, const void *owner, unsigned modes, const char *reason);

/* CPR_ERROR_BLOCKED with the reasons of all that block @mode in @run_state. */
bool cpr_blockers_check (CprBlockers *blockers, CprMode mode, CprRunState run_state, GError **error);
/* The same, and in the same instant it is closed: until it is opened none can be added. */
bool cpr_blockers_close (CprBlockers *blockers, CprMode mode, CprRunState run_state, GError **error);
void cpr_blockers_open (CprBlockers *blockers);

#endif
