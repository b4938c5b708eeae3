/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vCPUs' threads, for main(). The library runs them, inside the session's gate. */
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
} Cpu;

struct _Cpus
{
  Kvm *kvm;
  int failure_fd;
  Cpu cpus[];
};

static void *
cpu_main (void *data)
{
  Cpu *cpu = data;
  const Cpus *cpus = cpu->cpus;
  const uint64_t one = 1;
  g_autoptr (GError) error = NULL;

  if (cpr_kvm_vcpu_run (kvm_get_vm (cpus->kvm), cpu->index, SIGUSR1, kvm_handle_exit, cpus->kvm, &error))
    return NULL;
  log_line ("%s", error->message);
  if (write (cpus->failure_fd, &one, sizeof one) < 0)
    log_line ("vCPU %u: errno %d", cpu->index, errno);
  return NULL;
}

Cpus *
cpus_new (Kvm *kvm, unsigned n_cpus, GError **error)
{
  Cpus *cpus = g_malloc0 (sizeof *cpus + n_cpus * sizeof *cpus->cpus);

  *cpus = (Cpus){ kvm, eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK) };
  if (cpus->failure_fd < 0)
    {
      throw_errno (error, "eventfd");
      return NULL;
    }
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
