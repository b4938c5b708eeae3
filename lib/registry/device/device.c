/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of devices: their registration and their order. Also the check of a device's type, and
 * whether a type of a stream can be loaded as one of this program. Called by lib/session, and the
 * checks by lib/ask, too. */
#include "registry/device/device.h"

#include <string.h>

#include "base/error.h"
#include "base/versioned.h"

static void
device_free (void *data)
{
  CprDevice *device = data;

  g_free (device->name);
  g_free (device);
}

void
cpr_device_table_init (CprDeviceTable *table)
{
  table->devices = g_ptr_array_new_with_free_func (device_free);
  table->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  table->types = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
  table->sorted = NULL;
}

void
cpr_device_table_clear (CprDeviceTable *table)
{
  g_clear_pointer (&table->by_name, g_hash_table_unref);
  g_clear_pointer (&table->types, g_hash_table_unref);
  g_clear_pointer (&table->sorted, g_ptr_array_unref);
  g_clear_pointer (&table->devices, g_ptr_array_unref);
}

/* Whether @type has a valid name and all members of the first version's struct. */
static bool
check_head (const CprDeviceType *type, GError **error)
{
  return cpr_versioned_check (CPR_VERSIONED_DEVICE_TYPE, type, error) && cpr_name_check ("type", type->name, error);
}

bool
cpr_device_type_check (const CprDeviceType *type, GError **error)
{
  if (!check_head (type, error))
    return false;
  if (type->minimum_version > type->version)
    return cpr_throw (error, CPR_ERROR_INVALID, "type '%s': minimum version %u is above version %u", type->name,
                      type->minimum_version, type->version);
  if (cpr_struct_check (&type->state, error))
    return true;
  g_prefix_error (error, "type '%s': ", type->name);
  return false;
}

/* Returns the type with all members: @type itself, or the table's copy of an older struct. A VMM
 * may register many devices of one @type; only the first of them adds it. */
static const CprDeviceType *
add_type (CprDeviceTable *table, const CprDeviceType *type, GError **error)
{
  CprRegisteredType *registered;

  if (!check_head (type, error))
    return NULL;
  registered = g_hash_table_lookup (table->types, type->name);
  if (registered != NULL && registered->given != type)
    {
      cpr_throw (error, CPR_ERROR_EXISTS, "there is another type named '%s'", type->name);
      return NULL;
    }
  if (registered != NULL)
    return registered->type;
  if (!cpr_device_type_check (type, error))
    return NULL;
  registered = g_new (CprRegisteredType, 1);
  cpr_versioned_read (CPR_VERSIONED_DEVICE_TYPE, &registered->copy, type, NULL); /* checked above */
  registered->given = type;
  registered->type = type->size >= sizeof *type ? type : &registered->copy;
  g_hash_table_insert (table->types, (char *) type->name, registered);
  return registered->type;
}

bool
cpr_device_table_add (CprDeviceTable *table, const char *name, const CprDeviceType *type, void *state, GError **error)
{
  const CprDeviceType *full_type;
  CprDevice *device;

  if (!cpr_name_check ("device", name, error))
    return false;
  if (g_hash_table_contains (table->by_name, name))
    return cpr_throw (error, CPR_ERROR_EXISTS, "device '%s': there is one of that name", name);
  full_type = add_type (table, type, error);
  if (full_type == NULL)
    {
      g_prefix_error (error, "device '%s': ", name);
      return false;
    }
  device = g_new0 (CprDevice, 1);
  device->name = g_strdup (name);
  device->type = full_type;
  device->state = state;
  g_ptr_array_add (table->devices, device);
  g_clear_pointer (&table->sorted, g_ptr_array_unref);
  g_hash_table_insert (table->by_name, device->name, device);
  return true;
}

bool
cpr_device_table_remove (CprDeviceTable *table, const char *name, GError **error)
{
  CprDevice *device = g_hash_table_lookup (table->by_name, name);

  if (device == NULL)
    return cpr_throw (error, CPR_ERROR_NOT_FOUND, "device '%s': there is none of that name", name);
  g_clear_pointer (&table->sorted, g_ptr_array_unref);
  g_hash_table_remove (table->by_name, name);
  g_ptr_array_remove (table->devices, device);
  return true;
}

/* ---- The order. A type's level is one more than the highest level among the types that it
 * loads after. */

/* In place of a type's level: find_level() is at work on it. To meet that type again then means a
 * circle. */
#define LEVEL_OPEN G_MAXUINT

/* @levels: type → its level, or LEVEL_OPEN; each type is worked out once. */
static bool
find_level (const CprDeviceTable *table, const CprDeviceType *type, GHashTable *levels, guint *level, GError **error)
{
  void *known;

  if (g_hash_table_lookup_extended (levels, type, NULL, &known))
    {
      *level = GPOINTER_TO_UINT (known);
      return *level != LEVEL_OPEN ||
             cpr_throw (error, CPR_ERROR_INVALID, "type '%s': load_after goes round in a circle", type->name);
    }
  g_hash_table_insert (levels, (void *) type, GUINT_TO_POINTER (LEVEL_OPEN));
  *level = 0;
  for (const char *const *name = type->load_after; name != NULL && *name != NULL; name++)
    {
      const CprRegisteredType *before = g_hash_table_lookup (table->types, *name);
      guint level_before;

      if (before == NULL) /* no device has had that type */
        continue;
      if (!find_level (table, before->type, levels, &level_before, error))
        return false;
      *level = MAX (*level, level_before + 1);
    }
  g_hash_table_insert (levels, (void *) type, GUINT_TO_POINTER (*level));
  return true;
}

/* The devices of one level, in the order of their registration. Makes the buckets up to that
 * level. */
static GPtrArray *
ensure_bucket (GPtrArray *buckets, guint level)
{
  while (buckets->len <= level)
    g_ptr_array_add (buckets, g_ptr_array_new ());
  return buckets->pdata[level];
}

static GPtrArray *
work_out_order (const CprDeviceTable *table, GError **error)
{
  g_autoptr (GHashTable) levels = g_hash_table_new (NULL, NULL);
  g_autoptr (GPtrArray) buckets = g_ptr_array_new_with_free_func ((GDestroyNotify) g_ptr_array_unref);
  GPtrArray *sorted;

  for (guint i = 0; i < table->devices->len; i++)
    {
      CprDevice *device = table->devices->pdata[i];
      guint level;

      if (!find_level (table, device->type, levels, &level, error))
        return NULL;
      g_ptr_array_add (ensure_bucket (buckets, level), device);
    }
  sorted = g_ptr_array_sized_new (table->devices->len);
  for (guint i = 0; i < buckets->len; i++)
    g_ptr_array_extend (sorted, buckets->pdata[i], NULL, NULL);
  return sorted;
}

GPtrArray *
cpr_device_table_sort (CprDeviceTable *table, GError **error)
{
  if (table->sorted == NULL)
    table->sorted = work_out_order (table, error);
  return table->sorted != NULL ? g_ptr_array_ref (table->sorted) : NULL;
}

/* ---- Whether a device of a stream can be loaded. */

/* Puts both versions before the error: a conversion may have failed because they differ. */
static bool
prefix_versions (const CprDeviceType *type, const CprSchemaType *from, GError **error)
{
  if (from->version != type->version) /* equal versions explain nothing */
    g_prefix_error (error, "type '%s', version %u in the state, %u here: ", type->name, from->version, type->version);
  return false;
}

bool
cpr_device_type_accepts (const CprDeviceType *type,
                         const CprSchemaType *from,
                         CprPlans *plans,
                         const CprCursor *fields,
                         const CprCodec *codec,
                         const CprPlan **plan,
                         GError **error)
{
  CprCursor cursor;

  if (strcmp (from->name, type->name) != 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "type is '%s' in the state, '%s' here", from->name, type->name);
  if (from->version > type->version || from->version < type->minimum_version)
    return cpr_throw (error, CPR_ERROR_VERSION, "type '%s': version is %u in the state, this program loads %u to %u",
                      type->name, from->version, type->minimum_version, type->version);
  *plan = cpr_plans_get (plans, from->struct_index, &type->state, error);
  if (*plan == NULL)
    return prefix_versions (type, from, error);
  if (fields == NULL)
    return true;
  cursor = *fields;
  if (!cpr_plan_apply (*plan, &cursor, NULL, codec, error))
    return prefix_versions (type, from, error);
  if (cpr_cursor_left (&cursor) != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "%zu bytes follow its last field", cpr_cursor_left (&cursor));
  return true;
}
