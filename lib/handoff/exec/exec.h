/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_EXEC_H
#define CPR_HANDOFF_EXEC_EXEC_H

#include "handoff/carrier.h"
#include "handoff/exec/guardian.h"
#include "state/manifest.h"

/* One update in exec mode, in the old program; the carrier's open() returns it. Everything that
 * the update needs is made before the guest stops. */
typedef struct
{
  CprCarrier base;
  char *path;
  char **argv;
  char **envp;
  CprFdTable *fds; /* the session's; has the library's own entries while this exists */
  int state_fd;
  int release_fd;
  CprBaton baton;
  struct _CprThrough *through; /* NULL: the guest stands still */
  CprGuardian *guardian; /* NULL: the update does without one */
  GArray *carried;       /* int, ascending: the fds that the new program gets */
  GArray *inheritable;   /* int: the fds that weren't close-on-exec, and aren't again after a failure */
} CprExecve;

#endif
