/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of a preflight's findings. Everything in this room adds to it, and
 * lib/session/api/preflight.c hands it to the VMM. */
#include "ask/findings.h"

static void
finding_free (void *data)
{
  CprFinding *finding = data;

  g_free ((char *) finding->name);
  g_free ((char *) finding->message);
  g_free (finding);
}

GPtrArray *
cpr_findings_new (void)
{
  return g_ptr_array_new_with_free_func (finding_free);
}

void
cpr_findings_add (
    GPtrArray *findings, CprSeverity severity, CprSubject subject, const char *name, const char *format, ...)
{
  CprFinding *finding = g_new0 (CprFinding, 1);
  va_list args;

  va_start (args, format);
  finding->message = g_strdup_vprintf (format, args);
  va_end (args);
  finding->severity = severity;
  finding->subject = subject;
  finding->name = g_strdup (name);
  g_ptr_array_add (findings, finding);
}

static unsigned
get_rank (const CprFinding *finding)
{
  return (finding->severity == CPR_SEVERITY_REFUSAL ? 0 : 2) + (finding->way_back ? 1 : 0);
}

static int
compare_ranks (const void *a, const void *b)
{
  return (int) get_rank (*(CprFinding *const *) a) - (int) get_rank (*(CprFinding *const *) b);
}

/* GLib's sort is stable. */
void
cpr_findings_sort (GPtrArray *findings)
{
  g_ptr_array_sort (findings, compare_ranks);
}

void
cpr_findings_drop_doubles (GPtrArray *findings)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < findings->len;)
    if (g_hash_table_add (seen, (char *) ((CprFinding *) findings->pdata[i])->message))
      i++;
    else
      g_ptr_array_remove_index (findings, i);
}

size_t
cpr_findings_count_refusals (const GPtrArray *findings)
{
  size_t n = 0;

  for (guint i = 0; i < findings->len; i++)
    n += ((const CprFinding *) findings->pdata[i])->severity == CPR_SEVERITY_REFUSAL;
  return n;
}
