/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which devices are called, and the cost of many devices. */
#include "programs.h"

#include <time.h>

static Programs programs;
static GError *error;
static GString *calls;

static void
setup (void)
{
  programs_init (&programs);
  error = NULL;
  calls = g_string_new (NULL);
}

static void
teardown (void)
{
  programs_clear (&programs);
  g_string_free (calls, TRUE);
}

/* A device that tells when it is called. */
typedef struct
{
  char id;
  const char *fails; /* the callback that does */
} Probe;

static bool
tell (const Probe *probe, const char *callback, GError **to_error)
{
  g_string_append_printf (calls, "%s %c, ", callback, probe->id);
  if (g_strcmp0 (probe->fails, callback) != 0)
    return true;
  g_set_error (to_error, g_quark_from_static_string ("probe"), 5, "%s says no", callback);
  return false;
}

static bool
pre_save (void *device, GError **to_error)
{
  return tell (device, "pre", to_error);
}

static bool
save_bulk (void *device, CprBulk *bulk, GError **to_error)
{
  return tell (device, "bulk", to_error) && cpr_bulk_write (bulk, device, 1, to_error);
}

static bool
load_bulk (void *device, CprBulk *bulk, GError **to_error)
{
  char id;

  return tell (device, "bulk", to_error) && cpr_bulk_read (bulk, &id, 1, to_error);
}

static bool
post_load (void *device, uint32_t version G_GNUC_UNUSED, GError **to_error)
{
  return tell (device, "post", to_error);
}

static const CprField probe_fields[] = { CPR_FIELD (Probe, id), CPR_FIELD_END };
#define TYPE(type_name, ...)                                                                                      \
  {                                                                                                               \
    .size = sizeof (CprDeviceType), .name = type_name, .version = 1, .minimum_version = 1,                        \
    .state = { "Probe", sizeof (Probe), probe_fields }, .pre_save = pre_save, .post_load = post_load, __VA_ARGS__ \
  }

static const char *const after_bus[] = { "bus", "nothing of that name", NULL };
static const char *const after_disk[] = { "disk", "bus", NULL };
static const char *const after_nothing[] = { NULL };
static const CprDeviceType bus = TYPE ("bus", .load_after = after_nothing);
static const CprDeviceType disk = TYPE ("disk", .load_after = after_bus);
static const CprDeviceType part = TYPE ("part", .load_after = after_disk);
static const CprDeviceType screen = TYPE ("screen", .save_bulk = save_bulk, .load_bulk = load_bulk);

/* Names as "d1" for the id '1'. */
static void
add (CprDeviceTable *table, const CprDeviceType *type, Probe *probe)
{
  const char name[] = { 'd', probe->id, '\0' };

  ck_assert_msg (cpr_device_table_add (table, name, type, probe, &error), "%s", error != NULL ? error->message : "");
}

static void
save (void)
{
  ck_assert_msg (programs_save (&programs, &error), "%s", error != NULL ? error->message : "");
  g_string_truncate (calls, 0);
}

START_TEST (load_after_comes_before_the_order_of_adding)
{
  Probe probes[] = { { 'a', NULL }, { 'b', NULL }, { 'c', NULL }, { 'd', NULL }, { 'e', NULL }, { 'f', NULL } };
  static const CprDeviceType *const types[] = { &part, &disk, &screen, &bus, &disk, &bus };

  for (size_t i = 0; i < G_N_ELEMENTS (probes); i++)
    add (&programs.saved, types[i], &probes[i]);
  for (size_t i = 0; i < G_N_ELEMENTS (probes); i++)
    add (&programs.loaded, types[i], &probes[i]);
  ck_assert (programs_save (&programs, &error));
  ck_assert_str_eq (calls->str, "pre c, pre d, pre f, pre b, pre e, pre a, bulk c, ");
  g_string_truncate (calls, 0);
  ck_assert (programs_load (&programs, &error));
  ck_assert_str_eq (calls->str, "bulk c, post c, post d, post f, post b, post e, post a, ");
}
END_TEST

START_TEST (the_reader_s_order_is_its_own)
{
  Probe from[] = { { 'a', NULL }, { 'b', NULL } }, to[] = { { 'a', NULL }, { 'b', NULL } };
  CprDeviceType unordered = disk;

  unordered.load_after = NULL;
  add (&programs.saved, &disk, &from[0]);
  add (&programs.saved, &bus, &from[1]);
  add (&programs.loaded, &unordered, &to[0]);
  add (&programs.loaded, &bus, &to[1]);
  save ();
  ck_assert (programs_load (&programs, &error));
  ck_assert_str_eq (calls->str, "post a, post b, ");
}
END_TEST

START_TEST (a_device_that_comes_or_goes_changes_the_order)
{
  Probe probes[] = { { 'a', NULL }, { 'b', NULL }, { 'c', NULL } };

  add (&programs.saved, &disk, &probes[0]);
  add (&programs.saved, &disk, &probes[1]);
  save ();
  ck_assert (cpr_device_table_remove (&programs.saved, "da", &error));
  add (&programs.saved, &bus, &probes[2]);
  ck_assert (programs_save (&programs, &error));
  ck_assert_str_eq (calls->str, "pre c, pre b, ");
}
END_TEST

START_TEST (a_circle_of_load_after_is_an_error_for_both)
{
  static const char *const after_self[] = { "self", NULL }, *const after_x[] = { "x", NULL },
                           *const after_y[] = { "y", NULL }, *const after_z[] = { "z", NULL };
  const CprDeviceType self = TYPE ("self", .load_after = after_self), x = TYPE ("x", .load_after = after_y),
                      y = TYPE ("y", .load_after = after_z), z = TYPE ("z", .load_after = after_x);
  Probe probes[] = { { 'a', NULL }, { 'b', NULL }, { 'c', NULL } };

  add (&programs.saved, &x, &probes[0]);
  add (&programs.saved, &y, &probes[1]);
  save (); /* z isn't there yet */
  add (&programs.loaded, &x, &probes[0]);
  add (&programs.loaded, &y, &probes[1]);
  ck_assert (programs_load (&programs, &error));
  add (&programs.loaded, &z, &probes[2]);
  g_string_truncate (calls, 0);
  ck_assert (!programs_load (&programs, &error));
  assert_error (&error, CPR_ERROR_INVALID, "load_after goes round in a circle");
  add (&programs.saved, &z, &probes[2]);
  ck_assert (!programs_save (&programs, &error));
  assert_error (&error, CPR_ERROR_INVALID, "load_after goes round in a circle");
  ck_assert_str_eq (calls->str, "");
  ck_assert (cpr_device_table_remove (&programs.saved, "dc", NULL));
  programs_clear (&programs);

  programs_init (&programs);
  add (&programs.saved, &self, &probes[0]);
  ck_assert (!programs_save (&programs, &error));
  assert_error (&error, CPR_ERROR_INVALID, "type 'self': load_after goes round in a circle");
  programs_clear (&programs);
  programs_init (&programs);
}
END_TEST

/* After a failure nothing more of the second save is called. No device is called before all
 * sections are verified. */
START_TEST (a_failure_while_saving_ends_it_there)
{
  static const struct
  {
    const char *fails, *calls;
  } rows[] = { { "pre", "pre a, pre b, " }, { "bulk", "pre a, pre b, pre c, bulk a, bulk b, " } };

  for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      Probe probes[] = { { 'a', NULL }, { 'b', rows[i].fails }, { 'c', NULL } };
      g_autofree char *message = g_strdup_printf ("device 'db': %s says no", rows[i].fails);

      programs_clear (&programs);
      programs_init (&programs);
      for (size_t j = 0; j < G_N_ELEMENTS (probes); j++)
        add (&programs.saved, &screen, &probes[j]);
      g_string_truncate (calls, 0);
      ck_assert (!programs_save (&programs, &error));
      ck_assert_str_eq (error->message, message);
      ck_assert (g_error_matches (error, g_quark_from_static_string ("probe"), 5));
      g_clear_error (&error);
      ck_assert_str_eq (calls->str, rows[i].calls);
      programs_clear (&programs);
      programs_init (&programs);
    }
}
END_TEST

START_TEST (a_failure_while_loading_ends_it_there)
{
  static const struct
  {
    const char *fails, *calls;
  } rows[] = { { "bulk", "bulk a, post a, bulk b, " }, { "post", "bulk a, post a, bulk b, post b, " } };

  for (size_t i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      Probe from[] = { { 'a', NULL }, { 'b', NULL }, { 'c', NULL } };
      Probe to[] = { { 'a', NULL }, { 'b', rows[i].fails }, { 'c', NULL } };

      programs_clear (&programs);
      programs_init (&programs);
      for (size_t j = 0; j < G_N_ELEMENTS (from); j++)
        {
          add (&programs.saved, &screen, &from[j]);
          add (&programs.loaded, &screen, &to[j]);
          to[j].id = (char) ('A' + j);
        }
      save ();
      ck_assert (!programs_load (&programs, &error));
      g_clear_error (&error);
      ck_assert_str_eq (calls->str, rows[i].calls);
      ck_assert (to[0].id == 'a' && to[1].id == 'b' && to[2].id == 'C');
      programs_clear (&programs);
      programs_init (&programs);
    }
}
END_TEST

/* ---- All or nothing. */

#define N_DEVICES 5

/* Whatever is wrong with the last section, no device is touched or called. */
static void
assert_untouched (Probe *to, int code, const char *text)
{
  g_string_truncate (calls, 0);
  ck_assert (!programs_load (&programs, &error));
  assert_error (&error, code, text);
  ck_assert_str_eq (calls->str, "");
  for (int i = 0; i < N_DEVICES; i++)
    ck_assert_int_eq (to[i].id, '-');
}

START_TEST (nothing_is_applied_when_a_later_section_does_not_fit)
{
  Probe from[N_DEVICES], to[N_DEVICES], extra = { 'x', NULL };
  CprDeviceType newer = disk, other = disk;

  for (int i = 0; i < N_DEVICES; i++)
    {
      from[i] = to[i] = (Probe){ (char) ('a' + i), NULL };
      add (&programs.saved, i < N_DEVICES - 1 ? &bus : &disk, &from[i]);
      add (&programs.loaded, i < N_DEVICES - 1 ? &bus : &disk, &to[i]);
      to[i].id = '-';
    }
  save ();
  ck_assert (cpr_device_table_remove (&programs.loaded, "de", NULL));
  assert_untouched (to, CPR_ERROR_MISMATCH, "device 'de' of type 'disk' is in the state and not here");
  ck_assert (cpr_device_table_add (&programs.loaded, "de", &screen, &to[4], &error));
  assert_untouched (to, CPR_ERROR_MISMATCH, "device 'de': type is 'disk' in the state, 'screen' here");
  ck_assert (cpr_device_table_remove (&programs.loaded, "de", NULL));
  ck_assert (cpr_device_table_add (&programs.loaded, "de", &disk, &to[4], &error));
  add (&programs.loaded, &part, &extra);
  assert_untouched (to, CPR_ERROR_MISMATCH, "device 'dx': it isn't in the state");
  ck_assert (cpr_device_table_remove (&programs.loaded, "dx", NULL));
  newer.version = newer.minimum_version = 2;
  ((CprDevice *) programs.loaded.devices->pdata[4])->type = &newer;
  assert_untouched (to, CPR_ERROR_VERSION,
                    "device 'de': type 'disk': version is 1 in the state, this program loads 2 to 2");
  other.version = other.minimum_version = 0;
  ((CprDevice *) programs.loaded.devices->pdata[4])->type = &other;
  assert_untouched (to, CPR_ERROR_VERSION,
                    "device 'de': type 'disk': version is 1 in the state, this program loads 0 to 0");
  ((CprDevice *) programs.loaded.devices->pdata[4])->type = &disk;
  ck_assert (programs_load (&programs, &error));
  ck_assert_int_eq (to[4].id, 'e');
}
END_TEST

/* ---- Many. */

typedef struct
{
  uint64_t value;
  uint8_t more[16];
} Small;

static const CprField small_fields[] = { CPR_FIELD (Small, value), CPR_FIELD_ARRAY (Small, more), CPR_FIELD_END };

static uint64_t
get_cpu_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
  return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

/* Each type loads after the type that was added after it. This is the longest possible chain. */
static CprDeviceType *
make_types (unsigned n_types, GPtrArray *strings)
{
  CprDeviceType *types = g_new0 (CprDeviceType, n_types);

  for (unsigned i = 0; i < n_types; i++)
    {
      const char **after = g_new0 (const char *, 2);

      g_ptr_array_add (strings, g_strdup_printf ("type-%u", i));
      types[i] = (CprDeviceType){ .size = sizeof types[i],
                                  .name = strings->pdata[strings->len - 1],
                                  .version = 1,
                                  .state = { "Small", sizeof (Small), small_fields },
                                  .load_after = after };
      g_ptr_array_add (strings, after);
      if (i > 0)
        ((const char **) types[i - 1].load_after)[0] = types[i].name;
    }
  return types;
}

/* The CPU time that it takes to save and load them. */
static uint64_t
measure (unsigned n_devices, unsigned n_types)
{
  g_autoptr (GPtrArray) strings = g_ptr_array_new_with_free_func (g_free);
  g_autofree CprDeviceType *types = make_types (n_types, strings);
  g_autofree Small *from = g_new0 (Small, n_devices), *to = g_new0 (Small, n_devices);
  uint64_t begin;

  programs_clear (&programs);
  programs_init (&programs);
  begin = get_cpu_ns ();
  for (unsigned i = 0; i < n_devices; i++)
    {
      g_autofree char *name = g_strdup_printf ("device-%u", i);

      from[i].value = i + 1;
      ck_assert (cpr_device_table_add (&programs.saved, name, &types[i % n_types], &from[i], NULL));
      ck_assert (cpr_device_table_add (&programs.loaded, name, &types[i % n_types], &to[i], NULL));
    }
  programs_carry (&programs);
  begin = get_cpu_ns () - begin;
  for (unsigned i = 0; i < n_devices; i++)
    ck_assert_uint_eq (to[i].value, i + 1);
  programs_clear (&programs);
  programs_init (&programs);
  return begin;
}

static uint64_t
measure_best (unsigned n_devices, unsigned n_types)
{
  uint64_t best = UINT64_MAX;

  for (int i = 0; i < (under_valgrind () ? 1 : 3); i++)
    best = MIN (best, measure (n_devices, n_types));
  return best;
}

/* Ten times as many devices and types: ten times as long, and a hundred times if anything were
 * searched one by one. */
START_TEST (many_devices_of_many_types_cost_no_more_each_than_few)
{
  uint64_t few = measure_best (2000, 100), many = measure_best (20000, 1000);

  ck_assert_msg (many < 40 * few, "%" G_GUINT64_FORMAT " µs, %" G_GUINT64_FORMAT " µs", few / 1000, many / 1000);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("load-order");
  TCase *times = tcase_create ("times");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, load_after_comes_before_the_order_of_adding);
  tcase_add_test (tests, the_reader_s_order_is_its_own);
  tcase_add_test (tests, a_device_that_comes_or_goes_changes_the_order);
  tcase_add_test (tests, a_circle_of_load_after_is_an_error_for_both);
  tcase_add_test (tests, a_failure_while_saving_ends_it_there);
  tcase_add_test (tests, a_failure_while_loading_ends_it_there);
  tcase_add_test (tests, nothing_is_applied_when_a_later_section_does_not_fit);
  tcase_add_checked_fixture (times, setup, teardown);
  tcase_add_test (times, many_devices_of_many_types_cost_no_more_each_than_few);
  tcase_set_timeout (times, 60);
  tcase_set_tags (times, "times");
  suite_add_tcase (suite, times);
  return run_suite (suite);
}
