/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 09-vmm: the result of the guide's day: KVM, a vCPU, a queue with a worker, a control socket.
 *
 * `09-vmm SOCKET` runs a guest. `09-vmm SOCKET file:PATH` takes one out of a file. The commands at
 * SOCKET are "wait" (until the guest has got 1000 more answers), "exec PROGRAM", "transfer
 * PROGRAM", "save file:PATH", "quit". The guest puts a request into a ring, rings a doorbell,
 * sleeps until the interrupt, and writes the answer to a port. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define N_ANSWERS   1000
#define RAM_SIZE    (1 << 20)
#define CODE        0x1000
#define RING        0x2000
#define PORT        0x10 /* where the guest writes an answer */
#define DOORBELL    0xc0 /* the port of the queue's doorbell */
#define IRQ         5
#define TSS_ADDRESS 0xfffbd000
#define CPUID_MAX   256

/* In guest RAM. */
typedef struct
{
  atomic_uint avail, request; /* requests so far, and the last one */
  atomic_uint used, answer;
} Ring;

typedef struct
{
  uint32_t n_served;
} Queue;

static const CprField queue_fields[] = { CPR_FIELD (Queue, n_served), CPR_FIELD_END };

static const CprDeviceType queue_type = { .size = sizeof (CprDeviceType),
                                          .name = "queue",
                                          .version = 1,
                                          .minimum_version = 1,
                                          .state = { "Queue", sizeof (Queue), queue_fields } };

typedef struct
{
  uint32_t n_answers, n_wrong;
} Console;

static const CprField console_fields[] = {
  CPR_FIELD (Console, n_answers),
  CPR_FIELD (Console, n_wrong),
  CPR_FIELD_END,
};

static const CprDeviceType console_type = { .size = sizeof (CprDeviceType),
                                            .name = "console",
                                            .version = 1,
                                            .minimum_version = 1,
                                            .state = { "Console", sizeof (Console), console_fields } };

typedef struct
{
  CprSession *session;
  CprGate *gate;
  CprRamBlock *ram;
  CprKvmVm *kvm;
  int kvm_fd, vm_fd, vcpu_fd;
  pthread_t vcpu, worker;
  Ring *ring;
  int doorbell, interrupt, control;
  Queue queue;
  Console console;
  sem_t answered; /* tells main() */
} Vm;

static void
die (const Vm *vm, const char *what, const char *why)
{
  g_autofree char *reason = g_strdup_printf ("%s: %s", what, why);

  cpr_session_set_reason (vm->session, reason);
  fprintf (stderr, "09-vmm: %s\n", reason);
  exit (EXIT_FAILURE);
}

static void
check (const Vm *vm, bool ok, const char *what)
{
  if (!ok)
    die (vm, what, strerror (errno));
}

/* ---- The threads. */

static void
serve_ring (Vm *vm)
{
  const uint64_t one = 1;

  while (vm->ring->used != vm->ring->avail)
    {
      vm->ring->answer = 2 * vm->ring->request;
      vm->ring->used++;
      vm->queue.n_served++;
      check (vm, write (vm->interrupt, &one, sizeof one) > 0, "interrupt");
    }
}

/* It looks into the ring whether or not the doorbell has rung: in reboot mode the doorbell is a new
 * one, and what the old one had counted is lost. */
static void *
worker_main (void *data)
{
  Vm *vm = data;
  struct pollfd doorbell = { .fd = vm->doorbell, .events = POLLIN };
  uint64_t count;

  cpr_gate_join (vm->gate, "queue", NULL, NULL, NULL);
  while (cpr_gate_enter (vm->gate))
    {
      check (vm, read (vm->doorbell, &count, sizeof count) > 0 || errno == EAGAIN, "doorbell");
      serve_ring (vm);
      cpr_gate_leave (vm->gate);
      poll (&doorbell, 1, -1);
    }
  return NULL;
}

static bool
handle_exit (struct kvm_run *run, void *user_data, GError **error)
{
  Vm *vm = user_data;
  uint32_t answer;

  if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT)
    return cpr_error_set_errno (error, CPR_ERROR_SYSTEM, ENOTSUP, "exit %u", run->exit_reason);
  memcpy (&answer, (const uint8_t *) run + run->io.data_offset, sizeof answer);
  vm->console.n_answers++;
  vm->console.n_wrong += answer != 2 * vm->console.n_answers;
  return sem_post (&vm->answered) == 0;
}

static void *
vcpu_main (void *data)
{
  Vm *vm = data;
  g_autoptr (GError) error = NULL;

  if (!cpr_kvm_vcpu_run (vm->kvm, 0, SIGUSR1, handle_exit, vm, &error))
    die (vm, "the guest", error->message);
  return NULL;
}

static void
start_threads (Vm *vm)
{
  sem_init (&vm->answered, 0, 0);
  errno = pthread_create (&vm->vcpu, NULL, vcpu_main, vm);
  check (vm, errno == 0, "vCPU 0");
  errno = pthread_create (&vm->worker, NULL, worker_main, vm);
  check (vm, errno == 0, "queue");
}

/* ---- The machine. */

static void
create_vcpu (Vm *vm)
{
  g_autofree struct kvm_cpuid2 *cpuid = g_malloc0 (sizeof *cpuid + CPUID_MAX * sizeof cpuid->entries[0]);

  vm->vcpu_fd = ioctl (vm->vm_fd, KVM_CREATE_VCPU, 0);
  check (vm, vm->vcpu_fd >= 0, "KVM_CREATE_VCPU");
  cpuid->nent = CPUID_MAX;
  check (vm, ioctl (vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0, "KVM_GET_SUPPORTED_CPUID");
  check (vm, ioctl (vm->vcpu_fd, KVM_SET_CPUID2, cpuid) == 0, "KVM_SET_CPUID2");
}

static bool
create_vm (Vm *vm, GError **error)
{
  vm->kvm_fd = open ("/dev/kvm", O_RDWR | O_CLOEXEC);
  check (vm, vm->kvm_fd >= 0, "/dev/kvm");
  vm->vm_fd = cpr_kvm_create_vm (vm->session, vm->kvm_fd, 0, error);
  if (vm->vm_fd < 0)
    return false;
  check (vm, ioctl (vm->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) == 0, "KVM_SET_TSS_ADDR");
  vm->kvm = cpr_kvm_vm_new (vm->session, "kvm", vm->kvm_fd, vm->vm_fd, 0, error);
  if (vm->kvm == NULL || !cpr_kvm_slot_add (vm->kvm, 0, 0, vm->ram, 0, RAM_SIZE, 0, error))
    return false;
  check (vm, ioctl (vm->vm_fd, KVM_CREATE_IRQCHIP, 0) == 0, "KVM_CREATE_IRQCHIP");
  create_vcpu (vm);
  return cpr_kvm_vcpu_add (vm->kvm, 0, vm->vcpu_fd, error);
}

static bool
create_queue (Vm *vm, GError **error)
{
  vm->doorbell = cpr_fd_open_eventfd (vm->session, "doorbell", 0, error);
  vm->interrupt = vm->doorbell < 0 ? -1 : cpr_fd_open_eventfd (vm->session, "interrupt", 0, error);
  return vm->interrupt >= 0 && cpr_device_add (vm->session, "queue", &queue_type, &vm->queue, error) &&
         cpr_kvm_ioeventfd_add (vm->kvm, vm->doorbell, DOORBELL, 2, 0, KVM_IOEVENTFD_FLAG_PIO, error) &&
         cpr_kvm_irqfd_add (vm->kvm, vm->interrupt, IRQ, -1, error);
}

static bool
build (Vm *vm, const char *path, GError **error)
{
  vm->control = cpr_fd_open_listener (vm->session, "control", 0, path, error);
  vm->ram = vm->control < 0 ? NULL : cpr_ram_new (vm->session, "ram", RAM_SIZE, NULL, error);
  if (vm->ram == NULL)
    return false;
  vm->ring = (Ring *) ((uint8_t *) cpr_ram_block_get_vaddr (vm->ram) + RING);
  return create_vm (vm, error) && create_queue (vm, error) &&
         cpr_device_add (vm->session, "console", &console_type, &vm->console, error);
}

/* As after power-on, in a fresh VM only: real mode. */
static bool
reset (const Vm *vm)
{
  static const uint8_t code[] = {
    0xfa, 0xb8, 0x11, 0x00, 0xe6, 0x20,             /* cli; the PIC: */
    0xb0, 0x20, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21, /* vectors from 0x20 on */
    0xb0, 0x01, 0xe6, 0x21, 0xb0, 0xdf, 0xe6, 0x21, /* only IRQ */
    0xc7, 0x06, 0x94, 0x00, 0x46, 0x10,             /* movw $CODE + handler, 0x94 */
    0x66, 0xff, 0x06, 0x04, 0x20,                   /* again: incl request */
    0x66, 0xff, 0x06, 0x00, 0x20,                   /* incl avail */
    0xba, 0xc0, 0x00, 0xef,                         /* outw %ax, $DOORBELL */
    0xfa, 0x66, 0xa1, 0x00, 0x20,                   /* wait: cli; movl avail, %eax */
    0x66, 0x3b, 0x06, 0x08, 0x20,                   /* cmpl used, %eax */
    0x74, 0x04, 0xfb, 0xf4, 0xeb, 0xf0,             /* je done; sti; hlt; jmp wait */
    0xfb, 0x66, 0xa1, 0x0c, 0x20,                   /* done: sti; movl answer, %eax */
    0xba, 0x10, 0x00, 0x66, 0xef, 0xeb, 0xd6,       /* outl %eax, $PORT; jmp again */
    0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf,       /* handler: the end of the interrupt; iret */
  };
  const struct kvm_regs regs = { .rip = CODE, .rsp = 0x8000, .rflags = 2 };
  struct kvm_sregs sregs;

  memcpy ((uint8_t *) cpr_ram_block_get_vaddr (vm->ram) + CODE, code, sizeof code);
  check (vm, ioctl (vm->vcpu_fd, KVM_GET_SREGS, &sregs) == 0, "KVM_GET_SREGS");
  sregs.cs.base = sregs.cs.selector = 0;
  check (vm, ioctl (vm->vcpu_fd, KVM_SET_SREGS, &sregs) == 0, "KVM_SET_SREGS");
  check (vm, ioctl (vm->vcpu_fd, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
  return true;
}

/* ---- The control socket. */

/* Returns where the update failed. */
static void
update_to (const Vm *vm, CprMode mode, const char *where, int client)
{
  CprUpdate update = { .size = sizeof update, .mode = mode, .reply_fd = client };
  bool left;

  if (mode == CPR_MODE_REBOOT)
    update.uri = where;
  else
    update.program = where;
  left = cpr_session_update (vm->session, &update, NULL);
  if (left)
    close (vm->control); /* the VM's next program listens there */
  cpr_session_reply (vm->session);
  if (left)
    _exit (EXIT_SUCCESS);
}

static void
wait_for_answers (Vm *vm, int client)
{
  while (sem_trywait (&vm->answered) == 0)
    ;
  for (unsigned i = 0; i < N_ANSWERS; i++)
    while (sem_wait (&vm->answered) < 0)
      ;
  if (!cpr_gate_enter (vm->gate)) /* the console is device state */
    return;
  dprintf (client, "%u wrong\n", vm->console.n_wrong);
  cpr_gate_leave (vm->gate);
}

/* False: the end. */
static bool
serve_client (Vm *vm)
{
  int client = accept4 (vm->control, NULL, NULL, SOCK_CLOEXEC);
  char line[256] = "", where[256] = "";

  if (client < 0 || read (client, line, sizeof line - 1) <= 0)
    ; /* it has hung up */
  else if (sscanf (line, "exec %255s", where) == 1)
    update_to (vm, CPR_MODE_EXEC, where, client);
  else if (sscanf (line, "transfer %255s", where) == 1)
    update_to (vm, CPR_MODE_TRANSFER, where, client);
  else if (sscanf (line, "save %255s", where) == 1)
    update_to (vm, CPR_MODE_REBOOT, where, client);
  else if (g_str_has_prefix (line, "wait"))
    wait_for_answers (vm, client);
  close (client);
  return !g_str_has_prefix (line, "quit");
}

int
main (int argc, char **argv)
{
  Vm vm = { 0 };
  CprSessionConfig config = {
    .size = sizeof config,
    .name = "example",
    .argv = argv,
    .incoming = argc > 2 ? argv[2] : NULL,
    .incoming_flags = CPR_INCOMING_EXIT_GOES_BACK | CPR_INCOMING_REHEARSE,
  };
  g_autoptr (GError) error = NULL;
  struct pollfd control = { .events = POLLIN };

  signal (SIGPIPE, SIG_IGN); /* a client that hangs up must not take the guest along */
  if (argc < 2)
    die (&vm, "options", "the path of a socket is missing");
  config.gate = vm.gate = cpr_gate_new (&error);
  vm.session = vm.gate == NULL ? NULL : cpr_session_new (&config, &error);
  if (vm.session == NULL || !build (&vm, argv[1], &error))
    die (&vm, "start-up", error->message);
  start_threads (&vm);
  if (!cpr_session_load (vm.session, &error) || (!cpr_session_is_incoming (vm.session) && !reset (&vm)) ||
      !cpr_session_start (vm.session, &error))
    die (&vm, "start-up", error->message);

  printf ("process %d has the guest\n", getpid ());
  fflush (stdout);
  cpr_session_reply (vm.session);
  control.fd = vm.control;
  while (poll (&control, 1, -1) > 0 && serve_client (&vm))
    ;
  unlink (argv[1]);
  _exit (EXIT_SUCCESS); /* with the guest */
}
