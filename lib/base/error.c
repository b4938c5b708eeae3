/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes GErrors: with an errno, with a prefix, or plain. Every floor reports its failures
 * through this file. */
#include "base/error.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

typedef struct
{
  int errnum;
} CprErrorPrivate;

static void
cpr_error_private_init (CprErrorPrivate *priv)
{
  priv->errnum = 0;
}

static void
cpr_error_private_copy (const CprErrorPrivate *from, CprErrorPrivate *to)
{
  *to = *from;
}

static void
cpr_error_private_clear (CprErrorPrivate *priv G_GNUC_UNUSED)
{
}

G_DEFINE_EXTENDED_ERROR (CprError, cpr_error)

int
cpr_error_get_errno (const GError *error)
{
  g_return_val_if_fail (error != NULL, 0);

  return error->domain == CPR_ERROR ? cpr_error_get_private (error)->errnum : 0;
}

bool
cpr_throw (GError **error, CprError code, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL && *error == NULL)
    *error = g_error_new_valist (CPR_ERROR, (int) code, format, args);
  va_end (args);
  return false;
}

/* Hardly a call fails with these but under a seccomp filter, whose author has to know. */
static const char *
describe_filter (int errnum)
{
  bool may_be = errnum == EPERM || errnum == ENOSYS;

  return may_be && prctl (PR_GET_SECCOMP) == SECCOMP_MODE_FILTER
             ? " (this process has a seccomp filter, which may be why)"
             : "";
}

G_GNUC_PRINTF (4, 0)
static bool
set_errno (GError **error, CprError code, int errnum, const char *format, va_list args)
{
  g_autofree char *message = NULL;

  if (error == NULL || *error != NULL)
    return false;
  message = g_strdup_vprintf (format, args);
  *error = g_error_new (CPR_ERROR, (int) code, "%s: %s%s", message, g_strerror (errnum), describe_filter (errnum));
  cpr_error_get_private (*error)->errnum = errnum;
  return false;
}

bool
cpr_throw_errno (GError **error, int errnum, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  set_errno (error, CPR_ERROR_SYSTEM, errnum, format, args);
  va_end (args);
  return false;
}

bool
cpr_error_set_errno (GError **error, CprError code, int errnum, const char *format, ...)
{
  va_list args;

  g_return_val_if_fail (format != NULL, false);

  va_start (args, format);
  set_errno (error, code, errnum, format, args);
  va_end (args);
  return false;
}

bool
cpr_throw_callback (GError **error, GError *reason, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  if (reason != NULL)
    {
      g_propagate_error (error, reason);
      return false;
    }
  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  return cpr_throw (error, CPR_ERROR_CALLBACK, "%s without a reason", message);
}
