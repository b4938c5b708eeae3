/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 03-device: device state, and a new program whose device has a field more.
 *
 * The first program knows a timer with a counter and a latch; the one it updates to also knows a prescaler,
 * which is optional and therefore may be missing in the state; the update back works because the prescaler
 * still has its default. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libcpr/libcpr.h>

#define N_UPDATES 4

typedef struct
{
  uint32_t counter;
  uint16_t latch[4];
  uint8_t prescaler; /* new in version 2 of this program */
} Timer;

static const CprField old_fields[] = { CPR_FIELD (Timer, counter), CPR_FIELD_ARRAY (Timer, latch), CPR_FIELD_END };

static const CprField new_fields[] = { CPR_FIELD (Timer, counter), CPR_FIELD_ARRAY (Timer, latch),
                                       CPR_FIELD_OPTIONAL (Timer, prescaler, 1), CPR_FIELD_END };

/* Gives to the kernel what the fields say; here there is none. */
static bool
timer_post_load (void *device, uint32_t version, GError **error)
{
  const Timer *timer = device;

  if (timer->latch[3] == 4)
    return true;
  g_set_error_literal (error, CPR_ERROR, CPR_ERROR_MISMATCH, "the latch is impossible");
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
  Timer timer = { .counter = 40, .latch = { 1, 2, 3, 4 }, .prescaler = 1 };
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
  printf ("%s program: counter %d, prescaler %d\n", is_new ? "new" : "old", (int) timer.counter++, timer.prescaler);
  fflush (stdout);
  if (info.generation < N_UPDATES)
    {
      cpr_session_update (session, &update, &error); /* returns only on failure */
      fprintf (stderr, "%s: %s\n", argv[0], error->message);
      return EXIT_FAILURE;
    }
  return EXIT_SUCCESS;
}
