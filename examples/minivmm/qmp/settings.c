/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QMP's commands about the parameters and capabilities of the next update, for the table in
 * commands.c. A message that is refused changes nothing. */
#include <string.h>

#include "qmp/commands.h"
#include "qmp/server.h"
#include "support/error.h"

/* ---- Capabilities. */

static bool *
find_capability (const QmpCall *call, const char *name)
{
  if (!g_strcmp0 (name, "events"))
    return &call->qmp->events;
  if (!g_strcmp0 (name, "x-ignore-shared"))
    return &call->machine->update.in_place;
  return NULL;
}

static bool
check_capability (const QmpCall *call, const json_t *wish, GError **error)
{
  const char *name = json_string_value (json_object_get (wish, "capability"));
  const json_t *state = json_object_get (wish, "state");
  if (!name || !json_is_boolean (state) || json_object_size (wish) != 2)
    return throw_error (error,
                        "argument 'capabilities': each should have 'capability', a string, and 'state', a boolean");
  return find_capability (call, name) || throw_error (error, "there is no capability '%s'", name);
}

json_t *
qmp_set_capabilities (const QmpCall *call, GError **error)
{
  const json_t *wishes = json_object_get (call->arguments, "capabilities");
  size_t n = json_array_size (wishes);
  for (size_t i = 0; i < n; i++)
    if (!check_capability (call, json_array_get (wishes, i), error))
      return NULL;
  for (size_t i = 0; i < n; i++)
    {
      const json_t *wish = json_array_get (wishes, i);
      const char *name = json_string_value (json_object_get (wish, "capability"));
      *find_capability (call, name) = json_is_true (json_object_get (wish, "state"));
    }
  return json_object ();
}

json_t *
qmp_query_capabilities (const QmpCall *call, GError **error)
{
  return json_pack ("[{s:s, s:b}, {s:s, s:b}]", "capability", "events", "state", (int) call->qmp->events, "capability",
                    "x-ignore-shared", "state", (int) call->machine->update.in_place);
}

/* ---- Parameters. */

/* As one line with the shell's quoting, which is how the machine keeps it; NULL: an error. */
static char *
quote_command (const json_t *words, GError **error)
{
  g_autoptr (GString) line = g_string_new (NULL);
  for (size_t i = 0; i < json_array_size (words); i++)
    {
      const char *word = json_string_value (json_array_get (words, i));
      if (!word)
        {
          throw_error (error, "argument 'cpr-exec-command': each word should be a string");
          return NULL;
        }
      g_autofree char *quoted = g_shell_quote (word);
      g_string_append_printf (line, "%s%s", i ? " " : "", quoted);
    }
  return g_string_free (g_steal_pointer (&line), FALSE);
}

static bool
set_command (Update *update, const json_t *words, GError **error)
{
  g_autofree char *command = quote_command (words, error);
  if (!command)
    return false;
  if (*command)
    return update_set_command (update, command, error);
  update->command_len = 0; /* this program again */
  return true;
}

json_t *
qmp_set_parameters (const QmpCall *call, GError **error)
{
  Update *update = &call->machine->update;
  const json_t *mode = json_object_get (call->arguments, "mode");
  const json_t *command = json_object_get (call->arguments, "cpr-exec-command");
  CprMode old_mode = update->mode;

  if (mode && !update_set_mode (update, json_string_value (mode), error))
    return NULL;
  if (command && !set_command (update, command, error))
    {
      update->mode = old_mode;
      return NULL;
    }
  return json_object ();
}

json_t *
qmp_query_parameters (const QmpCall *call, GError **error)
{
  const Update *update = &call->machine->update;
  g_autofree char *line = g_strndup ((const char *) update->command, update->command_len);
  g_auto (GStrv) words = NULL;
  json_t *command = json_array ();
  if (update->command_len && g_shell_parse_argv (line, NULL, &words, NULL))
    for (char **word = words; *word; word++)
      json_array_append_new (command, json_string (*word));
  return json_pack ("{s:s, s:o}", "mode", update_get_mode_name (update->mode), "cpr-exec-command", command);
}
