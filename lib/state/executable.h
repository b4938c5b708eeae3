/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STATE_EXECUTABLE_H
#define CPR_STATE_EXECUTABLE_H

#include "state/manifest.h"

/* Which program a process is. @path: an allocated string, or NULL where it can't be known. */
bool cpr_executable_get (CprSuccessor *executable, char **path, GError **error);

void cpr_executable_clear (CprSuccessor *executable);
bool cpr_executable_equal (const CprSuccessor *a, const CprSuccessor *b);
char *cpr_executable_describe (const CprSuccessor *executable);

#endif
