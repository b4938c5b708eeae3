/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 02-ram: guest RAM stays in place over an update.
 *
 * The program counts in a RAM block and replaces itself, a few times; it prints where the block
 * is mapped and how long the pause was, which doesn't depend on the size: try `02-ram 4096`
 * (MiB). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define N_UPDATES 3
#define MIB       ((size_t) 1024 * 1024)

static bool
stop (void *user_data, GError **error)
{
  return true;
}

static void
start (void *user_data)
{
}

int
main (int argc, char **argv)
{
  size_t size = (argc > 1 ? strtoul (argv[1], NULL, 10) : 256) * MIB;
  CprSessionConfig config = { .size = sizeof config, .name = "example", .stop = stop, .start = start, .argv = argv };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };
  CprUpdateInfo info = { .size = sizeof info };
  g_autoptr (CprSession) session = NULL;
  g_autoptr (GError) error = NULL;
  CprRamBlock *block = NULL;
  uint64_t *counter;

  session = cpr_session_new (&config, &error);
  if (session != NULL)
    block = cpr_ram_new (session, "ram", size, NULL, &error); /* creates it, or takes it over */
  if (block == NULL || !cpr_session_load (session, &error) || !cpr_session_start (session, &error))
    {
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }

  counter = cpr_ram_block_get_vaddr (block);
  if (!cpr_session_is_incoming (session))
    memset (counter, 0, size); /* touch all of it */
  cpr_session_get_update_info (session, &info);
  printf ("process %d: counter %d, block at %p, pause %d us\n", getpid (), (int) ++*counter, (void *) counter,
          (int) (info.pause_ns / 1000));
  fflush (stdout);
  if (info.generation < N_UPDATES)
    {
      cpr_session_update (session, &update, &error); /* returns only on failure */
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }
  return EXIT_SUCCESS;
}
