/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of the other files of this folder where there is no jansson: parts.c, main.c, update.c
 * and the monitor find nothing to call. */
#include "qmp/qmp.h"

#include "support/error.h"

/* A list of device types may have it, but there is never such a device here. */
typedef struct
{
  uint32_t nothing;
} NoQmp;

static const CprField no_qmp_fields[] = { CPR_FIELD (NoQmp, nothing), CPR_FIELD_END };

const CprDeviceType qmp_type = { .size = sizeof (CprDeviceType),
                                 .name = "qmp",
                                 .version = 1,
                                 .minimum_version = 1,
                                 .state = { "NoQmp", sizeof (NoQmp), no_qmp_fields } };

Qmp *
qmp_new (Machine *machine, const char *path, GError **error)
{
  throw_error (error, "--qmp: this minivmm was built without QMP, as jansson was missing");
  return NULL;
}

void
qmp_free (Qmp *qmp)
{
}

void
qmp_stopped (Qmp *qmp)
{
}

void
qmp_started (Qmp *qmp)
{
}

bool
qmp_serve (Qmp *qmp)
{
  return true;
}

void
qmp_leave (Qmp *qmp)
{
}
