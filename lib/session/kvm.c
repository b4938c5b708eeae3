/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The KVM VMs' part in each step of an update. Called by the order of steps in the new program, and
 * by the public functions of KVM VMs. */
#include "session/kvm.h"

bool
cpr_session_check_kvm (const CprSession *session, GError **error)
{
  for (guint i = 0; i < session->kvm_vms->len; i++)
    if (!cpr_kvm_vm_check_has_vcpus (session->kvm_vms->pdata[i], error))
      return false;
  return true;
}

void
cpr_session_probe_kvm (CprSession *session)
{
  for (guint i = 0; i < session->kvm_vms->len; i++)
    cpr_kvm_vm_probe (session->kvm_vms->pdata[i], NULL);
}

void
cpr_session_prepare_kvm (CprSession *session)
{
  for (guint i = 0; i < session->kvm_vms->len; i++)
    cpr_kvm_vm_prepare (session->kvm_vms->pdata[i]);
}

void
cpr_session_connect_kvm_vm (CprSession *session, CprKvmVm *vm)
{
  g_autoptr (GError) reason = NULL, vfio_reason = NULL;
  guint n_failed;

  if (cpr_kvm_vm_put_vfio_on (vm, &vfio_reason) > 0)
    cpr_session_log (session, CPR_LOG_ERROR, "KVM doesn't know from now on that the VM has the device: %s",
                     vfio_reason->message);
  n_failed = cpr_kvm_vm_put_irqfds_on (vm, &reason);
  if (n_failed > 0)
    cpr_session_log (session, CPR_LOG_ERROR, "%u interrupts of the guest are lost from now on: %s", n_failed,
                     reason->message);
}

void
cpr_session_connect_kvm (CprSession *session)
{
  for (guint i = 0; i < session->kvm_vms->len; i++)
    cpr_session_connect_kvm_vm (session, session->kvm_vms->pdata[i]);
}

bool
cpr_session_check_kvm_without (const CprSession *session, const CprVfioDevice *device, GError **error)
{
  for (guint i = 0; i < session->kvm_vms->len; i++)
    if (!cpr_kvm_vm_check_without_vfio (session->kvm_vms->pdata[i], device, error))
      return false;
  return true;
}
