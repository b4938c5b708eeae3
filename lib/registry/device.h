/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_DEVICE_H
#define CPR_REGISTRY_DEVICE_H

#include <libcpr/libcpr.h>

#include "stream/reader.h"
#include "stream/schema.h"

typedef struct
{
  char *name;
  const CprDeviceType *type;
  void *state;
} CprDevice;

typedef struct
{
  GPtrArray *devices; /* CprDevice, in the order of adding */
} CprDeviceTable;

void cpr_device_table_init (CprDeviceTable *table);
void cpr_device_table_clear (CprDeviceTable *table);

bool
cpr_device_table_add (CprDeviceTable *table, const char *name, const CprDeviceType *type, void *state, GError **error);
bool cpr_device_table_remove (CprDeviceTable *table, const char *name, GError **error);

/* The SCHEMA chunk. */
void cpr_device_table_write_schema (const CprDeviceTable *table, CprWriter *writer);
/* One SECTION chunk per device: name; u32 device type; u32 0; the struct. Calls pre_save of all of them
 * first. */
bool cpr_device_table_write_sections (const CprDeviceTable *table, CprWriter *writer, GError **error);

/* Applies the sections of a verified stream: first all of them are checked, then applied, each followed by
 * post_load. */
bool cpr_device_table_load (const CprDeviceTable *table, const CprSchema *schema, CprReader *reader, GError **error);

#endif
