/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_DAX_H
#define CPR_REGISTRY_RAM_DAX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CPR_DAX_UUID_SIZE 16

/* The kernel's description of a DAX device, a character device that is memory and is mapped
 * directly. */
typedef struct
{
  uint64_t size;    /* bytes */
  uint64_t align;   /* a mapping's size must be a multiple of it */
  uint64_t address; /* physical; 0: the kernel doesn't tell this user */
  /* Its namespace's UUID, which stays the same when devices get other numbers; all 0: none. */
  uint8_t uuid[CPR_DAX_UUID_SIZE];
} CprDax;

/* Describes the character device @number; false if it isn't a DAX device. */
bool cpr_dax_describe (dev_t number, CprDax *dax);

#endif
