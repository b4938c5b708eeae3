/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_FIELD_C_H
#define LIBCPR_FIELD_C_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/field.h>

#ifndef __cplusplus

/* How the macros of field.h make a CprField in C. For their use only. */

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
#define CPR_SAME_TYPE_(expression, Type) __builtin_types_compatible_p (__typeof__ (expression), Type)
#define CPR_CHECK_ARRAY_(Struct, member)                                                                               \
  CPR_CHECK_ (!CPR_SAME_TYPE_ (CPR_MEMBER_ (Struct, member), __typeof__ (&CPR_MEMBER_ (Struct, member)[0])),           \
              #member " is not an array")
#define CPR_CHECK_ARRAY_VARIABLE_(variable_)                                                                           \
  CPR_CHECK_ (!CPR_SAME_TYPE_ (variable_, __typeof__ (&(variable_)[0])), #variable_ " is not an array")
#define CPR_CHECK_POINTER_(Struct, member)                                                                             \
  CPR_CHECK_ (CPR_SAME_TYPE_ (CPR_MEMBER_ (Struct, member), __typeof__ (&CPR_MEMBER_ (Struct, member)[0])),            \
              #member " is not a pointer")
#define CPR_CHECK_TYPE_(expression, Type, message) CPR_CHECK_ (CPR_SAME_TYPE_ (expression, Type), message)
#define CPR_CHECK_STRUCT_(expression, Nested) CPR_CHECK_TYPE_ (expression, Nested, "the member is not a " #Nested)

/* The values are compared as they are and as 64 bits: 0xffffffff doesn't fit an int, nor -1 an
 * unsigned. */
#define CPR_CHECK_FITS_(Type, value, message)                                                                          \
  CPR_CHECK_ ((Type) (value) == (value) && (int64_t) (Type) (value) == (int64_t) (value), message)
/* An optional field: a number that isn't floating point, and a default that it can hold. */
#define CPR_DEFAULT_(Struct, member, value)                                                                            \
  .default_value = (uint64_t) (int64_t) (value) +                                                                      \
                   CPR_CHECK_ (CPR_KIND_OF (CPR_MEMBER_ (Struct, member)) != CPR_KIND_FLOAT, #member " is floating point") + \
                   CPR_CHECK_FITS_ (__typeof__ (CPR_MEMBER_ (Struct, member)), value, "the default doesn't fit " #member)

#define CPR_BASE_(Struct, member)                                                                                      \
  .name = #member, .offset = offsetof (Struct, member)
#define CPR_ONE_(Struct, member)                                                                                       \
  CPR_BASE_ (Struct, member), .kind = CPR_KIND_OF (CPR_MEMBER_ (Struct, member)),                                      \
  .width = sizeof (CPR_MEMBER_ (Struct, member)), .count = 1
#define CPR_ELEMENTS_(Struct, member)                                                                                  \
  .width = sizeof (CPR_MEMBER_ (Struct, member)[0]) + CPR_CHECK_ARRAY_ (Struct, member),                               \
  .count = sizeof (CPR_MEMBER_ (Struct, member)) / sizeof (CPR_MEMBER_ (Struct, member)[0])
#define CPR_HEAP_ELEMENTS_(Struct, member, maximum)                                                                    \
  .layout = CPR_LAYOUT_HEAP,                                                                                           \
  .width = sizeof (CPR_MEMBER_ (Struct, member)[0]) + CPR_CHECK_POINTER_ (Struct, member), .count = (maximum)
#define CPR_COUNT_(Struct, count_member)                                                                               \
  .shape = CPR_SHAPE_COUNTED, .count_offset = offsetof (Struct, count_member),                                         \
  .count_width = sizeof (CPR_MEMBER_ (Struct, count_member)) +                                                         \
                 CPR_CHECK_ (CPR_KIND_OF (CPR_MEMBER_ (Struct, count_member)) == CPR_KIND_UINT,                        \
                             #count_member " is not an unsigned integer")
#define CPR_STRUCT_(expression, Nested, description)                                                                   \
  .kind = CPR_KIND_STRUCT + CPR_CHECK_STRUCT_ (expression, Nested), .type = &(description)

/* This sets the last member, so the compiler refuses a modifier without a name, such as a default
 * that was meant for CPR_FIELD_OPTIONAL(). */
#define CPR_MODIFIERS_(...) .reserved = { NULL }, __VA_ARGS__
/* The public macros end in modifiers, which may be missing. These macros get the modifiers that
 * were given, and an empty one at the end. */
#define CPR_FIELD_(Struct, member, ...)                                                                                \
  { CPR_ONE_ (Struct, member), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_OPTIONAL_(Struct, member, value, ...)                                                                \
  { CPR_ONE_ (Struct, member), .optional = true, CPR_DEFAULT_ (Struct, member, value), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_IGNORABLE_(Struct, member, value, ...)                                                               \
  { CPR_ONE_ (Struct, member), .optional = true, .ignorable = true, CPR_DEFAULT_ (Struct, member, value), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_ARRAY_(Struct, member, ...)                                                                          \
  { CPR_BASE_ (Struct, member), .kind = CPR_KIND_OF (CPR_MEMBER_ (Struct, member)[0]),                                 \
    CPR_ELEMENTS_ (Struct, member), .shape = CPR_SHAPE_ARRAY, CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_COUNTED_(Struct, member, count_member, ...)                                                          \
  { CPR_BASE_ (Struct, member), .kind = CPR_KIND_OF (CPR_MEMBER_ (Struct, member)[0]),                                 \
    CPR_ELEMENTS_ (Struct, member), CPR_COUNT_ (Struct, count_member), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_HEAP_ARRAY_(Struct, member, count_member, maximum, ...)                                              \
  { CPR_BASE_ (Struct, member), .kind = CPR_KIND_OF (CPR_MEMBER_ (Struct, member)[0]),                                 \
    CPR_HEAP_ELEMENTS_ (Struct, member, maximum), CPR_COUNT_ (Struct, count_member), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_BYTES_(Struct, member, ...)                                                                          \
  { CPR_BASE_ (Struct, member), .kind = CPR_KIND_BYTES, .width = 1,                                                    \
    .count = sizeof (CPR_MEMBER_ (Struct, member)), .shape = CPR_SHAPE_ARRAY, CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_HEAP_BYTES_(Struct, member, count_member, maximum, ...)                                              \
  { CPR_BASE_ (Struct, member),                                                                                        \
    .kind = CPR_KIND_BYTES + CPR_CHECK_ (sizeof (CPR_MEMBER_ (Struct, member)[0]) == 1, #member " doesn't point to bytes"), \
    CPR_HEAP_ELEMENTS_ (Struct, member, maximum), CPR_COUNT_ (Struct, count_member), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_STRING_(Struct, member, ...)                                                                         \
  { CPR_BASE_ (Struct, member), .width = 1,                                                                            \
    .kind = CPR_KIND_STRING + CPR_CHECK_TYPE_ (CPR_MEMBER_ (Struct, member)[0], char, #member " is not an array of char"), \
    .count = sizeof (CPR_MEMBER_ (Struct, member)) - 1 + CPR_CHECK_ARRAY_ (Struct, member), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_HEAP_STRING_(Struct, member, maximum, ...)                                                           \
  { CPR_BASE_ (Struct, member),                                                                                        \
    .kind = CPR_KIND_STRING + CPR_CHECK_TYPE_ (CPR_MEMBER_ (Struct, member), char *, #member " is not a char *"),      \
    CPR_HEAP_ELEMENTS_ (Struct, member, maximum), .optional = true, CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_STRUCT_(Struct, member, Nested, description, ...)                                                    \
  { CPR_BASE_ (Struct, member), CPR_STRUCT_ (CPR_MEMBER_ (Struct, member), Nested, description),                       \
    .width = sizeof (Nested), .count = 1, CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_POINTER_(Struct, member, Nested, description, ...)                                                   \
  { CPR_BASE_ (Struct, member), CPR_STRUCT_ (*CPR_MEMBER_ (Struct, member), Nested, description),                      \
    CPR_HEAP_ELEMENTS_ (Struct, member, 1), .optional = true, CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_STRUCT_ARRAY_(Struct, member, Nested, description, ...)                                              \
  { CPR_BASE_ (Struct, member), CPR_STRUCT_ (CPR_MEMBER_ (Struct, member)[0], Nested, description),                    \
    CPR_ELEMENTS_ (Struct, member), .shape = CPR_SHAPE_ARRAY, CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_STRUCT_COUNTED_(Struct, member, count_member, Nested, description, ...)                              \
  { CPR_BASE_ (Struct, member), CPR_STRUCT_ (CPR_MEMBER_ (Struct, member)[0], Nested, description),                    \
    CPR_ELEMENTS_ (Struct, member), CPR_COUNT_ (Struct, count_member), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_LIST_(Struct, member, Nested, description, maximum, callbacks, ...)                                  \
  { CPR_BASE_ (Struct, member), .kind = CPR_KIND_STRUCT, .type = &(description), .layout = CPR_LAYOUT_LIST,            \
    .width = sizeof (Nested), .count = (maximum), .shape = CPR_SHAPE_COUNTED, .list = &(callbacks), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_FD_(Struct, member, ...)                                                                             \
  { CPR_BASE_ (Struct, member), .width = sizeof (int), .count = 1,                                                     \
    .kind = CPR_KIND_FD + CPR_CHECK_TYPE_ (CPR_MEMBER_ (Struct, member), int, #member " is not an int"), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_FD_ARRAY_(Struct, member, ...)                                                                       \
  { CPR_BASE_ (Struct, member), CPR_ELEMENTS_ (Struct, member), .shape = CPR_SHAPE_ARRAY,                              \
    .kind = CPR_KIND_FD + CPR_CHECK_TYPE_ (CPR_MEMBER_ (Struct, member)[0], int, #member " is not an array of int"), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_TIME_(Struct, member, ...)                                                                           \
  { CPR_BASE_ (Struct, member), .width = 8, .count = 1,                                                                \
    .kind = CPR_KIND_TIME + CPR_CHECK_ (sizeof (CPR_MEMBER_ (Struct, member)) == 8 &&                                  \
                                        (CPR_KIND_OF (CPR_MEMBER_ (Struct, member)) == CPR_KIND_INT ||                 \
                                         CPR_KIND_OF (CPR_MEMBER_ (Struct, member)) == CPR_KIND_UINT),                 \
                                        #member " is not an integer of 64 bits"), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_GROUP_(Struct, group, description, callback, ...)                                                    \
  { .name = (group), .kind = CPR_KIND_STRUCT, .type = &(description), .width = sizeof (Struct), .count = 1,            \
    .optional = true, .needed = (callback), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_RETIRED_(member, Type, value, ...)                                                                   \
  { .name = #member, .kind = CPR_KIND_OF ((Type) 0), .width = sizeof (Type), .count = 1, .layout = CPR_LAYOUT_NONE,    \
    .default_value = (uint64_t) (int64_t) (value) + CPR_CHECK_FITS_ (Type, value, "the value doesn't fit " #Type) +    \
                     CPR_CHECK_ (CPR_KIND_OF ((Type) 0) != CPR_KIND_FLOAT, #Type " is floating point"), CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_VARIABLE_(variable_, ...)                                                                            \
  { .name = #variable_, .variable = &(variable_), .kind = CPR_KIND_OF (variable_), .width = sizeof (variable_),        \
    .count = 1, CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_VARIABLE_ARRAY_(variable_, ...)                                                                      \
  { .name = #variable_, .variable = (variable_), .kind = CPR_KIND_OF ((variable_)[0]),                                 \
    .width = sizeof ((variable_)[0]) + CPR_CHECK_ARRAY_VARIABLE_ (variable_),                                          \
    .count = sizeof (variable_) / sizeof ((variable_)[0]), .shape = CPR_SHAPE_ARRAY, CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_VARIABLE_BYTES_(variable_, ...)                                                                      \
  { .name = #variable_, .variable = &(variable_), .kind = CPR_KIND_BYTES, .width = 1, .count = sizeof (variable_),     \
    .shape = CPR_SHAPE_ARRAY, CPR_MODIFIERS_ (__VA_ARGS__) }
#define CPR_FIELD_END_ { .name = NULL }

#define CPR_ALIASES_(names)           .aliases = (names)
#define CPR_WRITTEN_AS_(name_in_state) .written_as = (name_in_state)
#define CPR_OPTIONAL_                 .optional = true
#define CPR_IGNORABLE_                .optional = true, .ignorable = true

/* clang-format on */

#endif

#endif
