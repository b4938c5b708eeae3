/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_ERROR_H
#define MINIVMM_ERROR_H

#include <stdbool.h>

#include <glib.h>

#define MINIVMM_ERROR (g_quark_from_static_string ("minivmm"))

/* Both return false, so that an error path is one line. */
bool throw_error (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Adds what errno says. */
bool throw_errno (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

#endif
