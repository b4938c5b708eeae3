/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_ASK_FINDINGS_H
#define CPR_ASK_FINDINGS_H

#include <libcpr/libcpr.h>

#define CPR_FINDINGS_MAX 1000 /* in an answer */

/* A list of CprFinding with names and messages of their own. */
GPtrArray *cpr_findings_new (void);

void cpr_findings_add (
    GPtrArray *findings, CprSeverity severity, CprSubject subject, const char *name, const char *format, ...)
    G_GNUC_PRINTF (5, 6);

/* Refusals come first, and the way back's after the new program's; the order stays otherwise. */
void cpr_findings_sort (GPtrArray *findings);

/* Leaves the first of those that have the same message. */
void cpr_findings_drop_doubles (GPtrArray *findings);

size_t cpr_findings_count_refusals (const GPtrArray *findings);

#endif
