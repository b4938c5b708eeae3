/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_DAX_H
#define CPR_REGISTRY_RAM_DAX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CPR_DAX_UUID_SIZE 16

/* A DAX device, as the kernel describes it: a character device that is memory, and is mapped as it
 * is. */
typedef struct
{
  uint64_t size;    /* bytes */
  uint64_t align;   /* what a mapping's size must be a multiple of */
  uint64_t address; /* physical; 0: it isn't told to this user */
  /* The UUID of its namespace, which stays when devices get other numbers; all 0: it has none. */
  uint8_t uuid[CPR_DAX_UUID_SIZE];
} CprDax;

/* Whether the character device @number is one. */
bool cpr_dax_describe (dev_t number, CprDax *dax);

#endif
