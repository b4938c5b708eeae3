/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 06-threads: a vCPU and a worker survive updates; the gate keeps both out while the guest stands.
 *
 * The guest puts a request into a ring in its RAM, rings the doorbell and waits for the interrupt;
 * a worker answers. The program replaces itself in the middle of that, a few times. A request, a
 * doorbell or an interrupt that got lost on the way would leave the guest waiting for ever. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define N_UPDATES       3
#define N_REQUESTS      1000 /* in each program */
#define STOP_TIMEOUT_MS 1000

typedef struct
{
  atomic_uint avail, used; /* requests so far, and those that were answered */
  atomic_uint request, answer;
} Ring;

typedef struct
{
  CprGate *gate;
  Ring *ring;
  int doorbell, interrupt; /* survive, with what was counted in them */
  int answered;            /* tells main(); each program makes its own */
  pthread_t vcpu, worker;
  atomic_bool immediate_exit;
} Vm;

static void
signal_fd (int fd)
{
  const uint64_t one = 1;

  if (write (fd, &one, sizeof one) < 0)
    perror ("eventfd");
}

/* ---- The worker. */

static void
serve_ring (const Vm *vm)
{
  Ring *ring = vm->ring;

  while (ring->used != ring->avail)
    {
      ring->answer = 2 * ring->request;
      ring->used++;
      signal_fd (vm->interrupt);
      signal_fd (vm->answered);
    }
}

/* It waits outside, where it needs no kick: nothing there touches the guest. The doorbell is only
 * looked at outside and read inside. One that was read and not yet served would be lost. */
static void *
worker_main (void *data)
{
  const Vm *vm = data;
  struct pollfd doorbell = { .fd = vm->doorbell, .events = POLLIN };
  uint64_t count;

  cpr_gate_join (vm->gate, "ring worker", NULL, NULL, NULL);
  while (cpr_gate_enter (vm->gate))
    {
      if (read (vm->doorbell, &count, sizeof count) > 0)
        serve_ring (vm);
      cpr_gate_leave (vm->gate);
      poll (&doorbell, 1, -1);
    }
  return NULL;
}

/* ---- The vCPU. */

/* What the guest does until it has to wait, and its wait: both are KVM_RUN in a real VMM. */
static void
run_guest (const Vm *vm)
{
  Ring *ring = vm->ring;
  uint64_t count;

  if (ring->used == ring->avail)
    {
      if (ring->answer != 2 * ring->request)
        printf ("wrong answer: %u to %u\n", ring->answer, ring->request);
      ring->request++;
      ring->avail++;
      signal_fd (vm->doorbell);
    }
  if (read (vm->interrupt, &count, sizeof count) < 0)
    return; /* kicked */
}

/* Should the signal come just before the wait, the gate sends another one. */
static void
kick_vcpu (void *user_data)
{
  Vm *vm = user_data;

  vm->immediate_exit = true;
  pthread_kill (vm->vcpu, SIGUSR1);
}

static void *
vcpu_main (void *data)
{
  Vm *vm = data;

  cpr_gate_join (vm->gate, "vCPU 0", kick_vcpu, vm, NULL);
  for (;;)
    {
      vm->immediate_exit = false; /* still outside: inside it might undo a kick */
      if (!cpr_gate_enter (vm->gate))
        return NULL;
      while (!vm->immediate_exit)
        run_guest (vm);
      cpr_gate_leave (vm->gate);
    }
}

static void
ignore_signal (int number)
{
}

/* ---- Start-up: the threads may be there long before the guest runs. */

static int
make_event (const char *name, int index, void *flags, GError **error)
{
  int fd = eventfd (0, EFD_CLOEXEC | GPOINTER_TO_INT (flags));

  if (fd < 0)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "can't make an eventfd");
  return fd;
}

static bool
start_threads (Vm *vm, GError **error)
{
  const struct sigaction action = { .sa_handler = ignore_signal }; /* without SA_RESTART */

  sigaction (SIGUSR1, &action, NULL);
  vm->answered = eventfd (0, EFD_CLOEXEC | EFD_SEMAPHORE);
  if (vm->answered >= 0 && pthread_create (&vm->vcpu, NULL, vcpu_main, vm) == 0 &&
      pthread_create (&vm->worker, NULL, worker_main, vm) == 0)
    return true;
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "can't start the threads");
  return false;
}

static bool
build (Vm *vm, CprSession *session, GError **error)
{
  CprRamBlock *ram;

  vm->doorbell = cpr_fd_open (session, "doorbell", 0, make_event, GINT_TO_POINTER (EFD_NONBLOCK), error);
  vm->interrupt = vm->doorbell < 0 ? -1 : cpr_fd_open (session, "interrupt", 0, make_event, NULL, error);
  ram = vm->interrupt < 0 ? NULL : cpr_ram_new (session, "ram", 1 << 20, NULL, error);
  if (ram == NULL)
    return false;
  vm->ring = cpr_ram_block_get_vaddr (ram);
  return start_threads (vm, error);
}

static void
wait_for_answers (const Vm *vm)
{
  uint64_t one;

  for (unsigned i = 0; i < N_REQUESTS; i++)
    if (read (vm->answered, &one, sizeof one) < 0)
      perror ("eventfd");
}

/* The worker may wait for a doorbell that nobody rings any more. */
static void
end_threads (const Vm *vm)
{
  g_autoptr (GError) error = NULL;

  if (!cpr_gate_dismiss (vm->gate, STOP_TIMEOUT_MS, &error))
    fprintf (stderr, "%s\n", error->message);
  signal_fd (vm->doorbell);
  pthread_join (vm->vcpu, NULL);
  pthread_join (vm->worker, NULL);
  cpr_gate_free (vm->gate);
}

int
main (int argc, char **argv)
{
  Vm vm = { 0 };
  CprSessionConfig config = { .size = sizeof config, .name = "example", .argv = argv };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };
  CprUpdateInfo info = { .size = sizeof info };
  g_autoptr (CprSession) session = NULL;
  g_autoptr (GError) error = NULL;

  config.gate = vm.gate = cpr_gate_new (&error);
  session = vm.gate == NULL ? NULL : cpr_session_new (&config, &error);
  if (session == NULL || !build (&vm, session, &error) || !cpr_session_load (session, &error) ||
      !cpr_session_start (session, &error))
    {
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }

  wait_for_answers (&vm);
  cpr_session_get_update_info (session, &info);
  printf ("process %d: %d requests answered after %d updates\n", getpid (), N_REQUESTS, (int) info.generation);
  fflush (stdout);
  if (info.generation < N_UPDATES)
    {
      cpr_session_update (session, &update, &error); /* returns only on failure */
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }
  end_threads (&vm);
  return EXIT_SUCCESS;
}
