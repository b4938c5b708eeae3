/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STATE_INVENTORY_H
#define CPR_STATE_INVENTORY_H

#include <libcpr/libcpr.h>

#define CPR_INVENTORY_ANY_INDEX (-1)

typedef struct
{
  char *name;
  int index; /* CPR_INVENTORY_ANY_INDEX: all of that name */
} CprDeclaredFd;

typedef struct
{
  char *name;
  uint64_t size;
} CprDeclaredRam;

typedef struct
{
  char *name;
  const CprDeviceType *type;
} CprDeclaredDevice;

typedef struct
{
  char *name;   /* of the container */
  char *device; /* NULL: the container itself */
} CprDeclaredVfio;

/* The parts that a program that is asked says it would build. */
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
