/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_VFIO_PCI_STATE_H
#define CPR_VFIO_PCI_STATE_H

#include "registry/vfio/table.h"

/* The state that cpr_vfio_pci_add() adds to the device table; its type is
 * cpr_vfio_pci_get_type(). */
typedef struct _CprPciState CprPciState;

/* Reads what the device is; @options is complete and checked here. @device owns it. */
CprPciState *
cpr_pci_state_new (CprVfioDevice *device, const char *name, const CprVfioPciOptions *options, GError **error);
void cpr_pci_state_drop (CprVfioDevice *device, CprPciState *state);
const char *cpr_pci_state_get_name (const CprPciState *state);

#endif
