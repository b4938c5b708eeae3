/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 04-exec: what happens when an update fails: before the execve, and after it.
 *
 * The first update is to a program that doesn't exist: the call returns with an error. The
 * second one is to this program with an argument that makes its start-up fail: the old program
 * is executed again from the same state and learns why. The third one works. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

typedef struct
{
  uint32_t n_updates; /* asked for so far */
} Plan;

static const CprField plan_fields[] = { CPR_FIELD (Plan, n_updates), CPR_FIELD_END };
static const CprDeviceType plan_type = { .size = sizeof (CprDeviceType),
                                         .name = "plan",
                                         .version = 1,
                                         .minimum_version = 1,
                                         .state = { "Plan", sizeof (Plan), plan_fields } };

static bool
stop (void *user_data, GError **error)
{
  return true;
}

static void
start (void *user_data)
{
}

/* One main() for a fresh start, for an update, and for the way back. */
static CprSession *
set_up (char **argv, Plan *plan, GError **error)
{
  CprSessionConfig config = { .size = sizeof config, .name = "example", .stop = stop, .start = start, .argv = argv };
  g_autoptr (CprSession) session = cpr_session_new (&config, error);

  if (session == NULL || !cpr_device_add (session, "plan", &plan_type, plan, error))
    return NULL;
  if (argv[1] != NULL && strcmp (argv[1], "broken") == 0)
    {
      g_set_error_literal (error, CPR_ERROR, CPR_ERROR_CALLBACK, "a device of the new program is broken");
      cpr_session_abort (session, *error, NULL); /* executes the old program again */
      return NULL;
    }
  if (!cpr_session_load (session, error) || !cpr_session_start (session, error))
    return NULL;
  return g_steal_pointer (&session);
}

static void
update (CprSession *session, Plan *plan, char *program)
{
  char *const commands[3][3] = { { (char *) "/nowhere/program", NULL },
                                 { program, (char *) "broken", NULL },
                                 { program, (char *) "good", NULL } };
  CprUpdate next = { .size = sizeof next, .mode = CPR_MODE_EXEC, .argv = commands[plan->n_updates++] };
  g_autoptr (GError) error = NULL;

  cpr_session_update (session, &next, &error);
  printf ("  it returned: %s\n", error->message);
}

int
main (int argc, char **argv)
{
  g_autoptr (CprSession) session = NULL;
  g_autoptr (GError) error = NULL;
  Plan plan = { 0 };

  session = set_up (argv, &plan, &error);
  if (session == NULL)
    {
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }
  while (plan.n_updates < 3)
    {
      CprUpdateInfo info = { .size = sizeof info };

      cpr_session_get_update_info (session, &info);
      if (info.status == CPR_UPDATE_ROLLED_BACK)
        printf ("  the new program failed, this is the old one again: %s\n", info.error);
      printf ("process %d, update number %d\n", getpid (), (int) plan.n_updates + 1);
      fflush (stdout);
      update (session, &plan, argv[0]);
    }
  printf ("process %d: updated\n", getpid ());
  return EXIT_SUCCESS;
}
