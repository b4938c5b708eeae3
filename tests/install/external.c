/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Built outside the tree against the installed library: `external FILE LAST` hands an open file
 * and a word of RAM to its next self LAST times. Each of them says what it found. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

static bool
stop (void *user_data, GError **error)
{
  return true;
}

static void
start (void *user_data)
{
}

static int
make_note (const char *name, int index, void *path, GError **error)
{
  int fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0 || unlink (path) < 0 || dprintf (fd, "written by %d", (int) getpid ()) < 0)
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "can't make %s", (char *) path);
  return fd;
}

int
main (int argc, char **argv)
{
  const char *generation = argc > 3 ? argv[3] : "0";
  char next[16], text[64] = "";
  CprSessionConfig config = { .size = sizeof config, .name = "external", .stop = stop, .start = start };
  CprUpdate update = { .size = sizeof update,
                       .mode = CPR_MODE_EXEC,
                       .argv = (char *[]){ argv[0], argv[1], argv[2], next, NULL } };
  g_autoptr (GError) error = NULL;
  CprSession *session = cpr_session_new (&config, &error);
  int fd = session ? cpr_fd_open (session, "note", 0, make_note, argv[1], &error) : -1;
  CprRamBlock *ram = fd >= 0 ? cpr_ram_new (session, "ram", 1 << 20, NULL, &error) : NULL;

  if (ram && cpr_session_load (session, &error) && cpr_session_start (session, &error))
    {
      volatile uint64_t *word = cpr_ram_block_get_vaddr (ram);
      bool readable = pread (fd, text, sizeof text - 1, 0) > 0;

      printf ("generation %s, pid %d, ", generation, (int) getpid ());
      printf ("incoming %d, ", cpr_session_is_incoming (session));
      printf ("file '%s', word %" PRIu64 "\n", readable ? text : "", *word);
      fflush (stdout);
      *word += 1;
      snprintf (next, sizeof next, "%d", atoi (generation) + 1);
      if (atoi (next) <= atoi (argv[2]))
        cpr_session_update (session, &update, &error);
    }
  if (error)
    fprintf (stderr, "external: %s\n", error->message);
  cpr_session_free (session);
  return error != NULL;
}
