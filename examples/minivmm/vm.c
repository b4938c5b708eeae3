/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vCPUs' threads, for parts.c. */
#include "vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "release.h"
#include "support/error.h"
#include "support/log.h"

typedef struct
{
  Vm *vm;
  unsigned index;
  pthread_t thread;
  bool has_thread;
  bool kicked;
} Vcpu;

struct _Vm
{
  const Accel *accel;
  void *accel_data;
  const GuestRam *ram;
  int failure_fd;
  CprGate *gate;

  unsigned n_vcpus;
  Vcpu vcpus[];
};

static void
report (const Vm *vm, const char *who, const GError *error)
{
  const uint64_t one = 1;
  log_line ("%s: %s", who, error->message);
  if (write (vm->failure_fd, &one, sizeof one) < 0)
    log_line ("%s: %s", who, strerror (errno));
}

static void
set_kicked (Vcpu *vcpu, bool kicked)
{
  __atomic_store_n (&vcpu->kicked, kicked, __ATOMIC_SEQ_CST);
  vcpu->vm->accel->set_stop (vcpu->vm->accel_data, vcpu->index, kicked);
}

/* The signal takes a vCPU out of KVM_RUN, or out of a write that blocks. */
static void
kick (void *data)
{
  Vcpu *vcpu = data;
  set_kicked (vcpu, true);
  pthread_kill (vcpu->thread, SIGUSR1);
}

/* A vCPU that can't go on stays inside until the guest is stopped. */
static void
run (Vcpu *vcpu, const char *name)
{
  Vm *vm = vcpu->vm;
  g_autoptr (GError) error = NULL;

  if (vm->accel->run (vm->accel_data, vcpu->index, &error))
    return;
  report (vm, name, error);
  while (!__atomic_load_n (&vcpu->kicked, __ATOMIC_SEQ_CST))
    pause ();
}

static void *
vcpu_main (void *data)
{
  Vcpu *vcpu = data;
  CprGate *gate = vcpu->vm->gate;
  char name[16];

  g_snprintf (name, sizeof name, "vCPU %u", vcpu->index);
  cpr_gate_join (gate, name, kick, vcpu, NULL);
  for (;;)
    {
      set_kicked (vcpu, false); /* outside: inside it might undo a kick */
      if (!cpr_gate_enter (gate))
        return NULL;
      run (vcpu, name);
      cpr_gate_leave (gate);
    }
}

static void
ignore_signal (int number)
{
}

static bool
start_threads (Vm *vm, GError **error)
{
  /* It only has to interrupt system calls, so it is without SA_RESTART. */
  const struct sigaction action = { .sa_handler = ignore_signal };
  sigaction (SIGUSR1, &action, NULL);

  for (unsigned i = 0; i < vm->n_vcpus; i++)
    {
      Vcpu *vcpu = &vm->vcpus[i];
      vcpu->vm = vm;
      vcpu->index = i;
      errno = pthread_create (&vcpu->thread, NULL, vcpu_main, vcpu);
      if (errno)
        return throw_errno (error, "vCPU %u: thread", i);
      vcpu->has_thread = true;
    }
  return true;
}

Vm *
vm_new (const AccelConfig *config, CprGate *gate, GError **error)
{
  g_autoptr (Vm) vm = g_malloc0 (sizeof *vm + config->n_vcpus * sizeof *vm->vcpus);
  vm->gate = gate;
  vm->ram = config->ram;
  vm->n_vcpus = config->n_vcpus;
  vm->failure_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (vm->failure_fd < 0)
    {
      throw_errno (error, "eventfd");
      return NULL;
    }
  vm->accel = release.get_accel ();
  vm->accel_data = vm->accel->new (config, error);
  if (!vm->accel_data || !start_threads (vm, error))
    return NULL;
  return g_steal_pointer (&vm);
}

bool
vm_reset (Vm *vm, const char *guest, GError **error)
{
  if (!guest_load (vm->ram, vm->accel->get_guests (), guest, error))
    return false;
  for (unsigned i = 0; i < vm->n_vcpus; i++)
    {
      GuestEntry entry = guest_get_entry (i, vm->n_vcpus);
      if (!vm->accel->reset (vm->accel_data, i, &entry, error))
        return false;
    }
  return true;
}

bool
vm_loaded (Vm *vm, GError **error)
{
  return vm->accel->loaded (vm->accel_data, error);
}

bool
vm_add_ram (Vm *vm, uint64_t gpa, uint64_t offset, uint64_t size, GError **error)
{
  return !size || !vm->accel->add_ram || vm->accel->add_ram (vm->accel_data, gpa, offset, size, error);
}

int
vm_get_failure_fd (const Vm *vm)
{
  return vm->failure_fd;
}

void
vm_clear_failure (Vm *vm)
{
  uint64_t count;
  if (read (vm->failure_fd, &count, sizeof count) < 0 && errno != EAGAIN)
    log_line ("eventfd: %s", strerror (errno));
}

const char *
vm_get_accel_name (const Vm *vm)
{
  return vm->accel->name;
}

uint64_t
vm_get_counter_khz (const Vm *vm)
{
  return vm->accel->get_counter_khz (vm->accel_data);
}

unsigned
vm_get_n_vcpus (const Vm *vm)
{
  return vm->n_vcpus;
}

static void
end_threads (Vm *vm)
{
  g_autoptr (GError) error = NULL;
  if (!cpr_gate_dismiss (vm->gate, VM_STOP_TIMEOUT_MS, &error))
    log_line ("%s", error->message);
  for (unsigned i = 0; i < vm->n_vcpus; i++)
    if (vm->vcpus[i].has_thread)
      pthread_join (vm->vcpus[i].thread, NULL);
}

void
vm_free (Vm *vm)
{
  if (!vm)
    return;
  end_threads (vm);
  if (vm->accel_data)
    vm->accel->free (vm->accel_data);
  if (vm->failure_fd >= 0)
    close (vm->failure_fd);
  g_free (vm);
}
