/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_STORED_JUDGE_H
#define CPR_TESTS_STORED_JUDGE_H

#include "manifest-judge.h"

/* A second reading of doc/stream-format.md, section 9. It shares no code with the library but the
 * checksum. */

/* Judges STORE, and RAM in a state that has a STORE. */
bool judge_store (Payload store);
bool judge_stored_ram (Payload ram, Payload store);

/* Judges SUMS beside a STORE that is right. @there: the chunk exists. */
bool judge_sums (Payload sums, bool there, Payload store);

/* Judges everything that follows a state of layout 1. @header: the state's header. */
bool judge_pages (Payload pages, const uint8_t header[32], Payload store);

/* The layout, and what judge_pages() has found of a block in the order of STORE, which has to be
 * of that layout: its byte at @offset. */
uint64_t judged_layout (Payload store);
bool judged_block (Payload store, uint64_t index, Payload *block, uint64_t *size, bool *copied);
uint8_t judged_byte (Payload pages, Payload block, uint64_t offset);

#endif
