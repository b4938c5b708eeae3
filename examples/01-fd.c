/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 01-fd: an open file survives an update.
 *
 * The program writes a line into a temporary file without a name and replaces itself, a few
 * times. The file exists only as long as somebody has it open: what the last one reads is what
 * all of them wrote. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define N_UPDATES 3

/* There is no guest here: nothing to stop. */
static bool
stop (void *user_data, GError **error)
{
  return true;
}

static void
start (void *user_data)
{
}

/* Called in the first program only; the others take over what is there. */
static int
open_diary (const char *name, int index, void *user_data, GError **error)
{
  int fd = memfd_create ("diary", MFD_CLOEXEC);

  if (fd < 0)
    g_set_error_literal (error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "memfd_create failed");
  return fd;
}

static void
print_diary (int fd)
{
  char text[1024];
  ssize_t len = pread (fd, text, sizeof text, 0);

  fwrite (text, 1, len > 0 ? (size_t) len : 0, stdout);
}

int
main (int argc, char **argv)
{
  CprSessionConfig config = { .size = sizeof config, .name = "example", .stop = stop, .start = start, .argv = argv };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };
  CprUpdateInfo info = { .size = sizeof info };
  g_autoptr (CprSession) session = NULL;
  g_autoptr (GError) error = NULL;
  int diary = -1;

  session = cpr_session_new (&config, &error);
  if (session != NULL)
    diary = cpr_fd_open (session, "diary", 0, open_diary, NULL, &error);
  if (diary < 0 || !cpr_session_load (session, &error) || !cpr_session_start (session, &error))
    {
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }

  cpr_session_get_update_info (session, &info);
  dprintf (diary, "generation %d was here, process %d\n", (int) info.generation, getpid ());
  if (info.generation < N_UPDATES)
    {
      cpr_session_update (session, &update, &error); /* returns only on failure */
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }
  print_diary (diary);
  cpr_fd_remove (session, "diary", 0, NULL);
  close (diary);
  return EXIT_SUCCESS;
}
