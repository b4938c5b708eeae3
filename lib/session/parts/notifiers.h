/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_PARTS_NOTIFIERS_H
#define CPR_SESSION_PARTS_NOTIFIERS_H

#include <libcpr/libcpr.h>

/* The callbacks that are told of events. The session's thread only. */
typedef struct _CprNotifiers CprNotifiers;

CprNotifiers *cpr_notifiers_new (void);
void cpr_notifiers_free (CprNotifiers *notifiers);

uint64_t
cpr_notifiers_add (CprNotifiers *notifiers, unsigned modes, int priority, CprNotifierFunc func, void *user_data);
bool cpr_notifiers_remove (CprNotifiers *notifiers, uint64_t notifier, GError **error);

/* Tells them SETUP until one vetoes. */
bool cpr_notifiers_set_up (CprNotifiers *notifiers, CprSession *session, CprMode mode, GError **error);
/* The update began in another program: all that are there now count as told. */
void cpr_notifiers_inherit (CprNotifiers *notifiers, CprMode mode);
/* Tells those that were told SETUP. After FAILED and DONE that is forgotten. */
void cpr_notifiers_tell (CprNotifiers *notifiers, CprSession *session, CprMode mode, CprEvent event);

/* Whether a callback is being called. */
bool cpr_notifiers_are_told (const CprNotifiers *notifiers);

#endif
