/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vCPUs' threads, for parts.c, and for main.c's callbacks, which stop them and let them go. */
#include "vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
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
  uint64_t round;
} Vcpu;

struct _Vm
{
  const Accel *accel;
  void *accel_data;
  const GuestRam *ram;
  int failure_fd;

  pthread_mutex_t mutex;
  pthread_cond_t go_changed;
  pthread_cond_t all_parked;
  bool go;
  bool end;
  uint64_t round; /* counts the starts, so that a vCPU that failed isn't run again before the next one */
  unsigned n_running;

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

static bool
wait_for_go (Vcpu *vcpu)
{
  Vm *vm = vcpu->vm;
  while (!vm->end && !(vm->go && vcpu->round != vm->round))
    pthread_cond_wait (&vm->go_changed, &vm->mutex);
  vcpu->round = vm->round;
  return !vm->end;
}

static void *
vcpu_main (void *data)
{
  Vcpu *vcpu = data;
  Vm *vm = vcpu->vm;

  pthread_mutex_lock (&vm->mutex);
  while (wait_for_go (vcpu))
    {
      g_autoptr (GError) error = NULL;
      vm->n_running++;
      pthread_mutex_unlock (&vm->mutex);
      if (!vm->accel->run (vm->accel_data, vcpu->index, &error))
        {
          g_autofree char *who = g_strdup_printf ("vCPU %u", vcpu->index);
          report (vm, who, error);
        }
      pthread_mutex_lock (&vm->mutex);
      if (--vm->n_running == 0)
        pthread_cond_signal (&vm->all_parked);
    }
  pthread_mutex_unlock (&vm->mutex);
  return NULL;
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
vm_new (const AccelConfig *config, GError **error)
{
  g_autoptr (Vm) vm = g_malloc0 (sizeof *vm + config->n_vcpus * sizeof *vm->vcpus);
  pthread_mutex_init (&vm->mutex, NULL);
  pthread_cond_init (&vm->go_changed, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init (&attributes);
  pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
  pthread_cond_init (&vm->all_parked, &attributes);
  pthread_condattr_destroy (&attributes);
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

void
vm_declare (CprInventory *inventory, const Options *options)
{
  release.get_accel ()->declare (inventory, options->n_vcpus);
}

bool
vm_reset (Vm *vm, const char *guest, GError **error)
{
  if (!guest_load (vm->ram, guest, error))
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

/* Too late to go back: without its interrupts the guest is paused as if a vCPU couldn't go on. */
static void
connect_devices (Vm *vm)
{
  g_autoptr (GError) error = NULL;
  if (!vm->accel->connect (vm->accel_data, &error))
    report (vm, "devices", error);
}

void
vm_start (Vm *vm)
{
  connect_devices (vm);
  pthread_mutex_lock (&vm->mutex);
  for (unsigned i = 0; i < vm->n_vcpus; i++)
    vm->accel->set_stop (vm->accel_data, i, false);
  vm->go = true;
  vm->round++;
  pthread_cond_broadcast (&vm->go_changed);
  pthread_mutex_unlock (&vm->mutex);
}

/* The signal takes a vCPU out of KVM_RUN, or out of a write that blocks. A vCPU that
 * is just on its way into such a write needs another signal, so this repeats it. */
static void
interrupt_until_parked (Vm *vm)
{
  while (vm->n_running)
    {
      for (unsigned i = 0; i < vm->n_vcpus; i++)
        pthread_kill (vm->vcpus[i].thread, SIGUSR1);

      struct timespec until;
      clock_gettime (CLOCK_MONOTONIC, &until);
      until.tv_nsec += 10 * 1000 * 1000;
      if (until.tv_nsec >= 1000 * 1000 * 1000)
        {
          until.tv_sec++;
          until.tv_nsec -= 1000 * 1000 * 1000;
        }
      while (vm->n_running && pthread_cond_timedwait (&vm->all_parked, &vm->mutex, &until) == 0)
        ;
    }
}

void
vm_stop (Vm *vm)
{
  pthread_mutex_lock (&vm->mutex);
  vm->go = false;
  for (unsigned i = 0; i < vm->n_vcpus; i++)
    vm->accel->set_stop (vm->accel_data, i, true);
  interrupt_until_parked (vm);
  pthread_mutex_unlock (&vm->mutex);
  vm->accel->disconnect (vm->accel_data);
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
vm_get_tsc_khz (const Vm *vm)
{
  return vm->accel->get_tsc_khz (vm->accel_data);
}

unsigned
vm_get_n_vcpus (const Vm *vm)
{
  return vm->n_vcpus;
}

static void
end_threads (Vm *vm)
{
  if (!vm->accel_data)
    return;
  vm_stop (vm);
  pthread_mutex_lock (&vm->mutex);
  vm->end = true;
  pthread_cond_broadcast (&vm->go_changed);
  pthread_mutex_unlock (&vm->mutex);
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
  pthread_cond_destroy (&vm->all_parked);
  pthread_cond_destroy (&vm->go_changed);
  pthread_mutex_destroy (&vm->mutex);
  g_free (vm);
}
