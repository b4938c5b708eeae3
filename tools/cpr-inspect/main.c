/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arguments, and the commands that they name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

/* How long a program may take to answer. */
#define TIMEOUT_MS  10000
#define TIMEOUT_MAX 3600 /* seconds */

static const char usage[] =
    "usage: cpr-inspect show [--json] FILE               print a state, as a tree or as JSON\n"
    "       cpr-inspect verify FILE...                   say nothing, or what is wrong with a state and where\n"
    "       cpr-inspect diff A B                         print what differs between two states\n"
    "       cpr-inspect schema [--timeout SECONDS] PROGRAM [ARGUMENT...]\n"
    "                                                    print what a program can load\n"
    "       cpr-inspect compat [--json] [--timeout SECONDS] FILE PROGRAM [ARGUMENT...]\n"
    "                                                    print why a program couldn't load a state\n"
    "       cpr-inspect record FILE PROGRAM [ARGUMENT...]\n"
    "                                                    started by a preflight: describe its guest in FILE\n"
    "       cpr-inspect --help | --version\n"
    "FILE is a file, - for the standard input, or /proc/PID/fd/N for a state in a memfd.\n"
    "compat takes a guest's description, too.\n"
    "Exit status: 0 yes or the same, 1 no or different, 2 trouble, 3 no answer. See cpr-inspect(1).\n";

static InspectStatus
complain (const char *what, const char *about)
{
  fprintf (stderr, "cpr-inspect: %s%s\n%s", what, about, usage);
  return INSPECT_TROUBLE;
}

typedef struct
{
  const char *name;
  guint least, most; /* arguments */
  bool has_json, has_timeout;
  const char *wanted;
} Command;

/* The options of all commands. */
typedef struct
{
  bool json;
  unsigned timeout_ms;
} Options;

static bool
take_timeout (char **at, Options *options)
{
  gint64 seconds;

  if (at[1] == NULL || !g_ascii_string_to_signed (at[1], 10, 1, TIMEOUT_MAX, &seconds, NULL))
    return false;
  options->timeout_ms = (unsigned) seconds * 1000;
  return true;
}

/* Takes what begins with "-", but "-" itself, from the front of the arguments. On failure they
 * begin with what is at fault. */
static bool
take_options (const Command *command, char ***arguments, Options *options)
{
  for (char **at = *arguments; *at != NULL && (*at)[0] == '-' && (*at)[1] != '\0'; *arguments = ++at)
    {
      if (strcmp (*at, "--") == 0)
        {
          (*arguments)++;
          break;
        }
      if (command->has_json && strcmp (*at, "--json") == 0)
        options->json = true;
      else if (command->has_timeout && strcmp (*at, "--timeout") == 0 && take_timeout (at, options))
        at++;
      else
        return false;
    }
  return true;
}

static const Command commands[] = {
  { "show", 1, 1, true, false, "show wants one file" },
  { "verify", 1, G_MAXUINT, false, false, "verify wants a file" },
  { "diff", 2, 2, false, false, "diff wants two files" },
  { "schema", 1, G_MAXUINT, false, true, "schema wants a program" },
  { "compat", 2, G_MAXUINT, true, true, "compat wants a file and a program" },
  { "record", 2, G_MAXUINT, false, false, "record wants a file and a program" },
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
  Options options = { .timeout_ms = TIMEOUT_MS };
  guint n;

  if (!take_options (command, &arguments, &options))
    return complain ("invalid option ", *arguments);
  n = g_strv_length (arguments);
  if (n < command->least || n > command->most)
    return complain (command->wanted, "");
  if (strcmp (command->name, "show") == 0)
    return inspect_show (arguments, options.json);
  if (strcmp (command->name, "verify") == 0)
    return inspect_verify (arguments);
  if (strcmp (command->name, "diff") == 0)
    return inspect_diff (arguments);
  if (strcmp (command->name, "schema") == 0)
    return inspect_schema (arguments, options.timeout_ms);
  if (strcmp (command->name, "record") == 0)
    return inspect_record (arguments[0], arguments + 1);
  return inspect_compat (arguments[0], arguments + 1, options.timeout_ms, options.json);
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
