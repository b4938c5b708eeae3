/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int
run_suite (Suite *suite)
{
  SRunner *runner = srunner_create (suite);
  int failed;

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

bool
under_valgrind (void)
{
  const char *preload = g_getenv ("LD_PRELOAD");

  return g_getenv ("RUNNING_ON_VALGRIND") != NULL || (preload != NULL && strstr (preload, "vgpreload") != NULL);
}

unsigned
update_flags (void)
{
  const unsigned flags = CPR_UPDATE_NO_PREFLIGHT | CPR_UPDATE_NO_RESCUE; /* a rescue would run all tests again */

#ifdef __SANITIZE_THREAD__
  return flags | CPR_UPDATE_NO_GUARDIAN;
#else
  return under_valgrind () ? flags | CPR_UPDATE_NO_GUARDIAN : flags;
#endif
}

void
assert_error_at (const char *file, int line, GError **error, int code, const char *text)
{
  if (*error == NULL)
    ck_abort_msg ("%s:%d: expected an error with code %d and '%s', found none", file, line, code, text);
  if ((*error)->domain != CPR_ERROR || (*error)->code != code || strstr ((*error)->message, text) == NULL)
    ck_abort_msg ("%s:%d: expected an error with code %d and '%s', found '%s' (%s, code %d)", file, line, code, text,
                  (*error)->message, g_quark_to_string ((*error)->domain), (*error)->code);
  g_clear_error (error);
}

char *
name_of (size_t len)
{
  return g_strnfill (len, 'n');
}

int
file_new (size_t size)
{
  int fd = memfd_create ("unit-test", MFD_CLOEXEC);

  ck_assert_int_ge (fd, 3);
  ck_assert_int_eq (ftruncate (fd, (off_t) size), 0);
  return fd;
}

CprCursor
written_from (const CprWriter *writer, size_t start)
{
  return (CprCursor){ .data = writer->data + start, .len = writer->len - start };
}

unsigned
count_mappings (const char *text)
{
  g_autofree char *maps = NULL;
  unsigned n = 0;

  ck_assert (g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL));
  for (const char *at = maps; (at = strstr (at, text)) != NULL; at += strlen (text))
    n++;
  return n;
}

static void
describe_fds (GString *text)
{
  for (int fd = 0; fd < 1024; fd++)
    {
      struct stat st;

      if (fstat (fd, &st) == 0)
        g_string_append_printf (text, "fd %d: %lx:%lx type %o flags %o %s\n", fd, (unsigned long) st.st_dev,
                                (unsigned long) st.st_ino, st.st_mode & S_IFMT,
                                (unsigned) fcntl (fd, F_GETFL), /* with O_CLOEXEC or without */
                                (fcntl (fd, F_GETFD) & FD_CLOEXEC) != 0 ? "close-on-exec" : "inherited");
    }
}

static void
describe_signals (GString *text)
{
  struct itimerval timer;
  sigset_t mask, pending;

  sigprocmask (SIG_BLOCK, NULL, &mask);
  sigpending (&pending);
  for (int number = 1; number <= 64; number++)
    if (sigismember (&mask, number) == 1 || sigismember (&pending, number) == 1)
      g_string_append_printf (text, "signal %d:%s%s\n", number, sigismember (&mask, number) == 1 ? " blocked" : "",
                              sigismember (&pending, number) == 1 ? " pending" : "");
  getitimer (ITIMER_REAL, &timer); /* it runs on meanwhile: to 100 s */
  g_string_append_printf (text, "timer: %ld00 s, each %ld s\n", (long) timer.it_value.tv_sec / 100,
                          (long) timer.it_interval.tv_sec);
}

char *
process_describe (void)
{
  GString *text = g_string_new (NULL);
  g_autofree char *cwd = g_get_current_dir ();
  mode_t mode = umask (0);
  siginfo_t child;
  bool childless;

  umask (mode);
  describe_fds (text);
  describe_signals (text);
  childless = waitid (P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 && errno == ECHILD;
  g_string_append_printf (text, "mappings of states, batons and RAM: %u\n", count_mappings ("/memfd:libcpr-"));
  g_string_append_printf (text, "children: %s\n", childless ? "none" : "some");
  g_string_append_printf (text, "umask %o in %s\n", mode, cwd);
  for (char **variable = environ; *variable != NULL; variable++)
    g_string_append_printf (text, "%s\n", *variable);
  return g_string_free (text, FALSE);
}

/* The lines of @text that aren't in @other. */
static char *
only_in (const char *text, const char *other)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1), others = g_strsplit (other, "\n", -1);
  GString *only = g_string_new (NULL);

  for (char **line = lines; *line != NULL; line++)
    if (!g_strv_contains ((const char *const *) others, *line))
      g_string_append_printf (only, "%.200s\n", *line);
  g_string_truncate (only, MIN (only->len, 2000));
  return g_string_free (only, FALSE);
}

void
assert_process_at (const char *file, int line, const char *before)
{
  g_autofree char *now = process_describe ();

  if (strcmp (before, now) != 0)
    {
      g_autofree char *gone = only_in (before, now), *come = only_in (now, before);

      ck_abort_msg ("%s:%d: the process was:\n%sand is:\n%s", file, line, gone, come);
    }
}
