/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The late area in the program to which the guest is offered: asks for the guest, and reads what
 * the runner saved. */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/sys.h"
#include "handoff/exec/runner.h"

#define LOOK_AGAIN_NS (5 * 1000 * 1000)

bool
cpr_late_open_script (
    const CprLateArea *area, size_t size, const CprLateObject *object, CprKvmScript *script, GError **error)
{
  *script = (CprKvmScript){ .fd = -1, .memory = (uint8_t *) area, .used = (uint32_t) size, .room = (uint32_t) size };
  script->calls = g_array_new (FALSE, FALSE, sizeof (CprKvmCall));
  for (uint32_t i = 0; i < MIN (object->n_calls, CPR_LATE_CALLS); i++)
    {
      const CprLateCall *from = &object->calls[i];
      CprKvmCall call = {
        .request = from->request, .name = "", .offset = from->offset, .size = from->size, .result = from->result
      };

      if (from->offset % CPR_KVM_SCRIPT_ALIGNMENT != sizeof *area % CPR_KVM_SCRIPT_ALIGNMENT ||
          from->offset < sizeof *area || from->offset > size || from->size > size - from->offset || from->result < 0)
        {
          cpr_late_close_script (script);
          return cpr_throw (error, CPR_ERROR_CORRUPT, "late state: call %u has %u bytes at %u, and the area %zu", i,
                            from->size, from->offset, size);
        }
      g_array_append_val (script->calls, call);
    }
  return true;
}

void
cpr_late_close_script (CprKvmScript *script)
{
  g_array_unref (script->calls);
}

bool
cpr_late_ask (CprLateArea *area, int ask, unsigned attempt, uint64_t end_ns, GError **error)
{
  static const struct timespec patience = { 0, LOOK_AGAIN_NS };
  const uint64_t one = 1;
  uint32_t stopped_for;
  int failed;

  atomic_store (&area->ask, attempt);
  (void) !cpr_sys->write (ask, &one, sizeof one);
  while ((stopped_for = atomic_load (&area->stopped_for)) != attempt)
    {
      if (cpr_now_ns () >= end_ns)
        return cpr_throw (error, CPR_ERROR_SYSTEM, "late state: the process that runs the guest gives no answer");
      cpr_sys->futex_wait (&area->stopped_for, stopped_for, &patience);
    }
  failed = atomic_load (&area->failed);
  return failed == 0 || cpr_throw_errno (error, failed, "late state: what KVM keeps couldn't be read");
}
