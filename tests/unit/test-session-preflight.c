/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session that asks this very program, which answers as its arguments say. */
#include "faults.h"
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/uapi.h"

static Guest guest;
static CprSession *session;
static GError *error;
static CprPreflight *result;
static char *self, *before;
static Disk disk;

/* A disk with a field that older programs don't know, and may drop. */
typedef struct
{
  uint64_t sector;
  bool dirty;
  uint32_t seeks, errors;
} CountingDisk;

static const CprField counting_fields[] = { CPR_FIELD (CountingDisk, sector), CPR_FIELD (CountingDisk, dirty),
                                            CPR_FIELD_IGNORABLE (CountingDisk, seeks, 0),
                                            CPR_FIELD_IGNORABLE (CountingDisk, errors, 0), CPR_FIELD_END };
static CountingDisk counting_disks[12];
/* The disk of an older program. */
static const CprField plain_fields[] = { CPR_FIELD (CountingDisk, sector), CPR_FIELD (CountingDisk, dirty),
                                         CPR_FIELD_END };
static const CprDeviceType counting_type = { .size = sizeof (CprDeviceType),
                                             .name = "counting",
                                             .version = 1,
                                             .minimum_version = 1,
                                             .state = { "Disk", sizeof (CountingDisk), plain_fields } };

static void
declare_disks (CprInventory *inventory, const CprDeviceType *type, int n)
{
  for (int i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("sd%d", i);

      cpr_inventory_add_device (inventory, name, type);
    }
}

static void
declare (CprInventory *inventory, void *user_data)
{
  const char *how = user_data;

  cpr_inventory_add_ram (inventory, "pc.ram", strcmp (how, "small") == 0 ? PAGE : 4 * PAGE);
  if (strcmp (how, "diskless") != 0)
    cpr_inventory_add_device (inventory, "sda", &disk_type);
  if (g_str_has_prefix (how, "disks="))
    declare_disks (inventory, &counting_type, atoi (how + strlen ("disks=")));
  if (strcmp (how, "unwilling") == 0)
    cpr_inventory_refuse (inventory, "unwilling");
}

/* The program that is asked: `test-session-preflight HOW [FILE]`. */
static int
be_asked (char **argv)
{
  const char *how = argv[1] != NULL ? argv[1] : "willing";
  Guest own;
  struct
  {
    CprSessionConfig known;
    uint64_t more;
  } later = { .more = 1 };
  CprSessionConfig config;
  int log = how != argv[1] || argv[2] == NULL ? -1 : open (argv[2], O_WRONLY | O_APPEND);

  guest_init (&own);
  if (log >= 0 && write (log, "x", 1) != 1)
    return 3;
  config = guest_config (&own, strcmp (how, "other") == 0 ? "other" : "vm");
  config.user_data = (void *) how;
  config.declare = declare;
  if (strcmp (how, "invalid") == 0)
    config.start = NULL;
  if (strcmp (how, "later") == 0)
    config.size = sizeof later;
  later.known = config;
  cpr_session_new (&later.known, &error);
  fprintf (stderr, "%s\n", error->message);
  return 4;
}

/* @way_back: how this program answers when it is asked whether it would take the guest back. */
static void
begin (const char *way_back)
{
  char *argv[] = { self, (char *) way_back, NULL };
  CprSessionConfig config;

  guest_init (&guest);
  config = guest_config (&guest, "vm");
  config.argv = argv;
  session = cpr_session_new (&config, &error);
  assert_no_error (error);
  ck_assert (cpr_session_load (session, NULL) && cpr_session_start (session, NULL));
  ck_assert_ptr_nonnull (cpr_ram_new (session, "pc.ram", 4 * PAGE, NULL, NULL));
  if (under_valgrind ()) /* it opens /proc/self/exe in its own way, without O_CLOEXEC */
    ck_assert_int_eq (cpr_sys->close_range (3, ~0U, CLOSE_RANGE_CLOEXEC), 0);
  disk = disk_example;
  ck_assert (cpr_device_add (session, "sda", &disk_type, &disk, NULL));
  before = process_describe ();
}

static void
end (void)
{
  assert_process_is (before);
  ck_assert (guest.running && guest.stops == 0);
  ck_assert_int_eq (cpr_session_get_state (session), CPR_SESSION_STATE_ACTIVE);
  g_clear_pointer (&result, cpr_preflight_free);
  cpr_session_free (session);
  guest_clear (&guest);
  g_free (before);
}

static bool
ask (const char *how, unsigned flags)
{
  char *argv[] = { self, (char *) how, NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .flags = flags, .argv = argv };

  g_clear_pointer (&result, cpr_preflight_free);
  return cpr_session_preflight (session, &update, &result, &error);
}

static void
assert_refused (const char *how, unsigned flags, const char *title, const char *text, size_t n_findings)
{
  g_autofree char *message = g_strdup_printf ("%s '%s': %s", title, self, text);

  ck_assert (!ask (how, flags));
  ck_assert_str_eq (error->message, message);
  assert_error (&error, CPR_ERROR_REFUSED, "");
  ck_assert_uint_eq (cpr_preflight_get_n_findings (result), n_findings);
}

START_TEST (a_willing_program_passes)
{
  begin ("willing");
  ck_assert_msg (ask ("willing", 0), "%s", error->message);
  ck_assert_uint_eq (cpr_preflight_get_n_findings (result), 0);
  end ();
}
END_TEST

START_TEST (an_unwilling_one_is_refused_with_all_it_finds)
{
  g_autofree char *later = g_strdup_printf (
      "CprSessionConfig: this version of libcpr knows %zu bytes of it, and byte %zu is set: the program was "
      "built with a later libcpr and needs that one",
      sizeof (CprSessionConfig), sizeof (CprSessionConfig));

  begin ("willing");
  assert_refused ("small", 0, "new program", "RAM block 'pc.ram': size is 16384 in the state, 4096 here", 1);
  assert_refused ("other", 0, "new program", "VM 'vm': this program is for VM 'other'", 1);
  assert_refused ("unwilling", 0, "new program", "unwilling", 1);
  assert_refused ("invalid", 0, "new program", "VM 'vm': the stop and start callbacks are needed, or a gate", 1);
  assert_refused ("later", 0, "new program", later, 1);
  assert_refused ("diskless", 0, "new program", "device 'sda' of type 'disk' is in the state and not here", 1);
  ck_assert_int_eq (cpr_preflight_get_finding (result, 0)->subject, CPR_SUBJECT_DEVICE);
  ck_assert_str_eq (cpr_preflight_get_finding (result, 0)->name, "sda");
  end ();
}
END_TEST

START_TEST (a_missing_way_back_is_a_refusal_or_a_loss)
{
  begin ("unwilling");
  assert_refused ("willing", 0, "way back", "unwilling", 1);
  ck_assert (cpr_preflight_get_finding (result, 0)->way_back);
  assert_refused ("small", 0, "new program", "RAM block 'pc.ram': size is 16384 in the state, 4096 here (and 1 more)",
                  2);
  ck_assert_msg (ask ("willing", CPR_UPDATE_NO_WAY_BACK), "%s", error->message);
  ck_assert_uint_eq (cpr_preflight_get_n_findings (result), 1);
  ck_assert_int_eq (cpr_preflight_get_finding (result, 0)->severity, CPR_SEVERITY_LOSS);
  ck_assert_ptr_nonnull (strstr (guest.log->str, "preflight: unwilling"));
  end ();
}
END_TEST

static unsigned
count_in_log (const char *text)
{
  unsigned n = 0;

  for (const char *at = guest.log->str; (at = strstr (at, text)) != NULL; at++)
    n++;
  return n;
}

/* One line for all devices of a type and all their fields, and in the log once, whatever else is
 * asked. */
START_TEST (what_would_be_dropped_is_said_once_for_each_type)
{
  CprDeviceType type = counting_type;
  const struct
  {
    int n;
    const char *name, *text;
  } cases[] = {
    { 1, "sd0", "device 'sd0': fields 'seeks', 'errors' are unknown here, their values would be dropped" },
    { 2, "",
      "type 'counting' (devices 'sd0', 'sd1'): fields 'seeks', 'errors' are unknown here, their values would be "
      "dropped" },
    { 12, "", "type 'counting' (devices 'sd0', 'sd1', 'sd2', 'sd3', 'sd4', 'sd5', 'sd6', 'sd7' and 4 more): fields " },
  };

  type.state = (CprStruct){ "Disk", sizeof (CountingDisk), counting_fields };
  for (size_t k = 0; k < G_N_ELEMENTS (cases); k++)
    {
      g_autofree char *how = g_strdup_printf ("disks=%d", cases[k].n);

      begin (how);
      for (int i = 0; i < cases[k].n; i++)
        {
          g_autofree char *name = g_strdup_printf ("sd%d", i);

          ck_assert (cpr_device_add (session, name, &type, &counting_disks[i], NULL));
        }
      for (int tries = 0; tries < 3; tries++)
        {
          ck_assert_msg (ask (how, 0), "%s", error->message);
          ck_assert_uint_eq (cpr_preflight_get_n_findings (result), 2); /* of the new program, and of the way back */
          ck_assert_str_eq (cpr_preflight_get_finding (result, 0)->name, cases[k].name);
          ck_assert_ptr_nonnull (strstr (cpr_preflight_get_finding (result, 0)->message, cases[k].text));
        }
      ck_assert_uint_eq (count_in_log (cases[k].text), 1);
      end ();
    }
}
END_TEST

START_TEST (a_wrong_call_asks_nobody)
{
  char *argv[] = { (char *) "/nonexistent", NULL };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };

  begin ("willing");
  ck_assert (!cpr_session_preflight (session, &update, &result, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "/nonexistent");
  ck_assert_ptr_null (result);
  update.flags = 1u << 9;
  ck_assert (!cpr_session_preflight (session, &update, NULL, &error));
  assert_error (&error, CPR_ERROR_INVALID, "flags");
  update.flags = 0;
  update.argv = argv + 1;
  ck_assert (!cpr_session_preflight (session, &update, NULL, NULL));
  end ();
}
END_TEST

START_TEST (another_program_is_asked_with_the_recorded_arguments)
{
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .program = self };

  begin ("willing");
  ck_assert (cpr_session_preflight (session, &update, &result, &error));
  update.program = "/nonexistent";
  ck_assert (!cpr_session_preflight (session, &update, NULL, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "/nonexistent");
  end ();
}
END_TEST

START_TEST (a_program_that_hangs_is_given_up)
{
  char *argv[] = { (char *) "/bin/sleep", (char *) "1000", NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv, .preflight_timeout_ms = 2000 };

  begin ("willing");
  ck_assert (!cpr_session_preflight (session, &update, &result, &error));
  assert_error (&error, CPR_ERROR_REFUSED, "it gave no answer within 2000 ms, killed");
  end ();
}
END_TEST

/* Updates that come to the execve, which is played. @asked: how often the new program has been
 * asked then. */
static void
assert_update (CprUpdate *update, const char *log, size_t asked)
{
  g_autofree char *text = NULL;
  size_t len;

  faults_begin (0, 0, ENOEXEC);
  ck_assert (!cpr_session_update (session, update, &error));
  faults_end ();
  ck_assert_int_eq (cpr_error_get_errno (error), ENOEXEC);
  g_clear_error (&error);
  ck_assert (g_file_get_contents (log, &text, &len, NULL));
  ck_assert_uint_eq (len, asked);
}

START_TEST (one_answer_is_good_for_one_update)
{
  g_autofree char *log = g_strdup ("/tmp/libcpr-preflight-XXXXXX");
  char *argv[] = { self, (char *) "willing", log, NULL };
  char *envp[] = { (char *) "X=1", NULL };
  CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };

  close (g_mkstemp (log));
  update.flags = update_flags () & CPR_UPDATE_NO_GUARDIAN;
  begin ("willing");
  ck_assert (cpr_session_preflight (session, &update, NULL, &error));
  assert_update (&update, log, 1);
  assert_update (&update, log, 2);
  ck_assert (cpr_session_preflight (session, &update, NULL, &error));
  update.envp = envp;
  assert_update (&update, log, 4); /* that was another question */
  ck_assert (cpr_session_preflight (session, &update, NULL, &error));
  ck_assert (cpr_device_remove (session, "sda", NULL));
  faults_begin (0, 0, ENOEXEC);
  ck_assert (!cpr_session_update (session, &update, &error));
  faults_end ();
  assert_error (&error, CPR_ERROR_REFUSED, "device 'sda': it isn't in the state");
  update.flags |= CPR_UPDATE_NO_PREFLIGHT;
  assert_update (&update, log, 6);
  unlink (log);
  ck_assert_int_eq (guest.stops, 4);
  guest.stops = 0;
  end ();
}
END_TEST

/* Each call of this program fails once. That is an error, and leaves nothing behind. */
START_TEST (each_failing_call_leaves_nothing)
{
  unsigned n;

  begin ("willing");
  for (n = 1;; n++)
    {
      bool ok;

      faults_begin (n, 0, 0);
      ok = ask ("willing", 0);
      faults_end ();
      if (faults.failed == NULL)
        {
          ck_assert_msg (ok, "%s", error->message);
          break;
        }
      if (ok)
        continue; /* it was one that may fail */
      ck_assert_msg (error->code == CPR_ERROR_SYSTEM || error->code == CPR_ERROR_REFUSED ||
                         error->code == CPR_ERROR_MISMATCH,
                     "%s: %s", faults.failed, error->message);
      g_clear_error (&error);
      assert_process_is (before);
    }
  ck_assert_uint_gt (n, 30);
  end ();
}
END_TEST

int
main (int argc, char **argv)
{
  BEGIN_SUITE ("session-preflight");

  if (g_getenv (CPR_STATE_VARIABLE) != NULL)
    return be_asked (argv);
  self = g_file_read_link ("/proc/self/exe", NULL);
  tcase_add_test (tests, a_willing_program_passes);
  tcase_add_test (tests, an_unwilling_one_is_refused_with_all_it_finds);
  tcase_add_test (tests, a_missing_way_back_is_a_refusal_or_a_loss);
  tcase_add_test (tests, what_would_be_dropped_is_said_once_for_each_type);
  tcase_add_test (tests, a_wrong_call_asks_nobody);
  tcase_add_test (tests, another_program_is_asked_with_the_recorded_arguments);
  tcase_add_test (tests, a_program_that_hangs_is_given_up);
  tcase_add_test (tests, one_answer_is_good_for_one_update);
  tcase_add_test (tests, each_failing_call_leaves_nothing);
  return run_suite (suite);
}
