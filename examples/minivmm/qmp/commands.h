/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_QMP_COMMANDS_H
#define MINIVMM_QMP_COMMANDS_H

#include <jansson.h>

#include "machine.h"
#include "qmp/client.h"

/* A command that is being executed. */
typedef struct
{
  Qmp *qmp;
  Machine *machine;
  QmpClient *client;
  const json_t *arguments; /* an object, whose members are what the table says; or NULL */
} QmpCall;

/* One argument that a command takes. */
typedef struct
{
  const char *name;
  json_type type; /* JSON_TRUE: a boolean */
  bool optional;
} QmpArgument;

#define QMP_ARGUMENTS_MAX 3

/* When a command may be given, besides in its client's normal time. */
typedef enum
{
  QMP_ALWAYS = 1 << 0,     /* also while the guest is being saved, or waits for an operator */
  QMP_NEGOTIATES = 1 << 1, /* only before all others */
  QMP_HOME = 1 << 2,       /* only while the guest is this process's */
} QmpWhen;

typedef struct
{
  const char *name;                                     /* NULL ends a table */
  unsigned when;                                        /* or-ed QmpWhen */
  json_t *(*run) (const QmpCall *call, GError **error); /* what it returns; NULL: an error */
  QmpArgument arguments[QMP_ARGUMENTS_MAX];
} QmpCommand;

extern const QmpCommand qmp_commands[];

/* Executes @text, a message of the client's, and returns the answer. @saving: only what is
 * possible while the guest is being saved. */
json_t *qmp_execute (Qmp *qmp, QmpClient *client, const char *text, bool saving);

json_t *qmp_make_version (void);
json_t *qmp_make_error (const char *class, const char *description, json_t *id);

/* What a program of the machine's says of the guest, as QEMU's RunState. */
const char *qmp_get_status (const Machine *machine);

/* For the commands; see commands.c for the table. */
json_t *qmp_migrate (const QmpCall *call, GError **error);
json_t *qmp_migrate_incoming (const QmpCall *call, GError **error);
json_t *qmp_migrate_cancel (const QmpCall *call, GError **error);
json_t *qmp_query_blockers (const QmpCall *call, GError **error);
json_t *qmp_query_migrate (const QmpCall *call, GError **error);
json_t *qmp_set_capabilities (const QmpCall *call, GError **error);
json_t *qmp_query_capabilities (const QmpCall *call, GError **error);
json_t *qmp_set_parameters (const QmpCall *call, GError **error);
json_t *qmp_query_parameters (const QmpCall *call, GError **error);

#endif
