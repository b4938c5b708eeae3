/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_KVM_NEEDS_LACKS_H
#define CPR_KVM_NEEDS_LACKS_H

#include "registry/device/device.h"

/* A collection of the needs of a state's devices that KVM can't meet here. */
typedef struct _CprKvmLacks CprKvmLacks;

CprKvmLacks *cpr_kvm_lacks_new (void);
void cpr_kvm_lacks_free (CprKvmLacks *lacks);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CprKvmLacks, cpr_kvm_lacks_free)

/* Checks one device of a question, whose name has to last. Those of other types have no such
 * needs. @here: the VM or vCPU of that name that this program has made; NULL: none yet. */
void cpr_kvm_lacks_check (CprKvmLacks *lacks,
                          const CprDeviceType *type,
                          const char *device,
                          const void *here,
                          const CprPlan *plan,
                          const CprCursor *fields,
                          const CprCodec *codec);

/* Calls @func with each lack, once, and the names of the devices that have that need. */
void cpr_kvm_lacks_foreach (const CprKvmLacks *lacks,
                            void (*func) (const GPtrArray *devices, const char *lack, void *user_data),
                            void *user_data);

#endif
