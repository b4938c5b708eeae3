/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The exits of vCPUs that ran while no program had the guest. Called by the public functions of KVM
 * VMs. */
#include <string.h>

#include "base/error.h"
#include "handoff/exec/late.h"
#include "session/kvm.h"

/* A struct kvm_run with the data of a port behind it. */
typedef struct
{
  struct kvm_run run;
  uint8_t pio[CPR_LATE_PIO_MAX];
} Run;

bool
cpr_session_handle_parked (CprKvmVcpu *vcpu, CprKvmExitFunc handle_exit, void *user_data, GError **error)
{
  g_autofree CprLateVcpu *late = g_steal_pointer (&vcpu->parked);
  g_autofree Run *run = late != NULL ? g_new0 (Run, 1) : NULL;
  GError *reason = NULL;

  for (uint32_t i = 0; late != NULL && i < CPR_LATE_NUMBER_OF (late->word); i++)
    {
      memcpy (&run->run, &late->parked[i], sizeof late->parked[i]);
      if (run->run.exit_reason == KVM_EXIT_IO)
        {
          if ((size_t) run->run.io.size * run->run.io.count > sizeof run->pio)
            return cpr_throw (error, CPR_ERROR_CORRUPT, "KVM: vCPU '%s': a parked exit of %u times %u bytes",
                              vcpu->name, run->run.io.count, run->run.io.size);
          run->run.io.data_offset = offsetof (Run, pio);
          memcpy (run->pio, late->pio, sizeof run->pio);
        }
      if (!handle_exit (&run->run, user_data, &reason))
        return cpr_throw_callback (error, reason, "KVM: vCPU '%s': exit %u", vcpu->name, run->run.exit_reason);
    }
  return true;
}
