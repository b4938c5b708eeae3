/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Assigned devices in one program: they are made, refused and removed, also by a kernel whose n-th
 * answer is an error. */
#include "vfio-programs.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <linux/vfio.h>

static VfioProgram program;
static GError *error;

static void
setup (void)
{
  error = NULL;
  sim_begin ();
}

static void
teardown (void)
{
  sim_end ();
}

static CprVfioContainer *
container_new (const char *name, CprVfioBackend backend)
{
  const CprVfioContainerOptions options = { .size = sizeof options, .backend = backend };

  return cpr_vfio_container_new (program.session, name, &options, &error);
}

static CprVfioDevice *
device_new (CprVfioContainer *container, const char *name, const char *address)
{
  return cpr_vfio_device_new (container, name, sim_path (address), NULL, &error);
}

static CprSessionState
start (void)
{
  ck_assert (cpr_session_load (program.session, NULL));
  ck_assert (cpr_session_start (program.session, NULL));
  return cpr_session_get_state (program.session);
}

static void
count_blocker (uint64_t blocker G_GNUC_UNUSED, unsigned modes G_GNUC_UNUSED, const char *reason, void *n)
{
  ck_assert_ptr_nonnull (strstr (reason, "VFIO "));
  ++*(unsigned *) n;
}

static unsigned
count_blockers (void)
{
  unsigned n = 0;

  cpr_blocker_foreach (program.session, CPR_MODES_EXEC, count_blocker, &n);
  return n;
}

/* ---- What works. */

static const CprVfioBackend backends[] = { CPR_VFIO_TYPE1, CPR_VFIO_IOMMUFD, CPR_VFIO_NONE };

START_TEST (a_container_has_devices_and_mappings)
{
  CprVfioBackend backend = backends[_i];
  bool none = backend == CPR_VFIO_NONE;

  vfio_program_start (&program, backend);
  ck_assert_int_eq (cpr_vfio_container_get_backend (program.container), backend);
  ck_assert_str_eq (cpr_vfio_container_get_name (program.container), "c");
  ck_assert_str_eq (cpr_vfio_device_get_name (program.device), "d");
  ck_assert ((cpr_vfio_container_get_fd (program.container) > 2) != none);
  ck_assert ((cpr_vfio_device_get_fd (program.device) > 2) != none);
  ck_assert ((cpr_vfio_device_get_group_fd (program.device) > 2) == (backend == CPR_VFIO_TYPE1));
  ck_assert_uint_eq (cpr_vfio_container_get_ioas (program.container), backend == CPR_VFIO_IOMMUFD ? 2 : 0);
  ck_assert (vfio_map (&program, 16, 0, 32, &error));
  ck_assert (vfio_map (&program, 0, 32, 16, &error));
  if (!none)
    vfio_assert_attached (&program);
  ck_assert_uint_eq (program.ram->n_dma, 2);
  ck_assert_uint_eq (count_blockers (), 0);

  start ();
  ck_assert (!cpr_ram_remove (program.session, program.ram, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "mapped for DMA");
  ck_assert (!cpr_vfio_container_remove (program.container, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "has 1 devices and 2 mappings");
  ck_assert (cpr_dma_unmap (program.container, 0, 16 * PAGE, &error));
  ck_assert (cpr_dma_unmap (program.container, 16 * PAGE, 32 * PAGE, &error));
  ck_assert_uint_eq (sim.n_mappings, 0);
  ck_assert_uint_eq (program.ram->n_dma, 0);
  ck_assert (cpr_vfio_device_remove (program.device, &error));
  ck_assert (cpr_vfio_container_remove (program.container, &error));
  ck_assert_int_eq (sim.open_containers + sim.open_groups + sim.open_devices, 0);
  ck_assert_uint_eq (program.session->fds.entries->len, 1); /* of the RAM */
  vfio_program_clear (&program);
}
END_TEST

START_TEST (devices_of_one_group_share_its_fd)
{
  CprVfioDevice *second, *third;

  vfio_program_start (&program, CPR_VFIO_TYPE1);
  second = device_new (program.container, "second", "0000:00:04.1");
  third = device_new (program.container, "third", "0000:00:05.0");
  assert_no_error (error);
  ck_assert_int_eq (cpr_vfio_device_get_group_fd (second), cpr_vfio_device_get_group_fd (program.device));
  ck_assert_int_ne (cpr_vfio_device_get_group_fd (third), cpr_vfio_device_get_group_fd (second));
  ck_assert_int_eq (sim.open_groups, 2);
  ck_assert (cpr_vfio_device_remove (program.device, &error));
  ck_assert_int_eq (sim.open_groups, 2);
  ck_assert (vfio_map (&program, 0, 0, 1, &error));
  ck_assert (cpr_vfio_device_remove (second, &error));
  ck_assert_int_eq (sim.open_groups, 1);
  ck_assert (!cpr_vfio_device_remove (third, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "last one of container 'c', which has 1 mappings");
  vfio_program_clear (&program);
}
END_TEST

START_TEST (auto_takes_iommufd_only_where_an_update_can)
{
  static const struct
  {
    bool iommufd, change, file;
    CprVfioBackend backend;
  } cases[] = { { true, true, true, CPR_VFIO_IOMMUFD },
                { false, false, false, CPR_VFIO_TYPE1 },
                { true, false, true, CPR_VFIO_TYPE1 },
                { true, true, false, CPR_VFIO_TYPE1 } };

  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      sim.has_iommufd = cases[i].iommufd;
      sim.has_change_process = cases[i].change;
      sim.has_map_file = cases[i].file;
      vfio_program_start (&program, CPR_VFIO_AUTO);
      ck_assert_int_eq (cpr_vfio_container_get_backend (program.container), cases[i].backend);
      vfio_program_clear (&program);
    }
}
END_TEST

START_TEST (fds_of_the_vmm_are_duplicated)
{
  int fd = cpr_sys->open ("/dev/vfio/vfio", O_RDWR, 0), group = cpr_sys->open ("/dev/vfio/26", O_RDWR, 0);
  const CprVfioContainerOptions options = { .size = sizeof options, .backend = CPR_VFIO_TYPE1, .fd = fd };
  const CprVfioDeviceOptions device_options = { .size = sizeof device_options, .group_fd = group };

  vfio_program_init (&program, 0);
  program.container = cpr_vfio_container_new (program.session, "c", &options, &error);
  assert_no_error (error);
  program.device = cpr_vfio_device_new (program.container, "d", sim_path ("0000:00:04.0"), &device_options, &error);
  assert_no_error (error);
  ck_assert_int_ne (cpr_vfio_container_get_fd (program.container), fd);
  ck_assert_int_ne (cpr_vfio_device_get_group_fd (program.device), group);
  vfio_program_clear (&program);
  ck_assert_int_eq (sim.open_containers, 1);
  cpr_sys->close (group);
  cpr_sys->close (fd);
}
END_TEST

START_TEST (interrupts_have_eventfds)
{
  int fds[3], err;

  vfio_program_start (&program, CPR_VFIO_TYPE1);
  for (unsigned i = 0; i < 3; i++)
    fds[i] = cpr_vfio_irq_open (program.device, VFIO_PCI_MSI_IRQ_INDEX, i, CPR_VFIO_IRQ_TRIGGER, &error);
  err = cpr_vfio_irq_open (program.device, VFIO_PCI_ERR_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER, &error);
  assert_no_error (error);
  ck_assert_int_eq (fds[1], cpr_vfio_irq_get_fd (program.device, VFIO_PCI_MSI_IRQ_INDEX, 1, CPR_VFIO_IRQ_TRIGGER));
  ck_assert_int_eq (cpr_vfio_irq_get_fd (program.device, VFIO_PCI_MSI_IRQ_INDEX, 1, CPR_VFIO_IRQ_UNMASK), -1);
  ck_assert (!cpr_vfio_irq_is_enabled (program.device, VFIO_PCI_MSI_IRQ_INDEX, 0, CPR_VFIO_IRQ_TRIGGER));
  ck_assert (cpr_vfio_irq_enable (program.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 3, CPR_VFIO_IRQ_TRIGGER, &error));
  ck_assert (cpr_vfio_irq_enable (program.device, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, CPR_VFIO_IRQ_TRIGGER, &error));
  ck_assert_uint_eq (sim.set_irqs, 2);
  ck_assert_int_eq (sim.irq_fds[VFIO_PCI_MSI_IRQ_INDEX][2], fds[2]);
  ck_assert_int_eq (sim.irq_fds[VFIO_PCI_ERR_IRQ_INDEX][0], err);
  ck_assert (cpr_vfio_irq_is_enabled (program.device, VFIO_PCI_MSI_IRQ_INDEX, 2, CPR_VFIO_IRQ_TRIGGER));
  ck_assert (!cpr_vfio_irq_close (program.device, VFIO_PCI_MSI_IRQ_INDEX, 2, CPR_VFIO_IRQ_TRIGGER, &error));
  assert_error (&error, CPR_ERROR_EXISTS, "interrupt 2 of kind 1 is enabled");
  ck_assert (cpr_vfio_irq_disable (program.device, VFIO_PCI_MSI_IRQ_INDEX, &error));
  ck_assert (cpr_vfio_irq_disable (program.device, VFIO_PCI_MSI_IRQ_INDEX, &error)); /* once is enough */
  ck_assert_uint_eq (sim.set_irqs, 3);
  ck_assert (cpr_vfio_irq_close (program.device, VFIO_PCI_MSI_IRQ_INDEX, 2, CPR_VFIO_IRQ_TRIGGER, &error));
  ck_assert (!cpr_vfio_irq_enable (program.device, VFIO_PCI_MSI_IRQ_INDEX, 0, 3, CPR_VFIO_IRQ_TRIGGER, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "interrupt 2 of kind 1 has no eventfd");
  ck_assert_uint_eq (sim.set_irqs, 3);
  vfio_program_clear (&program);
}
END_TEST

/* ---- What is refused. */

START_TEST (bad_maps_are_refused_and_leave_nothing)
{
  static const struct
  {
    uint64_t iova, offset, size;
    unsigned flags;
    int code;
    const char *text;
  } cases[] = {
    { 1, 0, PAGE, MAP_RW, CPR_ERROR_INVALID, "aren't whole pages" },
    { 0, 100, PAGE, MAP_RW, CPR_ERROR_INVALID, "aren't whole pages" },
    { 0, 0, PAGE + 1, MAP_RW, CPR_ERROR_INVALID, "aren't whole pages" },
    { 0, 0, 0, MAP_RW, CPR_ERROR_INVALID, "aren't whole pages" },
    { UINT64_MAX - PAGE + 1, 0, 2 * PAGE, MAP_RW, CPR_ERROR_INVALID, "pass the end of the addresses" },
    { 0, 0, RAM_SIZE + PAGE, MAP_RW, CPR_ERROR_INVALID, "pass the end of RAM block 'pc.ram'" },
    { 0, RAM_SIZE, PAGE, MAP_RW, CPR_ERROR_INVALID, "pass the end of RAM block 'pc.ram'" },
    { 0, UINT64_MAX - PAGE + 1, PAGE, MAP_RW, CPR_ERROR_INVALID, "pass the end of RAM block 'pc.ram'" },
    { 0, 0, PAGE, 0, CPR_ERROR_INVALID, "flags 0x0" },
    { 0, 0, PAGE, 4, CPR_ERROR_INVALID, "flags 0x4" },
    { 100 * PAGE, 0, PAGE, MAP_RW, CPR_ERROR_EXISTS, "which are mapped" },
    { 99 * PAGE, 0, 2 * PAGE, MAP_RW, CPR_ERROR_EXISTS, "which are mapped" },
    { 103 * PAGE, 0, 4 * PAGE, MAP_RW, CPR_ERROR_EXISTS, "which are mapped" },
    { 90 * PAGE, 0, 32 * PAGE, MAP_RW, CPR_ERROR_EXISTS, "which are mapped" },
  };
  unsigned ioctls;

  vfio_program_start (&program, CPR_VFIO_TYPE1);
  ck_assert (vfio_map (&program, 100, 0, 4, &error));
  ioctls = sim.ioctls;
  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      ck_assert (!cpr_dma_map (program.container, cases[i].iova, program.ram, cases[i].offset, cases[i].size,
                               cases[i].flags, &error));
      assert_error (&error, cases[i].code, cases[i].text);
      ck_assert_uint_eq (program.container->dma.mappings->len, 1);
    }
  ck_assert_uint_eq (sim.ioctls, ioctls);
  ck_assert (cpr_dma_map (program.container, UINT64_MAX - PAGE + 1, program.ram, 0, PAGE, MAP_RW, &error));
  ck_assert (vfio_map (&program, 99, 0, 1, &error)); /* neighbours are none */
  ck_assert (vfio_map (&program, 104, 0, 1, &error));
  vfio_program_clear (&program);
}
END_TEST

START_TEST (bad_unmaps_are_refused)
{
  vfio_program_start (&program, CPR_VFIO_TYPE1);
  ck_assert (vfio_map (&program, 100, 0, 4, &error));
  ck_assert (!cpr_dma_unmap (program.container, 101 * PAGE, PAGE, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "no mapping begins at 0x65000");
  ck_assert (!cpr_dma_unmap (program.container, 100 * PAGE, PAGE, &error));
  assert_error (&error, CPR_ERROR_INVALID, "has 16384 bytes, not 4096");
  sim.lie_at_unmap = sim.unmaps + 1;
  ck_assert (!cpr_dma_unmap (program.container, 100 * PAGE, 4 * PAGE, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "8192 bytes were unmapped, it had 16384");
  ck_assert_uint_eq (program.container->dma.mappings->len, 0);
  vfio_program_clear (&program);
}
END_TEST

START_TEST (a_block_of_another_session_is_refused)
{
  VfioProgram other;

  vfio_program_start (&program, CPR_VFIO_NONE);
  vfio_program_init (&other, 0);
  other.ram = cpr_ram_new (other.session, "pc.ram", RAM_SIZE, NULL, &error);
  ck_assert (!cpr_dma_map (program.container, 0, other.ram, 0, PAGE, MAP_RW, &error));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "isn't one of this session");
  vfio_program_clear (&other);
  vfio_program_clear (&program);
}
END_TEST

START_TEST (bad_devices_are_named_and_leave_nothing)
{
  CprVfioContainer *other;
  int fd;

  vfio_program_start (&program, CPR_VFIO_TYPE1);
  other = container_new ("other", CPR_VFIO_TYPE1);
  ck_assert_ptr_null (device_new (other, "x", "0000:00:04.1"));
  assert_error (&error, CPR_ERROR_EXISTS, "group 26 is in container 'c', with device 'd'");
  ck_assert_ptr_null (device_new (other, "d", "0000:00:05.0"));
  assert_error (&error, CPR_ERROR_EXISTS, "VFIO device 'd': there is one");
  ck_assert_ptr_null (device_new (program.container, "again", "0000:00:04.0"));
  assert_error (&error, CPR_ERROR_EXISTS, "0000:00:04.0 is device 'd' already");
  ck_assert_ptr_null (device_new (other, "x", "0000:00:1f.0"));
  assert_error (&error, CPR_ERROR_NOT_FOUND, "the host has no ");
  ck_assert_ptr_null (cpr_vfio_device_new (other, "x", "some/where", NULL, &error));
  assert_error (&error, CPR_ERROR_INVALID, "neither a PCI address nor a full path");
  sim.group_is_viable = false;
  ck_assert_ptr_null (device_new (other, "x", "0000:00:05.0"));
  assert_error (&error, CPR_ERROR_BLOCKED, "group 27 isn't viable: bind each device");
  sim.group_is_viable = true;

  fd = cpr_sys->open ("/dev/vfio/27", O_RDWR, 0); /* somebody has it */
  ck_assert_ptr_null (device_new (other, "x", "0000:00:05.0"));
  ck_assert_int_eq (cpr_error_get_errno (error), EBUSY);
  assert_error (&error, CPR_ERROR_SYSTEM, "/dev/vfio/27");
  cpr_sys->close (fd);
  ck_assert_uint_eq (other->devices->len, 0);
  ck_assert_int_eq (sim.open_groups, 1);
  ck_assert_int_eq (sim.n_groups, 1);
  vfio_program_clear (&program);
}
END_TEST

START_TEST (fds_of_another_group_or_device_are_refused)
{
  int group = cpr_sys->open ("/dev/vfio/27", O_RDWR, 0), cdev = cpr_sys->open ("/dev/vfio/devices/vfio2", O_RDWR, 0);
  const CprVfioDeviceOptions options = { .size = sizeof options, .group_fd = group, .device_fd = cdev };
  CprVfioContainer *container;

  vfio_program_init (&program, 0);
  container = container_new ("type1", CPR_VFIO_TYPE1);
  ck_assert_ptr_null (cpr_vfio_device_new (container, "d", sim_path ("0000:00:04.0"), &options, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "it is in group 26, the fd that was given is of another");
  container = container_new ("iommufd", CPR_VFIO_IOMMUFD);
  ck_assert_ptr_null (cpr_vfio_device_new (container, "d", sim_path ("0000:00:04.0"), &options, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, "0000:00:04.0 is vfio0, the fd that was given is another device's");
  ck_assert_ptr_nonnull (cpr_vfio_device_new (container, "d", sim_path ("0000:00:05.0"), &options, &error));
  vfio_program_clear (&program);
  cpr_sys->close (group);
  cpr_sys->close (cdev);
}
END_TEST

START_TEST (a_kernel_without_the_api_is_refused)
{
  vfio_program_init (&program, 0);
  sim.api_version = 1;
  ck_assert_ptr_null (container_new ("c", CPR_VFIO_TYPE1));
  assert_error (&error, CPR_ERROR_VERSION, "the kernel's API has version 1, 0 expected");
  sim.api_version = 0;
  sim.has_type1v2 = false;
  ck_assert_ptr_null (container_new ("c", CPR_VFIO_TYPE1));
  assert_error (&error, CPR_ERROR_VERSION, "no type1v2 IOMMU");
  sim.has_iommufd = false;
  ck_assert_ptr_null (container_new ("c", CPR_VFIO_IOMMUFD));
  ck_assert_int_eq (cpr_error_get_errno (error), ENOENT);
  assert_error (&error, CPR_ERROR_SYSTEM, "/dev/iommu");
  ck_assert_int_eq (sim.open_containers, 0);
  vfio_program_clear (&program);
}
END_TEST

START_TEST (too_little_lockable_memory_says_how_much)
{
  const struct rlimit limit = { 8 * PAGE, RLIM_INFINITY };
  struct rlimit before;

  getrlimit (RLIMIT_MEMLOCK, &before);
  setrlimit (RLIMIT_MEMLOCK, &(struct rlimit){ limit.rlim_cur, before.rlim_max });
  sim.memlock = 8 * PAGE;
  vfio_program_start (&program, CPR_VFIO_TYPE1);
  ck_assert (vfio_map (&program, 0, 0, 6, &error));
  ck_assert (!vfio_map (&program, 100, 6, 4, &error));
  ck_assert_int_eq (cpr_error_get_errno (error), ENOMEM);
  assert_error (&error, CPR_ERROR_SYSTEM, "RLIMIT_MEMLOCK is 32768, this container needs 40960");
  setrlimit (RLIMIT_MEMLOCK, &before);
  vfio_program_clear (&program);
}
END_TEST

/* ---- What blocks updates. */

START_TEST (a_kernel_that_can_not_move_mappings_blocks)
{
  sim.has_update_vaddr = false;
  vfio_program_start (&program, CPR_VFIO_TYPE1);
  ck_assert_uint_eq (count_blockers (), 1);
  ck_assert (cpr_vfio_device_remove (program.device, &error));
  ck_assert_uint_eq (count_blockers (), 0);
  vfio_program_clear (&program);

  sim.has_change_process = false;
  vfio_program_start (&program, CPR_VFIO_IOMMUFD);
  ck_assert_uint_eq (count_blockers (), 1);
  vfio_program_clear (&program);
}
END_TEST

START_TEST (required_modes_refuse_what_would_block)
{
  CprVfioContainer *container;

  vfio_program_init (&program, CPR_MODES_EXEC);
  sim.has_update_vaddr = false;
  container = container_new ("c", CPR_VFIO_TYPE1);
  assert_no_error (error);
  ck_assert_ptr_null (device_new (container, "gpu", "0000:00:04.0"));
  ck_assert_ptr_nonnull (strstr (error->message, "VFIO device 'gpu'"));
  assert_error (&error, CPR_ERROR_BLOCKED, "VFIO container 'c': its mappings can't be given the addresses");
  ck_assert_uint_eq (container->devices->len, 0);
  ck_assert_int_eq (sim.open_devices + sim.open_groups + sim.n_groups, 0);

  sim.has_change_process = false;
  ck_assert_ptr_null (container_new ("i", CPR_VFIO_IOMMUFD));
  assert_error (&error, CPR_ERROR_BLOCKED, "no IOMMU_IOAS_CHANGE_PROCESS (Linux 6.14)");
  sim.has_map_file = false;
  ck_assert_ptr_null (container_new ("i", CPR_VFIO_IOMMUFD));
  assert_error (&error, CPR_ERROR_BLOCKED, "no IOMMU_IOAS_MAP_FILE (Linux 6.14)");
  ck_assert_uint_eq (program.session->vfio.containers->len, 1);
  vfio_program_clear (&program);
}
END_TEST

START_TEST (a_mediated_device_blocks)
{
  g_autofree char *type = g_strdup_printf ("%s/mdev_type", sim_path ("0000:00:04.0"));

  ck_assert (g_file_set_contents (type, "", 0, NULL));
  vfio_program_start (&program, CPR_VFIO_IOMMUFD);
  ck_assert_uint_eq (count_blockers (), 1);
  vfio_program_clear (&program);
  vfio_program_init (&program, CPR_MODES_EXEC);
  ck_assert_ptr_null (device_new (container_new ("c", CPR_VFIO_TYPE1), "vgpu", "0000:00:04.0"));
  assert_error (&error, CPR_ERROR_BLOCKED, "VFIO device 'vgpu' in container 'c': it is mediated");
  vfio_program_clear (&program);
}
END_TEST

START_TEST (ram_that_is_no_memfd_blocks_an_iommufd)
{
  g_autofree char *path = g_build_filename (sim.folder, "ram", NULL);
  const CprRamOptions options = { .size = sizeof options, .backend = CPR_RAM_FILE, .path = path };

  vfio_program_start (&program, CPR_VFIO_IOMMUFD);
  program.ram = cpr_ram_new (program.session, "file", RAM_SIZE, &options, &error);
  ck_assert (vfio_map (&program, 0, 0, 4, &error));
  ck_assert_uint_eq (count_blockers (), 1);
  ck_assert (cpr_dma_unmap (program.container, 0, 4 * PAGE, &error));
  ck_assert_uint_eq (count_blockers (), 0);
  vfio_program_clear (&program);

  vfio_program_init (&program, CPR_MODES_EXEC);
  program.container = container_new ("c", CPR_VFIO_IOMMUFD);
  program.ram = cpr_ram_new (program.session, "file", RAM_SIZE, &options, &error);
  ck_assert (!vfio_map (&program, 0, 0, 4, &error));
  assert_error (&error, CPR_ERROR_BLOCKED, "RAM block 'file' isn't a memfd");
  ck_assert_uint_eq (sim.n_mappings + program.container->dma.mappings->len, 0);
  vfio_program_clear (&program);
}
END_TEST

/* ---- Each call of the kernel fails once. */

/* Does everything that a VMM does. Returns false with an error at the first failure. */
static bool
build (CprVfioBackend backend)
{
  program.container = container_new ("c", backend);
  return program.container != NULL && device_new (program.container, "d", "0000:00:04.0") != NULL &&
         device_new (program.container, "e", "0000:00:04.1") != NULL &&
         device_new (program.container, "f", "0000:00:05.0") != NULL && vfio_map (&program, 0, 0, 4, &error) &&
         vfio_map (&program, 8, 4, 4, &error) && cpr_dma_unmap (program.container, 0, 4 * PAGE, &error);
}

/* The kernel has what is in the tables, and nothing else. */
static void
assert_consistent (CprVfioBackend backend)
{
  const CprVfioTable *table = &program.session->vfio;
  guint containers = table->containers->len, mappings = 0;

  if (containers > 0)
    mappings = program.container->dma.mappings->len;
  ck_assert_int_eq (sim.open_containers, (int) containers);
  ck_assert_int_eq (sim.open_devices, (int) table->n_devices);
  ck_assert_uint_eq (sim.n_mappings, mappings);
  ck_assert_int_eq (sim.open_groups, backend == CPR_VFIO_TYPE1 ? (table->n_devices > 0) + (table->n_devices > 2) : 0);
  ck_assert_uint_eq (program.session->fds.entries->len, 1 + containers + table->n_devices + (unsigned) sim.open_groups);
}

START_TEST (any_call_may_fail)
{
  CprVfioBackend backend = backends[_i];

  bool reached = true;

  for (unsigned at = 1; reached; at++)
    {
      vfio_program_init (&program, 0);
      program.ram = cpr_ram_new (program.session, "pc.ram", RAM_SIZE, NULL, NULL);
      sim_fail (at, EIO);
      /* A call that fails without an error only says that the kernel lacks something. */
      ck_assert (build (backend) == (error == NULL));
      reached = sim.failed_any;
      ck_assert (reached || error == NULL);
      sim_fail (0, 0);
      g_clear_error (&error);
      assert_consistent (backend);
      vfio_program_clear (&program);
      ck_assert_int_eq (sim.open_containers + sim.open_groups + sim.open_devices + sim.n_groups, 0);
    }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("vfio");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_loop_test (tests, a_container_has_devices_and_mappings, 0, 3);
  tcase_add_test (tests, devices_of_one_group_share_its_fd);
  tcase_add_test (tests, auto_takes_iommufd_only_where_an_update_can);
  tcase_add_test (tests, fds_of_the_vmm_are_duplicated);
  tcase_add_test (tests, interrupts_have_eventfds);
  tcase_add_test (tests, bad_maps_are_refused_and_leave_nothing);
  tcase_add_test (tests, bad_unmaps_are_refused);
  tcase_add_test (tests, a_block_of_another_session_is_refused);
  tcase_add_test (tests, bad_devices_are_named_and_leave_nothing);
  tcase_add_test (tests, fds_of_another_group_or_device_are_refused);
  tcase_add_test (tests, a_kernel_without_the_api_is_refused);
  tcase_add_test (tests, too_little_lockable_memory_says_how_much);
  tcase_add_test (tests, a_kernel_that_can_not_move_mappings_blocks);
  tcase_add_test (tests, required_modes_refuse_what_would_block);
  tcase_add_test (tests, a_mediated_device_blocks);
  tcase_add_test (tests, ram_that_is_no_memfd_blocks_an_iommufd);
  tcase_add_loop_test (tests, any_call_may_fail, 0, 2);
  return run_suite (suite);
}
