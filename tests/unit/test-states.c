/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table state × call against what the public headers print. */
#include "helpers.h"

#include <stdlib.h>

#include "session/states.h"

#define N_STATES      6
#define ALL           ((1u << N_STATES) - 1)
#define NOT_FOUND     UINT_MAX
#define IN_A_CALLBACK (UINT_MAX - 1)

static const char *const words[N_STATES] = { "FRESH", "INCOMING", "LOADED", "ACTIVE", "UPDATING", "LOST" };

/* From a folder of the source tree; make sets the variables. */
static char *
read_headers (void)
{
  static const char *const names[] = {
    "error", "session", "fd", "ram", "device", "update", "preflight", "event", "vfio"
  };
  const char *top = g_getenv ("abs_top_srcdir") != NULL ? g_getenv ("abs_top_srcdir") : g_getenv ("top_srcdir");
  GString *all = g_string_new (NULL);

  for (size_t i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/include/libcpr/%s.h", top != NULL ? top : ".", names[i]);
      g_autofree char *text = NULL;

      ck_assert_msg (g_file_get_contents (path, &text, NULL, NULL), "%s: set abs_top_srcdir", path);
      g_string_append (all, text);
    }
  return g_string_free (all, FALSE);
}

/* The doc comment of @function, without the stars at the beginning of its lines; NULL if there is none. */
static char *
find_comment (const char *headers, const char *function)
{
  g_autofree char *head = g_strdup_printf ("/**\n * %s:\n", function);
  const char *start = strstr (headers, head), *end = start != NULL ? strstr (start, "*/") : NULL;
  g_autofree char *comment = NULL;
  g_auto (GStrv) lines = NULL;

  if (end == NULL)
    return NULL;
  comment = g_strndup (start, (gsize) (end - start));
  lines = g_strsplit (comment, "\n * ", -1);
  return g_strjoinv (" ", lines);
}

/* "FRESH, INCOMING (so-and-so). Then LOADED." to bits: what stands before the full stop, without parentheses. "In so-and-so only" is
 * of functions that take what just a callback gets. */
static unsigned
parse_states (const char *comment)
{
  const char *at = strstr (comment, "Permitted states:");
  g_autoptr (GString) list = g_string_new (NULL);
  unsigned states = 0, depth = 0;

  if (at == NULL)
    return NOT_FOUND;
  for (at += strlen ("Permitted states:"); *at != '\0' && (*at != '.' || depth > 0); at++)
    {
      depth += *at == '(';
      if (depth == 0)
        g_string_append_c (list, *at);
      depth -= *at == ')';
    }
  if (strstr (list->str, "needs no session") != NULL)
    return ALL;
  if (g_str_has_prefix (list->str, " in ") && g_str_has_suffix (list->str, " only"))
    return IN_A_CALLBACK;
  for (unsigned i = 0; i < N_STATES; i++)
    if (strstr (list->str, words[i]) != NULL)
      states |= 1u << i;
  if (strstr (list->str, "all but") != NULL)
    return ALL & ~states;
  return strstr (list->str, "all") != NULL ? ALL : states;
}

START_TEST (the_headers_print_the_table)
{
  g_autofree char *headers = read_headers ();

  for (CprCall call = 0; call < CPR_N_CALLS; call++)
    {
      const char *name = cpr_call_get_name (call);
      g_autofree char *comment = find_comment (headers, name);
      unsigned states;

      ck_assert_msg (comment != NULL, "%s isn't documented", name);
      states = parse_states (comment);
      ck_assert_msg (states != NOT_FOUND && states != IN_A_CALLBACK && states != 0,
                     "%s: its permitted states aren't printed", name);
      for (unsigned i = 0; i < N_STATES; i++)
        ck_assert_msg (cpr_call_is_permitted (call, (CprSessionState) i) == ((states >> i & 1) != 0), "%s in %s", name,
                       words[i]);
    }
}
END_TEST

static bool
is_in_table (const char *name)
{
  for (CprCall call = 0; call < CPR_N_CALLS; call++)
    if (strcmp (cpr_call_get_name (call), name) == 0)
      return true;
  return false;
}

START_TEST (a_function_that_is_not_in_the_table_is_permitted_always_or_in_a_callback)
{
  g_autofree char *headers = read_headers ();
  g_autoptr (GRegex) regex = g_regex_new ("^CPR_API [^(]*?(cpr_[a-z0-9_]+) \\(", G_REGEX_MULTILINE, 0, NULL);
  GMatchInfo *match;
  unsigned found = 0;

  for (g_regex_match (regex, headers, 0, &match); g_match_info_matches (match); g_match_info_next (match, NULL))
    {
      g_autofree char *name = g_match_info_fetch (match, 1);
      g_autofree char *comment = find_comment (headers, name);
      unsigned states = comment != NULL ? parse_states (comment) : NOT_FOUND;

      found++;
      ck_assert_msg (states != NOT_FOUND, "%s: its permitted states aren't printed", name);
      ck_assert_msg (is_in_table (name) || states == ALL || states == IN_A_CALLBACK,
                     "%s has states but isn't in the table", name);
    }
  g_match_info_free (match);
  ck_assert_uint_gt (found, CPR_N_CALLS);
}
END_TEST

START_TEST (a_refused_call_names_itself_and_the_state)
{
  for (CprCall call = 0; call < CPR_N_CALLS; call++)
    for (CprSessionState state = CPR_SESSION_STATE_FRESH; state <= CPR_SESSION_STATE_LOST; state++)
      {
        GError *error = NULL;

        ck_assert (cpr_call_check (call, state, &error) == cpr_call_is_permitted (call, state));
        ck_assert ((error == NULL) == cpr_call_is_permitted (call, state));
        if (error == NULL)
          continue;
        ck_assert_ptr_nonnull (strstr (error->message, cpr_session_state_get_name (state)));
        assert_error (&error, CPR_ERROR_STATE, cpr_call_get_name (call));
      }
}
END_TEST

START_TEST (states_have_the_names_of_their_constants)
{
  for (unsigned i = 0; i < N_STATES; i++)
    ck_assert_int_eq (g_ascii_strcasecmp (cpr_session_state_get_name ((CprSessionState) i), words[i]), 0);
}
END_TEST

START_TEST (who_lost_the_guest_may_only_clean_up)
{
  for (CprCall call = 0; call < CPR_N_CALLS; call++)
    {
      bool cleans_up = call == CPR_CALL_FREE || strstr (cpr_call_get_name (call), "_remove") != NULL ||
                       strstr (cpr_call_get_name (call), "_release_fd") != NULL;

      ck_assert (cleans_up || !cpr_call_is_permitted (call, CPR_SESSION_STATE_LOST));
      ck_assert (!cpr_call_is_permitted (call, CPR_SESSION_STATE_UPDATING));
    }
  ck_assert (cpr_call_is_permitted (CPR_CALL_FREE, CPR_SESSION_STATE_LOST));
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("states");

  tcase_add_test (tests, the_headers_print_the_table);
  tcase_add_test (tests, a_function_that_is_not_in_the_table_is_permitted_always_or_in_a_callback);
  tcase_add_test (tests, a_refused_call_names_itself_and_the_state);
  tcase_add_test (tests, states_have_the_names_of_their_constants);
  tcase_add_test (tests, who_lost_the_guest_may_only_clean_up);
  return run_suite (suite);
}
