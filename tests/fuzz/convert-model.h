/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_CONVERT_MODEL_H
#define CPR_TESTS_CONVERT_MODEL_H

#include "convert-values.h"

/* What doc/stream-format.md, section 11, says that a reader gets from a writer's state, computed
 * from the values alone. Shares no code with the library. */
typedef struct
{
  int64_t time_offset_ns;
  int fd_offset; /* what becomes of an fd's number */
  bool fds_gone; /* whether those from FDS_GONE on aren't there */
} Circumstances;

/* Whether two structs go together at all, whatever the values. */
bool model_matches (const CprStruct *from, const CprStruct *to);

/* Makes of @object, what the reader had before, what it has then. False: it is refused, and
 * @object is of no use. */
bool model_load (const CprStruct *from,
                 const Object *source,
                 const CprStruct *to,
                 Object *object,
                 const Circumstances *circumstances);

/* Whether the device types go together, by name and version. */
bool model_types_match (const CprDeviceType *from, const CprDeviceType *to);

#endif
