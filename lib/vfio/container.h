/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_VFIO_CONTAINER_H
#define CPR_VFIO_CONTAINER_H

#include "registry/vfio/table.h"

/* Creates a container; @options is complete. */
CprVfioContainer *cpr_vfio_container_create (CprVfioTable *table,
                                             const char *name,
                                             const CprVfioContainerOptions *options,
                                             GError **error);
/* Claims one that was handed over. */
CprVfioContainer *
cpr_vfio_container_take (CprVfioTable *table, const char *name, const CprVfioContainerOptions *options, GError **error);
bool cpr_vfio_container_close (CprVfioContainer *container, GError **error);

/* Why no other program could have it, with its devices and mappings; NULL if one could. */
char *cpr_vfio_container_describe_obstacle (const CprVfioContainer *container);

/* Makes a mapping. */
CprDmaMapping *cpr_vfio_container_map (CprVfioContainer *container, const CprDmaMapping *wanted, GError **error);
/* Claims one that was handed over. */
bool cpr_vfio_container_take_mapping (CprVfioContainer *container, const CprDmaMapping *wanted, GError **error);
bool cpr_vfio_container_unmap (CprVfioContainer *container, uint64_t iova, uint64_t size, GError **error);

/* The mappings won't change any more before they are attached: what that takes and can be done
 * now. */
void cpr_vfio_table_prepare (CprVfioTable *table);
/* Tells the kernel where this process has all mappings of all containers. @lost: where those
 * that the kernel has lost are counted instead of being an error, or NULL. After a failure it
 * can be done again, here or by another program. */
bool cpr_vfio_table_reattach (CprVfioTable *table, guint *lost, GError **error);

/* CPR_ERROR_MISMATCH with the first mapping or interrupt that nobody claimed; those whose policy
 * permits it are left.
 * @close_irqs: interrupts may be left too. */
bool cpr_vfio_table_check_claims (const CprVfioTable *table, bool close_irqs, GError **error);
/* Unmaps and closes them. The number of what was let go. */
guint cpr_vfio_table_drop_unclaimed (CprVfioTable *table);

#endif
