/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Collects what KVM lacks here that a state needs. Called by lib/ask in a program that is asked. */
#include "kvm/needs/lacks.h"

#include <fcntl.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "kvm/host.h"
#include "kvm/vm.h"

typedef struct
{
  char *text;
  GPtrArray *devices; /* borrowed */
} Lack;

struct _CprKvmLacks
{
  GPtrArray *all;     /* Lack */
  CprKvmHost *host;   /* NULL: not asked yet, or that failed */
  char *failure;      /* why; NULL: it didn't */
  const char *device; /* that is checked */
};

static void
lack_free (void *data)
{
  Lack *lack = data;

  g_free (lack->text);
  g_ptr_array_unref (lack->devices);
  g_free (lack);
}

CprKvmLacks *
cpr_kvm_lacks_new (void)
{
  CprKvmLacks *lacks = g_new0 (CprKvmLacks, 1);

  lacks->all = g_ptr_array_new_with_free_func (lack_free);
  return lacks;
}

void
cpr_kvm_lacks_free (CprKvmLacks *lacks)
{
  g_clear_pointer (&lacks->host, cpr_kvm_host_free);
  g_ptr_array_unref (lacks->all);
  g_free (lacks->failure);
  g_free (lacks);
}

/* Several vCPUs have most needs in common. */
static void
note (const char *text, void *user_data)
{
  CprKvmLacks *lacks = user_data;
  Lack *lack = NULL;

  for (guint i = 0; i < lacks->all->len && lack == NULL; i++)
    if (strcmp (((Lack *) lacks->all->pdata[i])->text, text) == 0)
      lack = lacks->all->pdata[i];
  if (lack == NULL)
    {
      lack = g_new0 (Lack, 1);
      *lack = (Lack){ g_strdup (text), g_ptr_array_new () };
      g_ptr_array_add (lacks->all, lack);
    }
  g_ptr_array_add (lack->devices, (void *) lacks->device);
}

static CprKvmHost *
open_and_ask (GError **error)
{
  int fd = cpr_fd_above_std (cpr_sys->open ("/dev/kvm", O_RDWR | O_CLOEXEC, 0));
  CprKvmHost *host;

  if (fd < 0)
    {
      cpr_throw_errno (error, errno, "/dev/kvm");
      return NULL;
    }
  host = cpr_kvm_host_new (fd, error);
  cpr_sys->close (fd);
  return host;
}

/* Asks once, and only where there is a device that needs KVM. @kvm_fd: with which this program made
 * its VM: it may have got that from elsewhere, or dropped the right to open it. -1: it has none
 * yet. */
static bool
ask_once (CprKvmLacks *lacks, int kvm_fd)
{
  g_autoptr (GError) error = NULL;

  if (lacks->host == NULL && lacks->failure == NULL)
    {
      lacks->host = kvm_fd >= 0 ? cpr_kvm_host_new (kvm_fd, &error) : open_and_ask (&error);
      lacks->failure = error != NULL ? g_strdup (error->message) : NULL;
    }
  if (lacks->failure != NULL)
    note (lacks->failure, lacks);
  return lacks->failure == NULL;
}

/* A device is called "kvm/vcpu3"; the index is in no field. */
static unsigned
get_index (const char *device)
{
  const char *digits = g_strrstr (device, "/vcpu");

  return digits != NULL ? (unsigned) MIN (g_ascii_strtoull (digits + strlen ("/vcpu"), NULL, 10), UINT_MAX) : 0;
}

/* Fields that can't be read are a finding already. */
static void
check_vcpu (CprKvmLacks *lacks, const CprKvmVcpu *here, const CprPlan *plan, CprCursor fields, const CprCodec *codec)
{
  CprKvmVcpu *vcpu = g_new0 (CprKvmVcpu, 1);

  if (cpr_plan_apply (plan, &fields, vcpu, codec, NULL))
    cpr_kvm_host_find_lacks_of_vcpu (lacks->host, vcpu, get_index (lacks->device), here, note, lacks);
  cpr_kvm_vcpu_free (vcpu);
}

static void
check_vm (CprKvmLacks *lacks, const CprKvmVm *here, const CprPlan *plan, CprCursor fields, const CprCodec *codec)
{
  g_autofree CprKvmVm *vm = g_new0 (CprKvmVm, 1);

  if (cpr_plan_apply (plan, &fields, vm, codec, NULL))
    cpr_kvm_host_find_lacks_of_vm (lacks->host, vm, here, note, lacks);
  cpr_kvm_vm_clear (vm);
  g_free (vm->routes);
}

void
cpr_kvm_lacks_check (CprKvmLacks *lacks,
                     const CprDeviceType *type,
                     const char *device,
                     const void *here,
                     const CprPlan *plan,
                     const CprCursor *fields,
                     const CprCodec *codec)
{
  bool is_vcpu = type == cpr_kvm_vcpu_get_type ();
  const CprKvmVm *vm;

  lacks->device = device;
  if (!is_vcpu && type != cpr_kvm_vm_get_type ())
    return;
  vm = is_vcpu && here != NULL ? ((const CprKvmVcpu *) here)->vm : here;
  if (!ask_once (lacks, vm != NULL ? vm->kvm_fd : -1))
    return;
  if (is_vcpu)
    check_vcpu (lacks, here, plan, *fields, codec);
  else
    check_vm (lacks, here, plan, *fields, codec);
}

void
cpr_kvm_lacks_foreach (const CprKvmLacks *lacks,
                       void (*func) (const GPtrArray *devices, const char *lack, void *user_data),
                       void *user_data)
{
  for (guint i = 0; i < lacks->all->len; i++)
    {
      const Lack *lack = lacks->all->pdata[i];

      func (lack->devices, lack->text, user_data);
    }
}
