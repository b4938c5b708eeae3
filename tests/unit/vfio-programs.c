/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vfio-programs.h"

#include <sys/mman.h>

static const CprRamOptions growing = { .size = sizeof growing, .max_size = 2 * RAM_SIZE };

void
vfio_program_init (VfioProgram *program, unsigned required)
{
  CprSessionConfig config;
  GError *error = NULL;

  *program = (VfioProgram){ .session = NULL };
  guest_init (&program->guest);
  config = guest_config (&program->guest, MACHINE_NAME);
  config.required_modes = required;
  program->session = cpr_session_new (&config, &error);
  assert_no_error (error);
}

void
vfio_program_start (VfioProgram *program, CprVfioBackend backend)
{
  const CprVfioContainerOptions options = { .size = sizeof options, .backend = backend };
  GError *error = NULL;

  vfio_program_init (program, 0);
  program->ram = cpr_ram_new (program->session, "pc.ram", RAM_SIZE, &growing, &error);
  assert_no_error (error);
  program->container = cpr_vfio_container_new (program->session, "c", &options, &error);
  assert_no_error (error);
  program->device = cpr_vfio_device_new (program->container, "d", sim_path ("0000:00:04.0"), NULL, &error);
  assert_no_error (error);
}

void
vfio_program_clear (VfioProgram *program)
{
  cpr_session_free (program->session);
  guest_clear (&program->guest);
}

void
vfio_program_save (VfioProgram *program, CprWriter *writer)
{
  CprSession *session = program->session;
  CprSchemaBuilder builder;
  CprManifest head;

  cpr_writer_init (writer, -1);
  cpr_schema_builder_init (&builder);
  ck_assert (cpr_session_make_head (session, &head, NULL));
  cpr_manifest_write_vm (&head, writer);
  cpr_manifest_write_program (&session->program, NULL, writer);
  cpr_manifest_write_tables (&session->fds, &session->ram, writer);
  cpr_manifest_write_vfio (&session->vfio, &session->ram, writer);
  cpr_device_table_write_schema (&session->devices, &builder, writer);
  ck_assert (cpr_writer_finish (writer));
  cpr_schema_builder_clear (&builder);
}

static void
leave_device (CprVfioDevice *device)
{
  device->claimed = false;
  for (guint i = 0; i < device->irqs->len; i++)
    g_array_index (device->irqs, CprVfioIrq, i).claimed = false;
}

void
vfio_program_leave (VfioProgram *program)
{
  CprSession *session = program->session;

  for (guint i = 0; i < session->ram.blocks->len; i++)
    ((CprRamBlock *) session->ram.blocks->pdata[i])->owned = false;
  for (guint i = 0; i < session->vfio.containers->len; i++)
    {
      CprVfioContainer *container = session->vfio.containers->pdata[i];

      container->claimed = false;
      g_ptr_array_foreach (container->devices, (GFunc) (void (*) (void)) leave_device, NULL);
    }
  vfio_program_clear (program);
  sim_exec ();
}

void
vfio_program_take_up (VfioProgram *program, const CprWriter *writer)
{
  CprSession *session;
  CprManifest manifest;
  CprReader reader;
  GError *error = NULL;

  vfio_program_init (program, 0);
  session = program->session;
  cpr_manifest_init (&manifest);
  ck_assert (cpr_reader_open (&reader, writer->data, writer->len, &error));
  ck_assert_msg (cpr_manifest_read (&manifest, &reader, &error), "%s", error != NULL ? error->message : "");
  cpr_reader_clear (&reader);

  cpr_vfio_table_clear (&session->vfio);
  cpr_ram_table_clear (&session->ram);
  cpr_fd_table_clear (&session->fds);
  session->fds = manifest.fds;
  session->ram = manifest.ram;
  session->vfio = manifest.vfio;
  manifest.fds = (CprFdTable){ .entries = NULL };
  manifest.ram = (CprRamTable){ .blocks = NULL };
  manifest.vfio = (CprVfioTable){ .containers = NULL };
  cpr_session_adopt_vfio (session);
  session->state = CPR_SESSION_STATE_INCOMING;
  cpr_manifest_clear (&manifest);
}

void
vfio_program_claim (VfioProgram *program)
{
  GError *error = NULL;

  program->ram = cpr_ram_new (program->session, "pc.ram", RAM_SIZE, &growing, &error);
  assert_no_error (error);
  program->container = cpr_vfio_container_new (program->session, "c", NULL, &error);
  assert_no_error (error);
  program->device = cpr_vfio_device_new (program->container, "d", sim_path ("0000:00:04.0"), NULL, &error);
  assert_no_error (error);
}

bool
vfio_map (VfioProgram *program, uint64_t page, uint64_t ram_page, uint64_t n_pages, GError **error)
{
  return cpr_dma_map (program->container, page * PAGE, program->ram, ram_page * PAGE, n_pages * PAGE, MAP_RW, error);
}

bool
vfio_map_all (VfioProgram *program, GError **error)
{
  static const struct
  {
    uint64_t page, ram_page, n_pages;
  } maps[N_MAPS] = { { 0, 0, 1 }, { 16, 1, 8 }, { 64, 9, 32 }, { 128, 41, 2 }, { 256, 0, 16 } };

  for (size_t i = 0; i < N_MAPS; i++)
    if (!vfio_map (program, maps[i].page, maps[i].ram_page, maps[i].n_pages, error))
      return false;
  return true;
}

void
vfio_lose (uint64_t page)
{
  for (guint i = 0; i < sim.n_mappings; i++)
    if (sim.mappings[i].iova == page * PAGE)
      {
        sim_remove_mapping (i);
        return;
      }
}

static const SimMapping *
find (uint64_t iova)
{
  for (guint i = 0; i < sim.n_mappings; i++)
    if (sim.mappings[i].iova == iova)
      return &sim.mappings[i];
  return NULL;
}

void
vfio_assert_attached (VfioProgram *program)
{
  const GPtrArray *all = program->container->dma.mappings;

  ck_assert_uint_eq (sim.n_mappings, all->len);
  ck_assert_uint_eq (sim.locked[sim_mm], program->container->dma.total);
  for (guint i = 0; i < all->len; i++)
    {
      const CprDmaMapping *mapping = cpr_dma_mappings_get (&program->container->dma, i);
      const SimMapping *in_kernel = find (mapping->iova);

      ck_assert_ptr_nonnull (in_kernel);
      ck_assert (in_kernel->valid);
      ck_assert_int_eq (in_kernel->mm, sim_mm);
      ck_assert_uint_eq (in_kernel->size, mapping->size);
      if (!in_kernel->file)
        ck_assert_uint_eq (in_kernel->vaddr, (uintptr_t) mapping->block->vaddr + mapping->offset);
    }
}
