/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors of this VMM, which any file sets. */
#include "support/error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

bool
throw_error (GError **error, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, MINIVMM_ERROR, 1, message);
  return false;
}

bool
throw_errno (GError **error, const char *format, ...)
{
  int cause = errno;
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, MINIVMM_ERROR, 1, "%s: %s", message, strerror (cause));
  return false;
}
