/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_DEVICE_H
#define LIBCPR_DEVICE_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/field.h>
#include <libcpr/session.h>

G_BEGIN_DECLS

/**
 * SECTION:device
 * @title: Devices
 *
 * A device is an instance of a device type. The type describes the device's struct and its fields,
 * once, in a static table that the compiler checks. The state carries each type's schema, so that a
 * program with another set of fields can still read it:
 *
 * |[<!-- language="C" -->
 * static const CprField serial_fields[] = {
 *     CPR_FIELD (Serial, ier),
 *     CPR_FIELD_ARRAY (Serial, fifo),
 *     CPR_FIELD_OPTIONAL (Serial, fifo_depth, 16),
 *     CPR_FIELD (Serial, line_control, CPR_WRITTEN_AS ("lcr")),
 *     CPR_FIELD_END
 * };
 * static const CprDeviceType serial_type = {
 *     .size = sizeof (CprDeviceType), .name = "serial", .version = 1, .minimum_version = 1,
 *     .state = { "Serial", sizeof (Serial), serial_fields },
 * };
 * ]|
 *
 * Fields are matched by name. The two sides may differ in a few points, as long as the value fits.
 * These are a number's width and signedness, a string's room, and the maximum of a counted array or
 * list. A fixed array may become a counted one. Everything else must be the same. A field that one
 * side doesn't know is an error that names it, unless the field is optional or ignorable. `version`
 * is only for changes of meaning.
 *
 * A type can change over the years so that updates to newer and to older programs keep working:
 *
 * - To add a field, use %CPR_FIELD_OPTIONAL with the value that means "as before". The state loads
 *   in the older program as long as the guest doesn't use the new feature.
 * - To rename a field, use CPR_WRITTEN_AS() with the old name, which stays in the state. The new
 *   name can be written once it is among the CPR_ALIASES() of every program that the state may
 *   reach.
 * - To widen a field, or to make a bool a number, just change the C type.
 * - To remove a field, use %CPR_FIELD_RETIRED, which writes a value for the older programs and
 *   drops the value that they wrote.
 *
 * A preflight finds a state that the new program can't load before the guest is stopped, see
 * cpr_session_preflight().
 */

/**
 * CprBulk:
 *
 * A device's bulk data, while it is written or read: data that no field describes. Opaque.
 */
typedef struct _CprBulk CprBulk;

/**
 * CprDeviceType:
 * @size: `sizeof (CprDeviceType)`, see #SECTION:libcpr
 * @name: the type's name, 1 to 255 bytes, the same in every program that can read the other's state
 * @version: counts the changes of meaning that the fields can't express. A state of a higher
 *     version isn't loaded
 * @minimum_version: the oldest version that this program can load
 * @state: the device's struct and its fields
 * @pre_save: (nullable): called with the guest stopped, before the fields are read, to fetch what
 *     the kernel holds
 * @post_load: (nullable): called after this device's fields and bulk data were loaded, and before
 *     the next device's @pre_load. It gets the version that was loaded, and gives the values to the
 *     kernel. If a later device's callback fails, this device isn't told; the guest goes back to
 *     the old program
 * @load_after: (nullable): names of types, ended by %NULL. Their devices are loaded before the
 *     devices of this type, @post_load included: a bus before the devices on it. A type that the
 *     session doesn't have is no error. With a cycle, an update, a preflight and cpr_session_load()
 *     fail with %CPR_ERROR_INVALID
 * @save_bulk: (nullable): called after all fields of all devices were written, to write what is too
 *     large for fields, such as a frame buffer, with cpr_bulk_write()
 * @load_bulk: (nullable): called after this device's fields were set and before its @post_load, if
 *     the state has bulk data. The callback reads all of it with cpr_bulk_read(). Bulk data without
 *     a @load_bulk is an error
 * @trial_save: whether a preflight may read the fields while the guest runs, without @pre_save, to
 *     check values too. The values needn't be consistent, but pointers and lists must be safe to
 *     follow
 * @pre_load: (nullable): called before any field of this device is set, after the @post_load of the
 *     devices that are loaded before it. It gets the version that is loaded, and prepares the
 *     struct: it gives values to the members that the state may not have, such as those of a group,
 *     and frees or empties what the device has made so far
 *
 * A device type. Static: it must outlive every session that uses it. Zero it, set @size, then the
 * fields.
 *
 * cpr_session_load() first checks all of the state against all devices, without a callback and
 * without a change to a device. Then it takes one device after the other: @pre_load, the fields,
 * @load_bulk, @post_load. A callback that returns %FALSE ends the load with its error, or with
 * %CPR_ERROR_CALLBACK if it set none. Then the callbacks of the devices after it aren't called, and
 * the guest goes back to the old program. A preflight, and a fresh start, load nothing, so they
 * call neither @pre_load nor @post_load.
 *
 * No callback, and no other code of the new program, may write guest RAM before the commit. The
 * guest has the same RAM in the old program, which goes on with it if the update fails. A device
 * that has to write there, such as a ring's index or an interrupt's flag, remembers that in
 * @post_load. The VMM's `start` callback does it, before the vCPUs run. It is part of the pause
 * there, and can't fail. %CPR_INCOMING_PROTECT_RAM finds a program that writes too early. Reading
 * guest RAM is permitted: it is the guest's, which stands still since before its state was saved.
 *
 * Since: 0.1
 */
struct _CprDeviceType
{
  size_t size;
  const char *name;
  uint32_t version;
  uint32_t minimum_version;
  CprStruct state;
  bool (*pre_save) (void *device, GError **error);
  bool (*post_load) (void *device, uint32_t version, GError **error);
  const char *const *load_after;
  bool (*save_bulk) (void *device, CprBulk *bulk, GError **error);
  bool (*load_bulk) (void *device, CprBulk *bulk, GError **error);
  bool trial_save;
  bool (*pre_load) (void *device, uint32_t version, GError **error);
};

/**
 * cpr_device_add:
 * @session: a session
 * @name: the instance's name, 1 to 255 bytes, unique among the devices; copied
 * @type: its type; borrowed, static
 * @device: the struct that @type describes; borrowed until cpr_device_remove() or the session's end
 * @error: where an error goes, or %NULL
 *
 * Adds a device. In an incoming session cpr_session_load() fills in its fields. Devices are loaded
 * in the order in which they were added, as far as `load_after` of their types doesn't say
 * otherwise.
 *
 * Errors: %CPR_ERROR_INVALID (a name; `minimum_version` above `version`; a table of fields without
 * fields, with two fields of one name, with a width that doesn't exist, or nested more than 16
 * deep), %CPR_ERROR_EXISTS (the device, or another type of that name), %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, ACTIVE.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool
cpr_device_add (CprSession *session, const char *name, const CprDeviceType *type, void *device, GError **error);

/**
 * cpr_device_remove:
 * @session: a session
 * @name: the instance's name
 * @error: where an error goes, or %NULL
 *
 * Removes a device, which isn't saved from then on.
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE, LOST, HANDED_OVER.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_device_remove (CprSession *session, const char *name, GError **error);

/**
 * cpr_bulk_write:
 * @bulk: what `save_bulk` got
 * @data: the data
 * @size: its size in bytes
 * @error: where an error goes, or %NULL
 *
 * Appends to a device's bulk data, at the speed of memory. Large pieces go into the state without
 * being copied in between. Permitted states: in `save_bulk` only.
 *
 * Errors: %CPR_ERROR_SYSTEM (no space for it).
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_bulk_write (CprBulk *bulk, const void *data, size_t size, GError **error);

/**
 * cpr_bulk_read:
 * @bulk: what `load_bulk` got
 * @data: where the data goes
 * @size: how many bytes to read; not more than are left
 * @error: where an error goes, or %NULL
 *
 * Reads the next bytes of a device's bulk data. Unlike all other checksums, those of bulk data are
 * verified here, piece by piece. So after a failure @data may be partly overwritten. Permitted
 * states: in `load_bulk` only.
 *
 * Errors: %CPR_ERROR_CORRUPT, %CPR_ERROR_MISMATCH (fewer bytes are left), %CPR_ERROR_SYSTEM.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_bulk_read (CprBulk *bulk, void *data, size_t size, GError **error);

/**
 * cpr_bulk_get_left:
 * @bulk: what `load_bulk` got
 *
 * Says how many bytes of a device's bulk data haven't been read. It is an error if any are left
 * when `load_bulk` returns. Permitted states: in `load_bulk` only.
 *
 * Returns: the number of bytes
 *
 * Since: 0.1
 */
CPR_API uint64_t cpr_bulk_get_left (const CprBulk *bulk);

G_END_DECLS

#endif
