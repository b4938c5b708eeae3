/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* way-back CASE: updates to itself, where the new program fails as CASE says before the commit;
 * executed again, the old one prints "back in PID: REASON", with the text of the file and the
 * word of RAM that it had handed over. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

static int n_started;

static bool
stop (void *user_data, GError **error)
{
  return true;
}

static void
start (void *user_data)
{
  n_started++;
}

static int
open_note (const char *name, int index, void *user_data, GError **error)
{
  int fd = memfd_create ("note", MFD_CLOEXEC);

  dprintf (fd, "note %d", index);
  return fd;
}

static void
on_signal (int number)
{
}

static void *
send_signals (void *data)
{
  for (;;)
    kill (getpid (), SIGUSR1);
  return NULL;
}

/* Another thread takes signals, and sends them, all the while. */
static void
start_storm (void)
{
  pthread_t thread;

  pthread_create (&thread, NULL, send_signals, NULL);
}

/* No fd is left to be had, and one that was taken is closed. */
static void
use_up_fds (int note)
{
  struct rlimit limit;
  int highest = dup (STDERR_FILENO);

  close (highest);
  close (note);
  getrlimit (RLIMIT_NOFILE, &limit);
  limit.rlim_cur = (rlim_t) note;
  setrlimit (RLIMIT_NOFILE, &limit);
}

static void
fail (const char *how, int note)
{
  if (strcmp (how, "close-all") == 0)
    close_range (3, ~0U, 0);
  else if (strcmp (how, "no-fds") == 0)
    use_up_fds (note);
  else if (strcmp (how, "close-one") == 0)
    close (note);
  else if (strcmp (how, "replace-one") == 0)
    dup2 (STDERR_FILENO, note);
}

/* A forked child must not update: its parent runs the guest. */
static bool
child_is_refused (CprSession *session, const CprUpdate *update)
{
  pid_t child = fork ();
  int status = -1;

  if (child == 0)
    {
      g_autoptr (GError) error = NULL;

      cpr_session_update (session, update, &error);
      _exit (g_error_matches (error, CPR_ERROR, CPR_ERROR_STATE) ? 0 : 1);
    }
  waitpid (child, &status, 0);
  return WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

static void
report (CprSession *session, CprRamBlock *ram, int note)
{
  CprUpdateInfo info = { .size = sizeof info };
  char text[16] = "";

  cpr_session_get_update_info (session, &info);
  if (pread (note, text, sizeof text - 1, 0) < 0)
    strcpy (text, "gone");
  printf ("back in %d: %s; %s, word %d, started %d\n", getpid (), info.error, text,
          *(int *) cpr_ram_block_get_vaddr (ram), n_started);
}

int
main (int argc, char **argv)
{
  bool is_new = argc > 2;
  char *const next[] = { argv[0], argv[1], (char *) "new", NULL };
  CprSessionConfig config = { .size = sizeof config, .name = "vm", .stop = stop, .start = start, .argv = argv };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = CPR_UPDATE_NO_PREFLIGHT, .argv = next };
  g_autoptr (CprSession) session = NULL;
  g_autoptr (GError) error = NULL;
  CprRamBlock *ram;
  int notes[3];

  signal (SIGUSR1, on_signal); /* before cpr_session_new(), which delivers what came meanwhile */
  if (is_new && strcmp (argv[1], "bad-name") == 0)
    config.name = "";
  if (is_new && strcmp (argv[1], "bad-callbacks") == 0)
    config.start = NULL;
  if (is_new && strcmp (argv[1], "bad-argv") == 0)
    config.argv = argv + argc;
  if (is_new && strcmp (argv[1], "storm") == 0)
    start_storm ();
  session = cpr_session_new (&config, &error);
  for (int i = 0; session != NULL && i < 3; i++)
    notes[i] = cpr_fd_open (session, "note", i, open_note, NULL, &error);
  ram = session != NULL ? cpr_ram_new (session, "ram", 1 << 20, NULL, &error) : NULL;
  if (ram != NULL && is_new)
    {
      fail (argv[1], notes[1]);
      return EXIT_FAILURE; /* the session is freed: that is the way back */
    }
  if (ram == NULL || !cpr_session_load (session, &error) || !cpr_session_start (session, &error))
    {
      fprintf (stderr, "way-back: %s\n", error->message);
      return EXIT_FAILURE;
    }

  if (cpr_session_is_incoming (session))
    report (session, ram, notes[1]);
  else if (strcmp (argv[1], "forked") == 0)
    printf ("child refused: %d\n", child_is_refused (session, &update));
  else
    {
      *(int *) cpr_ram_block_get_vaddr (ram) = 42;
      cpr_session_update (session, &update, &error);
      fprintf (stderr, "way-back: %s\n", error->message);
      return EXIT_FAILURE;
    }
  return EXIT_SUCCESS;
}
