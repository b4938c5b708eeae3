/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 07-kvm: a KVM guest counts on over updates, and its thread, its RAM and its device with it.
 *
 * The guest counts in its RAM and writes each number to a port. The device behind the port sees
 * whether one is missing or comes twice. The program replaces itself in the middle of that, a few
 * times. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define N_UPDATES       3
#define N_NUMBERS       1000 /* in each program */
#define STOP_TIMEOUT_MS 1000
#define RAM_SIZE        (1 << 20)
#define CODE            0x1000 /* where the guest's program is */
#define PORT            0x10
#define TSS_ADDRESS     0xfffbd000 /* far from RAM, for the kernel's own use */
#define CPUID_MAX       256

typedef struct
{
  uint32_t last;     /* number that the guest wrote */
  uint32_t n_errors; /* how many didn't follow the one before */
} Counter;

static const CprField counter_fields[] = {
  CPR_FIELD (Counter, last),
  CPR_FIELD (Counter, n_errors),
  CPR_FIELD_END,
};

static const CprDeviceType counter_type = {
  .size = sizeof (CprDeviceType),
  .name = "counter",
  .version = 1,
  .minimum_version = 1,
  .state = { "Counter", sizeof (Counter), counter_fields },
};

typedef struct
{
  CprSession *session;
  CprGate *gate;
  CprRamBlock *ram;
  CprKvmVm *kvm;
  int kvm_fd, vm_fd, vcpu_fd;
  pthread_t thread;
  Counter counter;
  sem_t counted; /* tells main() */
} Vm;

static bool
throw_errno (const char *what, GError **error)
{
  return cpr_error_set_errno (error, CPR_ERROR_SYSTEM, errno, "%s", what);
}

/* ---- The vCPU. */

static bool
handle_exit (struct kvm_run *run, void *user_data, GError **error)
{
  Vm *vm = user_data;
  uint32_t number;

  if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT || run->io.port != PORT)
    return cpr_error_set_errno (error, CPR_ERROR_SYSTEM, ENOTSUP, "exit %u", run->exit_reason);
  memcpy (&number, (const uint8_t *) run + run->io.data_offset, sizeof number);
  vm->counter.n_errors += number != vm->counter.last + 1;
  vm->counter.last = number;
  return sem_post (&vm->counted) == 0;
}

static void *
vcpu_main (void *data)
{
  Vm *vm = data;
  g_autoptr (GError) error = NULL;

  if (cpr_kvm_vcpu_run (vm->kvm, 0, SIGUSR1, handle_exit, vm, &error))
    return NULL; /* the end of the VM */
  fprintf (stderr, "the guest can't go on: %s\n", error->message);
  exit (EXIT_FAILURE);
}

static bool
start_thread (Vm *vm, GError **error)
{
  sem_init (&vm->counted, 0, 0);
  errno = pthread_create (&vm->thread, NULL, vcpu_main, vm);
  return errno == 0 || throw_errno ("vCPU 0: thread", error);
}

/* ---- Start-up: the same for a fresh VM and for one that is taken over. */

static bool
create_vm (Vm *vm, GError **error)
{
  vm->kvm_fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (vm->kvm_fd < 0)
    return throw_errno ("/dev/kvm", error);
  vm->vm_fd = cpr_kvm_create_vm (vm->session, vm->kvm_fd, 0, error);
  if (vm->vm_fd < 0)
    return false;
  if (ioctl (vm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) < 0)
    return throw_errno ("KVM_SET_TSS_ADDR", error);
  vm->kvm = cpr_kvm_vm_new (vm->session, "kvm", vm->kvm_fd, vm->vm_fd, 0, error);
  if (vm->kvm == NULL || !cpr_kvm_slot_add (vm->kvm, 0, 0, vm->ram, 0, RAM_SIZE, 0, error))
    return false;
  return ioctl (vm->vm_fd, KVM_CREATE_IRQCHIP, 0) == 0 || throw_errno ("KVM_CREATE_IRQCHIP", error);
}

static bool
set_cpuid (const Vm *vm)
{
  g_autofree struct kvm_cpuid2 *cpuid = g_malloc0 (sizeof *cpuid + CPUID_MAX * sizeof cpuid->entries[0]);

  cpuid->nent = CPUID_MAX;
  return ioctl (vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0 && ioctl (vm->vcpu_fd, KVM_SET_CPUID2, cpuid) == 0;
}

static bool
create_vcpu (Vm *vm, GError **error)
{
  vm->vcpu_fd = ioctl (vm->vm_fd, KVM_CREATE_VCPU, 0);
  if (vm->vcpu_fd < 0 || !set_cpuid (vm))
    return throw_errno ("vCPU 0", error);
  return cpr_kvm_vcpu_add (vm->kvm, 0, vm->vcpu_fd, error);
}

static bool
build (Vm *vm, GError **error)
{
  vm->ram = cpr_ram_new (vm->session, "ram", RAM_SIZE, NULL, error);
  return vm->ram != NULL && create_vm (vm, error) && create_vcpu (vm, error) &&
         cpr_device_add (vm->session, "counter", &counter_type, &vm->counter, error) && start_thread (vm, error);
}

/* As after power-on, in a fresh VM only: real mode. */
static bool
reset (const Vm *vm, GError **error)
{
  static const uint8_t code[] = {
    0x66, 0xff, 0x06, 0x00, 0x20, /* again: incl 0x2000 */
    0x66, 0xa1, 0x00, 0x20,       /* movl 0x2000, %eax */
    0x66, 0xef,                   /* outl %eax, %dx */
    0xeb, 0xf3,                   /* jmp again */
  };
  const struct kvm_regs regs = { .rip = CODE, .rdx = PORT, .rflags = 2 };
  struct kvm_sregs sregs;

  memcpy ((uint8_t *) cpr_ram_block_get_vaddr (vm->ram) + CODE, code, sizeof code);
  if (ioctl (vm->vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
    return throw_errno ("KVM_GET_SREGS", error);
  sregs.cs.base = sregs.cs.selector = 0;
  return (ioctl (vm->vcpu_fd, KVM_SET_SREGS, &sregs) == 0 && ioctl (vm->vcpu_fd, KVM_SET_REGS, &regs) == 0) ||
         throw_errno ("KVM_SET_REGS", error);
}

static bool
set_up (Vm *vm, char **argv, GError **error)
{
  CprSessionConfig config = { .size = sizeof config, .name = "example", .argv = argv };

  config.gate = vm->gate = cpr_gate_new (error);
  vm->session = vm->gate == NULL ? NULL : cpr_session_new (&config, error);
  return vm->session != NULL && build (vm, error) && cpr_session_load (vm->session, error) &&
         (cpr_session_is_incoming (vm->session) || reset (vm, error)) && cpr_session_start (vm->session, error);
}

static void
report (Vm *vm, uint64_t generation)
{
  for (unsigned i = 0; i < N_NUMBERS; i++)
    while (sem_wait (&vm->counted) < 0)
      ;
  if (!cpr_gate_enter (vm->gate)) /* the counter is device state */
    return;
  printf ("process %d: at %u after %d updates, %u errors\n", getpid (), vm->counter.last, (int) generation,
          vm->counter.n_errors);
  fflush (stdout);
  cpr_gate_leave (vm->gate);
}

static void
end_thread (Vm *vm)
{
  if (cpr_gate_dismiss (vm->gate, STOP_TIMEOUT_MS, NULL))
    pthread_join (vm->thread, NULL);
  cpr_gate_free (vm->gate);
}

int
main (int argc, char **argv)
{
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .program = "/proc/self/exe" };
  CprUpdateInfo info = { .size = sizeof info };
  g_autoptr (GError) error = NULL;
  static Vm vm; /* the vCPU's thread has it until the process ends */

  if (!set_up (&vm, argv, &error))
    {
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      if (vm.session != NULL)
        cpr_session_abort (vm.session, error, NULL); /* in an update: executes the old program again */
      return EXIT_FAILURE;
    }

  cpr_session_get_update_info (vm.session, &info);
  report (&vm, info.generation);
  if (info.generation < N_UPDATES)
    {
      cpr_session_update (vm.session, &update, &error); /* returns only on failure */
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }
  end_thread (&vm);
  cpr_session_free (vm.session);
  return EXIT_SUCCESS;
}
