/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_EXEC_H
#define CPR_HANDOFF_EXEC_EXEC_H

#include "handoff/carrier.h"
#include "handoff/exec/guardian.h"
#include "state/manifest.h"

/* One update in exec mode, in the old program: what the carrier's open() returns. Everything that
 * it needs is made before the guest stops. */
typedef struct
{
  CprCarrier base;
  char *path;
  char **argv;
  char **envp;
  CprFdTable *fds; /* the session's; carries our entries while this exists */
  int state_fd;
  int release_fd;
  CprBaton baton;
  CprGuardian *guardian; /* NULL: do without */
  GArray *carried;       /* int, ascending: what the new program gets */
  GArray *inheritable;   /* int: what isn't close-on-exec and has to be so again after a failure */
} CprExecve;

#endif
