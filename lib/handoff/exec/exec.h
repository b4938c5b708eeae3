/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_EXEC_H
#define CPR_HANDOFF_EXEC_EXEC_H

#include "handoff/carrier.h"
#include "handoff/exec/guardian.h"
#include "state/manifest.h"

/* One update in exec mode, in the old program. Everything it needs is made before the guest
 * stops. */
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

/* How it is to be done. */
typedef struct
{
  char *const *argv;
  char *const *envp;
  const char *vm_name;
  const CprProgram *self; /* for the way back */
  const CprRamTable *ram; /* what the guardian is to tear down; NULL: it isn't known */
  GArray *held;           /* fds for the guardian only */
  bool with_guardian;
  bool with_rescue;
  uint64_t timeout_ns;      /* from the execve to the commit */
  uint64_t pause_budget_ns; /* from the stop to the commit; 0: none */
} CprExecvePlan;

/* On failure nothing is left. */
bool cpr_execve_prepare (CprExecve *exec, const CprExecvePlan *plan, CprFdTable *fds, GError **error);
void cpr_execve_clear (CprExecve *exec);

/* Finishes the state, which @writer writes into state_fd, and seals it. */
bool cpr_execve_seal (CprExecve *exec, CprWriter *writer, GError **error);

/* Launches the guardian, if there is to be one. The guest may still run: everything that is
 * written to this address space afterwards is the guardian's too. */
bool cpr_execve_launch_guardian (CprExecve *exec, GError **error);

/* Executes the new program. Returns only on failure, with the process as it was before and the
 * guardian gone.
 */
bool cpr_execve_go (CprExecve *exec, GError **error);

#endif
