/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_MANIFEST_JUDGE_H
#define CPR_TESTS_MANIFEST_JUDGE_H

#include "fuzz.h"

/* A second reading of doc/stream-format.md, sections 3 to 6. It judges whether payloads are as they
 * must be. It is slow and simple, and shares no code with the library. */
typedef struct
{
  const uint8_t *data;
  size_t len;
} Payload;

bool judge_vm (Payload payload);
bool judge_program (Payload payload);
bool judge_successor (Payload payload);
bool judge_fds (Payload payload);
bool judge_ram (Payload payload, Payload fds);
bool judge_dma (Payload payload, Payload fds, Payload ram);
bool judge_schema (Payload payload);

#endif
