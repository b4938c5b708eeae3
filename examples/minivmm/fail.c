/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fail.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* A real one, also where a sanitizer looks on. */
static void __attribute__ ((noinline, no_sanitize ("address", "undefined"))) crash (void)
{
  volatile int *volatile nowhere = NULL;
  *nowhere = 1;
}

bool
survives (const Options *options, const char *step, GError **error)
{
  const char *how = options->fail_by;

  if (g_strcmp0 (options->fail_at, step))
    return true;
  if (!g_strcmp0 (how, "segv"))
    crash ();
  else if (!g_strcmp0 (how, "abort"))
    abort ();
  else if (!g_strcmp0 (how, "exit"))
    _exit (3);
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
