/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_RUNNER_H
#define CPR_HANDOFF_EXEC_RUNNER_H

#include <sched.h>

#include <glib.h>

#include "handoff/baton.h"
#include "handoff/exec/late.h"
#include "kvm/state.h"
#include "kvm/x86/script.h"

/* A runner is a process that shares the old program's address space and runs the old VM's vCPUs
 * while the program executes another one, and that one starts. It knows KVM_RUN and the two exits
 * of ports and memory, and nothing else of KVM. It is no guardian: it executes no program, so it
 * outlives a rescue. There are two: the heir does nothing until the runner dies, and then goes on
 * with the vCPUs where it left them. */
typedef struct _CprRunner CprRunner;

typedef struct
{
  unsigned index;
  int fd;
  pid_t thread; /* which has run it; the runner's takes over its CPUs and priority; 0: none */
  CprKvmScript *script;
} CprRunnerVcpu;

typedef struct
{
  CprBatonPage *page;
  CprLateArea *area;
  GArray *keep; /* int, ascending: the fds that the runner keeps */
  int release;  /* an eventfd: the runner ends when it is readable */
  int ask;      /* an eventfd: written after area->ask */
  int gone;     /* readable, or hung up, once this program is no more: the guest runs from then on */
  int kvm_fd, vm_fd;
  const CprRunnerVcpu *vcpus;
  unsigned n_vcpus;
  CprKvmScript *vm_script;
  const CprKvmIrqfd *irqfds; /* on while the runner runs the guest */
  unsigned n_irqfds;
} CprRunnerConfig;

/* The bytes of an area for these scripts. */
size_t cpr_late_area_size (const CprKvmScript *const *scripts, unsigned n);

/* Prepares all. The scripts' memory has been filled in; it is copied. */
CprRunner *cpr_runner_new (const CprRunnerConfig *config, GError **error);
/* Makes the two processes. */
bool cpr_runner_launch (CprRunner *runner, GError **error);
/* Ends them, if they were launched, and frees; for an execve that failed: they haven't run the
 * guest then. */
void cpr_runner_free (CprRunner *runner);

/* ---- In the program to which the guest is offered. */

/* A script as the area has it, checked; @area: a copy of this program's own, of @size bytes. The
 * script's memory is the copy's. */
bool cpr_late_open_script (
    const CprLateArea *area, size_t size, const CprLateObject *object, CprKvmScript *script, GError **error);
void cpr_late_close_script (CprKvmScript *script);

/* Has the runner stop the guest for @attempt, and waits for that, until @end_ns. */
bool cpr_late_ask (CprLateArea *area, int ask, unsigned attempt, uint64_t end_ns, GError **error);

#endif
