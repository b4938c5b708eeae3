/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_ERROR_H
#define CPR_BASE_ERROR_H

#include <stdbool.h>

#include <libcpr/libcpr.h>

/* Set an error and return false, so that an error path is one line. An error that is set already
 * stays: the first cause counts. */
bool cpr_throw (GError **error, CprError code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* The same for a failed system call: CPR_ERROR_SYSTEM, with the text of @errnum after the
 * message. */
bool cpr_throw_errno (GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* The same for a callback of the VMM's that failed: @reason is what it set, taken; where it is
 * NULL, CPR_ERROR_CALLBACK with " without a reason" after the message. No error may be set yet. */
bool cpr_throw_callback (GError **error, GError *reason, const char *format, ...) G_GNUC_PRINTF (3, 4);

#endif
