/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prepares an update in which the guest runs through the execve: the scripts, the late area and the
 * runner. Called by exec.c. */
#include "handoff/exec/through.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/memory.h"
#include "base/sys.h"
#include "handoff/exec/image.h"
#include "kvm/x86/x86.h"

struct _CprThrough
{
  CprKvmVm *vm;
  CprKvmScript *scripts; /* the vCPUs', then the VM's */
  unsigned n_vcpus;
  CprLateArea *area;
  size_t size;
  int area_fd, ask, gone[2];
  CprRunner *runner;
};

static void
write_scripts (CprThrough *through)
{
  g_autofree const CprKvmScript **all = g_new0 (const CprKvmScript *, through->n_vcpus + 1);

  through->scripts = g_new0 (CprKvmScript, through->n_vcpus + 1);
  for (unsigned i = 0; i < through->n_vcpus; i++)
    cpr_kvm_vcpu_write_script (through->vm->vcpus->pdata[i], &through->scripts[i]);
  cpr_kvm_vm_write_script (through->vm, &through->scripts[through->n_vcpus]);
  for (unsigned i = 0; i <= through->n_vcpus; i++)
    all[i] = &through->scripts[i];
  through->size = cpr_late_area_size (all, through->n_vcpus + 1);
}

static bool
make_fds (CprThrough *through, GError **error)
{
  void *area;

  through->area_fd = cpr_memfd_new ("libcpr-late", 0);
  through->ask = cpr_fd_above_std (cpr_sys->eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (through->area_fd < 0 || through->ask < 0 || pipe2 (through->gone, O_CLOEXEC) < 0 ||
      cpr_sys->ftruncate (through->area_fd, (off_t) through->size) < 0)
    return cpr_throw_errno (error, errno, "runner: its fds");
  area = cpr_sys->mmap (NULL, through->size, PROT_READ | PROT_WRITE, MAP_SHARED, through->area_fd, 0);
  if (area == MAP_FAILED)
    return cpr_throw_errno (error, errno, "runner: the late area");
  through->area = area;
  through->area->size = (uint32_t) through->size;
  return true;
}

bool
cpr_through_open (CprThrough **through, CprKvmVm *vm, CprFdTable *fds, GError **error)
{
  CprThrough *made = g_new0 (CprThrough, 1);

  *through = made;
  made->vm = vm;
  made->n_vcpus = vm->vcpus->len;
  made->area_fd = made->ask = made->gone[0] = made->gone[1] = -1;
  write_scripts (made);
  return make_fds (made, error) && cpr_fd_table_add (fds, CPR_FD_LATE, 0, made->area_fd, error) &&
         cpr_fd_table_add (fds, CPR_FD_ASK, 0, made->ask, error);
}

bool
cpr_through_prepare (CprThrough *through,
                     CprBatonPage *page,
                     int release,
                     CprFdTable *fds,
                     int state_fd,
                     GArray *held,
                     GError **error)
{
  g_autoptr (GArray) keep = cpr_image_collect_fds (fds, state_fd, held);
  g_autofree CprRunnerVcpu *vcpus = g_new0 (CprRunnerVcpu, through->n_vcpus);
  CprRunnerConfig config = {
    .page = page,
    .area = through->area,
    .keep = keep,
    .release = release,
    .ask = through->ask,
    .gone = through->gone[0],
    .kvm_fd = through->vm->kvm_fd,
    .vm_fd = through->vm->fd,
    .vcpus = vcpus,
    .n_vcpus = through->n_vcpus,
    .vm_script = &through->scripts[through->n_vcpus],
    .irqfds = (const CprKvmIrqfd *) (const void *) through->vm->irqfds->data,
    .n_irqfds = through->vm->irqfds->len,
  };

  for (unsigned i = 0; i < through->n_vcpus; i++)
    {
      const CprKvmVcpu *vcpu = through->vm->vcpus->pdata[i];

      vcpus[i] = (CprRunnerVcpu){ vcpu->index, vcpu->fd, 0, &through->scripts[i] };
    }
  through->runner = cpr_runner_new (&config, error);
  return through->runner != NULL;
}

bool
cpr_through_launch (CprThrough *through, GError **error)
{
  return cpr_runner_launch (through->runner, error);
}

void
cpr_through_free (CprThrough *through)
{
  cpr_runner_free (through->runner);
  for (unsigned i = 0; i <= through->n_vcpus; i++)
    cpr_kvm_script_clear (&through->scripts[i]);
  g_free (through->scripts);
  if (through->area != NULL)
    cpr_sys->munmap (through->area, through->size);
  cpr_fd_clear (&through->area_fd);
  cpr_fd_clear (&through->ask);
  cpr_fd_clear (&through->gone[0]);
  cpr_fd_clear (&through->gone[1]);
  g_free (through);
}
