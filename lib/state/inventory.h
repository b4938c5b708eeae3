/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STATE_INVENTORY_H
#define CPR_STATE_INVENTORY_H

#include <libcpr/libcpr.h>

#define CPR_INVENTORY_ANY_INDEX (-1)

typedef struct
{
  char *name;
  int index; /* CPR_INVENTORY_ANY_INDEX: all of that name */
  bool is_prefix;
} CprDeclaredFd;

typedef struct
{
  char *name;
  uint64_t size;     /* of a prefix: unused */
  uint64_t max_size; /* not 0: any size up to that one, in place of `size` */
  bool is_prefix;
} CprDeclaredRam;

typedef struct
{
  char *name;
  const CprDeviceType *type; /* of a prefix: NULL: any that the program knows */
  bool is_prefix;
  const void *here; /* the device that a start-up has made; NULL: there is none yet */
} CprDeclaredDevice;

typedef struct
{
  char *name;   /* of the container */
  char *device; /* NULL: the container itself */
  bool is_prefix;
} CprDeclaredVfio;

/* The parts that a program that is asked says it would build. A name, of a VFIO device its own, may
 * be a prefix: then the program would take all that is in the state under such names. */
struct _CprInventory
{
  GArray *fds;         /* CprDeclaredFd */
  GArray *ram;         /* CprDeclaredRam */
  GArray *devices;     /* CprDeclaredDevice */
  GArray *vfio;        /* CprDeclaredVfio */
  GPtrArray *refusals; /* char * */
};

CprInventory *cpr_inventory_new (void);
void cpr_inventory_free (CprInventory *inventory);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprInventory, cpr_inventory_free)

#endif
