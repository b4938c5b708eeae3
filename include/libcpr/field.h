/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_FIELD_H
#define LIBCPR_FIELD_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

/**
 * SECTION:field
 * @title: Fields
 *
 * A device's fields stand in static tables that the `CPR_FIELD` macros make. The macros derive each
 * field's kind from the C type. A member that isn't what the macro demands doesn't compile.
 *
 * A member's name is the field's name in the state, and stays there when the member is renamed, see
 * CPR_WRITTEN_AS(). A member of a member (`hdr.flags`, `queue[1]`) has no such name, so it needs
 * CPR_WRITTEN_AS(); without it cpr_device_add() refuses the table.
 *
 * The macros are the same in C (C11 and later) and in C++ (C++17 and later), and so are the states:
 * a program can be rewritten from one language into the other. In C++, %CPR_IGNORABLE stands where
 * C has `.ignorable = true`, and a struct whose first member is `size` is made by a function, as
 * C++17 has no designated initialisers:
 *
 * |[<!-- language="C++" -->
 * static const CprField serial_fields[] = {
 *     CPR_FIELD (Serial, ier),
 *     CPR_FIELD_HEAP_STRING (Serial, label, 255, CPR_IGNORABLE),
 *     CPR_FIELD_END
 * };
 * static const CprDeviceType serial_type = [] {
 *     CprDeviceType type{};
 *     type.size = sizeof type;
 *     type.name = "serial";
 *     type.state = { "Serial", sizeof (Serial), serial_fields };
 *     return type;
 * } ();
 * ]|
 *
 * In C++ the struct has standard layout: all its data members in one class, and no virtual
 * function. Otherwise compilers warn about `offsetof`. Loading writes the members as they are, runs
 * no constructor or destructor, and frees and allocates with g_free() and g_malloc(). So a
 * std::string or a std::vector isn't a field. A #CprList reaches the elements of a container.
 *
 * Rust has no such macros. Its bindings (bindgen makes them from libcpr.h) have the functions and
 * the structs; write the tables in a C file, beside `repr(C)` structs that both languages know.
 */

/**
 * CprKind:
 * @CPR_KIND_BOOL: bool
 * @CPR_KIND_UINT: an unsigned integer of 1, 2, 4 or 8 bytes
 * @CPR_KIND_INT: a signed integer of 1, 2, 4 or 8 bytes, in two's complement
 * @CPR_KIND_FLOAT: IEEE 754 of 4 or 8 bytes
 * @CPR_KIND_BYTES: bytes without meaning to the library
 * @CPR_KIND_STRUCT: a struct with fields of its own
 * @CPR_KIND_STRING: a string without zero bytes in it
 * @CPR_KIND_FD: an fd of the fd table, or -1
 * @CPR_KIND_TIME: ns on CLOCK_MONOTONIC
 *
 * The class of a field's value. Its width is stored apart from it.
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
  CPR_KIND_STRUCT = 6,
  CPR_KIND_STRING = 7,
  CPR_KIND_FD = 8,
  CPR_KIND_TIME = 9
} CprKind;

/**
 * CprShape:
 * @CPR_SHAPE_ONE: one value
 * @CPR_SHAPE_ARRAY: a fixed number of values
 * @CPR_SHAPE_COUNTED: a variable number of values up to a maximum; the state has the number too
 *
 * How many values a field has.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_SHAPE_ONE = 0,
  CPR_SHAPE_ARRAY = 1,
  CPR_SHAPE_COUNTED = 2
} CprShape;

/**
 * CprLayout:
 * @CPR_LAYOUT_INLINE: in the struct itself
 * @CPR_LAYOUT_HEAP: in memory of g_malloc(), to which the struct has a pointer, or %NULL
 * @CPR_LAYOUT_LIST: in a container that the callbacks of a #CprList reach
 * @CPR_LAYOUT_NONE: nowhere: the field is retired
 *
 * Where a field's values are.
 *
 * Since: 0.1
 */
typedef enum
{
  CPR_LAYOUT_INLINE = 0,
  CPR_LAYOUT_HEAP = 1,
  CPR_LAYOUT_LIST = 2,
  CPR_LAYOUT_NONE = 3
} CprLayout;

typedef struct _CprField CprField;

/**
 * CprStruct:
 * @name: the struct's name, for messages and the schema
 * @size: its `sizeof`
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
 * CprList:
 * @get_next: returns the element after @element, the first one where @element is %NULL, or %NULL
 * @append: adds an element at the end, zeroed or as the container makes it; returns it, never %NULL
 * @clear: removes and frees all elements
 *
 * How the library walks through a container of structs and fills it. @container is the address of
 * the member that the field names. The field's description describes the elements.
 *
 * Since: 0.1
 */
typedef struct
{
  void *(*get_next) (const void *container, const void *element);
  void *(*append) (void *container);
  void (*clear) (void *container);
} CprList;

/**
 * CprField:
 * @name: the member's name; %NULL ends a table
 * @aliases: (nullable): older names, separated by spaces
 * @kind: the class of its value
 * @shape: how many values there are
 * @layout: where they are
 * @optional: not written while it has its default, so that a program that doesn't know it can read
 *     the state. Where it is missing, the reader uses the writer's default if the writer knew the
 *     field, else its own
 * @ignorable: optional, and a reader that doesn't know the field may drop it whatever its value:
 *     for counters and caches, not for anything that the guest can see
 * @offset: its offset in the struct
 * @width: the size of one element
 * @count: how many elements; of a counted array or list the most; of a string the most bytes
 * @count_offset: of a counted array: the count's offset in the struct
 * @count_width: of a counted array: the size of the count
 * @type: of a %CPR_KIND_STRUCT: the struct
 * @default_value: the default of an optional number, sign-extended; for floating point its bits;
 *     for a retired field the value that is written
 * @list: of a %CPR_LAYOUT_LIST: its callbacks
 * @needed: (nullable): of a group: says whether it is written
 * @written_as: (nullable): the field's name in the state, where that isn't the member's
 * @variable: (nullable): of a field that is a variable: its address, in place of @offset
 * @reserved: 0
 *
 * One field of a struct. The `CPR_FIELD` macros make it; don't make it by hand.
 *
 * Since: 0.1
 */
struct _CprField
{
  const char *name;
  const char *aliases;
  CprKind kind;
  CprShape shape;
  CprLayout layout;
  bool optional;
  bool ignorable;
  size_t offset;
  size_t width;
  size_t count;
  size_t count_offset;
  size_t count_width;
  const CprStruct *type;
  uint64_t default_value;
  const CprList *list;
  bool (*needed) (const void *device);
  const char *written_as;
  void *variable;
  const void *reserved[1];
};

/* clang-format off */

/**
 * CPR_FIELD:
 * @Struct: the struct's type
 * @member: a member: bool, an integer of any width, an enum, float or double
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * A field with one value. Since: 0.1
 */
#define CPR_FIELD(...) CPR_FIELD_ (__VA_ARGS__, )

/**
 * CPR_FIELD_OPTIONAL:
 * @Struct: the struct's type
 * @member: a member: bool or an integer
 * @value: its default
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), `.ignorable = true`, or none
 *
 * A field that isn't written while it has its default. Since: 0.1
 */
#define CPR_FIELD_OPTIONAL(...) CPR_FIELD_OPTIONAL_ (__VA_ARGS__, )

/**
 * CPR_FIELD_IGNORABLE:
 * @Struct: the struct's type
 * @member: a member: bool or an integer
 * @value: its default
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), or none
 *
 * A field that a reader may drop if it doesn't know the field. Since: 0.1
 */
#define CPR_FIELD_IGNORABLE(...) CPR_FIELD_IGNORABLE_ (__VA_ARGS__, )

/**
 * CPR_FIELD_ARRAY:
 * @Struct: the struct's type
 * @member: a member: an array of a type that CPR_FIELD() takes
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * A fixed array. Optional: not written while all elements are 0. Since: 0.1
 */
#define CPR_FIELD_ARRAY(...) CPR_FIELD_ARRAY_ (__VA_ARGS__, )

/**
 * CPR_FIELD_COUNTED:
 * @Struct: the struct's type
 * @member: a member: an array of a type that CPR_FIELD() takes
 * @count_member: a member: an unsigned integer: how many elements are in use; needs no own field
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * An array of which only the first elements are in use. Loading leaves the others alone. A count
 * larger than the array is an error. Optional: not written while no element is in use. Since: 0.1
 */
#define CPR_FIELD_COUNTED(...) CPR_FIELD_COUNTED_ (__VA_ARGS__, )

/**
 * CPR_FIELD_HEAP_ARRAY:
 * @Struct: the struct's type
 * @member: a member: a pointer to a type that CPR_FIELD() takes, from g_malloc(), or %NULL
 * @count_member: a member: an unsigned integer: how many elements are in use; needs no own field
 * @maximum: the maximum of elements
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * A counted array on the heap. Loading allocates it in the size that it needs. Since: 0.1
 */
#define CPR_FIELD_HEAP_ARRAY(...) CPR_FIELD_HEAP_ARRAY_ (__VA_ARGS__, )

/**
 * CPR_FIELD_BYTES:
 * @Struct: the struct's type
 * @member: a member of any type without pointers
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * Bytes that are copied as they are, for structs of the kernel's ABI, whose layout is fixed.
 * Optional: not written while all are 0. Since: 0.1
 */
#define CPR_FIELD_BYTES(...) CPR_FIELD_BYTES_ (__VA_ARGS__, )

/**
 * CPR_FIELD_HEAP_BYTES:
 * @Struct: the struct's type
 * @member: a member: a pointer to bytes, from g_malloc(), or %NULL
 * @count_member: a member: an unsigned integer: how many bytes there are; needs no own field
 * @maximum: the maximum of bytes; for more than some MiB see #CprDeviceType
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * A buffer on the heap. Since: 0.1
 */
#define CPR_FIELD_HEAP_BYTES(...) CPR_FIELD_HEAP_BYTES_ (__VA_ARGS__, )

/**
 * CPR_FIELD_STRING:
 * @Struct: the struct's type
 * @member: a member: an array of char with a string in it
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * A string in the struct. A string without a zero byte in its array is an error. Since: 0.1
 */
#define CPR_FIELD_STRING(...) CPR_FIELD_STRING_ (__VA_ARGS__, )

/**
 * CPR_FIELD_HEAP_STRING:
 * @Struct: the struct's type
 * @member: a member: char *, from g_malloc(), or %NULL
 * @maximum: the maximum of bytes, without the zero at the end
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), `.ignorable = true`, or none
 *
 * A string on the heap. A %NULL stays %NULL. While it is %NULL, a program that doesn't know the
 * field can read the state. Since: 0.1
 */
#define CPR_FIELD_HEAP_STRING(...) CPR_FIELD_HEAP_STRING_ (__VA_ARGS__, )

/**
 * CPR_FIELD_STRUCT:
 * @Struct: the struct's type
 * @member: a member of type @Nested
 * @Nested: the member's type
 * @description: the #CprStruct that describes @Nested
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), or none
 *
 * A struct in the struct. It can't be optional: see CPR_FIELD_GROUP(). Since: 0.1
 */
#define CPR_FIELD_STRUCT(...) CPR_FIELD_STRUCT_ (__VA_ARGS__, )

/**
 * CPR_FIELD_POINTER:
 * @Struct: the struct's type
 * @member: a member: a pointer to @Nested, from g_malloc(), or %NULL
 * @Nested: the type that it points to
 * @description: the #CprStruct that describes @Nested
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), `.ignorable = true`, or none
 *
 * A struct on the heap. A %NULL stays %NULL. While it is %NULL, a program that doesn't know the
 * field can read the state. Loading allocates the struct, zeroed, where the member is %NULL and the
 * state has one, and frees it where the state has none. Since: 0.1
 */
#define CPR_FIELD_POINTER(...) CPR_FIELD_POINTER_ (__VA_ARGS__, )

/**
 * CPR_FIELD_STRUCT_ARRAY:
 * @Struct: the struct's type
 * @member: a member: an array of @Nested
 * @Nested: the elements' type
 * @description: the #CprStruct that describes @Nested
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), or none
 *
 * A fixed array of structs. It can't be optional. Since: 0.1
 */
#define CPR_FIELD_STRUCT_ARRAY(...) CPR_FIELD_STRUCT_ARRAY_ (__VA_ARGS__, )

/**
 * CPR_FIELD_STRUCT_COUNTED:
 * @Struct: the struct's type
 * @member: a member: an array of @Nested
 * @count_member: a member: an unsigned integer: how many elements are in use; needs no own field
 * @Nested: the elements' type
 * @description: the #CprStruct that describes @Nested
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * An array of structs of which only the first are in use. Loading frees what elements that fall out
 * of use point to. Elements that come into use keep their pointers, so that a device may allocate
 * them beforehand; such a pointer must be %NULL or from g_malloc(). Zero an array that isn't, where
 * the device is made or in `pre_load`. Since: 0.1
 */
#define CPR_FIELD_STRUCT_COUNTED(...) CPR_FIELD_STRUCT_COUNTED_ (__VA_ARGS__, )

/**
 * CPR_FIELD_LIST:
 * @Struct: the struct's type
 * @member: a member: the container
 * @Nested: the elements' type
 * @description: the #CprStruct that describes @Nested
 * @maximum: the maximum of elements
 * @callbacks: the #CprList for the container
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * A list of structs in any container. Loading clears the container and refills it. Since: 0.1
 */
#define CPR_FIELD_LIST(...) CPR_FIELD_LIST_ (__VA_ARGS__, )

/**
 * CPR_FIELD_FD:
 * @Struct: the struct's type
 * @member: a member: an int: an fd of the fd table, or -1
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * An fd that the device holds. Saving fails if the table lacks the fd, else records its name and
 * index. Loading claims the fd, unless it is claimed already, and stores its number. Since: 0.1
 */
#define CPR_FIELD_FD(...) CPR_FIELD_FD_ (__VA_ARGS__, )

/**
 * CPR_FIELD_FD_ARRAY:
 * @Struct: the struct's type
 * @member: a member: an array of int
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * A fixed array of fds. Since: 0.1
 */
#define CPR_FIELD_FD_ARRAY(...) CPR_FIELD_FD_ARRAY_ (__VA_ARGS__, )

/**
 * CPR_FIELD_TIME:
 * @Struct: the struct's type
 * @member: a member: int64_t or uint64_t
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * An instant, in ns on CLOCK_MONOTONIC. Where that clock started again, because the host was
 * restarted, loading converts the number so that it means the same instant. Loading also converts a
 * 0, unless the field is %CPR_OPTIONAL. Since: 0.1
 */
#define CPR_FIELD_TIME(...) CPR_FIELD_TIME_ (__VA_ARGS__, )

/**
 * CPR_FIELD_GROUP:
 * @Struct: the struct's type
 * @group: a name, unique among the fields
 * @description: a #CprStruct for @Struct too, with the fields of the group
 * @callback: gets the struct and says whether the group is written
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), `.ignorable = true`, or none
 *
 * Fields of the same struct that belong together and are written only when needed. Where the state
 * doesn't have them, the members keep the values that the loading program gave them. Since: 0.1
 */
#define CPR_FIELD_GROUP(...) CPR_FIELD_GROUP_ (__VA_ARGS__, )

/**
 * CPR_FIELD_RETIRED:
 * @member: the name of a member that was removed
 * @Type: the type that it had: bool or an integer
 * @value: the value that older programs find
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), or none
 *
 * Keeps the place of a removed field: writes @value for older programs, and drops the value that
 * they wrote. Since: 0.1
 */
#define CPR_FIELD_RETIRED(...) CPR_FIELD_RETIRED_ (__VA_ARGS__, )

/**
 * CPR_FIELD_VARIABLE:
 * @variable: a variable of the program, global or static, of a type that CPR_FIELD() takes
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * A field that isn't in the device's struct but is a variable, for devices whose state is spread
 * over the program. It may stand in the table of a device type and in its groups, but not in that
 * of a struct inside the device. All devices of the type share the variable, and each of them saves
 * and loads it. Where all fields are variables, the type's struct has size 0, and cpr_device_add()
 * gets any address, such as that of one of them. A variable that is a struct with fields of its own
 * can be a device by itself: its address is the device. Since: 0.1
 */
#define CPR_FIELD_VARIABLE(...) CPR_FIELD_VARIABLE_ (__VA_ARGS__, )

/**
 * CPR_FIELD_VARIABLE_ARRAY:
 * @variable: a variable of the program: an array of a type that CPR_FIELD() takes
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * CPR_FIELD_ARRAY() for a variable, see CPR_FIELD_VARIABLE(). Since: 0.1
 */
#define CPR_FIELD_VARIABLE_ARRAY(...) CPR_FIELD_VARIABLE_ARRAY_ (__VA_ARGS__, )

/**
 * CPR_FIELD_VARIABLE_BYTES:
 * @variable: a variable of the program, of any type without pointers
 * @...: modifiers: CPR_ALIASES(), CPR_WRITTEN_AS(), %CPR_OPTIONAL, %CPR_IGNORABLE, or none
 *
 * CPR_FIELD_BYTES() for a variable, see CPR_FIELD_VARIABLE(). Since: 0.1
 */
#define CPR_FIELD_VARIABLE_BYTES(...) CPR_FIELD_VARIABLE_BYTES_ (__VA_ARGS__, )

/**
 * CPR_FIELD_END:
 *
 * Ends a table of fields. Since: 0.1
 */
#define CPR_FIELD_END CPR_FIELD_END_

/**
 * CPR_ALIASES:
 * @names: a string: older names of the field, separated by spaces
 *
 * A modifier, last in a `CPR_FIELD` macro: the field is also found under older names. Since: 0.1
 */
#define CPR_ALIASES(names) CPR_ALIASES_ (names)

/**
 * CPR_WRITTEN_AS:
 * @name_in_state: a string: the name that the state keeps for the field
 *
 * A modifier for a renamed member: the state keeps the old name, so that programs that know only
 * the old name can read it. The field is found under both names. A member of a member needs this
 * modifier. Since: 0.1
 */
#define CPR_WRITTEN_AS(name_in_state) CPR_WRITTEN_AS_ (name_in_state)

/**
 * CPR_OPTIONAL:
 *
 * A modifier: the field isn't written while it is empty or all zero, an fd while it is -1. Each
 * `CPR_FIELD` macro says whether it takes this modifier: a struct in the struct can't be missing,
 * and some fields are optional without it. Since: 0.1
 */
#define CPR_OPTIONAL CPR_OPTIONAL_

/**
 * CPR_IGNORABLE:
 *
 * A modifier: the field is optional, and a reader that doesn't know it may drop it. Fields that are
 * optional anyway take `.ignorable = true` instead. Since: 0.1
 */
#define CPR_IGNORABLE CPR_IGNORABLE_

/* clang-format on */

G_END_DECLS

#endif
