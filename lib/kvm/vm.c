/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The objects: a VM and its vCPUs, each a device in the devices' table. Called by lib/session. */
#include "kvm/vm.h"

#include "kvm/ioctl.h"

/* Interrupts that wait in the IOAPIC go to the LAPICs. */
static const char *const vcpus_first[] = { "libcpr.kvm-vcpu", NULL };

static const CprDeviceType vm_type = {
  .size = sizeof (CprDeviceType),
  .name = "libcpr.kvm-vm",
  .version = 1,
  .minimum_version = 1,
  .state = { "KvmVm", sizeof (CprKvmVm), cpr_kvm_vm_fields },
  .pre_save = cpr_kvm_vm_get,
  .post_load = cpr_kvm_vm_set,
  .load_after = vcpus_first,
  .trial_save = true,
};

static const CprDeviceType vcpu_type = {
  .size = sizeof (CprDeviceType),
  .name = "libcpr.kvm-vcpu",
  .version = 1,
  .minimum_version = 1,
  .state = { "KvmVcpu", sizeof (CprKvmVcpu), cpr_kvm_vcpu_fields },
  .pre_save = cpr_kvm_vcpu_get,
  .post_load = cpr_kvm_vcpu_set,
  .trial_save = true,
};

const CprDeviceType *
cpr_kvm_vm_get_type (void)
{
  return &vm_type;
}

const CprDeviceType *
cpr_kvm_vcpu_get_type (void)
{
  return &vcpu_type;
}

CprSession *
cpr_kvm_vm_get_session (const CprKvmVm *vm)
{
  return vm->session;
}

static bool
check_version (const char *name, int kvm_fd, GError **error)
{
  int version = cpr_sys->ioctl (kvm_fd, KVM_GET_API_VERSION, NULL);

  if (version < 0)
    return cpr_throw_errno (error, errno, "KVM VM '%s': KVM_GET_API_VERSION", name);
  return version == KVM_API_VERSION ||
         cpr_throw (error, CPR_ERROR_VERSION, "KVM VM '%s': KVM's API version is %d, it should be %d", name, version,
                    KVM_API_VERSION);
}

CprKvmVm *
cpr_kvm_vm_create (CprSession *session,
                   CprDeviceTable *devices,
                   const char *name,
                   int kvm_fd,
                   int vm_fd,
                   unsigned flags,
                   GError **error)
{
  CprKvmVm *vm;

  if ((flags & ~(unsigned) CPR_KVM_TIME_STOPS) != 0)
    {
      cpr_throw (error, CPR_ERROR_INVALID, "KVM VM '%s': unknown flags 0x%x", name, flags);
      return NULL;
    }
  if (!check_version (name, kvm_fd, error))
    return NULL;
  vm = g_new0 (CprKvmVm, 1);
  vm->session = session;
  vm->devices = devices;
  vm->name = g_strdup (name);
  vm->kvm_fd = kvm_fd;
  vm->fd = vm_fd;
  vm->flags = flags;
  vm->vcpus = g_ptr_array_new ();
  vm->device_fds = g_array_new (FALSE, FALSE, sizeof (int));
  vm->irqfds = g_array_new (FALSE, FALSE, sizeof (CprKvmIrqfd));
  vm->vfio = g_ptr_array_new ();
  vm->vfio_fd = -1;
  g_mutex_init (&vm->lock);
  cpr_kvm_vm_init (vm);
  if (cpr_device_table_add (devices, name, &vm_type, vm, error))
    return vm;
  cpr_kvm_vm_free (vm);
  return NULL;
}

void
cpr_kvm_vcpu_free (CprKvmVcpu *vcpu)
{
  g_clear_pointer (&vcpu->known, cpr_kvm_vcpu_forget);
  g_free (vcpu->name);
  cpr_kvm_vcpu_clear (vcpu);
  g_free (vcpu);
}

void
cpr_kvm_vm_free (CprKvmVm *vm)
{
  for (guint i = 0; i < vm->vcpus->len; i++)
    cpr_kvm_vcpu_free (vm->vcpus->pdata[i]);
  g_ptr_array_unref (vm->vcpus);
  g_array_unref (vm->device_fds);
  g_array_unref (vm->irqfds);
  g_ptr_array_unref (vm->vfio);
  if (vm->vfio_fd >= 0)
    cpr_sys->close (vm->vfio_fd);
  g_mutex_clear (&vm->lock);
  cpr_kvm_vm_clear (vm);
  g_free (vm->current_routes);
  g_free (vm->routes);
  g_free (vm->name);
  g_free (vm);
}

void
cpr_kvm_vm_destroy (CprKvmVm *vm)
{
  for (guint i = 0; i < vm->vcpus->len; i++)
    cpr_device_table_remove (vm->devices, ((CprKvmVcpu *) vm->vcpus->pdata[i])->name, NULL);
  cpr_device_table_remove (vm->devices, vm->name, NULL);
  cpr_kvm_vm_free (vm);
}

CprKvmVcpu *
cpr_kvm_vcpu_create (CprKvmVm *vm, unsigned index, int vcpu_fd, GError **error)
{
  CprKvmVcpu *vcpu;

  if (!cpr_kvm_vm_learn (vm, error))
    return NULL;
  vcpu = g_new0 (CprKvmVcpu, 1);
  vcpu->vm = vm;
  vcpu->index = index;
  vcpu->fd = vcpu_fd;
  vcpu->name = g_strdup_printf ("%s/vcpu%u", vm->name, index);
  if (cpr_kvm_vcpu_check (vcpu, error) && cpr_device_table_add (vm->devices, vcpu->name, &vcpu_type, vcpu, error))
    {
      g_mutex_lock (&vm->lock);
      g_ptr_array_add (vm->vcpus, vcpu);
      g_mutex_unlock (&vm->lock);
      return vcpu;
    }
  cpr_kvm_vcpu_free (vcpu);
  return NULL;
}

CprKvmVcpu *
cpr_kvm_vm_find_vcpu (CprKvmVm *vm, unsigned index, GError **error)
{
  CprKvmVcpu *found = NULL;

  g_mutex_lock (&vm->lock);
  for (guint i = 0; i < vm->vcpus->len && found == NULL; i++)
    if (((CprKvmVcpu *) vm->vcpus->pdata[i])->index == index)
      found = vm->vcpus->pdata[i];
  g_mutex_unlock (&vm->lock);
  if (found == NULL)
    cpr_throw (error, CPR_ERROR_NOT_FOUND, "KVM VM '%s': it has no vCPU %u", vm->name, index);
  return found;
}

int
cpr_kvm_vcpu_get_fd (const CprKvmVcpu *vcpu)
{
  return vcpu->fd;
}

void
cpr_kvm_vcpu_destroy (CprKvmVcpu *vcpu)
{
  cpr_device_table_remove (vcpu->vm->devices, vcpu->name, NULL);
  g_mutex_lock (&vcpu->vm->lock);
  g_ptr_array_remove (vcpu->vm->vcpus, vcpu);
  g_mutex_unlock (&vcpu->vm->lock);
  cpr_kvm_vcpu_free (vcpu);
}

bool
cpr_kvm_vm_check_has_vcpus (const CprKvmVm *vm, GError **error)
{
  return vm->vcpus->len > 0 ||
         cpr_throw (error, CPR_ERROR_INVALID,
                    "KVM VM '%s': it has no vCPU, and the next program wouldn't have their state: call "
                    "cpr_kvm_vcpu_add() after each KVM_CREATE_VCPU",
                    vm->name);
}

void
cpr_kvm_vm_foreach_fd (const CprKvmVm *vm, void (*func) (CprSession *session, int fd))
{
  for (guint i = 0; i < vm->vcpus->len; i++)
    func (vm->session, ((const CprKvmVcpu *) vm->vcpus->pdata[i])->fd);
  for (guint i = 0; i < vm->device_fds->len; i++)
    func (vm->session, g_array_index (vm->device_fds, int, i));
  func (vm->session, vm->fd);
}

void
cpr_kvm_vm_prepare (CprKvmVm *vm)
{
  for (guint i = 0; i < vm->vcpus->len; i++)
    cpr_kvm_vcpu_learn (vm->vcpus->pdata[i], NULL);
  cpr_kvm_vm_learn_state (vm);
}
