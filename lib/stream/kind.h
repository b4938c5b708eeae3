/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_KIND_H
#define CPR_STREAM_KIND_H

#include <libcpr/libcpr.h>

static inline bool
cpr_kind_is_number (CprKind kind)
{
  return kind == CPR_KIND_BOOL || kind == CPR_KIND_UINT || kind == CPR_KIND_INT || kind == CPR_KIND_FLOAT ||
         kind == CPR_KIND_TIME;
}

/* Its values are the same bytes in memory and in the stream, and nothing has to be done with
 * them on the way: a bool is checked, a time may be moved. */
static inline bool
cpr_kind_is_plain (CprKind kind)
{
  return kind == CPR_KIND_UINT || kind == CPR_KIND_INT || kind == CPR_KIND_FLOAT || kind == CPR_KIND_BYTES;
}

/* A number in memory as 64 bits; INT and TIME sign-extended, FLOAT as its bits. */
uint64_t cpr_number_load (CprKind kind, size_t width, const void *at);

/* The other way round, and converted; false where it doesn't fit or the kinds don't go together:
 * nothing is stored then. @at may be NULL: only the check. */
bool cpr_number_store (CprKind kind, size_t width, void *at, CprKind from_kind, size_t from_width, uint64_t value);

/* Whether any value of one kind may become one of the other. */
bool cpr_kinds_convert (CprKind from, CprKind to);

/* "uint of 4 bytes", "struct"; @width 0: without it. */
char *cpr_kind_describe (CprKind kind, size_t width);

#endif
