/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest that runs through the execve: whether it can, in the old program, and what is late, in
 * the new one. Called by update.c and load.c. */
#include "session/through.h"

#include "base/error.h"
#include "handoff/exec/runner.h"
#include "session/kvm.h"
#include "session/parts/run-state.h"
#include "kvm/x86/x86.h"

#define PATIENCE_NS (5 * UINT64_C (1000000000))

static const char *
find_obstacle_in_vm (const CprKvmVm *vm)
{
  if (vm->vcpus->len == 0 || vm->vcpus->len > CPR_LATE_VCPUS)
    return "of its vCPUs' number";
  if (vm->vfio->len > 0)
    return "it has assigned devices";
  for (guint i = 0; i < vm->vcpus->len; i++)
    {
      const CprKvmVcpu *vcpu = vm->vcpus->pdata[i];

      if (!vcpu->knows_config || !vcpu->knows_msrs)
        return "not all about its vCPUs is known";
      if (!vcpu->has_lapic)
        return "its interrupt controller isn't in the kernel";
      if (vcpu->index >= CPR_LATE_VCPUS)
        return "of its vCPUs' numbers";
    }
  return NULL;
}

static const char *
find_obstacle (const CprSession *session, const CprUpdate *update)
{
  if ((update->flags & (CPR_UPDATE_NO_GUARDIAN | CPR_UPDATE_NO_RESCUE)) != 0 || getpid () == 1)
    return "nobody could take it back";
  if (session->kvm_vms->len != 1)
    return "it isn't one KVM VM";
  if (session->vfio.containers->len > 0)
    return "it has assigned devices";
  for (guint i = 0; i < session->ram.blocks->len; i++)
    if (((const CprRamBlock *) session->ram.blocks->pdata[i])->backend == CPR_RAM_PRIVATE)
      return "RAM is copied";
  return find_obstacle_in_vm (session->kvm_vms->pdata[0]);
}

CprKvmVm *
cpr_session_choose_through (CprSession *session, const CprUpdate *update)
{
  const char *obstacle;

  if ((update->flags & CPR_UPDATE_RUN_THROUGH) == 0 || update->mode != CPR_MODE_EXEC ||
      !cpr_run_state_is_live (session->run_state))
    return NULL;
  obstacle = find_obstacle (session, update);
  if (obstacle == NULL)
    return session->kvm_vms->pdata[0];
  cpr_session_log (session, CPR_LOG_WARNING, "update: the guest stands still meanwhile: %s", obstacle);
  return NULL;
}

bool
cpr_session_defer_kvm (CprSession *session, GError **error)
{
  if (session->incoming->late == NULL)
    return true;
  if (session->kvm_vms->len != 1)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "late state: it is of one KVM VM, and %u are here",
                      session->kvm_vms->len);
  cpr_session_prepare_kvm (session);
  ((CprKvmVm *) session->kvm_vms->pdata[0])->is_deferred = true;
  return true;
}

static bool
load_vcpu (CprKvmVcpu *vcpu, const CprLateArea *copy, GError **error)
{
  const CprLateVcpu *late;
  CprKvmScript script;
  bool ok;

  if (vcpu->index >= CPR_LATE_VCPUS)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "late state: it hasn't got vCPU %u", vcpu->index);
  late = &copy->vcpus[vcpu->index];
  if (CPR_LATE_NUMBER_OF (late->word) > CPR_LATE_PARKED)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "late state: vCPU %u has %u exits", vcpu->index,
                      CPR_LATE_NUMBER_OF (late->word));
  if (!cpr_late_open_script (copy, copy->size, &late->object, &script, error))
    return false;
  ok = cpr_kvm_vcpu_take_late (vcpu, &script, error) && cpr_kvm_vcpu_set (vcpu, 1, error);
  cpr_late_close_script (&script);
  vcpu->knows_msrs = vcpu->knows_config; /* the same kernel reads the same ones */
  if (ok && CPR_LATE_NUMBER_OF (late->word) > 0)
    vcpu->parked = g_memdup2 (late, sizeof *late);
  return ok;
}

static bool
load_vm (CprKvmVm *vm, const CprLateArea *copy, GError **error)
{
  CprKvmScript script;
  bool ok;

  vm->is_deferred = false;
  for (guint i = 0; i < vm->vcpus->len; i++)
    if (!load_vcpu (vm->vcpus->pdata[i], copy, error))
      return false;
  if (!cpr_late_open_script (copy, copy->size, &copy->vm, &script, error))
    return false;
  ok = cpr_kvm_vm_take_late (vm, &script, error) && cpr_kvm_vm_set (vm, 1, error);
  cpr_late_close_script (&script);
  return ok;
}

bool
cpr_session_load_late (CprSession *session, GError **error)
{
  CprIncoming *incoming = session->incoming;
  CprLateArea *area = incoming->late;
  g_autofree CprLateArea *copy = NULL;
  size_t size;

  if (area == NULL)
    return true;
  size = area->size;
  session->asked_ns = cpr_now_ns ();
  if (!cpr_late_ask (area, incoming->ask, incoming->attempt, session->asked_ns + PATIENCE_NS, error))
    return false;
  copy = g_memdup2 (area, size);
  copy->size = (uint32_t) size;
  session->first_stand_ns = area->first_went_ns - incoming->baton.page->stamps[CPR_STEP_STOP];
  session->stopped_ns = area->stopped_ns;
  session->saved_ns = area->saved_ns;
  if (!load_vm (session->kvm_vms->pdata[0], copy, error))
    return false;
  session->loaded_ns = cpr_now_ns ();
  return true;
}

void
cpr_session_log_through (const CprSession *session, uint64_t started_ns)
{
  if (session->incoming != NULL && session->incoming->late != NULL)
    cpr_session_log (session, CPR_LOG_WARNING,
                     "update: the guest stood %.3f ms before the execve and %.3f ms at the end (asked %.3f, saved %.3f, "
                     "loaded %.3f, started %.3f ms)",
                     (double) session->first_stand_ns / 1e6, (double) (started_ns - session->stopped_ns) / 1e6,
                     (double) (session->stopped_ns - session->asked_ns) / 1e6,
                     (double) (session->saved_ns - session->stopped_ns) / 1e6,
                     (double) (session->loaded_ns - session->saved_ns) / 1e6,
                     (double) (started_ns - session->loaded_ns) / 1e6);
}
