/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fuzz.h"

/* AddressSanitizer's; missing without it. */
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

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  /* What a g_return_if_fail() says is a finding too. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
  if (__sanitizer_install_malloc_and_free_hooks != NULL)
    __sanitizer_install_malloc_and_free_hooks (count_allocated, count_freed);
  return 0;
}

void
fuzz_watch_memory (void)
{
  live = most = 0;
  watching = true;
}

void
fuzz_check_memory (size_t limit)
{
  watching = false;
  if (most > (int64_t) limit)
    g_error ("%" G_GINT64_FORMAT " bytes were allocated at once, %zu are justified", most, limit);
}

uint64_t
fuzz_digest (uint64_t digest, const void *data, size_t len)
{
  const uint8_t *bytes = data;

  for (size_t i = 0; i < len; i++)
    digest = (digest ^ bytes[i]) * UINT64_C (0x100000001b3);
  return digest;
}
