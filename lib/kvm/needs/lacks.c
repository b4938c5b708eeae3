/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Collects what KVM lacks here that a state needs. Called by lib/ask in a program that is asked. */
#include "kvm/needs/lacks.h"

#include <fcntl.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "kvm/needs/host.h"

typedef struct
{
  char *text;
  GPtrArray *devices; /* borrowed */
} Lack;

#ifdef __x86_64__

struct _CprKvmLacks
{
  GPtrArray *all; /* Lack */
  bool was_asked;
  CprKvmHost host;
  char *failure;      /* why there is no host; NULL: there is */
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
  cpr_kvm_host_clear (&lacks->host);
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

static bool
ask (CprKvmHost *host, GError **error)
{
  int fd = cpr_fd_above_std (cpr_sys->open ("/dev/kvm", O_RDWR | O_CLOEXEC, 0));
  bool ok;

  if (fd < 0)
    return cpr_throw_errno (error, errno, "/dev/kvm");
  ok = cpr_kvm_host_ask (host, fd, error);
  cpr_sys->close (fd);
  return ok;
}

/* Asks once, and only where there is a device that needs KVM. */
static bool
ask_once (CprKvmLacks *lacks)
{
  g_autoptr (GError) error = NULL;

  if (!lacks->was_asked && !ask (&lacks->host, &error))
    lacks->failure = g_strdup (error->message);
  lacks->was_asked = true;
  if (lacks->failure != NULL)
    note (lacks->failure, lacks);
  return lacks->failure == NULL;
}

/* A device is called "kvm/vcpu3"; the index is in no field. */
static void
check_index (CprKvmLacks *lacks)
{
  const char *digits = g_strrstr (lacks->device, "/vcpu");
  uint64_t index = digits != NULL ? g_ascii_strtoull (digits + strlen ("/vcpu"), NULL, 10) : 0;
  g_autofree char *text = NULL;

  if (index < lacks->host.vcpu_ids_max)
    return;
  text = g_strdup_printf ("its index is %" G_GUINT64_FORMAT ", and KVM takes indices below %u here", index,
                          lacks->host.vcpu_ids_max);
  note (text, lacks);
}

/* Fields that can't be read are a finding already. */
static void
check_vcpu (CprKvmLacks *lacks, const CprKvmVcpu *here, const CprPlan *plan, CprCursor fields, const CprCodec *codec)
{
  CprKvmVcpu *vcpu = g_new0 (CprKvmVcpu, 1);

  if (cpr_plan_apply (plan, &fields, vcpu, codec, NULL))
    {
      check_index (lacks);
      cpr_kvm_host_find_lacks_of_vcpu (&lacks->host, vcpu, note, lacks);
      if (here != NULL && vcpu->has_lapic && cpr_kvm_vcpu_lacks_lapic (here))
        note ("it has a LAPIC in the kernel, and this program made none: " CPR_KVM_LAPIC_HINT, lacks);
    }
  cpr_kvm_vcpu_free (vcpu);
}

static void
check_vm (CprKvmLacks *lacks, const CprKvmVm *here, const CprPlan *plan, CprCursor fields, const CprCodec *codec)
{
  g_autofree CprKvmVm *vm = g_new0 (CprKvmVm, 1);

  if (cpr_plan_apply (plan, &fields, vm, codec, NULL))
    {
      cpr_kvm_host_find_lacks_of_vm (&lacks->host, vm, note, lacks);
      if (here != NULL && vm->has_irqchip && cpr_kvm_vm_lacks_irqchip (here))
        note ("it has an irqchip with PIC and IOAPIC, and this program made none (KVM_CREATE_IRQCHIP)", lacks);
      if (here != NULL && vm->has_pit && cpr_kvm_vm_lacks_pit (here))
        note ("it has a PIT, and this program made none (KVM_CREATE_PIT2)", lacks);
    }
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

  lacks->device = device;
  if ((!is_vcpu && type != cpr_kvm_vm_get_type ()) || !ask_once (lacks))
    return;
  if (is_vcpu)
    check_vcpu (lacks, here, plan, *fields, codec);
  else
    check_vm (lacks, here, plan, *fields, codec);
}

#else

/* The library has no state of KVM of this architecture. */
struct _CprKvmLacks
{
  GPtrArray *all;
};

CprKvmLacks *
cpr_kvm_lacks_new (void)
{
  CprKvmLacks *lacks = g_new0 (CprKvmLacks, 1);

  lacks->all = g_ptr_array_new ();
  return lacks;
}

void
cpr_kvm_lacks_free (CprKvmLacks *lacks)
{
  g_ptr_array_unref (lacks->all);
  g_free (lacks);
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
}

#endif

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
