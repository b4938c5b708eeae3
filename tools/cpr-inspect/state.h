/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_STATE_H
#define CPR_INSPECT_STATE_H

#include "state/manifest.h"
#include "stream/reader.h"

/* The exit status of the program. */
typedef enum
{
  INSPECT_YES = 0,
  INSPECT_NO = 1,
  INSPECT_TROUBLE = 2
} InspectStatus;

typedef struct
{
  const char *name;
  const CprSchemaType *type;
  CprCursor fields;
} InspectDevice;

/* A state that was read and verified in full. */
typedef struct
{
  const char *path;
  int fd;
  GByteArray *data; /* of what can't be read twice; else NULL */
  CprReader reader;
  uint64_t size; /* of the file, with what follows the stream in reboot mode */
  CprManifest manifest;
  GArray *devices; /* InspectDevice, in the order of the stream */
} InspectState;

/* Reads what @path names, "-" is the standard input. On failure it says why: @prefix, the file,
 * and if the state is refused the offset of what is at fault. It can be closed then, too. */
InspectStatus inspect_state_open (InspectState *state, const char *path, const char *prefix);
void inspect_state_close (InspectState *state);

/* Walks over a device's values; they were verified. */
void inspect_device_walk (const InspectState *state, const InspectDevice *device, const CprVisitor *visitor);

#endif
