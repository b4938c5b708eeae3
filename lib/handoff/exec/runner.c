/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the old VM's vCPUs while the program executes another one, stops them for that one, and
 * saves what KVM keeps. exec.c launches it; the upper half runs in a process of its own, without
 * libc. */
#include "handoff/exec/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/time_types.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "handoff/exec/guardian.h"
#include "handoff/exec/rescue.h"
#include "process/raw.h"

#define STACK_SIZE    (16 * 1024)
#define N_PROCESSES   2
#define KICK          SIGURG
#define N_CPUS        1024
#define NOTHING_SEEN  UINT32_C (0xffffffff) /* no exit reason */
#define LOOK_AGAIN_NS (1000 * 1000)
#define KICK_AGAIN_NS (10 * 1000 * 1000)

/* After this a candidate's death is nobody's matter. */
#define NOBODY_NS (15 * UINT64_C (1000000000))

typedef struct
{
  CprRunner *runner;
  int fd;
  struct kvm_run *run;
  CprLateVcpu *late; /* in the area */
  uint8_t *stack[N_PROCESSES];
  uint64_t cpus[N_CPUS / 64];
  long cpus_size; /* 0: not known */
  int policy, priority;
  _Atomic int32_t thread; /* of the present runner */
  _Atomic uint32_t in;    /* a futex: it may be in KVM_RUN */
} Vcpu;

/* A script, as the runner executes it. */
typedef struct
{
  int fd;
  CprLateObject *object; /* in the area */
  uint8_t *memory;       /* in the area */
  uint8_t *filled_in;    /* its contents before the first call */
  uint32_t size;
} Script;

struct _CprRunner
{
  CprBatonPage *page;
  CprLateArea *area;
  int release, ask, gone, vm_fd;
  unsigned n_vcpus, n_irqfds, n_scripts, n_closed;
  Vcpu *vcpus;
  Script *scripts; /* the vCPUs', then the VM's */
  struct kvm_irqfd *irqfds;
  unsigned *closed; /* pairs: the fds that the runner closes at its start */
  size_t run_size;
  uint8_t *stacks;
  pid_t pids[N_PROCESSES];
  int pidfd;              /* of the runner; the heir watches it */
  _Atomic uint32_t ready; /* how many of the two are */
  _Atomic uint32_t go;    /* a futex: the vCPUs are to run */
  pid_t watched;          /* in the runner: whom the baton names */
  int watched_fd;         /* a pidfd of that; -1: it is dead */
  uint64_t dead_since_ns; /* 0: it isn't */
};

/* ---- In the runner: system calls only, no errno, no malloc, no locks, nothing of libc. */

CPR_RAW_CODE static void
nap (_Atomic uint32_t *futex, uint32_t value, long ns)
{
  struct __kernel_timespec limit;

  limit.tv_sec = 0;
  limit.tv_nsec = ns;
  cpr_raw (SYS_futex, (long) futex, FUTEX_WAIT, value, ns != 0 ? (long) &limit : 0);
}

CPR_RAW_CODE static void
wake (_Atomic uint32_t *futex)
{
  cpr_raw (SYS_futex, (long) futex, FUTEX_WAKE, INT_MAX, 0);
}

CPR_RAW_CODE static void
copy (void *to, const void *from, size_t size)
{
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

/* ---- One vCPU. */

typedef enum
{
  EXIT_NONE,    /* of nobody's interest */
  EXIT_WRITE,   /* KVM completes it, and the program's devices get it */
  EXIT_AGAIN,   /* its instruction is executed again, in the program's VM */
  EXIT_HAPPENED /* there is nothing to complete, and the program gets it */
} ExitKind;

CPR_RAW_CODE static ExitKind
get_kind (const struct kvm_run *run)
{
  switch (run->exit_reason)
    {
    case KVM_EXIT_INTR:
    case KVM_EXIT_UNKNOWN:
    case NOTHING_SEEN:
      return EXIT_NONE;
    case KVM_EXIT_IO:
      return run->io.direction == KVM_EXIT_IO_OUT ? EXIT_WRITE : EXIT_AGAIN;
    case KVM_EXIT_MMIO:
      return run->mmio.is_write ? EXIT_WRITE : EXIT_AGAIN;
    case KVM_EXIT_HLT:
    case KVM_EXIT_SHUTDOWN:
    case KVM_EXIT_FAIL_ENTRY:
    case KVM_EXIT_INTERNAL_ERROR:
    case KVM_EXIT_SYSTEM_EVENT:
    case KVM_EXIT_DEBUG:
    case KVM_EXIT_IOAPIC_EOI:
      return EXIT_HAPPENED;
    default: /* MSRs, hypercalls: the registers are those before the instruction until KVM completes it */
      return EXIT_AGAIN;
    }
}

CPR_RAW_CODE static void
park (Vcpu *vcpu, uint32_t n)
{
  atomic_store (&vcpu->late->parked_ns, cpr_raw_now_ns ());
  atomic_store (&vcpu->late->word, CPR_LATE_WORD (CPR_LATE_PARKED_NOW, n));
}

CPR_RAW_CODE static void
give_up (Vcpu *vcpu, uint32_t n, int errnum)
{
  vcpu->late->failed = errnum;
  atomic_store (&vcpu->late->word, CPR_LATE_WORD (CPR_LATE_BROKEN, n));
}

/* The exit is in the area before the word says so. */
CPR_RAW_CODE static void
note_exit (Vcpu *vcpu, uint32_t n, ExitKind kind)
{
  const struct kvm_run *run = vcpu->run;
  size_t size;

  if (n >= CPR_LATE_PARKED)
    {
      give_up (vcpu, n, E2BIG);
      return;
    }
  copy (&vcpu->late->parked[n], run, sizeof vcpu->late->parked[n]);
  if (run->exit_reason == KVM_EXIT_IO)
    {
      size = (size_t) run->io.size * run->io.count;
      copy (vcpu->late->pio, (const uint8_t *) run + run->io.data_offset,
            size < CPR_LATE_PIO_MAX ? size : CPR_LATE_PIO_MAX);
    }
  if (kind == EXIT_WRITE)
    atomic_store (&vcpu->late->word, CPR_LATE_WORD (CPR_LATE_COMPLETING, n + 1));
  else
    park (vcpu, n + 1);
}

CPR_RAW_CODE static void
look_at_exit (Vcpu *vcpu, uint32_t n)
{
  ExitKind kind = get_kind (vcpu->run);

  if (kind == EXIT_NONE)
    atomic_store (&vcpu->late->word, CPR_LATE_WORD (CPR_LATE_READY, n));
  else if (kind == EXIT_AGAIN)
    park (vcpu, n);
  else
    note_exit (vcpu, n, kind);
}

/* A run in which the vCPU executes nothing completes a write. A long one takes several; doing it
 * again does no harm. */
CPR_RAW_CODE static void
complete (Vcpu *vcpu, uint32_t n)
{
  long result;

  __atomic_store_n (&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
  vcpu->run->exit_reason = NOTHING_SEEN;
  result = cpr_raw (SYS_ioctl, vcpu->fd, KVM_RUN, 0, 0);
  if (result >= 0)
    look_at_exit (vcpu, n);
  else if (result == -EINTR || result == -EAGAIN)
    park (vcpu, n);
  else
    give_up (vcpu, n, (int) -result);
}

/* False: it isn't to run now. */
CPR_RAW_CODE static bool
enter (Vcpu *vcpu, uint32_t n)
{
  long result;

  __atomic_store_n (&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
  if (atomic_load (&vcpu->runner->go) == 0) /* who clears it sets the other one afterwards */
    return false;
  vcpu->run->exit_reason = NOTHING_SEEN;
  atomic_store (&vcpu->late->word, CPR_LATE_WORD (CPR_LATE_RUNNING, n));
  result = cpr_raw (SYS_ioctl, vcpu->fd, KVM_RUN, 0, 0);
  if (result >= 0)
    look_at_exit (vcpu, n);
  else if (result == -EINTR || result == -EAGAIN)
    atomic_store (&vcpu->late->word, CPR_LATE_WORD (CPR_LATE_READY, n));
  else
    give_up (vcpu, n, (int) -result);
  return true;
}

/* Until the vCPU isn't to run any more; then it is in the middle of nothing, or parked. */
CPR_RAW_CODE static void
run_vcpu (Vcpu *vcpu)
{
  for (;;)
    {
      uint32_t word = atomic_load (&vcpu->late->word), n = CPR_LATE_NUMBER_OF (word);

      switch (CPR_LATE_PHASE_OF (word))
        {
        case CPR_LATE_RUNNING: /* the runner before this one was killed there */
          look_at_exit (vcpu, n);
          break;
        case CPR_LATE_COMPLETING:
          complete (vcpu, n);
          break;
        case CPR_LATE_READY:
          if (!enter (vcpu, n))
            return;
          break;
        default:
          return;
        }
    }
}

/* It may be that the runner has not the right to do either. */
CPR_RAW_CODE static void
take_over_schedule (const Vcpu *vcpu)
{
  struct sched_param param;

  param.sched_priority = vcpu->priority;
  if (vcpu->cpus_size > 0)
    cpr_raw (SYS_sched_setaffinity, 0, vcpu->cpus_size, (long) vcpu->cpus, 0);
  if (vcpu->cpus_size > 0)
    cpr_raw (SYS_sched_setscheduler, 0, vcpu->policy, (long) &param, 0);
}

CPR_RAW_CODE static int
vcpu_main (void *data)
{
  Vcpu *vcpu = data;
  CprRunner *runner = vcpu->runner;
  const uint64_t kick = 1ull << (KICK - 1);

  atomic_store (&vcpu->thread, (int32_t) cpr_raw (SYS_gettid, 0, 0, 0, 0));
  take_over_schedule (vcpu);
  cpr_raw (SYS_ioctl, vcpu->fd, KVM_SET_SIGNAL_MASK, 0, 0); /* the program's own, which may have the signal */
  cpr_raw (SYS_rt_sigprocmask, SIG_UNBLOCK, (long) &kick, 0, sizeof kick);
  for (;;)
    {
      atomic_store (&vcpu->in, 1);
      run_vcpu (vcpu);
      atomic_store (&vcpu->in, 0);
      wake (&vcpu->in);
      for (;;)
        {
          uint32_t go = atomic_load (&runner->go);

          if (go != 0 && CPR_LATE_PHASE_OF (atomic_load (&vcpu->late->word)) < CPR_LATE_PARKED_NOW)
            break;
          nap (&runner->go, go, 0);
        }
    }
  return 0;
}

/* ---- All of them. */

#if defined(__x86_64__)
__asm__(".pushsection .text\n"
        ".type cpr_runner_return, @function\n"
        "cpr_runner_return: movl $15, %eax\n" /* rt_sigreturn */
        "syscall\n"
        "cpr_runner_kicked: ret\n"
        ".popsection");
extern void cpr_runner_return (void) __attribute__ ((visibility ("hidden")));
extern void cpr_runner_kicked (int) __attribute__ ((visibility ("hidden")));
#endif

/* The kernel's struct sigaction; libc's has another layout. */
typedef struct
{
  void (*handler) (int);
  unsigned long flags;
  void (*restorer) (void);
  uint64_t mask;
} KernelAction;

CPR_RAW_CODE static void
start_threads (CprRunner *runner, unsigned process)
{
  KernelAction action;

  action.handler = cpr_runner_kicked;
  action.flags = 0x04000000; /* SA_RESTORER */
  action.restorer = cpr_runner_return;
  action.mask = 0;
  cpr_raw (SYS_rt_sigaction, KICK, (long) &action, 0, sizeof action.mask);
  for (unsigned i = 0; i < runner->n_vcpus; i++)
    {
      Vcpu *vcpu = &runner->vcpus[i];

      atomic_store (&vcpu->in, 1);
      /* See guardian.c about libc's clone(). */
      if (clone (vcpu_main, vcpu->stack[process] + STACK_SIZE,
                 CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, vcpu) < 0)
        {
          atomic_store (&vcpu->in, 0);
          give_up (vcpu, CPR_LATE_NUMBER_OF (atomic_load (&vcpu->late->word)), EAGAIN);
        }
    }
}

CPR_RAW_CODE static void
put_irqfds (const CprRunner *runner, bool on)
{
  for (unsigned i = 0; i < runner->n_irqfds; i++)
    {
      struct kvm_irqfd request;

      copy (&request, &runner->irqfds[i], sizeof request);
      if (!on)
        request.flags = KVM_IRQFD_FLAG_DEASSIGN;
      cpr_raw (SYS_ioctl, runner->vm_fd, KVM_IRQFD, (long) &request, 0);
    }
}

CPR_RAW_CODE static void
stop_vcpus (CprRunner *runner)
{
  const long me = cpr_raw (SYS_getpid, 0, 0, 0, 0);

  atomic_store (&runner->go, 0);
  for (unsigned i = 0; i < runner->n_vcpus; i++)
    {
      Vcpu *vcpu = &runner->vcpus[i];

      __atomic_store_n (&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
      if (atomic_load (&vcpu->in) != 0 && atomic_load (&vcpu->thread) > 0)
        cpr_raw (SYS_tgkill, me, atomic_load (&vcpu->thread), KICK, 0);
    }
  for (unsigned i = 0; i < runner->n_vcpus; i++)
    while (atomic_load (&runner->vcpus[i].in) != 0)
      {
        nap (&runner->vcpus[i].in, 1, KICK_AGAIN_NS);
        if (atomic_load (&runner->vcpus[i].in) != 0 && atomic_load (&runner->vcpus[i].thread) > 0)
          cpr_raw (SYS_tgkill, me, atomic_load (&runner->vcpus[i].thread), KICK, 0);
      }
}

/* Zero, or the errno of the first call that failed. */
CPR_RAW_CODE static int
run_script (const Script *script)
{
  int failed = 0;

  copy (script->memory, script->filled_in, script->size);
  for (uint32_t i = 0; i < script->object->n_calls && failed == 0; i++)
    {
      CprLateCall *call = &script->object->calls[i];
      uint8_t *argument = script->memory + (call->offset - script->object->calls[0].offset);

      if (call->request == 0)
        *(uint64_t *) (void *) argument = cpr_raw_now_ns ();
      else
        call->result = (int32_t) cpr_raw (SYS_ioctl, script->fd, (long) call->request, (long) argument, 0);
      if (call->result < 0)
        failed = -call->result;
    }
  return failed;
}

/* The guest stands for the program of @attempt. */
CPR_RAW_CODE static void
stop_for (CprRunner *runner, uint32_t attempt)
{
  CprLateArea *area = runner->area;
  int failed = 0;

  stop_vcpus (runner);
  atomic_store (&area->stopped_ns, cpr_raw_now_ns ());
  put_irqfds (runner, false);
  for (unsigned i = 0; i < runner->n_vcpus; i++)
    if (CPR_LATE_PHASE_OF (atomic_load (&runner->vcpus[i].late->word)) == CPR_LATE_BROKEN)
      failed = runner->vcpus[i].late->failed;
  for (unsigned i = 0; i < runner->n_scripts && failed == 0; i++)
    failed = run_script (&runner->scripts[i]);
  atomic_store (&area->failed, failed);
  atomic_store (&area->saved_ns, cpr_raw_now_ns ());
  atomic_store (&area->stopped_for, attempt);
  wake (&area->stopped_for);
}

CPR_RAW_CODE static void
let_run (CprRunner *runner)
{
  put_irqfds (runner, true);
  if (atomic_load (&runner->area->first_went_ns) == 0)
    atomic_store (&runner->area->first_went_ns, cpr_raw_now_ns ());
  atomic_store (&runner->area->went_ns, cpr_raw_now_ns ());
  atomic_store (&runner->go, 1);
  wake (&runner->go);
}

/* ---- The process. */

CPR_RAW_CODE static void
let_go (CprRunner *runner)
{
  cpr_raw (SYS_close_range, 0, (long) ~0U, 0, 0);
  cpr_baton_set_closed (runner->page, (pid_t) cpr_raw (SYS_getpid, 0, 0, 0, 0));
  cpr_raw (SYS_futex, (long) &runner->page->closed, FUTEX_WAKE, INT_MAX, 0);
  cpr_raw (SYS_exit_group, 0, 0, 0, 0);
  __builtin_trap ();
}

CPR_RAW_CODE static bool
is_released (const CprRunner *runner)
{
  return cpr_raw_await (runner->release, POLLIN, 0);
}

/* Until one of two fds is readable or hung up; ends where the runner is released. */
CPR_RAW_CODE static void
await_or_end (CprRunner *runner, int fd, int other)
{
  struct pollfd fds[3];

  for (;;)
    {
      fds[0].fd = runner->release;
      fds[1].fd = fd;
      fds[2].fd = other;
      fds[0].events = fds[1].events = fds[2].events = POLLIN;
      fds[0].revents = fds[1].revents = fds[2].revents = 0;
      cpr_raw (SYS_ppoll, (long) fds, 3, 0, 0);
      if (fds[0].revents != 0)
        let_go (runner);
      if (fds[1].revents != 0 || fds[2].revents != 0)
        return;
    }
}

/* Watches whom the baton names. The owner's death is the end. That of a candidate, or of a guardian,
 * is one if nobody acts on it. */
CPR_RAW_CODE static void
watch (CprRunner *runner, CprBatonWord word)
{
  bool dead;

  if (word.pid != runner->watched)
    {
      if (runner->watched_fd >= 0)
        cpr_raw (SYS_close, runner->watched_fd, 0, 0, 0);
      runner->watched = word.pid;
      runner->watched_fd = (int) cpr_raw (SYS_pidfd_open, word.pid, 0, 0, 0);
      runner->dead_since_ns = 0;
    }
  dead = runner->watched_fd < 0 || cpr_raw_await_death (runner->watched_fd, 0);
  if (dead && runner->dead_since_ns == 0)
    runner->dead_since_ns = cpr_raw_now_ns ();
  if (dead && (word.state == CPR_BATON_OWNED || cpr_raw_now_ns () - runner->dead_since_ns >= NOBODY_NS))
    let_go (runner);
}

/* The offer's word decides whether the guest may run, and whether it is to stop. It may not where
 * it stands for the program of this very offer: that one may take it at any time, by the word. */
CPR_RAW_CODE static void
run_guest (CprRunner *runner)
{
  CprLateArea *area = runner->area;
  uint64_t count;

  for (;;)
    {
      CprBatonWord word = cpr_baton_get (runner->page);
      bool offered = word.state == CPR_BATON_OFFERED;
      bool stands = offered && atomic_load (&area->stopped_for) == word.attempt;
      bool runs = atomic_load (&runner->go) != 0;

      watch (runner, word);
      if (word.state == CPR_BATON_OWNED)
        {
          await_or_end (runner, runner->watched_fd, -1);
          continue;
        }
      if (!runs && !stands && !(offered && atomic_load (&area->ask) == word.attempt))
        let_run (runner);
      else if (!stands && offered && atomic_load (&area->ask) == word.attempt)
        stop_for (runner, word.attempt);
      else if (!runs)
        nap (&area->stopped_for, atomic_load (&area->stopped_for), LOOK_AGAIN_NS);
      else if (runner->dead_since_ns != 0)
        cpr_raw_await (runner->ask, POLLIN, 1);
      else
        await_or_end (runner, runner->ask, runner->watched_fd);
      cpr_raw (SYS_read, runner->ask, (long) &count, sizeof count, 0);
      if (is_released (runner))
        let_go (runner);
    }
}

CPR_RAW_CODE static void
begin (const CprRunner *runner)
{
  for (unsigned i = 0; i < runner->n_closed; i += 2)
    cpr_raw (SYS_close_range, runner->closed[i], runner->closed[i + 1], 0, 0);
  cpr_raw (SYS_prctl, PR_SET_NAME, (long) "cpr-runner", 0, 0);
}

CPR_RAW_CODE static void
say_ready (CprRunner *runner)
{
  atomic_fetch_add (&runner->ready, 1);
  cpr_raw (SYS_futex, (long) &runner->ready, FUTEX_WAKE, 1, 0);
}

/* Before the offer this program's end is the guest's. */
CPR_RAW_CODE static void
take_guest (CprRunner *runner, unsigned process)
{
  CprBatonWord word;

  await_or_end (runner, runner->gone, runner->ask) /* a child that was forked meanwhile may have the pipe's end */;
  word = cpr_baton_get (runner->page);
  if (word.state == CPR_BATON_OWNED && word.attempt == 0)
    let_go (runner);
  atomic_store (&runner->area->runner, (int32_t) cpr_raw (SYS_getpid, 0, 0, 0, 0));
  atomic_store (&runner->go, 0);
  runner->watched = 0;
  runner->watched_fd = -1;
  runner->dead_since_ns = 0;
  for (unsigned i = 0; i < runner->n_vcpus; i++)
    atomic_store (&runner->vcpus[i].thread, 0);
  start_threads (runner, process);
  run_guest (runner);
}

CPR_RAW_CODE static int
runner_main (void *data)
{
  CprRunner *runner = data;

  begin (runner);
  say_ready (runner);
  take_guest (runner, 0);
  return 0;
}

CPR_RAW_CODE static int
heir_main (void *data)
{
  CprRunner *runner = data;

  begin (runner);
  say_ready (runner);
  await_or_end (runner, runner->pidfd, -1);
  take_guest (runner, 1);
  return 0;
}

/* ---- In the program that makes it. */

size_t
cpr_late_area_size (const CprKvmScript *const *scripts, unsigned n)
{
  size_t size = sizeof (CprLateArea);

  for (unsigned i = 0; i < n; i++)
    size += CPR_KVM_SCRIPT_ROOM (scripts[i]->used);
  return (size + 4095) / 4096 * 4096;
}

/* An argument that points into itself points into the area then. */
static void
place (Script *script, const CprKvmScript *from, int fd, CprLateObject *object, uint8_t *area, size_t at)
{
  *script = (Script){ .fd = fd, .object = object, .memory = area + at, .size = from->used };
  script->filled_in = g_memdup2 (from->memory, from->used);
  object->n_calls = from->calls->len;
  g_assert (object->n_calls <= CPR_LATE_CALLS);
  for (guint i = 0; i < from->calls->len; i++)
    {
      const CprKvmCall *call = &g_array_index (from->calls, CprKvmCall, i);
      uint64_t *argument = (uint64_t *) (void *) (script->filled_in + call->offset);

      object->calls[i] =
          (CprLateCall){ .request = call->request, .offset = (uint32_t) at + call->offset, .size = call->size };
      for (uint32_t k = 0; k < call->size / sizeof *argument; k++)
        if (argument[k] >= (uintptr_t) from->memory && argument[k] < (uintptr_t) from->memory + from->used)
          argument[k] += (uintptr_t) script->memory - (uintptr_t) from->memory;
    }
}

static void
place_scripts (CprRunner *runner, const CprRunnerConfig *config)
{
  CprLateArea *area = config->area;
  size_t at = sizeof *area;

  runner->n_scripts = config->n_vcpus + 1;
  runner->scripts = g_new0 (Script, runner->n_scripts);
  for (unsigned i = 0; i < runner->n_scripts; i++)
    {
      bool is_vm = i == config->n_vcpus;
      const CprKvmScript *from = is_vm ? config->vm_script : config->vcpus[i].script;

      place (&runner->scripts[i], from, is_vm ? config->vm_fd : config->vcpus[i].fd,
             is_vm ? &area->vm : &area->vcpus[config->vcpus[i].index].object, (uint8_t *) area, at);
      at += CPR_KVM_SCRIPT_ROOM (from->used);
    }
}

static void
read_schedule (Vcpu *vcpu, pid_t thread)
{
  struct sched_param param;

  if (thread <= 0 || sched_getparam (thread, &param) < 0)
    return;
  vcpu->policy = sched_getscheduler (thread);
  vcpu->priority = param.sched_priority;
  vcpu->cpus_size = syscall (SYS_sched_getaffinity, thread, sizeof vcpu->cpus, vcpu->cpus);
  vcpu->cpus_size = MAX (vcpu->cpus_size, 0);
}

static bool
make_vcpus (CprRunner *runner, const CprRunnerConfig *config, GError **error)
{
  int size = cpr_sys->ioctl (config->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);

  runner->run_size = (size_t) MAX (size, 4096);
  runner->stacks = cpr_sys->mmap (NULL, N_PROCESSES * (config->n_vcpus + 1) * STACK_SIZE, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (size < 0 || runner->stacks == MAP_FAILED)
    return cpr_throw_errno (error, errno, "runner: its stacks");
  runner->vcpus = g_new0 (Vcpu, config->n_vcpus);
  for (unsigned i = 0; i < config->n_vcpus; i++, runner->n_vcpus++)
    {
      Vcpu *vcpu = &runner->vcpus[i];

      vcpu->runner = runner;
      vcpu->fd = config->vcpus[i].fd;
      vcpu->late = &config->area->vcpus[config->vcpus[i].index];
      for (unsigned k = 0; k < N_PROCESSES; k++)
        vcpu->stack[k] = runner->stacks + (k * (config->n_vcpus + 1) + 1 + i) * STACK_SIZE;
      read_schedule (vcpu, config->vcpus[i].thread);
      vcpu->run = cpr_sys->mmap (NULL, runner->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
      if (vcpu->run == MAP_FAILED)
        return cpr_throw_errno (error, errno, "runner: kvm_run of vCPU %u", config->vcpus[i].index);
    }
  return true;
}

/* Pairs of fds: all but those that it keeps, its own and the standard streams. */
static void
set_closed (CprRunner *runner, const CprRunnerConfig *config)
{
  g_autoptr (GArray) all = g_array_copy (config->keep);
  GArray *closed = g_array_new (FALSE, FALSE, sizeof (unsigned));
  const int own[] = { 0, 1, 2, config->release, config->ask, config->gone, config->vm_fd, runner->pidfd };
  unsigned next = 0, last = ~0U;

  g_array_append_vals (all, own, G_N_ELEMENTS (own));
  for (unsigned i = 0; i < config->n_vcpus; i++)
    g_array_append_val (all, config->vcpus[i].fd);
  for (unsigned i = 0; i < config->n_irqfds; i++)
    g_array_append_val (all, config->irqfds[i].fd);
  cpr_fd_sort (all);
  for (guint i = 0; i < all->len; i++)
    {
      int fd = g_array_index (all, int, i);

      if (fd < 0)
        continue;
      if ((unsigned) fd > next)
        {
          last = (unsigned) fd - 1;
          g_array_append_val (closed, next);
          g_array_append_val (closed, last);
        }
      next = (unsigned) fd + 1;
    }
  last = ~0U;
  g_array_append_val (closed, next);
  g_array_append_val (closed, last);
  runner->n_closed = closed->len;
  runner->closed = (unsigned *) (void *) g_array_free (closed, FALSE);
}

static void
set_irqfds (CprRunner *runner, const CprRunnerConfig *config)
{
  runner->n_irqfds = config->n_irqfds;
  runner->irqfds = g_new0 (struct kvm_irqfd, config->n_irqfds);
  for (unsigned i = 0; i < config->n_irqfds; i++)
    {
      runner->irqfds[i] = (struct kvm_irqfd){ .fd = (uint32_t) config->irqfds[i].fd, .gsi = config->irqfds[i].gsi };
      if (config->irqfds[i].resample_fd >= 0)
        {
          runner->irqfds[i].flags = KVM_IRQFD_FLAG_RESAMPLE;
          runner->irqfds[i].resamplefd = (uint32_t) config->irqfds[i].resample_fd;
        }
    }
}

CprRunner *
cpr_runner_new (const CprRunnerConfig *config, GError **error)
{
  CprRunner *runner = g_new0 (CprRunner, 1);

  runner->page = config->page;
  runner->area = config->area;
  runner->release = config->release;
  runner->ask = config->ask;
  runner->gone = config->gone;
  runner->vm_fd = config->vm_fd;
  runner->pidfd = -1;
  runner->stacks = MAP_FAILED;
  config->area->magic = CPR_LATE_MAGIC;
  config->area->n_vcpus = config->n_vcpus;
  place_scripts (runner, config);
  set_irqfds (runner, config);
  runner->pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (getpid ())); /* its place */
  if (runner->pidfd < 0)
    cpr_throw_errno (error, errno, "runner: pidfd_open");
  else if (make_vcpus (runner, config, error))
    {
      set_closed (runner, config);
      return runner;
    }
  cpr_runner_free (runner);
  return NULL;
}

static bool
launch (CprRunner *runner, unsigned process, int (*entry) (void *), uint32_t ready, GError **error)
{
  static const struct timespec patience = { 0, 50 * 1000 * 1000 };
  uint8_t *stack = runner->stacks + process * (runner->n_vcpus + 1) * STACK_SIZE;
  pid_t pid = cpr_sys->clone (entry, stack + STACK_SIZE, CLONE_VM, runner);

  if (pid < 0)
    return cpr_throw_errno (error, errno, "runner: clone");
  runner->pids[process] = pid;
  while (atomic_load (&runner->ready) < ready)
    if (cpr_sys->futex_wait (&runner->ready, ready - 1, &patience) < 0 && errno == ETIMEDOUT &&
        cpr_guardian_look (pid) != CPR_GUARDIAN_THERE)
      return cpr_throw (error, CPR_ERROR_SYSTEM, "runner: it died at its start");
  return cpr_baton_add_guardian (runner->page, pid) ||
         cpr_throw (error, CPR_ERROR_STATE, "runner: there are %d guardians already", CPR_BATON_GUARDIANS);
}

bool
cpr_runner_launch (CprRunner *runner, GError **error)
{
  int opened;

  if (!launch (runner, 0, runner_main, 1, error))
    return false;
  opened = cpr_fd_above_std (cpr_sys->pidfd_open (runner->pids[0]));
  if (opened < 0 || cpr_sys->dup3 (opened, runner->pidfd, O_CLOEXEC) < 0)
    return cpr_throw_errno (error, errno, "runner: pidfd_open");
  cpr_fd_clear (&opened);
  return launch (runner, 1, heir_main, 2, error);
}

void
cpr_runner_free (CprRunner *runner)
{
  if (runner == NULL)
    return;
  for (int i = N_PROCESSES - 1; i >= 0; i--) /* the heir first: it would take over */
    if (runner->pids[i] > 0)
      {
        cpr_signals_send (runner->pids[i], -1, SIGKILL);
        cpr_sys->waitpid (runner->pids[i], NULL, __WALL);
        cpr_baton_remove_guardian (runner->page, runner->pids[i]);
      }
  cpr_fd_clear (&runner->pidfd);
  for (unsigned i = 0; i < runner->n_vcpus; i++)
    cpr_sys->munmap (runner->vcpus[i].run, runner->run_size);
  for (unsigned i = 0; i < runner->n_scripts; i++)
    g_free (runner->scripts[i].filled_in);
  if (runner->stacks != MAP_FAILED)
    cpr_sys->munmap (runner->stacks, N_PROCESSES * (runner->n_vcpus + 1) * STACK_SIZE);
  g_free (runner->scripts);
  g_free (runner->vcpus);
  g_free (runner->irqfds);
  g_free (runner->closed);
  g_free (runner);
}
