/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The early part of the stream: whose state it is, how to go back, and the tables. Written by
 * the old program, read by the new one and on the way back. */
#include "state/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/proc.h"
#include "base/sys.h"

#define BOOT_ID_PATH      "/proc/sys/kernel/random/boot_id"
#define TIME_OFFSETS_PATH "/proc/self/timens_offsets"
#define OFFSETS_SIZE      128 /* two lines of a name and two numbers */
#define CLOCK_DIGITS      12  /* of a boot id, at its end */

/* Reads up to @size bytes of @path, and returns how many there are; -1 with errno. */
static ssize_t
read_file (const char *path, char *data, size_t size)
{
  int fd = cpr_fd_above_std (cpr_sys->open (path, O_RDONLY | O_CLOEXEC, 0));
  ssize_t len = fd >= 0 ? cpr_sys->read (fd, data, size) : -1;
  int errnum = errno;

  cpr_fd_clear (&fd);
  errno = errnum;
  return len;
}

/* In a time namespace whose clocks aren't the host's, the last digits are made of the offsets of
 * its clocks. So two programs have the same id where they have the same clocks. */
static bool
add_time_namespace (char *boot_id, GError **error)
{
  char offsets[OFFSETS_SIZE], digits[CLOCK_DIGITS + 1];
  ssize_t len = read_file (TIME_OFFSETS_PATH, offsets, sizeof offsets - 1);

  if (len < 0)
    return errno == ENOENT || cpr_throw_errno (error, errno, TIME_OFFSETS_PATH); /* Linux before 5.6 has none */
  offsets[len] = '\0';
  if (strpbrk (offsets, "123456789") == NULL)
    return true;
  g_snprintf (digits, sizeof digits, "%0*" G_GINT64_MODIFIER "x", CLOCK_DIGITS,
              cpr_checksum (offsets, (size_t) len) >> (64 - 4 * CLOCK_DIGITS));
  memcpy (boot_id + CPR_BOOT_ID_SIZE - CLOCK_DIGITS, digits, CLOCK_DIGITS);
  return true;
}

bool
cpr_boot_id_get (char boot_id[CPR_BOOT_ID_SIZE + 1], GError **error)
{
  ssize_t len = read_file (BOOT_ID_PATH, boot_id, CPR_BOOT_ID_SIZE);

  if (len != CPR_BOOT_ID_SIZE)
    return cpr_proc_throw (error, len < 0 ? errno : EIO, BOOT_ID_PATH);
  boot_id[CPR_BOOT_ID_SIZE] = '\0';
  return add_time_namespace (boot_id, error);
}

bool
cpr_boot_id_is_of_same_boot (const char *a, const char *b)
{
  return strncmp (a, b, CPR_BOOT_ID_SIZE - CLOCK_DIGITS) == 0;
}

void
cpr_manifest_write_vm (const CprManifest *head, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_VM, 0);
  cpr_writer_put_string (writer, head->vm_name);
  cpr_writer_put_string (writer, head->boot_id);
  cpr_writer_put_u32 (writer, head->uid);
  cpr_writer_put_u32 (writer, head->pid);
  cpr_writer_put_u64 (writer, head->generation);
  cpr_writer_put_u32 (writer, head->run_state);
  cpr_writer_put_u64 (writer, head->saved_ns);
  cpr_writer_put_u64 (writer, head->saved_real_ns);
  cpr_writer_put_u64 (writer, head->signal_mask);
  cpr_writer_end_chunk (writer);
}

void
cpr_manifest_write_program (const CprProgram *program, const CprSuccessor *successor, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_PROGRAM, 0);
  cpr_program_write (program, writer);
  cpr_writer_end_chunk (writer);
  if (successor == NULL || successor->build_id == NULL)
    return;
  cpr_writer_begin_chunk (writer, CPR_CHUNK_SUCCESSOR, 0);
  cpr_writer_put_u64 (writer, successor->device);
  cpr_writer_put_u64 (writer, successor->inode);
  cpr_writer_put_string (writer, successor->build_id);
  cpr_writer_end_chunk (writer);
}

void
cpr_manifest_write_tables (const CprFdTable *fds, const CprRamTable *ram, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_FDS, 0);
  cpr_fd_table_write (fds, writer);
  cpr_writer_end_chunk (writer);

  cpr_writer_begin_chunk (writer, CPR_CHUNK_RAM, 0);
  cpr_ram_table_write (ram, writer);
  cpr_writer_end_chunk (writer);
}

void
cpr_manifest_write_vfio (const CprVfioTable *vfio, const CprRamTable *ram, CprWriter *writer)
{
  if (vfio->containers->len == 0)
    return;
  cpr_writer_begin_chunk (writer, CPR_CHUNK_DMA, 0);
  cpr_vfio_table_write (vfio, ram, writer);
  cpr_writer_end_chunk (writer);
}

static bool
read_vm (CprManifest *manifest, CprCursor *cursor, GError **error)
{
  const char *boot_id;

  manifest->vm_name = g_strdup (cpr_cursor_get_name (cursor));
  boot_id = cpr_cursor_get_string (cursor);
  manifest->uid = cpr_cursor_get_u32 (cursor);
  manifest->pid = cpr_cursor_get_u32 (cursor);
  manifest->generation = cpr_cursor_get_u64 (cursor);
  manifest->run_state = cpr_cursor_get_u32 (cursor);
  manifest->saved_ns = cpr_cursor_get_u64 (cursor);
  manifest->saved_real_ns = cpr_cursor_get_u64 (cursor);
  manifest->signal_mask = cpr_cursor_get_u64 (cursor);
  if (!cpr_cursor_check_end (cursor, "VM", error))
    return false;
  if (strlen (boot_id) != CPR_BOOT_ID_SIZE)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "VM: its boot id should have %d bytes, and has %zu", CPR_BOOT_ID_SIZE,
                      strlen (boot_id));
  if (manifest->run_state > CPR_RUN_STATE_PAUSED_SUSPENDED)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "VM: its run state should be 0 to %d, and is %u",
                      CPR_RUN_STATE_PAUSED_SUSPENDED, manifest->run_state);
  memcpy (manifest->boot_id, boot_id, sizeof manifest->boot_id);
  return true;
}

bool
cpr_build_id_check (const char *what, const char *build_id, GError **error)
{
  return strspn (build_id, "0123456789abcdefABCDEF") == strlen (build_id) ||
         cpr_throw (error, CPR_ERROR_CORRUPT, "%s: its build id should be hexadecimal, and is '%s'", what, build_id);
}

static bool
read_successor (CprManifest *manifest, CprCursor *cursor, GError **error)
{
  CprSuccessor *successor = &manifest->successor;

  successor->device = cpr_cursor_get_u64 (cursor);
  successor->inode = cpr_cursor_get_u64 (cursor);
  successor->build_id = g_strdup (cpr_cursor_get_string (cursor));
  return cpr_cursor_check_end (cursor, "successor", error) &&
         cpr_build_id_check ("successor", successor->build_id, error);
}

static bool
read_chunk (CprManifest *manifest, CprChunk *chunk, GError **error)
{
  switch (chunk->type)
    {
    case CPR_CHUNK_VM:
      return read_vm (manifest, &chunk->payload, error);
    case CPR_CHUNK_PROGRAM:
      return cpr_program_read (&manifest->program, &chunk->payload, error);
    case CPR_CHUNK_SUCCESSOR:
      return read_successor (manifest, &chunk->payload, error);
    case CPR_CHUNK_FDS:
      return cpr_fd_table_read (&manifest->fds, &chunk->payload, error) &&
             (manifest->find_fd == NULL ||
              cpr_fd_table_place (&manifest->fds, manifest->find_fd, manifest->find_fd_data, error));
    case CPR_CHUNK_STORE:
      manifest->store = cpr_ram_store_read (&chunk->payload, error);
      return manifest->store != NULL;
    case CPR_CHUNK_RAM: /* it looks up its fds: the order of chunks is part of the format */
      return cpr_ram_table_read (&manifest->ram, manifest->store == NULL ? &manifest->fds : NULL, &chunk->payload,
                                 error) &&
             (manifest->store == NULL || cpr_ram_store_check (manifest->store, &manifest->ram, error));
    case CPR_CHUNK_DMA:
      return cpr_vfio_table_read (&manifest->vfio, &manifest->fds, &manifest->ram, &chunk->payload, error);
    case CPR_CHUNK_SCHEMA:
      return cpr_schema_read (&manifest->schema, &chunk->payload, error);
    default:
      return true;
    }
}

void
cpr_manifest_init (CprManifest *manifest)
{
  *manifest = (CprManifest){ .program.exe_fd = -1 };
  cpr_fd_table_init (&manifest->fds);
  cpr_ram_table_init (&manifest->ram);
  cpr_vfio_table_init (&manifest->vfio);
}

bool
cpr_manifest_read (CprManifest *manifest, CprReader *reader, GError **error)
{
  CprChunk chunk;

  cpr_reader_rewind (reader);
  while (cpr_reader_next (reader, &chunk) && chunk.type != CPR_CHUNK_SECTION)
    if (!read_chunk (manifest, &chunk, error))
      {
        g_prefix_error (error, "state: chunk at offset %" G_GUINT64_FORMAT ": ", chunk.offset);
        return false;
      }
  return true;
}

bool
cpr_manifest_read_sums (CprManifest *manifest, CprReader *reader, GError **error)
{
  CprChunk chunk;

  cpr_reader_rewind (reader);
  while (cpr_reader_next (reader, &chunk))
    if (chunk.type == CPR_CHUNK_SUMS)
      return cpr_ram_store_read_sums (manifest->store, &chunk.payload, error);
  return manifest->store->n_sums == 0 ||
         cpr_throw (error, CPR_ERROR_CORRUPT, "sums: there should be %" G_GUINT64_FORMAT ", and there are none",
                    (uint64_t) manifest->store->n_sums);
}

bool
cpr_manifest_get_time_offset (const CprManifest *manifest, int64_t *offset_ns, GError **error)
{
  char boot_id[CPR_BOOT_ID_SIZE + 1];

  *offset_ns = 0;
  if (!cpr_boot_id_get (boot_id, error))
    return false;
  if (strcmp (boot_id, manifest->boot_id) == 0)
    return true;
  *offset_ns = (int64_t) (cpr_now_ns () - manifest->saved_ns - (cpr_real_now_ns () - manifest->saved_real_ns));
  return true;
}

void
cpr_manifest_clear (CprManifest *manifest)
{
  g_clear_pointer (&manifest->vm_name, g_free);
  cpr_program_clear (&manifest->program);
  g_clear_pointer (&manifest->successor.build_id, g_free);
  cpr_schema_clear (&manifest->schema);
  g_clear_pointer (&manifest->store, cpr_ram_store_free);
  cpr_vfio_table_clear (&manifest->vfio);
  cpr_ram_table_clear (&manifest->ram);
  cpr_fd_table_clear (&manifest->fds);
}
