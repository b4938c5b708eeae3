/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a message of a client's to the answer, for server.c: what is wrong with a message is said
 * here, what is wrong with a command by its function in commands.c or migrate.c. */
#include "qmp/commands.h"

#include <string.h>

#include "qmp/server.h"
#include "support/error.h"

/* The error of a command that there isn't, or not now, has a class of its own. */
#define GENERIC   "GenericError"
#define NOT_FOUND "CommandNotFound"

static const char *
get_type_name (json_type type)
{
  static const char *const names[] = {
    [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string", [JSON_INTEGER] = "a number",
    [JSON_REAL] = "a number",    [JSON_TRUE] = "a boolean", [JSON_FALSE] = "a boolean", [JSON_NULL] = "a null",
  };
  return names[type];
}

static bool
fits (const json_t *value, json_type type)
{
  return type == JSON_TRUE ? json_is_boolean (value) : json_typeof (value) == type;
}

json_t *
qmp_make_error (const char *class, const char *description, json_t *id)
{
  json_t *text = json_string (description);
  if (!text) /* it isn't UTF-8: it has a file's name in it, perhaps */
    text = json_string ("the error's text isn't UTF-8");
  json_t *answer = json_pack ("{s:{s:s, s:o}}", "error", "class", class, "desc", text);
  if (id)
    json_object_set (answer, "id", id);
  return answer;
}

static bool
check_argument (const QmpArgument *argument, const json_t *arguments, GError **error)
{
  const json_t *value = json_object_get (arguments, argument->name);
  if (!value)
    return argument->optional || throw_error (error, "argument '%s' is missing", argument->name);
  return fits (value, argument->type) ||
         throw_error (error, "argument '%s' should be %s, and is %s", argument->name, get_type_name (argument->type),
                      get_type_name (json_typeof (value)));
}

static bool
is_known (const QmpArgument *known, const char *name)
{
  for (int i = 0; i < QMP_ARGUMENTS_MAX && known[i].name; i++)
    if (!strcmp (known[i].name, name))
      return true;
  return false;
}

static bool
check_arguments (const QmpCommand *command, json_t *arguments, GError **error)
{
  for (int i = 0; i < QMP_ARGUMENTS_MAX && command->arguments[i].name; i++)
    if (!check_argument (&command->arguments[i], arguments, error))
      return false;
  const char *name;
  json_t *value;
  json_object_foreach (arguments, name, value) if (!is_known (command->arguments, name)) return throw_error (
      error, "argument '%s' is unexpected", name);
  return true;
}

/* What else stands in a message is unexpected: "exec-oob", too, as the greeting offers no OOB. */
static bool
check_message (json_t *message, GError **error)
{
  static const QmpArgument members[QMP_ARGUMENTS_MAX] = { { "execute", JSON_STRING, false },
                                                          { "arguments", JSON_OBJECT, true },
                                                          { "id", JSON_NULL, true } };
  const char *name;
  json_t *value;
  if (!json_is_object (message))
    return throw_error (error, "a message should be an object, and is %s", get_type_name (json_typeof (message)));
  json_object_foreach (message, name, value) if (!is_known (members, name)) return throw_error (
      error, "a message's member '%s' is unexpected", name);
  for (int i = 0; i < 2; i++)
    if (!check_argument (&members[i], message, NULL))
      return throw_error (error, "a message's member '%s' should be %s", members[i].name,
                          get_type_name (members[i].type));
  return true;
}

static const QmpCommand *
find_command (const char *name)
{
  for (const QmpCommand *command = qmp_commands; command->name; command++)
    if (!strcmp (command->name, name))
      return command;
  return NULL;
}

/* Whether it is the time for @command: NULL, or why not. */
static const char *
get_objection (const QmpCommand *command, const QmpClient *client)
{
  bool negotiates = command && command->when & QMP_NEGOTIATES;
  if (!client->negotiated)
    return negotiates ? NULL : "qmp_capabilities has to come first";
  if (!command)
    return "there is no command of that name";
  return negotiates ? "the capabilities are negotiated already" : NULL;
}

static bool
check_time (const QmpCommand *command, const Machine *machine, bool saving, GError **error)
{
  if (saving && !(command->when & QMP_ALWAYS))
    return throw_error (error, "%s: the guest is being saved; migrate_cancel ends that", command->name);
  if (monitor_is_waiting (machine->monitor) && !(command->when & QMP_ALWAYS))
    return throw_error (error, "%s: the guest isn't here yet; migrate-incoming lets it come", command->name);
  if (command->when & QMP_HOME && !saving && cpr_session_get_state (machine->session) != CPR_SESSION_STATE_ACTIVE)
    return throw_error (error, "%s: the guest was handed over", command->name);
  return true;
}

static json_t *
execute (Qmp *qmp, QmpClient *client, json_t *message, bool saving)
{
  g_autoptr (GError) error = NULL;
  json_t *id = json_object_get (message, "id");
  if (!check_message (message, &error))
    return qmp_make_error (GENERIC, error->message, id);
  const char *name = json_string_value (json_object_get (message, "execute"));
  const QmpCommand *command = find_command (name);
  const char *objection = get_objection (command, client);
  if (objection)
    {
      g_autofree char *text = g_strdup_printf ("%s: %s", name, objection);
      return qmp_make_error (NOT_FOUND, text, id);
    }
  json_t *arguments = json_object_get (message, "arguments");
  QmpCall call = { qmp, qmp->machine, client, arguments };
  json_t *result = check_arguments (command, arguments, &error) && check_time (command, call.machine, saving, &error)
                       ? command->run (&call, &error)
                       : NULL;
  if (!result)
    return qmp_make_error (GENERIC, error->message, id);
  json_t *answer = json_pack ("{s:o}", "return", result);
  if (id)
    json_object_set (answer, "id", id);
  return answer;
}

json_t *
qmp_execute (Qmp *qmp, QmpClient *client, const char *text, bool saving)
{
  json_error_t problem;
  json_t *message = json_loads (text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
  if (!message)
    {
      g_autofree char *description = g_strdup_printf ("JSON parse error: %s", problem.text);
      return qmp_make_error (GENERIC, description, NULL);
    }
  json_t *answer = execute (qmp, client, message, saving);
  json_decref (message);
  return answer;
}
