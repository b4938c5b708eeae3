/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_H
#define CPR_HANDOFF_EXEC_H

#include "handoff/carrier.h"
#include "handoff/guardian.h"
#include "handoff/manifest.h"

/* The library's own entries of the fd table while an update is under way. */
#define CPR_FD_BATON      CPR_FD_INTERNAL "baton"
#define CPR_FD_RELEASE    CPR_FD_INTERNAL "release"
#define CPR_FD_EXECUTABLE CPR_FD_INTERNAL "executable"

/* What a state is sealed with before it is handed over: nobody can change it any more, since nobody has mapped it. F_SEAL_WRITE
 * would say the same, but waits for references that the kernel itself has on the pages for a while: up to 150 ms, on the pause
 * (Linux 6.18, memfd_wait_for_pins()). */
#define CPR_STATE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* One update in exec mode, in the old program. Everything it needs is made before the guest stops. */
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

/* Finds @name in PATH, or as it is where it has a slash, and checks that it can be executed; NULL with an
 * error. */
char *cpr_execve_find_program (const char *name, GError **error);

/* How it is to be done. */
typedef struct
{
  char *const *argv;
  char *const *envp;
  const char *vm_name;
  const CprProgram *self; /* for the way back */
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

/* Launches the guardian, if there is to be one. The guest may still run: everything that is written to this
 * address space afterwards is the guardian's too. */
bool cpr_execve_launch_guardian (CprExecve *exec, GError **error);

/* Executes the new program. Returns only on failure, with the process as it was before and the guardian gone.
 */
bool cpr_execve_go (CprExecve *exec, GError **error);

/* The exchange of the process image itself, for the way there and the way back: the carried fds lose close-on-exec, all
 * others get it, then @path or else @exe_fd is executed. Returns only on failure. The caller has blocked all signals. */
bool
cpr_execve_image (GArray *carried, const char *path, int exe_fd, char *const *argv, char *const *envp, GError **error);

/* In the new program: the carrier's give_back() and finish(); see handoff/return.c. */
bool cpr_execve_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error);
void cpr_execve_finish (CprIncoming *incoming);

/* Every fd of @fds, and @more and @held if not NULL, ascending. */
GArray *cpr_execve_collect (const CprFdTable *fds, int more, GArray *held);

#endif
