/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_DEVICE_DEVICE_H
#define CPR_REGISTRY_DEVICE_DEVICE_H

#include <libcpr/libcpr.h>

#include "stream/convert.h"
#include "stream/reader.h"

typedef struct
{
  const CprDeviceType *given; /* the VMM's */
  const CprDeviceType *type;  /* `given`, or `copy` if the VMM's struct is older: there the new members are 0 */
  CprDeviceType copy;
} CprRegisteredType;

typedef struct
{
  char *name;
  const CprDeviceType *type; /* CprRegisteredType.type, with all members */
  void *state;
} CprDevice;

typedef struct
{
  GPtrArray *devices; /* in the order of their registration */
  GHashTable *by_name;
  GHashTable *types; /* name → CprRegisteredType of all devices so far; checked */
  GPtrArray *sorted; /* NULL: the order has to be worked out; see cpr_device_table_sort() */
} CprDeviceTable;

/* ---- The table: device.c. */

void cpr_device_table_init (CprDeviceTable *table);
void cpr_device_table_clear (CprDeviceTable *table);

/* @type is added with its first device and stays, even if that device is removed. The struct must
 * live as long as the table, and @state as long as the device is in it. */
bool
cpr_device_table_add (CprDeviceTable *table, const char *name, const CprDeviceType *type, void *state, GError **error);
bool cpr_device_table_remove (CprDeviceTable *table, const char *name, GError **error);

/* The devices in the order in which they are saved and loaded: the order of their registration,
 * unless load_after of their types says otherwise. The order is kept until a device comes or goes,
 * so that it needn't be worked out while the guest stands still. NULL with an error if load_after
 * goes round in a circle. */
GPtrArray *cpr_device_table_sort (CprDeviceTable *table, GError **error);

/* Whether a type's versions and fields are valid and go together. */
bool cpr_device_type_check (const CprDeviceType *type, GError **error);

/* Whether a device of the stream can be loaded as one of @type here: version, fields and, if
 * @fields isn't NULL, their values. @codec may be NULL if @fields is. The plan is made once for
 * each pair of types. */
bool cpr_device_type_accepts (const CprDeviceType *type,
                              const CprSchemaType *from,
                              CprPlans *plans,
                              const CprCursor *fields,
                              const CprCodec *codec,
                              const CprPlan **plan,
                              GError **error);

/* ---- Saving: save.c. */

/* The SCHEMA chunk: the types of all devices, in the order by which sections refer to them. */
void cpr_device_table_write_schema (const CprDeviceTable *table, CprSchemaBuilder *builder, CprWriter *writer);

/* One SECTION chunk: its head and the fields. */
bool cpr_device_write_section (
    const CprDevice *device, CprSchemaBuilder *builder, const CprCodec *codec, CprWriter *writer, GError **error);

/* An estimate of the length of all sections, without BULK chunks. */
size_t cpr_device_table_guess_sections (const CprDeviceTable *table);

/* One SECTION chunk per device, then the BULK chunks. Calls every pre_save first. */
bool cpr_device_table_write_sections (
    CprDeviceTable *table, CprSchemaBuilder *builder, const CprCodec *codec, CprWriter *writer, GError **error);

/* For a preflight: the DEVICES chunk, and one SECTION chunk for each device whose type can be
 * saved while the guest runs (trial_save). */
bool cpr_device_table_write_list (CprDeviceTable *table, CprSchemaBuilder *builder, CprWriter *writer, GError **error);
bool cpr_device_table_write_trial (
    const CprDeviceTable *table, CprSchemaBuilder *builder, const CprCodec *codec, CprWriter *writer, GError **error);

/* ---- Reading and loading: load.c. */

/* Verifies that the sections of a stream match its schema and that every value is valid. After a
 * failure @reader has the place of the faulty chunk. */
bool cpr_sections_verify (const CprSchema *schema, CprReader *reader, const CprCodec *codec, GError **error);

/* Reads a section's name, device type and fields; false if it doesn't begin with them. */
bool cpr_section_read (
    const CprSchema *schema, const CprChunk *chunk, const char **name, const CprSchemaType **type, CprCursor *fields);

/* The load of a table's devices from a stream. The table and the schema must live as long. */
typedef struct _CprDeviceLoad CprDeviceLoad;

/* Prepares the order and the conversions, for which the schema is enough, so that it can be done
 * before the guest stops. A type that can't be converted is an error only of
 * cpr_device_load_check(). NULL with an error if load_after goes round in a circle. */
CprDeviceLoad *cpr_device_load_new (CprDeviceTable *table, const CprSchema *schema, GError **error);
/* Makes all pages of the devices' state writable in memory without changing them, so that the
 * load takes no page faults. */
void cpr_device_load_touch (CprDeviceLoad *load);
/* Checks that every device has a section that fits, and every section a device. */
bool cpr_device_load_check (CprDeviceLoad *load, CprReader *reader, const CprCodec *codec, GError **error);
/* After the check, for each device: calls its pre_load, loads its fields and bulk data, and calls
 * its post_load. */
bool cpr_device_load_apply (CprDeviceLoad *load, GError **error);
void cpr_device_load_free (CprDeviceLoad *load);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprDeviceLoad, cpr_device_load_free)

#endif
