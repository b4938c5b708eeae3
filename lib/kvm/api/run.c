/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop of a vCPU's thread, inside and outside of the gate. Called by lib/session. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include <linux/kvm.h>

#include "base/error.h"
#include "base/sys.h"
#include "kvm/vm.h"

typedef struct
{
  const CprKvmVcpu *vcpu;
  struct kvm_run *run;
  pthread_t thread;
  int signal;
  CprKvmExitFunc handle_exit;
  void *user_data;
} Runner;

static void
do_nothing (int number)
{
}

/* A signal that is ignored interrupts nothing, and its default action ends the process. */
static bool
prepare_signal (const Runner *runner, GError **error)
{
  struct sigaction action;
  sigset_t set;

  if (sigaction (runner->signal, NULL, &action) < 0)
    return cpr_throw_errno (error, errno, "KVM: vCPU '%s': signal %d", runner->vcpu->name, runner->signal);
  if ((action.sa_flags & SA_SIGINFO) == 0 && (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN))
    {
      action = (struct sigaction){ .sa_handler = do_nothing };
      sigaction (runner->signal, &action, NULL);
    }
  sigemptyset (&set);
  sigaddset (&set, runner->signal);
  pthread_sigmask (SIG_UNBLOCK, &set, NULL);
  return true;
}

static void
set_immediate_exit (const Runner *runner, bool value)
{
  __atomic_store_n (&runner->run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

/* Should the signal come just before KVM_RUN, immediate_exit ends it. */
static void
kick (void *data)
{
  const Runner *runner = data;

  set_immediate_exit (runner, true);
  pthread_kill (runner->thread, runner->signal);
}

/* It leaves by an interrupted KVM_RUN only: that one has completed the access of the exit before,
 * and the registers are right. */
static bool
run_inside (const Runner *runner, GError **error)
{
  const char *name = runner->vcpu->name;
  GError *reason = NULL;

  for (;;)
    if (cpr_sys->ioctl (runner->vcpu->fd, KVM_RUN, NULL) >= 0)
      {
        if (!runner->handle_exit (runner->run, runner->user_data, &reason))
          return cpr_throw_callback (error, reason, "KVM: vCPU '%s': exit %u", name, runner->run->exit_reason);
      }
    else if (errno != EINTR && errno != EAGAIN)
      return cpr_throw_errno (error, errno, "KVM: vCPU '%s': KVM_RUN", name);
    else if (__atomic_load_n (&runner->run->immediate_exit, __ATOMIC_SEQ_CST))
      return true;
}

static bool
run (Runner *runner, CprGate *gate, GError **error)
{
  bool ok = true;

  if (!cpr_gate_join (gate, runner->vcpu->name, kick, runner, error))
    return false;
  while (ok)
    {
      set_immediate_exit (runner, false); /* outside: inside it might undo a kick */
      if (!cpr_gate_enter (gate))
        break;
      ok = run_inside (runner, error);
      cpr_gate_leave (gate);
    }
  cpr_gate_quit (gate);
  return ok;
}

bool
cpr_kvm_vcpu_loop (
    const CprKvmVcpu *vcpu, CprGate *gate, int signal, CprKvmExitFunc handle_exit, void *user_data, GError **error)
{
  Runner runner = {
    .vcpu = vcpu, .thread = pthread_self (), .signal = signal, .handle_exit = handle_exit, .user_data = user_data
  };
  int size = cpr_sys->ioctl (vcpu->vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
  void *mapping = MAP_FAILED;
  bool ok;

  if (size > 0)
    mapping = cpr_sys->mmap (NULL, (size_t) size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
  if (mapping == MAP_FAILED)
    return cpr_throw_errno (error, errno, "KVM: vCPU '%s': its kvm_run", vcpu->name);
  runner.run = mapping;
  ok = prepare_signal (&runner, error) && run (&runner, gate, error);
  cpr_sys->munmap (mapping, (size_t) size);
  return ok;
}
