/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_SESSION_KVM_H
#define CPR_SESSION_KVM_H

#include "kvm/vm.h"
#include "session/core.h"

/* Whether each VM has a vCPU: asked before a load, and before the guest stops. */
bool cpr_session_check_kvm (const CprSession *session, GError **error);
/* A fresh session, before the guest runs: the first update finds done what takes long. */
void cpr_session_probe_kvm (CprSession *session);
/* A state was taken up, and the guest still runs elsewhere. */
void cpr_session_prepare_kvm (CprSession *session);
/* The guest is this process's and about to run: from now on interrupts may come. */
void cpr_session_connect_kvm (CprSession *session);
/* Whether an assigned device may be removed: no VM has it. */
bool cpr_session_check_kvm_without (const CprSession *session, const CprVfioDevice *device, GError **error);
/* The same as cpr_session_connect_kvm() for one VM. */
void cpr_session_connect_kvm_vm (CprSession *session, CprKvmVm *vm);

bool cpr_session_handle_parked (CprKvmVcpu *vcpu, CprKvmExitFunc handle_exit, void *user_data, GError **error);

#endif
