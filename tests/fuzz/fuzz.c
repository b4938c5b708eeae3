/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#define SECONDS 2

/* A function of AddressSanitizer, which is missing without it. */
int __sanitizer_install_malloc_and_free_hooks (void (*allocated) (const volatile void *, size_t),
                                               void (*freed) (const volatile void *)) __attribute__ ((weak));
size_t __sanitizer_get_allocated_size (const volatile void *) __attribute__ ((weak));

static bool watching;
static int64_t live, most;

static void
count_allocated (const volatile void *at, size_t size)
{
  if (!watching || at == NULL)
    return;
  live += (int64_t) size;
  most = MAX (most, live);
}

static void
count_freed (const volatile void *at)
{
  if (watching && at != NULL)
    live -= (int64_t) __sanitizer_get_allocated_size (at);
}

/* A message of g_return_if_fail() is a finding, too. Fuzzers take SIGABRT for one, but not the
 * SIGTRAP of GLib's own handler. */
static void
end (const char *domain, GLogLevelFlags level, const char *message, void *user_data)
{
  fprintf (stderr, "%s\n", message);
  if ((level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING)) != 0)
    abort ();
}

static void
end_slow (int number)
{
  static const char message[] = "too slow\n";

  (void) !write (STDERR_FILENO, message, sizeof message - 1);
  abort ();
}

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  signal (SIGPROF, end_slow);
  g_log_set_default_handler (end, NULL);
  if (__sanitizer_install_malloc_and_free_hooks != NULL)
    __sanitizer_install_malloc_and_free_hooks (count_allocated, count_freed);
  return 0;
}

/* Valgrind takes its time. */
static void
limit_time (long seconds)
{
  struct itimerval limit = { .it_value.tv_sec = getenv ("RUNNING_ON_VALGRIND") != NULL ? 50 * seconds : seconds };

  setitimer (ITIMER_PROF, &limit, NULL);
}

void
fuzz_begin (void)
{
  limit_time (SECONDS);
  live = most = 0;
  watching = true;
}

void
fuzz_end (size_t limit)
{
  watching = false;
  limit_time (0);
  if (most > (int64_t) limit)
    g_error ("%" G_GINT64_FORMAT " bytes were allocated at once, at most %zu are expected", most, limit);
}

uint64_t
fuzz_digest (uint64_t digest, const void *data, size_t len)
{
  const uint8_t *bytes = data;

  for (size_t i = 0; i < len; i++)
    digest = (digest ^ bytes[i]) * UINT64_C (0x100000001b3);
  return digest;
}
