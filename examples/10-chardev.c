/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 10-chardev: a console that an update doesn't cut off.
 *
 * `10-chardev BACKEND`: stdio, pty, unix:PATH,server=on,wait=off and so on. The guest answers each
 * line with its number. The line "update" makes an update to the same program, and "quit" is the
 * end. Lines that come together are read together: so the program that reads "update" has the ones
 * after it too, and the next program answers them. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libcpr/libcpr.h>

#define LINE_MAX_LEN 80

typedef struct
{
  CprChardev *line;
  uint32_t n_lines;
  uint32_t len; /* of the line so far */
  uint8_t text[LINE_MAX_LEN];
} Console;

static const CprField console_fields[] = {
  CPR_FIELD (Console, n_lines),
  CPR_FIELD_COUNTED (Console, text, len),
  CPR_FIELD_END,
};

static const CprDeviceType console_type = { .size = sizeof (CprDeviceType),
                                            .name = "console",
                                            .version = 1,
                                            .minimum_version = 1,
                                            .state = { "Console", sizeof (Console), console_fields } };

static bool
stop_guest (void *user_data, GError **error)
{
  return true; /* this guest runs only when it is called */
}

static void
start_guest (void *user_data)
{
}

static void
answer (Console *console, const char *text)
{
  g_autofree char *line = g_strdup_printf ("%u: %s\n", ++console->n_lines, text);

  cpr_chardev_write (console->line, line, strlen (line));
}

/* The guest: gets one byte. Returns the line that it ends, or NULL. */
static char *
get_byte (Console *console, uint8_t byte)
{
  size_t len = console->len;

  if (byte != '\n' && len < LINE_MAX_LEN)
    console->text[console->len++] = byte;
  if (byte != '\n')
    return NULL;
  console->len = 0;
  return g_strndup ((const char *) console->text, len);
}

static void
update (CprSession *session, Console *console)
{
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .program = "/proc/self/exe" };
  g_autoptr (GError) error = NULL;

  cpr_session_update (session, &update, &error);
  answer (console, error->message); /* it returned, so it failed */
}

/* False: the end. */
static bool
run_guest (CprSession *session, Console *console)
{
  uint8_t byte;

  while (cpr_chardev_read (console->line, &byte, 1) == 1)
    {
      g_autofree char *line = get_byte (console, byte);

      if (line != NULL && strcmp (line, "quit") == 0)
        return false;
      if (line != NULL && strcmp (line, "update") == 0)
        update (session, console);
      else if (line != NULL)
        answer (console, line);
    }
  return true;
}

static void
run_main_loop (CprSession *session, Console *console)
{
  struct pollfd fds[CPR_CHARDEV_FDS];

  while (run_guest (session, console))
    {
      int timeout_ms = cpr_chardev_fill_fds (console->line, fds);

      poll (fds, CPR_CHARDEV_FDS, timeout_ms);
      cpr_chardev_serve (console->line);
    }
}

int
main (int argc, char **argv)
{
  const CprSessionConfig config = { .size = sizeof config,
                                    .name = "10-chardev",
                                    .stop = stop_guest,
                                    .start = start_guest,
                                    .incoming_flags = CPR_INCOMING_REHEARSE };
  g_autoptr (GError) error = NULL;
  Console console = { .n_lines = 0 };
  CprSession *session = cpr_session_new (&config, &error);

  if (session != NULL)
    console.line = cpr_chardev_new (session, "console", argc > 1 ? argv[1] : "stdio", &error);
  if (console.line == NULL || !cpr_device_add (session, "console", &console_type, &console, &error) ||
      !cpr_session_load (session, &error) || !cpr_session_start (session, &error))
    {
      fprintf (stderr, "10-chardev: %s\n", error->message);
      return EXIT_FAILURE;
    }
  run_main_loop (session, &console);
  cpr_chardev_remove (console.line, NULL);
  cpr_session_free (session);
  return EXIT_SUCCESS;
}
