/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests of the ways back: where --fail-at says, a minivmm that takes a guest over fails. */
#include "fail.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aids.h"
#include "serial-test.h"
#include "support/error.h"

/* Longer than a pause budget, shorter than a deadline. */
#define SLOW_US (1500 * 1000)

/* A child has nothing to do with the guest, whatever becomes of it. */
static void
crash_child (void)
{
  pid_t pid = fork ();
  if (!pid)
    raise (SIGSEGV);
  waitpid (pid, NULL, 0);
}

/* As older VMMs end: with a message, from anywhere. */
static CprSession *new_session;

static void
say_and_exit (const char *step)
{
  g_autofree char *message = g_strdup_printf ("start-up exits at %s, as told to", step);
  cpr_session_set_reason (new_session, message);
  exit (3);
}

static gpointer
exit_thread (gpointer step)
{
  say_and_exit (step);
  return NULL;
}

/* A real one, also where a sanitizer looks on. */
static void __attribute__ ((noinline, no_sanitize ("address", "undefined"))) crash (void)
{
  volatile int *volatile nowhere = NULL;
  *nowhere = 1;
}

/* Set once there is RAM. */
static const GuestRam *ram;

/* Writes to the guest's RAM, which isn't the new program's yet; with a @mask, other contents. */
static void __attribute__ ((noinline, no_sanitize ("address", "undefined"))) write_ram (uint8_t mask)
{
  volatile uint8_t *at = (uint8_t *) ram->vaddr + ram->size / 2;
  *at = (uint8_t) (*at ^ mask);
}

/* True: it isn't this step. */
static bool
survives (const char *step, GError **error)
{
  const char *how = aids.fail_by;

  if (g_strcmp0 (aids.fail_at, step))
    return true;
  if (!g_strcmp0 (how, "segv"))
    crash ();
  else if (!g_strcmp0 (how, "write"))
    write_ram (0xff);
  else if (!g_strcmp0 (how, "rewrite"))
    {
      write_ram (0);
      return true;
    }
  else if (!g_strcmp0 (how, "abort"))
    abort ();
  else if (!g_strcmp0 (how, "exit"))
    _exit (3);
  else if (!g_strcmp0 (how, "call-exit"))
    say_and_exit (step);
  else if (!g_strcmp0 (how, "thread-exit"))
    g_thread_join (g_thread_new ("exit", exit_thread, (gpointer) step));
  else if (!g_strcmp0 (how, "kill"))
    raise (SIGKILL);
  else if (!g_strcmp0 (how, "stop"))
    raise (SIGSTOP);
  else if (!g_strcmp0 (how, "halt"))
    {
      raise (SIGSTOP);
      return true;
    }
  else if (!g_strcmp0 (how, "hang"))
    for (;;)
      pause ();
  else if (!g_strcmp0 (how, "slow"))
    {
      g_usleep (SLOW_US);
      return true;
    }
  else if (!g_strcmp0 (how, "child"))
    {
      crash_child ();
      return true;
    }
  return throw_error (error, "start-up fails at %s, as told to", step);
}

static bool
lives (const char *step, GError **error)
{
  return !cpr_session_is_incoming (new_session) || survives (step, error);
}

static bool
fail_at_new (Machine *machine, GError **error)
{
  new_session = machine->session;
  return lives ("new", error);
}

const Part fail_first_part = { .build = fail_at_new };

static bool
fail_at_ram (Machine *machine, GError **error)
{
  ram = &machine->ram;
  return lives ("ram", error);
}

const Part fail_ram_part = { .build = fail_at_ram };

static bool
fail_at_fds (Machine *machine, GError **error)
{
  return lives ("fds", error);
}

const Part fail_fds_part = { .build = fail_at_fds };

/* It has closed an fd by then, as a constructor that fails would. */
static bool
fail_at_devices (Machine *machine, GError **error)
{
  if (lives ("devices", error))
    return true;
  serial_close (machine->serial);
  return false;
}

const Part fail_last_part = { .build = fail_at_devices };

/* ---- Before the commit and after it. The linker puts these in the place of the example's. */

bool __real_vm_loaded (Vm *vm, GError **error);
bool __wrap_vm_loaded (Vm *vm, GError **error);
bool __real_monitor_wait (Monitor *monitor, GError **error);
bool __wrap_monitor_wait (Monitor *monitor, GError **error);
bool __real_monitor_run (Monitor *monitor, GError **error);
bool __wrap_monitor_run (Monitor *monitor, GError **error);

bool
__wrap_vm_loaded (Vm *vm, GError **error)
{
  return __real_vm_loaded (vm, error) && lives ("start", error);
}

bool
__wrap_monitor_wait (Monitor *monitor, GError **error)
{
  return __real_monitor_wait (monitor, error) && lives ("decided", error);
}

bool
__wrap_monitor_run (Monitor *monitor, GError **error)
{
  return lives ("running", error) && __real_monitor_run (monitor, error);
}

/* ---- The load of the example's device `update`: it has no such function itself. */

static bool
fail_at_load (void *device, uint32_t version, GError **error)
{
  return survives ("load", error);
}

bool
__real_cpr_device_add (CprSession *session, const char *name, const CprDeviceType *type, void *device, GError **error);
bool
__wrap_cpr_device_add (CprSession *session, const char *name, const CprDeviceType *type, void *device, GError **error);

/* The linker puts it in the place of cpr_device_add(). */
bool
__wrap_cpr_device_add (CprSession *session, const char *name, const CprDeviceType *type, void *device, GError **error)
{
  static CprDeviceType failing;
  if (type == &update_type)
    {
      failing = update_type;
      failing.post_load = fail_at_load;
      type = &failing;
    }
  return __real_cpr_device_add (session, name, type, device, error);
}
