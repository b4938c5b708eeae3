/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stored.h"

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "everything.h"
#include "state/manifest.h"

#define STORED_PAGE 4096

static void
fill_page (uint8_t *memory, size_t page)
{
  for (size_t i = 0; i < STORED_PAGE; i++)
    memory[page * STORED_PAGE + i] = (uint8_t) (page * 31 + i * 7 + 1);
}

void
stored_fill (uint8_t *memory, size_t size)
{
  size_t n = size / STORED_PAGE;

  fill_page (memory, 0);
  if (n > 3)
    fill_page (memory, 3);
  fill_page (memory, n - 1);
}

static void
add_block (CprRamTable *ram, CprFdTable *fds, const char *name, size_t size, CprRamBackend backend, const char *path)
{
  const CprRamOptions options = { .size = sizeof options, .backend = backend, .path = path };
  GError *error = NULL;
  CprRamBlock *block = cpr_ram_table_add (ram, fds, name, size, &options, &error);

  g_assert_no_error (error);
  stored_fill (block->vaddr, size);
}

/* The blocks, and where their contents are. The identity of the file in place is made up. */
static CprRamStore *
make_store (CprRamTable *ram, CprFdTable *fds, CprRamLayout layout)
{
  g_autofree char *folder = g_dir_make_tmp ("cpr-golden-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "nvram", NULL);
  CprRamStore *store;
  CprRamStored *nvram;

  cpr_fd_table_init (fds);
  cpr_ram_table_init (ram);
  add_block (ram, fds, "pc.ram", STORED_RAM_SIZE, CPR_RAM_MEMFD, NULL);
  add_block (ram, fds, "nvram", STORED_NVRAM_SIZE, CPR_RAM_FILE, path);
  add_block (ram, fds, "rom", STORED_ROM_SIZE, CPR_RAM_PRIVATE, NULL);
  store = cpr_ram_store_new (ram, layout, true, NULL);
  g_assert (store != NULL);
  nvram = store->blocks->pdata[1];
  nvram->file = (CprRamFile){
    .type = 0100000, .device = 42, .inode = 3001, .size = STORED_NVRAM_SIZE, .stamp_ns = 1700000000123456789
  };
  unlink (path);
  rmdir (folder);
  return store;
}

static void
write_head (CprWriter *writer)
{
  char *argv[] = { (char *) "vmm", NULL }, *envp[] = { NULL };
  const CprManifest head = { .vm_name = (char *) "golden",
                             .boot_id = "01234567-89ab-cdef-0123-456789abcdef",
                             .uid = 1000,
                             .pid = 4321,
                             .generation = 9,
                             .run_state = CPR_RUN_STATE_SUSPENDED,
                             .saved_ns = 1000000000,
                             .saved_real_ns = 1700000000000000000 };
  CprProgram program = { .argv = argv, .envp = envp, .cwd = (char *) "/", .comm = "vmm", .umask = 022, .n_limits = 1 };

  program.limits[0] = (struct rlimit){ 100, 200 };
  cpr_manifest_write_vm (&head, writer);
  cpr_manifest_write_program (&program, NULL, writer);
}

static void
write_state (const CprRamStore *store, const CprRamTable *ram, CprWriter *writer)
{
  Line bus = { 5, true };
  CprSchemaBuilder builder;
  CprDeviceTable devices;
  CprFdTable fds;
  CprCodec codec;

  write_head (writer);
  cpr_writer_begin_chunk (writer, CPR_CHUNK_STORE, 0);
  cpr_ram_store_write (store, writer);
  cpr_writer_end_chunk (writer);
  everything_init_fds (&fds);
  codec = cpr_fd_table_get_codec (&fds);
  cpr_manifest_write_tables (&fds, ram, writer);
  cpr_device_table_init (&devices);
  cpr_device_table_add (&devices, "bus0", &everything_bus_type, &bus, NULL);
  cpr_schema_builder_init (&builder);
  cpr_device_table_write_schema (&devices, &builder, writer);
  cpr_device_table_write_sections (&devices, &builder, &codec, writer, NULL);
  cpr_schema_builder_clear (&builder);
  cpr_device_table_clear (&devices);
  cpr_fd_table_clear (&fds);
}

void
stored_write (CprRamLayout layout, int file)
{
  CprRamTable ram;
  CprFdTable fds;
  CprRamStore *store = make_store (&ram, &fds, layout);
  CprWriter writer;
  bool ok;

  cpr_writer_init (&writer, file);
  write_state (store, &ram, &writer);
  ok = layout == CPR_RAM_LAYOUT_STREAM || cpr_fd_truncate (file, STORED_BASE + store->area);
  ok = ok && cpr_ram_store_copy (store, layout == CPR_RAM_LAYOUT_AREA ? file : -1, STORED_BASE, NULL, NULL);
  cpr_ram_store_write_sums (store, &writer);
  ok = ok && cpr_writer_finish (&writer);
  ok = ok && (layout == CPR_RAM_LAYOUT_AREA || cpr_ram_store_send (store, file, 0, NULL, NULL));
  g_assert (ok);
  cpr_writer_clear (&writer);
  cpr_ram_store_free (store);
  cpr_ram_table_clear (&ram);
  cpr_fd_table_clear (&fds);
}
