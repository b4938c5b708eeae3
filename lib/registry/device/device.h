/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_DEVICE_DEVICE_H
#define CPR_REGISTRY_DEVICE_DEVICE_H

#include <libcpr/libcpr.h>

#include "stream/convert.h"
#include "stream/reader.h"

typedef struct
{
  const CprDeviceType *given; /* the program's */
  const CprDeviceType *type;  /* that, or where its version of the struct lacks members a copy in which they are 0 */
  CprDeviceType copy;
} CprRegisteredType;

typedef struct
{
  char *name;
  const CprDeviceType *type; /* as registered: with all members */
  void *state;
} CprDevice;

typedef struct
{
  GPtrArray *devices; /* CprDevice, in the order of adding */
  GHashTable *by_name;
  GHashTable *types; /* name → CprRegisteredType of the devices there have been; checked */
} CprDeviceTable;

void cpr_device_table_init (CprDeviceTable *table);
void cpr_device_table_clear (CprDeviceTable *table);

bool
cpr_device_table_add (CprDeviceTable *table, const char *name, const CprDeviceType *type, void *state, GError **error);
bool cpr_device_table_remove (CprDeviceTable *table, const char *name, GError **error);

/* Whether a type can be right in itself. */
bool cpr_device_type_check (const CprDeviceType *type, GError **error);

/* Whether a device of the stream could become one of @type here: version, fields, and where
 * @fields isn't NULL their values. @codec may be NULL then. The plan is made once for each pair
 * of types. */
bool cpr_device_type_accepts (const CprDeviceType *type,
                              const CprSchemaType *from,
                              CprPlans *plans,
                              const CprCursor *fields,
                              const CprCodec *codec,
                              const CprPlan **plan,
                              GError **error);

/* The SCHEMA chunk: the types of all devices, in the order that their sections refer to. */
void cpr_device_table_write_schema (const CprDeviceTable *table, CprSchemaBuilder *builder, CprWriter *writer);

/* The head of a SECTION chunk and the fields. */
bool cpr_device_write_section (
    const CprDevice *device, CprSchemaBuilder *builder, const CprCodec *codec, CprWriter *writer, GError **error);

/* About how long the sections will be, without BULK chunks. */
size_t cpr_device_table_guess_sections (const CprDeviceTable *table);

/* One SECTION chunk per device, then the BULK chunks. Calls pre_save of all of them first. */
bool cpr_device_table_write_sections (
    const CprDeviceTable *table, CprSchemaBuilder *builder, const CprCodec *codec, CprWriter *writer, GError **error);

/* For a preflight: the DEVICES chunk, and one SECTION chunk per device whose type permits that
 * while the guest runs. */
bool
cpr_device_table_write_list (const CprDeviceTable *table, CprSchemaBuilder *builder, CprWriter *writer, GError **error);
bool cpr_device_table_write_trial (
    const CprDeviceTable *table, CprSchemaBuilder *builder, const CprCodec *codec, CprWriter *writer, GError **error);

/* Makes sure that the sections of a stream go with its schema and that every value is what it
 * must be. After a failure
 * @reader says at which chunk. */
bool cpr_sections_verify (const CprSchema *schema, CprReader *reader, const CprCodec *codec, GError **error);

/* The name and device type of a section, and its fields; false if it doesn't begin with them. */
bool cpr_section_read (
    const CprSchema *schema, const CprChunk *chunk, const char **name, const CprSchemaType **type, CprCursor *fields);

/* How the devices of a table get their state from a stream. The objects that it is made of have to
 * live as long. */
typedef struct _CprDeviceLoad CprDeviceLoad;

/* All that can be known from the schema alone, in which order and how it is converted; so that
 * it can be done before the guest stops. A type that can't be converted is told by the check.
 * NULL with an error where the order goes round in a circle. */
CprDeviceLoad *cpr_device_load_new (const CprDeviceTable *table, const CprSchema *schema, GError **error);
/* Has all pages of the devices' state there to be written, without changing them. */
void cpr_device_load_touch (CprDeviceLoad *load);
/* Every device has a section that fits, and every section a device. */
bool cpr_device_load_check (CprDeviceLoad *load, CprReader *reader, const CprCodec *codec, GError **error);
/* After the check: gives the devices their state, each followed by its post_load. */
bool cpr_device_load_apply (CprDeviceLoad *load, GError **error);
void cpr_device_load_free (CprDeviceLoad *load);

/* The devices in the order in which they are saved and loaded: that of adding, as far as
 * load_after of their types doesn't say otherwise. NULL with an error where that goes round in a
 * circle. */
GPtrArray *cpr_device_table_sort (const CprDeviceTable *table, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprDeviceLoad, cpr_device_load_free)

#endif
