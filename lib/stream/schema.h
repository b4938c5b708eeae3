/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_SCHEMA_H
#define CPR_STREAM_SCHEMA_H

#include <glib.h>

#include <libcpr/libcpr.h>

#include "stream/wire.h"
#include "stream/writer.h"

/* A program's tables of fields, as they stand in the stream. A struct refers only to structs before
 * it, so that they can't be cyclic. */

typedef struct
{
  const char *name;
  CprKind kind;
  unsigned flags; /* CPR_FIELD_FLAG_… */
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
  uint32_t minimum_version;
  uint32_t struct_index;
} CprSchemaType;

/* A schema as read; its strings lie in the stream. */
typedef struct
{
  GArray *structs; /* CprSchemaStruct */
  GArray *types;   /* CprSchemaType */
} CprSchema;

/* On failure it can be cleared. */
bool cpr_schema_read (CprSchema *schema, CprCursor *cursor, GError **error);
void cpr_schema_clear (CprSchema *schema);

const CprSchemaStruct *cpr_schema_get_struct (const CprSchema *schema, uint32_t index);

/* Which rule a field breaks, in words that follow its name; NULL: none. The rules are the same for
 * a program's own tables and for those of a stream. */
const char *cpr_schema_field_find_fault (const CprSchemaField *field);

/* A field of a program's own table as it stands in a schema; `struct_index` is left to the
 * caller. */
CprSchemaField cpr_schema_field_from (const CprField *field);

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

#endif
