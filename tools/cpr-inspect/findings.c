/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The findings of an answer, as lines for people or as a line of JSON with codes. Called by
 * ask.c. */
#include "findings.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "json-writer.h"
#include "text.h"

/* ---- Codes. An answer has none, so that they follow from the words of the program's library,
 * which tests/tools/compat.py compares with this table. */

typedef struct
{
  CprSubject subject;
  const char *words; /* in what follows the subject's name */
  const char *code;
} Code;

/* The first that fits counts; the last ones of a subject fit always. */
static const Code codes[] = {
  { CPR_SUBJECT_VM, ": this program is for VM ", "vm-name" },
  { CPR_SUBJECT_VM, ": it is user ", "vm-user" },
  { CPR_SUBJECT_VM, "", "vm" },
  { CPR_SUBJECT_PROGRAM, ": it is in another time namespace", "program-time-namespace" },
  { CPR_SUBJECT_PROGRAM, ": it isn't the one that was started", "program-forks" },
  { CPR_SUBJECT_PROGRAM, "this program doesn't say which device types it has", "program-types-unknown" },
  { CPR_SUBJECT_PROGRAM, ": this program has two of that name", "program-types" },
  { CPR_SUBJECT_PROGRAM, "capabilities: the running program has ", "program-capabilities" },
  { CPR_SUBJECT_PROGRAM, "root directory: process ", "program-root" },
  { CPR_SUBJECT_PROGRAM, "mount namespace: process ", "program-mount-namespace" },
  { CPR_SUBJECT_PROGRAM, "start-up: it failed in its rehearsal: ", "program-start-up" },
  { CPR_SUBJECT_PROGRAM, "", "program" },
  { CPR_SUBJECT_FD, ": it is in the state, and nobody would take it", "fd-unclaimed" },
  { CPR_SUBJECT_FD, ": it is in the state, this program would close it", "fd-closed" },
  { CPR_SUBJECT_FD, ": it isn't in the state", "fd-new" },
  { CPR_SUBJECT_FD, "", "fd" },
  { CPR_SUBJECT_RAM, ": size is ", "ram-size" },
  { CPR_SUBJECT_RAM, ": it is in the state, and nobody would take it", "ram-unclaimed" },
  { CPR_SUBJECT_RAM, ": it isn't in the state", "ram-missing" },
  { CPR_SUBJECT_RAM, "", "ram" },
  { CPR_SUBJECT_DEVICE, " would be dropped", "device-field-dropped" },
  { CPR_SUBJECT_DEVICE, ": it is in the state, and nobody would take it", "device-unclaimed" },
  { CPR_SUBJECT_DEVICE, " is in the state and not here", "device-unclaimed" },
  { CPR_SUBJECT_DEVICE, ": it isn't in the state", "device-missing" },
  { CPR_SUBJECT_DEVICE, ": type is '", "device-type" },
  { CPR_SUBJECT_DEVICE, ": its type '", "device-type-unknown" },
  { CPR_SUBJECT_DEVICE, ": version is ", "device-version" },
  { CPR_SUBJECT_DEVICE, "field '", "device-field" },
  { CPR_SUBJECT_DEVICE, "KVM", "kvm" },
  { CPR_SUBJECT_DEVICE, "/dev/kvm", "kvm" },
  { CPR_SUBJECT_DEVICE, "", "device" },
  { CPR_SUBJECT_LIMIT, "limit on open files: ", "limit-open-files" },
  { CPR_SUBJECT_LIMIT, "limit on locked memory: ", "limit-locked-memory" },
  { CPR_SUBJECT_LIMIT, "", "limit" },
};

/* What a message says of its subject, after the name, which may have any words in it. A program and
 * a limit aren't quoted. */
static const char *
skip_name (const CprFinding *finding)
{
  g_autofree char *line = cpr_text_make_line (finding->name, strlen (finding->name));
  g_autofree char *quoted = g_strdup_printf ("'%s'", line);
  bool is_quoted = finding->subject != CPR_SUBJECT_PROGRAM && finding->subject != CPR_SUBJECT_LIMIT && *line != '\0';
  const char *at = is_quoted ? strstr (finding->message, quoted) : NULL;

  return at != NULL ? at + strlen (quoted) : finding->message;
}

const char *
inspect_finding_get_code (const CprFinding *finding)
{
  const char *text = skip_name (finding);

  for (size_t i = 0; i < G_N_ELEMENTS (codes); i++)
    if (codes[i].subject == finding->subject && strstr (text, codes[i].words) != NULL)
      return codes[i].code;
  return "unknown";
}

/* ---- For people. */

static const char *
get_severity (const CprFinding *finding)
{
  return finding->severity == CPR_SEVERITY_REFUSAL ? "refusal" : "loss";
}

static InspectStatus
get_status (const CprAnswer *answer)
{
  return cpr_findings_count_refusals (answer->findings) > 0 ? INSPECT_NO : INSPECT_YES;
}

InspectStatus
inspect_findings_show (const CprAnswer *answer)
{
  for (guint i = 0; i < answer->findings->len; i++)
    {
      const CprFinding *finding = answer->findings->pdata[i];
      g_autofree char *message = inspect_text_escape_message (finding->message);

      printf ("%s: %s\n", get_severity (finding), message);
    }
  return get_status (answer);
}

/* ---- JSON. */

static void
put_findings (Json *json, const CprAnswer *answer)
{
  json_begin_member (json, "findings", '[');
  for (guint i = 0; answer != NULL && i < answer->findings->len; i++)
    {
      const CprFinding *finding = answer->findings->pdata[i];

      json_begin (json, '{');
      json_put_text (json, "severity", get_severity (finding));
      json_put_text (json, "code", inspect_finding_get_code (finding));
      json_put_text (json, "name", finding->name);
      json_put_text (json, "message", finding->message);
      json_end (json, '}');
    }
  json_end (json, ']');
}

static void
put_text_or_null (Json *json, const char *key, const char *value)
{
  json_put_key (json, key);
  if (value != NULL)
    json_put_string (json, value);
  else
    json_put_raw (json, "null");
}

static void
put_error (Json *json, const InspectVerdict *verdict)
{
  json_put_key (json, "error");
  if (verdict->answer != NULL)
    {
      json_put_raw (json, "null");
      return;
    }
  json_begin (json, '{');
  json_put_text (json, "code", verdict->code);
  json_put_text (json, "message", verdict->reason);
  json_end (json, '}');
}

InspectStatus
inspect_verdict_show_json (const InspectVerdict *verdict)
{
  InspectStatus status = verdict->answer != NULL ? get_status (verdict->answer) : INSPECT_UNASKED;
  Json json = { .out = stdout, .one_line = true };

  json_begin (&json, '{');
  json_put_uint (&json, "format", 1);
  json_put_text (&json, "verdict", status == INSPECT_YES ? "yes" : status == INSPECT_NO ? "no" : "unasked");
  json_put_text (&json, "host", g_get_host_name ());
  json_put_text (&json, "file", verdict->file);
  put_text_or_null (&json, "vm", verdict->vm);
  json_put_text (&json, "program", verdict->program);
  put_text_or_null (&json, "build_id", verdict->answer != NULL ? verdict->answer->executable.build_id : NULL);
  put_error (&json, verdict);
  put_findings (&json, verdict->answer);
  json_end (&json, '}');
  putchar ('\n');
  return status;
}
