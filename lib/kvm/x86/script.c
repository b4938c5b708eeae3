/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list of ioctls that tell a state: made, executed, and its answers found. Called by read.c,
 * msrs.c, tsc.c and machine.c. */
#include "kvm/x86/script.h"

#include <errno.h>
#include <string.h>

#include "base/sys.h"

void
cpr_kvm_script_init (CprKvmScript *script, int fd, uint32_t room)
{
  *script = (CprKvmScript){ .fd = fd, .room = room };
  script->calls = g_array_new (FALSE, FALSE, sizeof (CprKvmCall));
  script->memory = g_malloc0 (room);
}

void
cpr_kvm_script_clear (CprKvmScript *script)
{
  g_array_unref (script->calls);
  g_free (script->memory);
}

void *
cpr_kvm_script_add_part (
    CprKvmScript *script, unsigned long request, const char *name, uint32_t size, int absent, int absent_too)
{
  CprKvmCall call = {
    .request = request, .name = name, .offset = script->used, .size = size, .absent = { absent, absent_too }
  };

  g_assert (CPR_KVM_SCRIPT_ROOM (size) <= script->room - script->used);
  script->used += CPR_KVM_SCRIPT_ROOM (size);
  g_array_append_val (script->calls, call);
  return script->memory + call.offset;
}

void *
cpr_kvm_script_add (CprKvmScript *script, unsigned long request, const char *name, uint32_t size)
{
  return cpr_kvm_script_add_part (script, request, name, size, 0, 0);
}

void
cpr_kvm_script_add_time (CprKvmScript *script)
{
  cpr_kvm_script_add (script, 0, "clock_gettime", sizeof (uint64_t));
}

static bool
is_absent (const CprKvmCall *call)
{
  return call->result < 0 && (call->result == -call->absent[0] || call->result == -call->absent[1]);
}

static void
make (const CprKvmScript *script, CprKvmCall *call)
{
  void *argument = script->memory + call->offset;

  if (call->request == 0)
    *(uint64_t *) argument = cpr_now_ns ();
  else
    {
      call->result = cpr_sys->ioctl (script->fd, call->request, argument);
      if (call->result < 0)
        call->result = -errno;
    }
}

const CprKvmCall *
cpr_kvm_script_run (CprKvmScript *script)
{
  for (guint i = 0; i < script->calls->len; i++)
    {
      CprKvmCall *call = &g_array_index (script->calls, CprKvmCall, i);

      make (script, call);
      if (call->result < 0 && !is_absent (call))
        return call;
    }
  return NULL;
}

const CprKvmCall *
cpr_kvm_script_find (const CprKvmScript *script, unsigned long request, unsigned n)
{
  for (guint i = 0; i < script->calls->len; i++)
    {
      const CprKvmCall *call = &g_array_index (script->calls, CprKvmCall, i);

      if (call->request == request && n-- == 0)
        return is_absent (call) ? NULL : call;
    }
  return NULL;
}

const void *
cpr_kvm_script_get (const CprKvmScript *script, const CprKvmCall *call)
{
  return script->memory + call->offset;
}

const void *
cpr_kvm_script_get_sized (const CprKvmScript *script, unsigned long request, unsigned n, uint32_t size)
{
  const CprKvmCall *call = cpr_kvm_script_find (script, request, n);

  return call != NULL && call->size == size ? cpr_kvm_script_get (script, call) : NULL;
}

bool
cpr_kvm_script_copy (const CprKvmScript *script, unsigned long request, void *to, uint32_t size)
{
  const CprKvmCall *call = cpr_kvm_script_find (script, request, 0);

  if (call == NULL || call->size != size)
    return false;
  memcpy (to, cpr_kvm_script_get (script, call), size);
  return true;
}
