/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_SCHEMA_H
#define CPR_STREAM_SCHEMA_H

#include <glib.h>

#include <libcpr/libcpr.h>

#include "stream/wire.h"
#include "stream/writer.h"

/* What a program's tables of fields look like in the stream (SCHEMA chunk):
 *
 *   u32 number of structs, then each
 *     name; u32 number of fields, then each
 *       name; u8 kind; u8 width; u16 flags; u32 count; u32 struct; u64 default
 *   u32 number of device types, then each
 *     name; u32 version; u32 struct
 *
 * A struct refers only to structs before it, so that they can't be cyclic. */

typedef struct
{
  const char *name;
  CprKind kind;
  unsigned flags;
  uint32_t width; /* of a number; 0 for a struct, whose size in memory is nobody else's business */
  uint32_t count;
  uint32_t struct_index;
  uint64_t default_value;
} CprSchemaField;

typedef struct
{
  const char *name;
  GArray *fields; /* CprSchemaField */
  unsigned depth; /* structs within, itself included */
} CprSchemaStruct;

typedef struct
{
  const char *name;
  uint32_t version;
  uint32_t struct_index;
} CprSchemaType;

/* A schema as read; its strings lie in the stream. */
typedef struct
{
  GArray *structs; /* CprSchemaStruct */
  GArray *types;   /* CprSchemaType */
} CprSchema;

bool cpr_schema_read (CprSchema *schema, CprCursor *cursor, GError **error);
void cpr_schema_clear (CprSchema *schema);

/* Collects the structs behind device types, each once. */
typedef struct
{
  GPtrArray *structs;  /* const CprStruct * */
  GPtrArray *types;    /* const CprDeviceType * */
  GHashTable *indices; /* either → index + 1 */
} CprSchemaBuilder;

void cpr_schema_builder_init (CprSchemaBuilder *builder);
void cpr_schema_builder_clear (CprSchemaBuilder *builder);
uint32_t cpr_schema_builder_add (CprSchemaBuilder *builder, const CprDeviceType *type);
void cpr_schema_builder_write (const CprSchemaBuilder *builder, CprWriter *writer);

/* Whether a static table of fields can be right. */
bool cpr_struct_check (const CprStruct *type, GError **error);

/* A number in memory as 64 bits, sign-extended. */
uint64_t cpr_number_load (CprKind kind, size_t width, const void *at);
/* The other way round; false where it doesn't fit, nothing is stored then. @at may be NULL: only the check.
 */
bool cpr_number_store (CprKind kind, size_t width, void *at, CprKind from_kind, uint64_t value);

/* Writes a struct's fields: the numbers as they are, packed; before an optional one a byte that says whether
 * it is there; before a counted array its count as u32. */
bool cpr_struct_encode (const CprStruct *type, const void *source, CprWriter *writer, GError **error);

#endif
