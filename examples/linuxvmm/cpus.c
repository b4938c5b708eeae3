/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vCPUs' threads, for main(). */
#include "cpus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "support/error.h"
#include "support/log.h"

typedef struct
{
  Cpus *cpus;
  unsigned index;
  pthread_t thread;
  bool kicked;
} Cpu;

struct _Cpus
{
  Kvm *kvm;
  CprGate *gate;
  int failure_fd;
  Cpu cpus[];
};

static void
set_kicked (Cpu *cpu, bool kicked)
{
  __atomic_store_n (&cpu->kicked, kicked, __ATOMIC_SEQ_CST);
  kvm_set_stop (cpu->cpus->kvm, cpu->index, kicked);
}

/* The signal takes a vCPU out of KVM_RUN. */
static void
kick (void *data)
{
  Cpu *cpu = data;

  set_kicked (cpu, true);
  pthread_kill (cpu->thread, SIGUSR1);
}

/* A vCPU that can't go on stays inside until the guest is stopped. */
static void
run (Cpu *cpu, const char *name)
{
  const Cpus *cpus = cpu->cpus;
  const uint64_t one = 1;
  g_autoptr (GError) error = NULL;

  if (kvm_run (cpus->kvm, cpu->index, &error))
    return;
  log_line ("%s: %s", name, error->message);
  if (write (cpus->failure_fd, &one, sizeof one) < 0)
    log_line ("%s: errno %d", name, errno);
  while (!__atomic_load_n (&cpu->kicked, __ATOMIC_SEQ_CST))
    pause ();
}

static void *
cpu_main (void *data)
{
  Cpu *cpu = data;
  CprGate *gate = cpu->cpus->gate;
  char name[16];

  g_snprintf (name, sizeof name, "vCPU %u", cpu->index);
  cpr_gate_join (gate, name, kick, cpu, NULL);
  for (;;)
    {
      set_kicked (cpu, false); /* outside: inside it might undo a kick */
      if (!cpr_gate_enter (gate))
        return NULL;
      run (cpu, name);
      cpr_gate_leave (gate);
    }
}

static void
ignore_signal (int number)
{
}

Cpus *
cpus_new (Kvm *kvm, CprGate *gate, unsigned n_cpus, GError **error)
{
  const struct sigaction action = { .sa_handler = ignore_signal }; /* without SA_RESTART */
  Cpus *cpus = g_malloc0 (sizeof *cpus + n_cpus * sizeof *cpus->cpus);

  *cpus = (Cpus){ kvm, gate, eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK) };
  if (cpus->failure_fd < 0)
    {
      throw_errno (error, "eventfd");
      return NULL;
    }
  sigaction (SIGUSR1, &action, NULL);
  for (unsigned i = 0; i < n_cpus; i++)
    {
      Cpu *cpu = &cpus->cpus[i];
      *cpu = (Cpu){ .cpus = cpus, .index = i };
      errno = pthread_create (&cpu->thread, NULL, cpu_main, cpu);
      if (errno)
        {
          throw_errno (error, "vCPU %u: thread", i);
          return NULL;
        }
    }
  return cpus;
}

int
cpus_get_failure_fd (const Cpus *cpus)
{
  return cpus->failure_fd;
}
