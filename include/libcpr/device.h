/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_DEVICE_H
#define LIBCPR_DEVICE_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/session.h>

G_BEGIN_DECLS

/**
 * SECTION:device
 * @title: Devices
 *
 * A device is an instance with state; its type describes the state's fields, once, in a static table that the compiler
 * checks. The state carries each type's schema, so that a program with another set of fields can still read it:
 *
 * |[<!-- language="C" -->
 * static const CprField serial_fields[] = {
 *     CPR_FIELD (Serial, ier),
 *     CPR_FIELD_ARRAY (Serial, fifo),
 *     CPR_FIELD_OPTIONAL (Serial, fifo_depth, 16),
 *     CPR_FIELD_END
 * };
 * static const CprDeviceType serial_type = {
 *     .size = sizeof (CprDeviceType), .name = "serial", .version = 1, .minimum_version = 1,
 *     .state = { "Serial", sizeof (Serial), serial_fields },
 * };
 * ]|
 *
 * Fields are matched by name. An integer may have another width or signedness on the other side as long as the value fits;
 * everything else must be alike. A field that one side doesn't know is an error that names it, unless it is optional or
 * ignorable, see #CprFieldFlags. `version` is only for changes of meaning.
 */

/**
 * CprKind:
 * @CPR_KIND_BOOL: bool
 * @CPR_KIND_UINT: an unsigned integer of 1, 2, 4 or 8 bytes
 * @CPR_KIND_INT: a signed integer of 1, 2, 4 or 8 bytes, in two's complement
 * @CPR_KIND_FLOAT: IEEE 754 of 4 or 8 bytes
 * @CPR_KIND_BYTES: bytes without meaning to the library
 * @CPR_KIND_STRUCT: a struct with fields of its own
 *
 * The class of a field's value; the width is kept apart. Set by the `CPR_FIELD` macros from the C type.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_KIND_BOOL = 1,
  CPR_KIND_UINT = 2,
  CPR_KIND_INT = 3,
  CPR_KIND_FLOAT = 4,
  CPR_KIND_BYTES = 5,
  CPR_KIND_STRUCT = 6
} CprKind;

/**
 * CprFieldFlags:
 * @CPR_FIELD_FLAG_ARRAY: a fixed array
 * @CPR_FIELD_FLAG_COUNTED: an array of which another field says how many elements are in use
 * @CPR_FIELD_FLAG_OPTIONAL: not written while it has its default, so that a program that doesn't know it can read the state;
 *     where it is missing the reader takes the default: the writer's if the writer knew the field, else its own
 * @CPR_FIELD_FLAG_IGNORABLE: as optional, and a reader that doesn't know it may drop it whatever its value: for counters
 *     and caches, not for anything that the guest can see
 *
 * How a field is laid out and what may be done without it. Set by the `CPR_FIELD` macros.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_FIELD_FLAG_ARRAY = 1 << 0,
  CPR_FIELD_FLAG_COUNTED = 1 << 1,
  CPR_FIELD_FLAG_OPTIONAL = 1 << 2,
  CPR_FIELD_FLAG_IGNORABLE = 1 << 3
} CprFieldFlags;

typedef struct _CprField CprField;

/**
 * CprStruct:
 * @name: the struct's name, for messages and the schema
 * @size: `sizeof` it
 * @fields: its fields, ended by %CPR_FIELD_END
 *
 * A struct and its fields. Static: it must outlive every session that uses it.
 *
 * Since: 0.1
 */
typedef struct
{
  const char *name;
  size_t size;
  const CprField *fields;
} CprStruct;

/**
 * CprField:
 * @name: the member's name; %NULL ends a table
 * @kind: the class of its value
 * @flags: or-ed #CprFieldFlags
 * @offset: where it is in the struct
 * @width: the size of one element
 * @count: how many elements; for a counted array the most there can be; else 1
 * @count_offset: where a counted array's count is in the struct
 * @count_width: the size of the count
 * @type: of a %CPR_KIND_STRUCT: which
 * @default_value: of an optional or ignorable field: its default, integers sign-extended
 * @reserved: 0
 *
 * One field of a struct. Made by the `CPR_FIELD` macros, not by hand.
 *
 * Since: 0.1
 */
struct _CprField
{
  const char *name;
  CprKind kind;
  unsigned flags;
  size_t offset;
  size_t width;
  size_t count;
  size_t count_offset;
  size_t count_width;
  const CprStruct *type;
  uint64_t default_value;
  const void *reserved[2];
};

#ifndef __cplusplus

/* clang-format off */

/* The kind of a C expression; other types (pointers, arrays, structs) don't compile. */
#define CPR_KIND_OF(expression)                                                                                        \
  _Generic ((expression),                                                                                              \
      bool: CPR_KIND_BOOL,                                                                                             \
      char: ((char) -1 < 0 ? CPR_KIND_INT : CPR_KIND_UINT),                                                            \
      signed char: CPR_KIND_INT,                                                                                       \
      short: CPR_KIND_INT,                                                                                             \
      int: CPR_KIND_INT,                                                                                               \
      long: CPR_KIND_INT,                                                                                              \
      long long: CPR_KIND_INT,                                                                                         \
      unsigned char: CPR_KIND_UINT,                                                                                    \
      unsigned short: CPR_KIND_UINT,                                                                                   \
      unsigned int: CPR_KIND_UINT,                                                                                     \
      unsigned long: CPR_KIND_UINT,                                                                                    \
      unsigned long long: CPR_KIND_UINT,                                                                               \
      float: CPR_KIND_FLOAT,                                                                                           \
      double: CPR_KIND_FLOAT)

#define CPR_MEMBER_(Struct, member) (((Struct *) 0)->member)

/* 0, or an error at compile time where the condition doesn't hold. */
#define CPR_CHECK_(condition, message)                                                                                 \
  (0 * sizeof (struct {                                                                                                \
     _Static_assert (condition, message);                                                                              \
     int unused;                                                                                                       \
   }))
#define CPR_CHECK_ARRAY_(Struct, member)                                                                               \
  CPR_CHECK_ (!__builtin_types_compatible_p (__typeof__ (CPR_MEMBER_ (Struct, member)),                                \
                                             __typeof__ (&CPR_MEMBER_ (Struct, member)[0])),                           \
              #member " is not an array")
#define CPR_CHECK_STRUCT_(expression, Nested)                                                                          \
  CPR_CHECK_ (__builtin_types_compatible_p (__typeof__ (expression), Nested), "the member is not a " #Nested)

/* An optional field: a number that isn't floating point, and a default that it can hold. */
#define CPR_FIELD_DEFAULT_(Struct, member, value)                                                                      \
  .default_value = (uint64_t) (int64_t) (value) +                                                                      \
                   CPR_CHECK_ (CPR_KIND_OF (CPR_MEMBER_ (Struct, member)) != CPR_KIND_FLOAT, #member " is floating point") + \
                   CPR_CHECK_ ((__typeof__ (CPR_MEMBER_ (Struct, member))) (value) == (value), "the default doesn't fit " #member)

#define CPR_FIELD_BASE_(Struct, member)                                                                                \
  .name = #member, .offset = offsetof (Struct, member)
#define CPR_FIELD_ELEMENTS_(Struct, member)                                                                            \
  .width = sizeof (CPR_MEMBER_ (Struct, member)[0]) + CPR_CHECK_ARRAY_ (Struct, member),                               \
  .count = sizeof (CPR_MEMBER_ (Struct, member)) / sizeof (CPR_MEMBER_ (Struct, member)[0])
#define CPR_FIELD_COUNT_(Struct, count_member)                                                                         \
  .count_offset = offsetof (Struct, count_member),                                                                     \
  .count_width = sizeof (CPR_MEMBER_ (Struct, count_member)) +                                                         \
                 CPR_CHECK_ (CPR_KIND_OF (CPR_MEMBER_ (Struct, count_member)) == CPR_KIND_UINT,                        \
                             #count_member " is not an unsigned integer")

/**
 * CPR_FIELD:
 * @Struct: the struct's type
 * @member: a member: bool, an integer of any width, an enum, float or double
 *
 * A field with one value. Since: 0.1
 */
#define CPR_FIELD(Struct, member)                                                                                      \
  {                                                                                                                    \
    CPR_FIELD_BASE_ (Struct, member), .kind = CPR_KIND_OF (CPR_MEMBER_ (Struct, member)),                              \
    .width = sizeof (CPR_MEMBER_ (Struct, member)), .count = 1                                                         \
  }

/**
 * CPR_FIELD_OPTIONAL:
 * @Struct: the struct's type
 * @member: a member: bool or an integer
 * @value: its default
 *
 * A field that isn't written while it has its default. Since: 0.1
 */
#define CPR_FIELD_OPTIONAL(Struct, member, value)                                                                      \
  {                                                                                                                    \
    CPR_FIELD_BASE_ (Struct, member), .kind = CPR_KIND_OF (CPR_MEMBER_ (Struct, member)),                              \
    .width = sizeof (CPR_MEMBER_ (Struct, member)), .count = 1, .flags = CPR_FIELD_FLAG_OPTIONAL,                      \
    CPR_FIELD_DEFAULT_ (Struct, member, value)                                                                         \
  }

/**
 * CPR_FIELD_IGNORABLE:
 * @Struct: the struct's type
 * @member: a member: bool or an integer
 * @value: its default
 *
 * A field that a reader which doesn't know it may drop. Since: 0.1
 */
#define CPR_FIELD_IGNORABLE(Struct, member, value)                                                                     \
  {                                                                                                                    \
    CPR_FIELD_BASE_ (Struct, member), .kind = CPR_KIND_OF (CPR_MEMBER_ (Struct, member)),                              \
    .width = sizeof (CPR_MEMBER_ (Struct, member)), .count = 1,                                                        \
    .flags = CPR_FIELD_FLAG_OPTIONAL | CPR_FIELD_FLAG_IGNORABLE,                                                       \
    CPR_FIELD_DEFAULT_ (Struct, member, value)                                                                         \
  }

/**
 * CPR_FIELD_ARRAY:
 * @Struct: the struct's type
 * @member: a member: an array of what CPR_FIELD() takes
 *
 * A fixed array. Since: 0.1
 */
#define CPR_FIELD_ARRAY(Struct, member)                                                                                \
  {                                                                                                                    \
    CPR_FIELD_BASE_ (Struct, member), .kind = CPR_KIND_OF (CPR_MEMBER_ (Struct, member)[0]),                           \
    CPR_FIELD_ELEMENTS_ (Struct, member), .flags = CPR_FIELD_FLAG_ARRAY                                                \
  }

/**
 * CPR_FIELD_COUNTED:
 * @Struct: the struct's type
 * @member: a member: an array of what CPR_FIELD() takes
 * @count_member: a member: an unsigned integer, how many elements are in use; it needs no field of its own
 *
 * An array of which only the first elements are in use. More than fit are an error. Since: 0.1
 */
#define CPR_FIELD_COUNTED(Struct, member, count_member)                                                                \
  {                                                                                                                    \
    CPR_FIELD_BASE_ (Struct, member), .kind = CPR_KIND_OF (CPR_MEMBER_ (Struct, member)[0]),                           \
    CPR_FIELD_ELEMENTS_ (Struct, member), .flags = CPR_FIELD_FLAG_ARRAY | CPR_FIELD_FLAG_COUNTED,                      \
    CPR_FIELD_COUNT_ (Struct, count_member)                                                                            \
  }

/**
 * CPR_FIELD_BYTES:
 * @Struct: the struct's type
 * @member: a member of any type without pointers
 *
 * Bytes that are copied as they are: for structs of the kernel's ABI, which are what they are. Since: 0.1
 */
#define CPR_FIELD_BYTES(Struct, member)                                                                                \
  {                                                                                                                    \
    CPR_FIELD_BASE_ (Struct, member), .kind = CPR_KIND_BYTES, .width = 1,                                              \
    .count = sizeof (CPR_MEMBER_ (Struct, member)), .flags = CPR_FIELD_FLAG_ARRAY                                      \
  }

/**
 * CPR_FIELD_STRUCT:
 * @Struct: the struct's type
 * @member: a member of type @Nested
 * @Nested: the member's type
 * @description: the #CprStruct that describes @Nested
 *
 * A struct in the struct. Since: 0.1
 */
#define CPR_FIELD_STRUCT(Struct, member, Nested, description)                                                          \
  {                                                                                                                    \
    CPR_FIELD_BASE_ (Struct, member), .kind = CPR_KIND_STRUCT,                                                         \
    .width = sizeof (Nested) + CPR_CHECK_STRUCT_ (CPR_MEMBER_ (Struct, member), Nested), .count = 1,                   \
    .type = &(description)                                                                                             \
  }

/**
 * CPR_FIELD_STRUCT_ARRAY:
 * @Struct: the struct's type
 * @member: a member: an array of @Nested
 * @Nested: the elements' type
 * @description: the #CprStruct that describes @Nested
 *
 * A fixed array of structs. Since: 0.1
 */
#define CPR_FIELD_STRUCT_ARRAY(Struct, member, Nested, description)                                                    \
  {                                                                                                                    \
    CPR_FIELD_BASE_ (Struct, member), .kind = CPR_KIND_STRUCT + CPR_CHECK_STRUCT_ (CPR_MEMBER_ (Struct, member)[0], Nested), \
    CPR_FIELD_ELEMENTS_ (Struct, member), .flags = CPR_FIELD_FLAG_ARRAY, .type = &(description)                        \
  }

/**
 * CPR_FIELD_STRUCT_COUNTED:
 * @Struct: the struct's type
 * @member: a member: an array of @Nested
 * @count_member: a member: an unsigned integer, how many elements are in use; it needs no field of its own
 * @Nested: the elements' type
 * @description: the #CprStruct that describes @Nested
 *
 * An array of structs of which only the first are in use. Since: 0.1
 */
#define CPR_FIELD_STRUCT_COUNTED(Struct, member, count_member, Nested, description)                                    \
  {                                                                                                                    \
    CPR_FIELD_BASE_ (Struct, member), .kind = CPR_KIND_STRUCT + CPR_CHECK_STRUCT_ (CPR_MEMBER_ (Struct, member)[0], Nested), \
    CPR_FIELD_ELEMENTS_ (Struct, member), .flags = CPR_FIELD_FLAG_ARRAY | CPR_FIELD_FLAG_COUNTED,                      \
    CPR_FIELD_COUNT_ (Struct, count_member), .type = &(description)                                                    \
  }

/**
 * CPR_FIELD_END:
 *
 * Ends a table of fields. Since: 0.1
 */
#define CPR_FIELD_END                                                                                                  \
  {                                                                                                                    \
    .name = NULL                                                                                                       \
  }

/* clang-format on */

#endif

/**
 * CprDeviceType:
 * @size: `sizeof (CprDeviceType)`
 * @name: the type's name, 1 to 255 bytes, the same in every program that can read the other's state
 * @version: counts changes of meaning that the fields can't express
 * @minimum_version: the oldest version that this program can load
 * @state: the device's struct and its fields
 * @pre_save: (nullable): called before the fields are read, with the guest stopped: fetches what the kernel holds
 * @post_load: (nullable): called after the fields were set, with the version that was loaded: gives it to the kernel. After
 *     a failure of a later device's @post_load the device isn't told; the program is replaced by the old one
 *
 * A device type. Static: it must outlive every session that uses it. Zero it, set @size, then the fields.
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
};

/**
 * cpr_device_add:
 * @session: a session
 * @name: the instance's name, 1 to 255 bytes, unique among the devices; copied
 * @type: its type; borrowed, static
 * @device: the struct that @type describes; borrowed until cpr_device_remove() or the session's end
 * @error: where an error goes, or %NULL
 *
 * Adds a device. In a session that took up a state it gets its state in cpr_session_load(), in the order in which devices
 * were added: add a bus before what is on it.
 *
 * Errors: %CPR_ERROR_INVALID (a name, a table of fields that can't be right: no fields, two of one name, a width that
 * isn't one, nested more than 16 deep), %CPR_ERROR_EXISTS, %CPR_ERROR_STATE.
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
 * Removes a device: it isn't saved any more.
 *
 * Errors: %CPR_ERROR_NOT_FOUND, %CPR_ERROR_STATE.
 *
 * Permitted states: FRESH, INCOMING, LOADED, ACTIVE, LOST.
 *
 * Returns: %TRUE on success
 *
 * Since: 0.1
 */
CPR_API bool cpr_device_remove (CprSession *session, const char *name, GError **error);

G_END_DECLS

#endif
