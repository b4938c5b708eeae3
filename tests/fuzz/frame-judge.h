/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_FRAME_JUDGE_H
#define CPR_TESTS_FRAME_JUDGE_H

#include "fuzz.h"

/* A second reading of doc/stream-format.md, sections 2 and 8. It judges whether bytes are a stream,
 * without the contents of payloads and the checksums of BULK chunks. */
bool judge_frame (const uint8_t *data, size_t size);

#endif
