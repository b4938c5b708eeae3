/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

static const char usage[] =
    "usage: cpr-inspect show [--json] FILE   print a state, as a tree or as JSON\n"
    "       cpr-inspect verify FILE...       say nothing, or what is wrong with a state and where\n"
    "       cpr-inspect diff A B             print what differs between two states\n"
    "       cpr-inspect --help | --version\n"
    "FILE is a file, - for the standard input, or /proc/PID/fd/N for a state in a memfd.\n"
    "Exit status: 0 yes or the same, 1 no or different, 2 trouble. See cpr-inspect(1).\n";

static InspectStatus
complain (const char *what, const char *about)
{
  fprintf (stderr, "cpr-inspect: %s%s\n%s", what, about, usage);
  return INSPECT_TROUBLE;
}

/* Takes what begins with "-", but "-" itself, from the front of the arguments: only --json is known. */
static bool
take_options (char ***arguments, bool *json)
{
  char **at = *arguments;

  for (; *at != NULL && (*at)[0] == '-' && (*at)[1] != '\0'; at++)
    {
      if (strcmp (*at, "--") == 0)
        {
          at++;
          break;
        }
      if (json == NULL || strcmp (*at, "--json") != 0)
        {
          *arguments = at;
          return false;
        }
      *json = true;
    }
  *arguments = at;
  return true;
}

static InspectStatus
run_on_files (const char *command, char **arguments)
{
  bool json = false, is_show = strcmp (command, "show") == 0;
  guint n;

  if (!take_options (&arguments, is_show ? &json : NULL))
    return complain ("unknown option ", *arguments);
  n = g_strv_length (arguments);
  if (is_show)
    return n == 1 ? inspect_show (arguments, json) : complain ("show wants one file", "");
  if (strcmp (command, "verify") == 0)
    return n > 0 ? inspect_verify (arguments) : complain ("verify wants a file", "");
  return n == 2 ? inspect_diff (arguments) : complain ("diff wants two files", "");
}

static InspectStatus
run (char **arguments)
{
  static const char *const commands[] = { "show", "verify", "diff", NULL };
  const char *command = arguments[0];

  if (command == NULL)
    return complain ("a command is missing", "");
  if (strcmp (command, "--help") == 0 || strcmp (command, "-h") == 0)
    {
      fputs (usage, stdout);
      return INSPECT_YES;
    }
  if (strcmp (command, "--version") == 0)
    {
      puts ("cpr-inspect (libcpr) " CPR_VERSION_STRING);
      return INSPECT_YES;
    }
  if (!g_strv_contains (commands, command))
    return complain ("there is no command ", command);
  return run_on_files (command, arguments + 1);
}

int
main (int argc, char **argv)
{
  InspectStatus status = run (argc > 0 ? argv + 1 : argv);

  if (fflush (stdout) != 0 || ferror (stdout))
    {
      fprintf (stderr, "cpr-inspect: writing: %s\n", strerror (errno));
      return INSPECT_TROUBLE;
    }
  return (int) status;
}
