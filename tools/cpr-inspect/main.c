/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arguments, and the commands that they name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

static const char usage[] =
    "usage: cpr-inspect show [--json] FILE               print a state, as a tree or as JSON\n"
    "       cpr-inspect verify FILE...                   say nothing, or what is wrong with a state and where\n"
    "       cpr-inspect diff A B                         print what differs between two states\n"
    "       cpr-inspect schema PROGRAM [ARGUMENT...]     print what a program can load\n"
    "       cpr-inspect compat FILE PROGRAM [ARGUMENT...]\n"
    "                                                    print why a program couldn't load a state\n"
    "       cpr-inspect --help | --version\n"
    "FILE is a file, - for the standard input, or /proc/PID/fd/N for a state in a memfd.\n"
    "Exit status: 0 yes or the same, 1 no or different, 2 trouble. See cpr-inspect(1).\n";

static InspectStatus
complain (const char *what, const char *about)
{
  fprintf (stderr, "cpr-inspect: %s%s\n%s", what, about, usage);
  return INSPECT_TROUBLE;
}

/* Takes what begins with "-", but "-" itself, from the front of the arguments: only --json is
 * known. */
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

typedef struct
{
  const char *name;
  guint least, most; /* arguments */
  const char *wanted;
} Command;

static const Command commands[] = {
  { "show", 1, 1, "show wants one file" },
  { "verify", 1, G_MAXUINT, "verify wants a file" },
  { "diff", 2, 2, "diff wants two files" },
  { "schema", 1, G_MAXUINT, "schema wants a program" },
  { "compat", 2, G_MAXUINT, "compat wants a file and a program" },
};

static const Command *
find_command (const char *name)
{
  for (size_t i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (commands[i].name, name) == 0)
      return &commands[i];
  return NULL;
}

static InspectStatus
run_command (const Command *command, char **arguments)
{
  bool json = false, is_show = strcmp (command->name, "show") == 0;
  guint n;

  if (!take_options (&arguments, is_show ? &json : NULL))
    return complain ("unknown option ", *arguments);
  n = g_strv_length (arguments);
  if (n < command->least || n > command->most)
    return complain (command->wanted, "");
  if (is_show)
    return inspect_show (arguments, json);
  if (strcmp (command->name, "verify") == 0)
    return inspect_verify (arguments);
  if (strcmp (command->name, "diff") == 0)
    return inspect_diff (arguments);
  if (strcmp (command->name, "schema") == 0)
    return inspect_schema (arguments);
  return inspect_compat (arguments[0], arguments + 1);
}

static InspectStatus
run (char **arguments)
{
  const char *name = arguments[0];

  if (name == NULL)
    return complain ("a command is missing", "");
  if (strcmp (name, "--help") == 0 || strcmp (name, "-h") == 0)
    {
      fputs (usage, stdout);
      return INSPECT_YES;
    }
  if (strcmp (name, "--version") == 0)
    {
      puts ("cpr-inspect (libcpr) " CPR_VERSION_STRING);
      return INSPECT_YES;
    }
  if (find_command (name) == NULL)
    return complain ("there is no command ", name);
  return run_command (find_command (name), arguments + 1);
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
