/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fds of the simulated VFIO: what they stand for, and the calls that open and close them. */
#include "sim-vfio-fds.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/vfio.h>

const SimDevice sim_devices[SIM_DEVICES] = { { "0000:00:04.0", 26 }, { "0000:00:04.1", 26 }, { "0000:00:05.0", 27 } };

Sim sim;
int sim_mm;
bool sim_is_forked;
static char path[256];

bool
sim_fails (unsigned long request)
{
  if (sim_is_forked != sim.fail_forked)
    return false;
  if (++sim.calls < sim.fail_at || sim.calls > sim.fail_until)
    return false;
  sim.failed = request;
  sim.failed_any = true;
  if (sim.fail_errno == SIM_DIES)
    raise (SIGKILL);
  errno = sim.fail_errno;
  return true;
}

static SimObject *
find_object (ino_t inode)
{
  for (int i = 0; i < SIM_OBJECTS; i++)
    if (sim.objects[i].refs > 0 && sim.objects[i].inode == inode)
      return &sim.objects[i];
  return NULL;
}

SimObject *
sim_object (int fd)
{
  struct stat st;

  return cpr_sys_kernel.fstat (fd, &st) == 0 && S_ISREG (st.st_mode) ? find_object (st.st_ino) : NULL;
}

int
sim_new_fd (Kind kind, int number)
{
  int fd = cpr_sys_kernel.memfd_create ("sim-vfio", MFD_CLOEXEC), at = 0;
  struct stat st;

  ck_assert_int_eq (cpr_sys_kernel.fstat (fd, &st), 0);
  while (sim.objects[at].refs > 0)
    ck_assert_int_lt (++at, SIM_OBJECTS);
  sim.objects[at] = (SimObject){ (int) kind, number, st.st_ino, 1, false, false };
  sim.open_containers += kind == CONTAINER || kind == IOMMUFD;
  sim.open_groups += kind == GROUP;
  sim.open_devices += kind == DEVICE || kind == CDEV;
  return fd;
}

static void
drop_mappings (void)
{
  memset (sim.locked, 0, sizeof sim.locked);
  sim.n_mappings = 0;
}

void
sim_leave_container (SimObject *group)
{
  if (!group->joined)
    return;
  group->joined = false;
  if (--sim.n_groups == 0)
    {
      sim.has_iommu = false;
      drop_mappings ();
    }
}

static int
sim_open (const char *name, int flags, mode_t mode)
{
  int number;

  if (!g_str_has_prefix (name, "/dev/vfio/") && strcmp (name, "/dev/iommu") != 0)
    return cpr_sys_kernel.open (name, flags, mode);
  if (sim_fails (0))
    return -1;
  if (strcmp (name, "/dev/vfio/vfio") == 0)
    return sim_new_fd (CONTAINER, 0);
  if (strcmp (name, "/dev/iommu") == 0 && sim.has_iommufd)
    return sim_new_fd (IOMMUFD, 0);
  if (sscanf (name, "/dev/vfio/devices/vfio%d", &number) == 1 && number < 3)
    return sim_new_fd (CDEV, number);
  if (sscanf (name, "/dev/vfio/%d", &number) == 1 && (number == 26 || number == 27))
    {
      for (int i = 0; i < SIM_OBJECTS; i++)
        if (sim.objects[i].refs > 0 && sim.objects[i].kind == GROUP && sim.objects[i].number == number)
          {
            errno = EBUSY;
            return -1;
          }
      return sim_new_fd (GROUP, number);
    }
  errno = ENOENT;
  return -1;
}

static void
release (SimObject *object)
{
  if (object->kind == GROUP)
    sim_leave_container (object);
  if (object->kind == CONTAINER || object->kind == IOMMUFD)
    drop_mappings ();
  sim.open_containers -= object->kind == CONTAINER || object->kind == IOMMUFD;
  sim.open_groups -= object->kind == GROUP;
  sim.open_devices -= object->kind == DEVICE || object->kind == CDEV;
}

/* An fd of a forked process is never the last one of its object. */
static int
sim_close (int fd)
{
  SimObject *object = sim_is_forked ? NULL : sim_object (fd);

  if (object != NULL && --object->refs == 0)
    release (object);
  return cpr_sys_kernel.close (fd);
}

static int
sim_fcntl (int fd, int command, long argument)
{
  int copy;

  if (sim_object (fd) == NULL || command != F_DUPFD_CLOEXEC)
    return cpr_sys_kernel.fcntl (fd, command, argument);
  if (sim_fails (0))
    return -1;
  copy = cpr_sys_kernel.fcntl (fd, command, argument);
  sim_object (fd)->refs += !sim_is_forked;
  return copy;
}

static int
sim_fstat (int fd, struct stat *st)
{
  const SimObject *object = sim_object (fd);

  if (object != NULL && sim_fails (0))
    return -1;
  if (cpr_sys_kernel.fstat (fd, st) < 0)
    return -1;
  if (object != NULL && object->kind == GROUP)
    st->st_rdev = makedev (243, (unsigned) object->number);
  if (object != NULL && object->kind == CDEV)
    st->st_rdev = makedev (511, (unsigned) object->number);
  return 0;
}

static int
sim_stat (const char *name, struct stat *st)
{
  int number;

  if (sscanf (name, "/dev/vfio/%d", &number) == 1)
    {
      *st = (struct stat){ .st_mode = S_IFCHR, .st_rdev = makedev (243, (unsigned) number) };
      return 0;
    }
  if (strcmp (name, "/sys/class/vfio-dev") == 0)
    {
      errno = ENOENT;
      return sim.has_iommufd ? 0 : -1;
    }
  return cpr_sys_kernel.stat (name, st);
}

static int
sim_eventfd (unsigned initial, int flags)
{
  return sim_fails (0) ? -1 : cpr_sys_kernel.eventfd (initial, flags);
}

static ssize_t
sim_pread (int fd, void *data, size_t len, off_t offset)
{
  uint64_t at = (uint64_t) offset & 0xffff;

  if (sim_object (fd) == NULL)
    return cpr_sys_kernel.pread (fd, data, len, offset);
  if (sim_fails (0))
    return -1;
  ck_assert_uint_le (at + len, sizeof sim.config);
  memcpy (data, sim.config + at, len);
  return (ssize_t) len;
}

/* Nothing is executed. */
static int
sim_execve (const char *program G_GNUC_UNUSED, char *const *argv G_GNUC_UNUSED, char *const *envp G_GNUC_UNUSED)
{
  errno = EPERM;
  return -1;
}

static int
sim_execveat (int fd G_GNUC_UNUSED, char *const *argv G_GNUC_UNUSED, char *const *envp G_GNUC_UNUSED)
{
  errno = EPERM;
  return -1;
}

/* ---- The simulation. */

/* A device's entries in sysfs: its number as a character device, and a link to its group. */
static void
make_device (size_t n)
{
  g_autofree char *folder = g_strdup_printf ("%s/%s/vfio-dev/vfio%zu", sim.folder, sim_devices[n].address, n);
  g_autofree char *file = g_strconcat (folder, "/dev", NULL), *number = g_strdup_printf ("511:%zu\n", n);
  g_autofree char *link = g_strdup_printf ("%s/%s/iommu_group", sim.folder, sim_devices[n].address);
  g_autofree char *group = g_strdup_printf ("../groups/%d", sim_devices[n].group);

  ck_assert_int_eq (g_mkdir_with_parents (folder, 0700), 0);
  ck_assert (g_file_set_contents (file, number, -1, NULL));
  ck_assert_int_eq (symlink (group, link), 0);
}

static int
remove_entry (const char *entry,
              const struct stat *st G_GNUC_UNUSED,
              int kind G_GNUC_UNUSED,
              struct FTW *place G_GNUC_UNUSED)
{
  return remove (entry);
}

void
sim_begin (void)
{
  static CprSys table;

  /* The simulation is shared with forked processes, and begins empty. */
  ck_assert_ptr_eq (mmap (&sim, sizeof sim, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                    &sim);
  sim.has_update_vaddr = sim.has_type1v2 = sim.has_change_process = sim.has_map_file = sim.has_iommufd = true;
  sim.group_is_viable = true;
  sim.api_version = VFIO_API_VERSION;
  sim.bar_size = 1 << 20;
  sim_mm = sim.n_mms = 1;
  for (size_t i = 0; i < sizeof sim.config; i++)
    sim.config[i] = (uint8_t) (i * 7 + 1);
  sim.folder = g_dir_make_tmp ("libcpr-vfio-XXXXXX", NULL);
  ck_assert_ptr_nonnull (sim.folder);
  for (size_t i = 0; i < SIM_DEVICES; i++)
    make_device (i);
  table = cpr_sys_kernel;
  table.open = sim_open;
  table.close = sim_close;
  table.fcntl = sim_fcntl;
  table.fstat = sim_fstat;
  table.stat = sim_stat;
  table.pread = sim_pread;
  table.eventfd = sim_eventfd;
  table.ioctl = sim_ioctl;
  table.execve = sim_execve;
  table.execveat = sim_execveat;
  cpr_sys = &table;
}

void
sim_end (void)
{
  ck_assert_int_eq (sim.open_containers, 0);
  ck_assert_int_eq (sim.open_groups, 0);
  ck_assert_int_eq (sim.open_devices, 0);
  cpr_sys = &cpr_sys_kernel;
  ck_assert_int_eq (nftw (sim.folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0); /* tests add to it */
  g_free (sim.folder);
}

void
sim_exec (void)
{
  sim_mm = ++sim.n_mms;
  ck_assert_uint_lt ((size_t) sim_mm, G_N_ELEMENTS (sim.locked));
}

void
sim_forked (void)
{
  sim_is_forked = true;
  sim_exec ();
}

const char *
sim_path (const char *address)
{
  g_snprintf (path, sizeof path, "%s/%s", sim.folder, address);
  return path;
}

void
sim_fail (unsigned at, int errnum)
{
  sim.calls = 0;
  sim.fail_at = sim.fail_until = at;
  sim.fail_errno = errnum;
  sim.fail_forked = false;
  sim.failed = 0;
  sim.failed_any = false;
}

void
sim_fail_forked (unsigned at, int errnum)
{
  sim_fail (at, errnum);
  sim.fail_forked = true;
}
