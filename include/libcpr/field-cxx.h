/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBCPR_FIELD_CXX_H
#define LIBCPR_FIELD_CXX_H

#if !defined(LIBCPR_INSIDE) && !defined(LIBCPR_H)
#  error "include <libcpr/libcpr.h> and nothing else"
#endif

#include <libcpr/field.h>

#if defined(__cplusplus) && __cplusplus >= 201703L

/* How the macros of field.h make a CprField in C++17, at compile time. For their use only. */

/* This also works where the VMM includes libcpr.h inside of an extern "C". */
extern "C++"
{

#  include <initializer_list>
#  include <type_traits>
#  include <utility>

  namespace libcpr_field
  {

  /* A modifier says which member of the field it changes. */
  struct Modifier
  {
    enum What
    {
      OPTIONAL,
      IGNORABLE,
      ALIASES,
      WRITTEN_AS
    } what;
    const char *text;
  };

  using Modifiers = std::initializer_list<Modifier>;

  template <class T> using Bare = std::remove_cv_t<std::remove_reference_t<T>>;
  template <class T> using Element = Bare<decltype (std::declval<T> ()[0])>;

  /* The integer that an enum is stored as; of any other type the type itself. */
  template <class T, bool is_enum = std::is_enum_v<T>> struct Stored
  {
    using type = T;
  };
  template <class T> struct Stored<T, true>
  {
    using type = std::underlying_type_t<T>;
  };

  template <class T>
  constexpr CprKind
  kind_of ()
  {
    using S = typename Stored<Bare<T>>::type;

    static_assert (std::is_arithmetic_v<S> && sizeof (S) <= 8, "the member is not a bool, an integer, an enum, a float "
                                                               "or a double");
    if constexpr (std::is_same_v<S, bool>)
      return CPR_KIND_BOOL;
    else if constexpr (std::is_floating_point_v<S>)
      return CPR_KIND_FLOAT;
    else
      return std::is_signed_v<S> ? CPR_KIND_INT : CPR_KIND_UINT;
  }

  /* Refuses what CPR_CHECK_FITS_ refuses in C. */
  template <class T, auto value>
  constexpr uint64_t
  default_of ()
  {
    using S = typename Stored<Bare<T>>::type;

    static_assert (kind_of<T> () != CPR_KIND_FLOAT, "the member is floating point");
    static_assert ((int64_t) (S) value == (int64_t) value, "the default doesn't fit the member");
    return (uint64_t) (int64_t) value;
  }

  constexpr CprField
  modified (CprField made, Modifiers modifiers)
  {
    for (const Modifier &modifier : modifiers)
      {
        if (modifier.what == Modifier::OPTIONAL || modifier.what == Modifier::IGNORABLE)
          made.optional = true;
        if (modifier.what == Modifier::IGNORABLE)
          made.ignorable = true;
        if (modifier.what == Modifier::ALIASES)
          made.aliases = modifier.text;
        if (modifier.what == Modifier::WRITTEN_AS)
          made.written_as = modifier.text;
      }
    return made;
  }

  /* A field with one element. */
  constexpr CprField
  field (const char *name, CprKind kind, size_t offset, size_t width)
  {
    CprField made{};

    made.name = name;
    made.kind = kind;
    made.offset = offset;
    made.width = width;
    made.count = 1;
    return made;
  }

  template <class T>
  constexpr CprField
  one (const char *name, size_t offset)
  {
    return field (name, kind_of<T> (), offset, sizeof (T));
  }

  /* ---- Several elements. */

  template <class T>
  constexpr CprField
  in_array (CprField made)
  {
    static_assert (std::is_array_v<T>, "the member is not an array");
    made.count = std::extent_v<T>;
    made.shape = CPR_SHAPE_ARRAY;
    return made;
  }

  template <class T>
  constexpr CprField
  on_heap (CprField made, size_t maximum)
  {
    static_assert (std::is_pointer_v<T>, "the member is not a pointer");
    made.layout = CPR_LAYOUT_HEAP;
    made.count = maximum;
    return made;
  }

  template <class Count>
  constexpr CprField
  counted (CprField made, size_t count_offset)
  {
    static_assert (kind_of<Count> () == CPR_KIND_UINT, "the count is not an unsigned integer");
    made.shape = CPR_SHAPE_COUNTED;
    made.count_offset = count_offset;
    made.count_width = sizeof (Count);
    return made;
  }

  template <class T>
  constexpr CprField
  numbers (const char *name, size_t offset)
  {
    return field (name, kind_of<Element<T>> (), offset, sizeof (Element<T>));
  }

  template <class T>
  constexpr CprField
  bytes (const char *name, size_t offset)
  {
    static_assert (std::is_trivially_copyable_v<T>, "the member can't be copied as bytes");
    CprField made = field (name, CPR_KIND_BYTES, offset, 1);

    made.count = sizeof (T);
    made.shape = CPR_SHAPE_ARRAY;
    return made;
  }

  template <class T>
  constexpr CprField
  heap_bytes (const char *name, size_t offset)
  {
    static_assert (sizeof (Element<T>) == 1, "the member doesn't point to bytes");
    return field (name, CPR_KIND_BYTES, offset, 1);
  }

  template <class T>
  constexpr CprField
  string (const char *name, size_t offset)
  {
    static_assert (std::is_array_v<T> && std::is_same_v<std::remove_extent_t<T>, char>, "the member is not an array of "
                                                                                        "char");
    CprField made = field (name, CPR_KIND_STRING, offset, 1);

    made.count = std::extent_v<T> - 1;
    return made;
  }

  template <class T>
  constexpr CprField
  heap_string (const char *name, size_t offset)
  {
    static_assert (std::is_same_v<T, char *>, "the member is not a char *");
    CprField made = field (name, CPR_KIND_STRING, offset, 1);

    made.optional = true;
    return made;
  }

  /* ---- Structs, fds, times. */

  template <class T, class Nested>
  constexpr CprField
  structs (const char *name, size_t offset, const CprStruct *type)
  {
    static_assert (std::is_same_v<Bare<T>, Nested>, "the member is not of the struct that is named");
    CprField made = field (name, CPR_KIND_STRUCT, offset, sizeof (Nested));

    made.type = type;
    return made;
  }

  template <class Nested>
  constexpr CprField
  list (const char *name, size_t offset, const CprStruct *type, size_t maximum, const CprList *callbacks)
  {
    CprField made = structs<Nested, Nested> (name, offset, type);

    made.layout = CPR_LAYOUT_LIST;
    made.count = maximum;
    made.shape = CPR_SHAPE_COUNTED;
    made.list = callbacks;
    return made;
  }

  template <class T>
  constexpr CprField
  fd (const char *name, size_t offset)
  {
    static_assert (std::is_same_v<Bare<T>, int>, "the member is not an int");
    return field (name, CPR_KIND_FD, offset, sizeof (int));
  }

  template <class T>
  constexpr CprField
  time (const char *name, size_t offset)
  {
    static_assert (sizeof (T) == 8 && (kind_of<T> () == CPR_KIND_INT || kind_of<T> () == CPR_KIND_UINT),
                   "the member is not an integer of 64 bits");
    return field (name, CPR_KIND_TIME, offset, 8);
  }

  template <class Struct>
  constexpr CprField
  make_group (const char *name, const CprStruct *type, bool (*needed) (const void *device))
  {
    CprField made = structs<Struct, Struct> (name, 0, type);

    made.optional = true;
    made.needed = needed;
    return made;
  }

  template <class T>
  constexpr CprField
  retired (const char *name, uint64_t value)
  {
    CprField made = one<T> (name, 0);

    made.layout = CPR_LAYOUT_NONE;
    made.default_value = value;
    return made;
  }

  constexpr CprField
  in_variable (CprField made, void *address)
  {
    made.variable = address;
    return made;
  }

  /* Makes a field optional whatever its modifiers. */
  constexpr CprField
  optional (CprField made, uint64_t value, bool ignorable)
  {
    made.optional = true;
    made.ignorable = ignorable;
    made.default_value = value;
    return made;
  }

  } // namespace libcpr_field

} // extern "C++"

/* clang-format off */

#  define CPR_CXX_TYPE_(Struct, member) ::libcpr_field::Bare<decltype (static_cast<Struct *> (nullptr)->member)>
#  define CPR_CXX_MAKE_(what, Struct, member)                                                                          \
  ::libcpr_field::what<CPR_CXX_TYPE_ (Struct, member)> (#member, offsetof (Struct, member))
#  define CPR_CXX_STRUCTS_(Struct, member, Type, Nested, description)                                                  \
  ::libcpr_field::structs<Type, Nested> (#member, offsetof (Struct, member), &(description))
#  define CPR_CXX_IN_ARRAY_(made, Struct, member) ::libcpr_field::in_array<CPR_CXX_TYPE_ (Struct, member)> (made)
#  define CPR_CXX_ON_HEAP_(made, Struct, member, maximum)                                                              \
  ::libcpr_field::on_heap<CPR_CXX_TYPE_ (Struct, member)> (made, maximum)
#  define CPR_CXX_COUNTED_(made, Struct, count_member)                                                                 \
  ::libcpr_field::counted<CPR_CXX_TYPE_ (Struct, count_member)> (made, offsetof (Struct, count_member))
#  define CPR_CXX_DEFAULT_(Struct, member, value, ignorable)                                                           \
  ::libcpr_field::optional (CPR_CXX_MAKE_ (one, Struct, member),                                                       \
                            ::libcpr_field::default_of<CPR_CXX_TYPE_ (Struct, member), (value)> (), ignorable)
#  define CPR_CXX_ELEMENT_(Struct, member) ::libcpr_field::Element<CPR_CXX_TYPE_ (Struct, member)>
/* The modifiers that were given, and an empty one at the end. */
#  define CPR_CXX_(made, ...) ::libcpr_field::modified (made, { __VA_ARGS__ })

#  define CPR_FIELD_(Struct, member, ...) CPR_CXX_ (CPR_CXX_MAKE_ (one, Struct, member), __VA_ARGS__)
#  define CPR_FIELD_OPTIONAL_(Struct, member, value, ...)                                                              \
  CPR_CXX_ (CPR_CXX_DEFAULT_ (Struct, member, value, false), __VA_ARGS__)
#  define CPR_FIELD_IGNORABLE_(Struct, member, value, ...)                                                             \
  CPR_CXX_ (CPR_CXX_DEFAULT_ (Struct, member, value, true), __VA_ARGS__)
#  define CPR_FIELD_ARRAY_(Struct, member, ...)                                                                        \
  CPR_CXX_ (CPR_CXX_IN_ARRAY_ (CPR_CXX_MAKE_ (numbers, Struct, member), Struct, member), __VA_ARGS__)
#  define CPR_FIELD_COUNTED_(Struct, member, count_member, ...)                                                        \
  CPR_CXX_ (CPR_CXX_COUNTED_ (CPR_CXX_IN_ARRAY_ (CPR_CXX_MAKE_ (numbers, Struct, member), Struct, member), Struct,     \
                              count_member), __VA_ARGS__)
#  define CPR_FIELD_HEAP_ARRAY_(Struct, member, count_member, maximum, ...)                                            \
  CPR_CXX_ (CPR_CXX_COUNTED_ (CPR_CXX_ON_HEAP_ (CPR_CXX_MAKE_ (numbers, Struct, member), Struct, member, maximum),     \
                              Struct, count_member), __VA_ARGS__)
#  define CPR_FIELD_BYTES_(Struct, member, ...) CPR_CXX_ (CPR_CXX_MAKE_ (bytes, Struct, member), __VA_ARGS__)
#  define CPR_FIELD_HEAP_BYTES_(Struct, member, count_member, maximum, ...)                                            \
  CPR_CXX_ (CPR_CXX_COUNTED_ (CPR_CXX_ON_HEAP_ (CPR_CXX_MAKE_ (heap_bytes, Struct, member), Struct, member, maximum),  \
                              Struct, count_member), __VA_ARGS__)
#  define CPR_FIELD_STRING_(Struct, member, ...) CPR_CXX_ (CPR_CXX_MAKE_ (string, Struct, member), __VA_ARGS__)
#  define CPR_FIELD_HEAP_STRING_(Struct, member, maximum, ...)                                                         \
  CPR_CXX_ (CPR_CXX_ON_HEAP_ (CPR_CXX_MAKE_ (heap_string, Struct, member), Struct, member, maximum), __VA_ARGS__)
#  define CPR_FIELD_STRUCT_(Struct, member, Nested, description, ...)                                                  \
  CPR_CXX_ (CPR_CXX_STRUCTS_ (Struct, member, CPR_CXX_TYPE_ (Struct, member), Nested, description), __VA_ARGS__)
#  define CPR_FIELD_POINTER_(Struct, member, Nested, description, ...)                                                 \
  CPR_CXX_ (::libcpr_field::optional (                                                                                 \
                CPR_CXX_ON_HEAP_ (CPR_CXX_STRUCTS_ (Struct, member, CPR_CXX_ELEMENT_ (Struct, member), Nested, description), \
                                  Struct, member, 1), 0, false), __VA_ARGS__)
#  define CPR_FIELD_STRUCT_ARRAY_(Struct, member, Nested, description, ...)                                            \
  CPR_CXX_ (CPR_CXX_IN_ARRAY_ (CPR_CXX_STRUCTS_ (Struct, member, CPR_CXX_ELEMENT_ (Struct, member), Nested, description), \
                               Struct, member), __VA_ARGS__)
#  define CPR_FIELD_STRUCT_COUNTED_(Struct, member, count_member, Nested, description, ...)                            \
  CPR_CXX_ (CPR_CXX_COUNTED_ (                                                                                         \
                CPR_CXX_IN_ARRAY_ (CPR_CXX_STRUCTS_ (Struct, member, CPR_CXX_ELEMENT_ (Struct, member), Nested, description), \
                                   Struct, member), Struct, count_member), __VA_ARGS__)
#  define CPR_FIELD_LIST_(Struct, member, Nested, description, maximum, callbacks, ...)                                \
  CPR_CXX_ (::libcpr_field::list<Nested> (#member, offsetof (Struct, member), &(description), maximum, &(callbacks)),  \
            __VA_ARGS__)
#  define CPR_FIELD_FD_(Struct, member, ...) CPR_CXX_ (CPR_CXX_MAKE_ (fd, Struct, member), __VA_ARGS__)
#  define CPR_FIELD_FD_ARRAY_(Struct, member, ...)                                                                     \
  CPR_CXX_ (CPR_CXX_IN_ARRAY_ (::libcpr_field::fd<CPR_CXX_ELEMENT_ (Struct, member)> (#member, offsetof (Struct, member)), \
                               Struct, member), __VA_ARGS__)
#  define CPR_FIELD_TIME_(Struct, member, ...) CPR_CXX_ (CPR_CXX_MAKE_ (time, Struct, member), __VA_ARGS__)
#  define CPR_FIELD_GROUP_(Struct, group, description, callback, ...)                                                  \
  CPR_CXX_ (::libcpr_field::make_group<Struct> (group, &(description), callback), __VA_ARGS__)
#  define CPR_FIELD_RETIRED_(member, Type, value, ...)                                                                 \
  CPR_CXX_ (::libcpr_field::retired<Type> (#member, ::libcpr_field::default_of<Type, (value)> ()), __VA_ARGS__)
#  define CPR_FIELD_VARIABLE_(variable_, ...)                                                                          \
  CPR_CXX_ (::libcpr_field::in_variable (::libcpr_field::one<decltype (variable_)> (#variable_, 0), &(variable_)),     \
            __VA_ARGS__)
#  define CPR_FIELD_VARIABLE_ARRAY_(variable_, ...)                                                                    \
  CPR_CXX_ (::libcpr_field::in_variable (::libcpr_field::in_array<decltype (variable_)> (                              \
                ::libcpr_field::numbers<decltype (variable_)> (#variable_, 0)), &(variable_)[0]), __VA_ARGS__)
#  define CPR_FIELD_VARIABLE_BYTES_(variable_, ...)                                                                    \
  CPR_CXX_ (::libcpr_field::in_variable (::libcpr_field::bytes<decltype (variable_)> (#variable_, 0), &(variable_)),   \
            __VA_ARGS__)
#  define CPR_FIELD_END_ CprField {}

#  define CPR_ALIASES_(names) ::libcpr_field::Modifier { ::libcpr_field::Modifier::ALIASES, (names) }
#  define CPR_WRITTEN_AS_(name_in_state) ::libcpr_field::Modifier { ::libcpr_field::Modifier::WRITTEN_AS, (name_in_state) }
#  define CPR_OPTIONAL_ ::libcpr_field::Modifier { ::libcpr_field::Modifier::OPTIONAL, nullptr }
#  define CPR_IGNORABLE_ ::libcpr_field::Modifier { ::libcpr_field::Modifier::IGNORABLE, nullptr }

/* clang-format on */

#endif

#endif
