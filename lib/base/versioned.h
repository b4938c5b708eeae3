/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_BASE_VERSIONED_H
#define CPR_BASE_VERSIONED_H

#include <libcpr/libcpr.h>

/* Structs of the public headers that begin with their size, and to which later versions append
 * members. The program may have been built with another version of the struct than the library:
 * - a smaller size: the members that are missing count as 0, as far as the struct makes sense
 *   without them;
 * - a larger size: refused, unless all bytes that this library doesn't know are 0.
 * Every such struct goes through this file. */

/* One of these structs. */
typedef struct
{
  const char *name;
  size_t known;     /* its size in this library */
  size_t least_end; /* the end of the members that no program can do without */
  size_t
      first_end; /* the end of the last member that version 0.1 had; what follows there is padding, which may hold anything */
} CprVersioned;

#define CPR_VERSIONED_END(type, member) (G_STRUCT_OFFSET (type, member) + sizeof (((type *) NULL)->member))
#define CPR_VERSIONED(type, least, last_of_first)                                \
  (&(const CprVersioned){ #type, sizeof (type), CPR_VERSIONED_END (type, least), \
                          CPR_VERSIONED_END (type, last_of_first) })

#define CPR_VERSIONED_CONFIG            CPR_VERSIONED (CprSessionConfig, user_data, choose_incoming)
#define CPR_VERSIONED_UPDATE            CPR_VERSIONED (CprUpdate, mode, reply_fd)
#define CPR_VERSIONED_UPDATE_INFO       CPR_VERSIONED (CprUpdateInfo, size, ram_total)
#define CPR_VERSIONED_RAM_OPTIONS       CPR_VERSIONED (CprRamOptions, backend, max_size)
#define CPR_VERSIONED_DEVICE_TYPE       CPR_VERSIONED (CprDeviceType, state, pre_load)
#define CPR_VERSIONED_CONTAINER_OPTIONS CPR_VERSIONED (CprVfioContainerOptions, backend, fd)
#define CPR_VERSIONED_DEVICE_OPTIONS    CPR_VERSIONED (CprVfioDeviceOptions, group_fd, device_fd)
#define CPR_VERSIONED_PCI_OPTIONS       CPR_VERSIONED (CprVfioPciOptions, emulated, compared)

/* Copies @given, a struct of the caller's, to @own, one of this library's. False with
 * CPR_ERROR_INVALID if no version has its size: then all of @own is 0; or if bytes are set that
 * this library doesn't know: then what it knows is in @own all the same. */
bool cpr_versioned_read (const CprVersioned *versioned, void *own, const void *given, GError **error);

/* The same check of a struct that is borrowed and not copied. */
bool cpr_versioned_check (const CprVersioned *versioned, const void *given, GError **error);

/* For a struct that the library fills: copies @own to @to as far as its size goes. The size
 * stays as it was, and members that this library doesn't know are set to 0. */
void cpr_versioned_write (const CprVersioned *versioned, void *to, const void *own);

#endif
