/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_STATE_H
#define CPR_INSPECT_STATE_H

#include "ask/question.h"
#include "state/manifest.h"
#include "stream/reader.h"

/* The exit status of the program. */
typedef enum
{
  INSPECT_YES = 0,
  INSPECT_NO = 1,
  INSPECT_TROUBLE = 2,
  INSPECT_UNASKED = 3 /* of `schema` and `compat`: there is no answer */
} InspectStatus;

typedef struct
{
  const char *name;
  const CprSchemaType *type;
  CprCursor fields;
} InspectDevice;

/* A state that was read and verified in full; or the question of a preflight, where its reader
 * takes either. */
typedef struct
{
  const char *path;
  int fd;
  GByteArray *data; /* of what can't be read twice; else NULL */
  CprReader reader;
  uint64_t size; /* of the file, with what follows the stream in reboot mode */
  CprManifest manifest;
  GArray *devices; /* InspectDevice, in the order of the stream */
  bool takes_question;
  CprQuestion *question; /* NULL for a state; with one the manifest and the devices above are empty */
} InspectState;

/* Reads what @path names, "-" is the standard input. On failure *@complaint is the reason, as one
 * line without the file's name, and for g_free(). It can be closed then, too. */
InspectStatus inspect_state_read (InspectState *state, const char *path, bool takes_question, char **complaint);

/* The same of a state only, and it says itself why not: @prefix and the file come first where the
 * state is refused. */
InspectStatus inspect_state_open (InspectState *state, const char *path, const char *prefix);
void inspect_state_close (InspectState *state);

/* Walks over a device's values; they were verified. */
void inspect_device_walk (const InspectState *state, const InspectDevice *device, const CprVisitor *visitor);

#endif
