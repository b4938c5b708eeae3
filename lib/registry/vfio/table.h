/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_VFIO_TABLE_H
#define CPR_REGISTRY_VFIO_TABLE_H

#include "registry/vfio/dma-map.h"

/* The fds of containers, devices and groups, and the eventfds, are entries of the fd table.
 * Their names are these prefixes and: the container's or device's name, with index 0; nothing
 * for a group, whose number is the index; the device's name for an eventfd, with the index from
 * cpr_vfio_irq_get_key(). */
#define CPR_VFIO_CONTAINER_FD CPR_FD_INTERNAL "vfio-container:"
#define CPR_VFIO_DEVICE_FD    CPR_FD_INTERNAL "vfio-device:"
#define CPR_VFIO_GROUP_FD     CPR_FD_INTERNAL "vfio-group"
#define CPR_VFIO_TRIGGER_FD   CPR_FD_INTERNAL "vfio-irq:"
#define CPR_VFIO_UNMASK_FD    CPR_FD_INTERNAL "vfio-unmask:"

#define CPR_VFIO_IRQ_INDEX_MAX  0x7fff
#define CPR_VFIO_IRQ_VECTOR_MAX 0xffff

typedef struct
{
  int key; /* from index and vector */
  CprVfioIrqRole role;
  int fd;
  bool enabled; /* the kernel has it connected */
  bool claimed;
} CprVfioIrq;

typedef struct
{
  GPtrArray *containers; /* CprVfioContainer */
  guint n_devices;
  CprFdTable *fds; /* the session's, like the next two */
  CprRamTable *ram;
  CprSession *session;
} CprVfioTable;

/* A claimed object closes its fds when it is freed; an unclaimed one doesn't own them. */
struct _CprVfioContainer
{
  CprVfioTable *table;
  char *name;
  CprVfioBackend backend; /* never AUTO */
  CprDmaUnclaimed unclaimed;
  int fd;        /* -1: none */
  uint32_t ioas; /* IOMMUFD */
  bool claimed;
  bool lacks_file, lacks_change; /* IOMMUFD: the kernel can't map a file, or can't give mappings to another process */
  CprDmaMap dma;
  GPtrArray *order;   /* type1: the mappings in the order in which they are attached; NULL: not yet known */
  GPtrArray *devices; /* CprVfioDevice */
};

struct _CprVfioDevice
{
  CprVfioContainer *container;
  char *name;
  char *address; /* its name in sysfs */
  uint32_t group;
  int fd;       /* -1: none */
  int group_fd; /* -1: none; one for all devices of a group */
  bool claimed;
  bool mediated;
  GArray *irqs;    /* CprVfioIrq, by key and role */
  GPtrArray *pcis; /* owned by lib/vfio/pci-state.c */
};

void cpr_vfio_table_init (CprVfioTable *table);
void cpr_vfio_table_clear (CprVfioTable *table); /* closes the fds of claimed objects */

CprVfioContainer *cpr_vfio_table_find (const CprVfioTable *table, const char *name);
CprVfioDevice *cpr_vfio_table_find_device (const CprVfioTable *table, const char *name);
CprVfioDevice *cpr_vfio_table_find_group (const CprVfioTable *table, uint32_t group); /* any device of the group */

/* New objects, claimed and without fds. The caller checks the names. */
CprVfioContainer *cpr_vfio_table_add (CprVfioTable *table, const char *name, CprVfioBackend backend);
CprVfioDevice *cpr_vfio_container_add_device (CprVfioContainer *container, const char *name, const char *address);
/* Frees the object, closes its fds and removes them from the fd table. */
void cpr_vfio_table_remove (CprVfioTable *table, CprVfioContainer *container);
void cpr_vfio_container_drop_device (CprVfioContainer *container, CprVfioDevice *device);

/* Adds an fd to the fd table, or removes it, under the names above. */
bool
cpr_vfio_table_add_fd (CprVfioTable *table, const char *prefix, const char *name, int index, int fd, GError **error);
void cpr_vfio_table_remove_fd (CprVfioTable *table, const char *prefix, const char *name, int index);

int cpr_vfio_irq_get_key (unsigned index, unsigned vector);
const char *cpr_vfio_irq_get_prefix (CprVfioIrqRole role);
/* The order of a device's interrupts, in the table and in the chunk. */
bool cpr_vfio_irq_is_before (const CprVfioIrq *irq, int key, CprVfioIrqRole role);
CprVfioIrq *cpr_vfio_device_find_irq (const CprVfioDevice *device, int key, CprVfioIrqRole role);
void cpr_vfio_device_add_irq (CprVfioDevice *device, const CprVfioIrq *irq);

const char *cpr_vfio_backend_get_name (CprVfioBackend backend);

/* The unclaimed containers and devices, in words; NULL if there are none. */
char *cpr_vfio_table_describe_unclaimed (const CprVfioTable *table);
/* The bytes that the DMA mappings of all containers of a back end lock. Those of a character
 * device (DAX) aren't counted. */
uint64_t cpr_vfio_table_get_locked (const CprVfioTable *table, const CprFdTable *fds, CprVfioBackend backend);

/* DMA chunk: u32 number of containers, then each: name; u32 backend; u32 ioas; u32 number of
 * devices, then each: name; name: address; u32 group; u32 number of irqs, then each: u32 index;
 * u32 vector; u32 role; u32 flags; u32 number of mappings, then each: u64 iova; u64 size; u32
 * block; u32 flags; u64 offset. */
void cpr_vfio_table_write (const CprVfioTable *table, const CprRamTable *ram, CprWriter *writer);
/* Claims the containers', devices' and interrupts' fds in @fds. */
bool
cpr_vfio_table_read (CprVfioTable *table, CprFdTable *fds, const CprRamTable *ram, CprCursor *cursor, GError **error);

#endif
