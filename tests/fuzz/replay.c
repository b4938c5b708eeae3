/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of a fuzzer: runs a target on files, and on the files in folders. */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

/* Only a fuzzer's mutations call it. */
size_t
LLVMFuzzerMutate (uint8_t *data, size_t size, size_t max_size)
{
  return size;
}

static unsigned
replay_file (const char *path)
{
  g_autofree char *contents = NULL;
  g_autofree uint8_t *exact = NULL;
  GError *error = NULL;
  size_t size;

  if (!g_file_get_contents (path, &contents, &size, &error))
    g_error ("%s", error->message);
  /* A copy without the zero byte at the end, so that a tool sees every read beyond it. */
  exact = g_malloc (size);
  if (size > 0)
    memcpy (exact, contents, size);
  printf ("%s\n", path);
  fflush (stdout);
  LLVMFuzzerTestOneInput (exact, size);
  return 1;
}

static unsigned
replay (const char *path)
{
  GDir *folder = g_dir_open (path, 0, NULL);
  const char *name;
  unsigned n = 0;

  if (folder == NULL)
    return replay_file (path);
  while ((name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *inner = g_build_filename (path, name, NULL);

      n += replay (inner);
    }
  g_dir_close (folder);
  return n;
}

int
main (int argc, char **argv)
{
  unsigned n = 0;

  LLVMFuzzerInitialize (&argc, &argv);
  for (int i = 1; i < argc; i++)
    n += replay (argv[i]);
  printf ("%u inputs\n", n);
  return n > 0 ? 0 : 2;
}
