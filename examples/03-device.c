/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 03-device: device state, and a new program whose device has a field more.
 *
 * Both programs know a timer with a counter, an owner and a list of alarms; the one it updates
 * to also knows a prescaler. It is optional and therefore may be missing in the state, and the
 * update back works because it still has its default. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define N_UPDATES 4

typedef struct
{
  int64_t at_ns;
} Alarm;

typedef struct
{
  uint32_t counter;
  char *owner;       /* from g_malloc() */
  GPtrArray *alarms; /* of Alarm */
  uint8_t prescaler; /* new in the new program */
} Timer;

/* How the library walks through the container and fills it. */
static void *
get_next_alarm (const void *container, const void *element)
{
  const GPtrArray *alarms = *(GPtrArray *const *) container;
  guint i = 0;

  if (element != NULL && g_ptr_array_find ((GPtrArray *) alarms, element, &i))
    i++;
  return i < alarms->len ? alarms->pdata[i] : NULL;
}

static void *
append_alarm (void *container)
{
  Alarm *alarm = g_new0 (Alarm, 1);

  g_ptr_array_add (*(GPtrArray **) container, alarm);
  return alarm;
}

static void
clear_alarms (void *container)
{
  g_ptr_array_set_size (*(GPtrArray **) container, 0);
}

static const CprList alarm_list = { get_next_alarm, append_alarm, clear_alarms };
static const CprField alarm_fields[] = { CPR_FIELD_TIME (Alarm, at_ns), CPR_FIELD_END };
static const CprStruct alarm_struct = { "Alarm", sizeof (Alarm), alarm_fields };

#define OLD_FIELDS                                                       \
  CPR_FIELD (Timer, counter), CPR_FIELD_HEAP_STRING (Timer, owner, 255), \
      CPR_FIELD_LIST (Timer, alarms, Alarm, alarm_struct, 1000, alarm_list)
static const CprField old_fields[] = { OLD_FIELDS, CPR_FIELD_END };
static const CprField new_fields[] = { OLD_FIELDS, CPR_FIELD_OPTIONAL (Timer, prescaler, 1), CPR_FIELD_END };

/* Gives to the kernel what the fields say; here there is none. */
static bool
timer_post_load (void *device, uint32_t version, GError **error)
{
  const Timer *timer = device;

  if (timer->prescaler != 0)
    return true;
  g_set_error_literal (error, CPR_ERROR, CPR_ERROR_MISMATCH, "the prescaler is 0");
  return false;
}

#define TIMER_TYPE(fields)                                                               \
  {                                                                                      \
    .size = sizeof (CprDeviceType), .name = "timer", .version = 1, .minimum_version = 1, \
    .state = { "Timer", sizeof (Timer), fields }, .post_load = timer_post_load           \
  }

static const CprDeviceType old_type = TIMER_TYPE (old_fields), new_type = TIMER_TYPE (new_fields);

static bool
stop (void *user_data, GError **error)
{
  return true;
}

static void
start (void *user_data)
{
}

int
main (int argc, char **argv)
{
  bool is_new = argc > 1 && strcmp (argv[1], "new") == 0;
  char *other[] = { argv[0], (char *) (is_new ? "old" : "new"), NULL };
  CprSessionConfig config = { .size = sizeof config, .name = "example", .stop = stop, .start = start, .argv = argv };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = other };
  CprUpdateInfo info = { .size = sizeof info };
  Timer timer = { .alarms = g_ptr_array_new_with_free_func (g_free), .prescaler = 1 };
  g_autoptr (CprSession) session = NULL;
  g_autoptr (GError) error = NULL;

  session = cpr_session_new (&config, &error);
  if (session == NULL || !cpr_device_add (session, "timer0", is_new ? &new_type : &old_type, &timer, &error) ||
      !cpr_session_load (session, &error) || !cpr_session_start (session, &error))
    {
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }

  cpr_session_get_update_info (session, &info);
  printf ("%s program: counter %u, owner %s, %u alarms, prescaler %d\n", is_new ? "new" : "old", timer.counter,
          timer.owner != NULL ? timer.owner : "nobody", timer.alarms->len, timer.prescaler);
  fflush (stdout);

  timer.counter++;
  g_free (timer.owner);
  timer.owner = g_strdup_printf ("update %u", timer.counter);
  ((Alarm *) append_alarm (&timer.alarms))->at_ns = g_get_monotonic_time () * 1000;
  if (info.generation < N_UPDATES)
    {
      cpr_session_update (session, &update, &error); /* returns only on failure */
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }
  g_ptr_array_unref (timer.alarms);
  g_free (timer.owner);
  return EXIT_SUCCESS;
}
