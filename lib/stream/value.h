/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STREAM_VALUE_H
#define CPR_STREAM_VALUE_H

#include "stream/kind.h"
#include "stream/schema.h"

/* The fds that a device's fields of kind FD name, and how its times are moved. */
typedef struct
{
  /* The name and index of @fd; false: it isn't in the table. */
  bool (*find_name) (void *fds, int fd, const char **name, int *index);
  /* The fd of that name; -1: there is none. */
  int (*find_fd) (void *fds, const char *name, int index);
  void *fds;
  int64_t time_offset_ns; /* added to times that are loaded */
} CprCodec;

/* An fd's name as it stands in the stream; *index -1: it says that there is no fd. */
bool cpr_fd_value_read (const CprSchemaField *field, CprCursor *cursor, const char **name, int *index, GError **error);

/* Called for each value of a struct, in order; each may be NULL. */
typedef struct
{
  void (*begin_field) (const CprSchemaField *field, void *user_data);
  void (*absent) (void *user_data);
  void (*begin_list) (uint32_t count, void *user_data);
  void (*end_list) (void *user_data);
  void (*begin_struct) (void *user_data);
  void (*end_struct) (void *user_data);
  void (*number) (const CprSchemaField *field, uint64_t value, void *user_data);
  void (*bytes) (const uint8_t *bytes, size_t len, void *user_data); /* of BYTES, and of STRING */
  void (*fd) (const char *name, int index, void *user_data);         /* index -1: none */
  void *user_data;
} CprVisitor;

/* Walks over a struct, or over one field of it, as the writer's schema describes it, and checks
 * every rule that its values have. @visitor, @codec: NULL: only the check, without that of fds. */
bool cpr_struct_walk (const CprSchema *schema,
                      uint32_t struct_index,
                      CprCursor *cursor,
                      const CprCodec *codec,
                      const CprVisitor *visitor,
                      GError **error);
bool cpr_field_walk (const CprSchema *schema,
                     const CprSchemaField *field,
                     CprCursor *cursor,
                     const CprCodec *codec,
                     const CprVisitor *visitor,
                     GError **error);

/* Reads the bytes before the values of a field. @count: 0 if absent. */
bool cpr_field_begin (const CprSchemaField *field, CprCursor *cursor, bool *present, uint32_t *count, GError **error);

/* A string's bytes, checked. NULL with an error. */
const uint8_t *cpr_string_value_read (const CprSchemaField *field, CprCursor *cursor, uint32_t *len, GError **error);

/* The value of an optional field that isn't at its default, and what that is: "it is 1, its
 * default is 16". NULL if it can't be read, or isn't there. @values stays where it is. */
char *cpr_field_describe_value (const CprSchemaField *field, const CprCursor *values);

/* "field 'x' is cut off" */
bool cpr_field_throw_cut_off (const CprSchemaField *field, GError **error);

/* Whether each of @count bytes is a bool. */
bool cpr_bools_are_sane (const uint8_t *bytes, size_t count);

#endif
