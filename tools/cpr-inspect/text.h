/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_TEXT_H
#define CPR_INSPECT_TEXT_H

#include "base/fd.h"
#include "stream/schema.h"

/* A text of a state, for a terminal: UTF-8 as it is, \ as \\, and any other byte, and any character
 * that isn't printable, as \xNN. All texts that are returned are for g_free(). */
char *inspect_text_escape (const char *bytes, size_t len);
char *inspect_text_quote (const char *string);
/* The same for a message that may quote such a text; a \ in it stays as it is. */
char *inspect_text_escape_message (const char *message);

char *inspect_text_hex (const uint8_t *bytes, size_t len);
/* "uint of 4 bytes, array of 8, optional" */
char *inspect_text_field (const CprSchemaField *field);
char *inspect_text_number (const CprSchemaField *field, uint64_t value);
char *inspect_text_fd (const char *name, int index);
/* "1.5 KiB (1536 bytes)" */
char *inspect_text_size (uint64_t size);
char *inspect_text_signals (uint64_t mask);
const char *inspect_run_state_name (uint32_t run_state);
char *inspect_text_limit (uint64_t limit);
const char *inspect_limit_name (unsigned number); /* "nofile"; NULL: a later kernel's */
const char *inspect_backing_name (unsigned backing);
char *inspect_text_ram_flags (unsigned flags); /* ", locked", maybe empty */
char *inspect_text_identity (const CprFdIdentity *identity);

#endif
