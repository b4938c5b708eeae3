/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_CONVERT_MODEL_H
#define CPR_TESTS_CONVERT_MODEL_H

#include "convert-values.h"

/* The model computes from the values alone what a reader gets from a writer's state, as
 * doc/stream-format.md, section 11, says. It shares no code with the library. */
typedef struct
{
  int64_t time_offset_ns;
  int fd_offset; /* what becomes of an fd's number */
  bool fds_gone; /* whether those from FDS_GONE on aren't there */
} Circumstances;

/* True: the reader can take the writer's struct, if the values fit. */
bool model_matches (const CprStruct *from, const CprStruct *to);

/* @object has the reader's values before, and gets those after. False: the state is refused, and
 * @object is useless. */
bool model_load (const CprStruct *from,
                 const Object *source,
                 const CprStruct *to,
                 Object *object,
                 const Circumstances *circumstances);

/* True: the device types go together, by name and version. */
bool model_types_match (const CprDeviceType *from, const CprDeviceType *to);

#endif
