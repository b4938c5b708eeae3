/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a stream: the library and the specification judge the frame alike, and reading
 * from memory and from an fd comes to the same. */
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "frame-judge.h"
#include "registry/device/bulk.h"
#include "state/manifest.h"
#include "stream/reader.h"

/* Everything that reading a stream yields. */
typedef struct
{
  bool opened;
  char *message; /* of the first error */
  int code;
  uint64_t chunks, sections, values, bulk;
} Outcome;

static void
note_error (Outcome *outcome, GError *error)
{
  g_assert (error != NULL);
  outcome->code = error->code;
  outcome->message = g_strdup (error->message);
  g_error_free (error);
}

static void
note (uint64_t *digest, const void *data, size_t len)
{
  *digest = fuzz_digest (*digest, data, len);
}

/* ---- A visitor that looks at everything it is told, and sees that begin and end go together. */

typedef struct
{
  uint64_t digest;
  unsigned depth;
} Walk;

static void
begin_field (const CprSchemaField *field, void *user_data)
{
  Walk *walk = user_data;

  note (&walk->digest, field->name, strlen (field->name));
}

static void
absent (void *user_data)
{
  note (&((Walk *) user_data)->digest, "-", 1);
}

static void
begin_list (uint32_t count, void *user_data)
{
  Walk *walk = user_data;

  walk->depth++;
  note (&walk->digest, &count, sizeof count);
}

static void
begin_struct (void *user_data)
{
  ((Walk *) user_data)->depth++;
}

static void
end (void *user_data)
{
  Walk *walk = user_data;

  g_assert (walk->depth > 0);
  walk->depth--;
}

static void
number (const CprSchemaField *field, uint64_t value, void *user_data)
{
  g_assert (field->kind != CPR_KIND_BOOL || value <= 1);
  note (&((Walk *) user_data)->digest, &value, sizeof value);
}

static void
bytes (const uint8_t *data, size_t len, void *user_data)
{
  note (&((Walk *) user_data)->digest, data, len);
}

static void
fd (const char *name, int index, void *user_data)
{
  g_assert ((index < 0) == (name[0] == '\0'));
  note (&((Walk *) user_data)->digest, name, strlen (name));
}

/* The reader has verified the section, so that getting its head can't fail. */
static void
walk_section (const CprSchema *schema, const CprChunk *chunk, Outcome *outcome)
{
  Walk walk = { .digest = outcome->values };
  const CprVisitor visitor = { .begin_field = begin_field,
                               .absent = absent,
                               .begin_list = begin_list,
                               .end_list = end,
                               .begin_struct = begin_struct,
                               .end_struct = end,
                               .number = number,
                               .bytes = bytes,
                               .fd = fd,
                               .user_data = &walk };
  const CprSchemaType *type;
  const char *name;
  CprCursor fields;
  bool ok;

  ok = cpr_section_read (schema, chunk, &name, &type, &fields);
  g_assert (ok);
  ok = cpr_struct_walk (schema, type->struct_index, &fields, NULL, &visitor, NULL);
  g_assert (ok && cpr_cursor_left (&fields) == 0 && walk.depth == 0);
  outcome->values = walk.digest;
  outcome->sections++;
}

/* ---- Bulk data: piece by piece, and as a device reads it; both see the same, or both an error. */

/* The chunks from the first one on that are not skipped. */
static bool
read_pieces (CprReader *reader, const CprBulkData *bulk, uint64_t *digest)
{
  uint64_t size = 0;

  for (guint i = bulk->first, n = 0; n < bulk->n; i++)
    if (g_array_index (reader->chunks, CprChunk, i).type == CPR_CHUNK_BULK)
      {
        size_t len = cpr_reader_get_piece_size (reader, i);
        g_autofree uint8_t *data = g_malloc (len);

        g_assert (len > 0);
        if (!cpr_reader_read_piece (reader, i, data, NULL))
          return false;
        note (digest, data, len);
        size += len;
        n++;
      }
  g_assert (size == bulk->size);
  return true;
}

static bool
read_as_device (CprReader *reader, const CprBulkData *data, uint64_t *digest)
{
  CprBulk bulk;
  bool ok = true;

  cpr_bulk_open (&bulk, reader, data);
  for (size_t step = 1; ok && cpr_bulk_get_left (&bulk) > 0; step = step * 2 + 1)
    {
      size_t size = (size_t) MIN (step, cpr_bulk_get_left (&bulk));
      g_autofree uint8_t *part = g_malloc (size);

      ok = cpr_bulk_read (&bulk, part, size, NULL);
      if (ok)
        note (digest, part, size);
    }
  cpr_bulk_clear (&bulk);
  return ok;
}

static void
read_bulk (CprReader *reader, Outcome *outcome)
{
  for (guint i = 0; i < reader->bulk->len; i++)
    {
      const CprBulkData *bulk = reader->bulk->pdata[i];
      uint64_t digest = FUZZ_DIGEST_START, again = FUZZ_DIGEST_START;
      bool ok = read_pieces (reader, bulk, &digest);

      g_assert (cpr_reader_find_bulk (reader, bulk->device) == bulk);
      g_assert (read_as_device (reader, bulk, &again) == ok);
      g_assert (!ok || digest == again);
      note (&outcome->bulk, &digest, ok ? sizeof digest : 0);
    }
}

/* ---- A stream. */

static void
read_chunks (CprReader *reader, Outcome *outcome)
{
  CprChunk chunk;

  cpr_reader_rewind (reader);
  while (cpr_reader_next (reader, &chunk))
    {
      note (&outcome->chunks, &chunk.type, sizeof chunk.type);
      note (&outcome->chunks, &chunk.offset, sizeof chunk.offset);
      note (&outcome->chunks, &chunk.len, sizeof chunk.len);
      g_assert (chunk.type == CPR_CHUNK_BULK ? chunk.payload.len == 0 : chunk.payload.len == chunk.len);
      note (&outcome->chunks, chunk.payload.data, chunk.payload.len);
    }
}

static void
read_sections (const CprManifest *manifest, CprReader *reader, Outcome *outcome)
{
  CprCodec codec = cpr_fd_table_get_codec ((CprFdTable *) &manifest->fds);
  GError *error = NULL;
  CprChunk chunk;

  if (!cpr_sections_verify (&manifest->schema, reader, &codec, &error))
    {
      note_error (outcome, error);
      return;
    }
  cpr_reader_rewind (reader);
  while (cpr_reader_next (reader, &chunk))
    if (chunk.type == CPR_CHUNK_SECTION)
      walk_section (&manifest->schema, &chunk, outcome);
}

static void
read_stream (CprReader *reader, Outcome *outcome)
{
  GError *error = NULL;
  CprManifest manifest;

  read_chunks (reader, outcome);
  cpr_manifest_init (&manifest);
  if (cpr_manifest_read (&manifest, reader, &error))
    read_sections (&manifest, reader, outcome);
  else
    note_error (outcome, error);
  cpr_manifest_clear (&manifest);
  read_bulk (reader, outcome);
}

static void
read_from_memory (const uint8_t *data, size_t size, Outcome *outcome)
{
  GError *error = NULL;
  CprReader reader;

  outcome->opened = cpr_reader_open (&reader, data, size, &error);
  if (outcome->opened)
    read_stream (&reader, outcome);
  else
    note_error (outcome, error);
  cpr_reader_clear (&reader);
}

static void
read_from_fd (const uint8_t *data, size_t size, Outcome *outcome)
{
  int memfd = cpr_memfd_new ("fuzz-stream", 0);
  GError *error = NULL;
  CprReader reader;

  g_assert (memfd >= 0 && cpr_fd_write_all (memfd, data, size));
  outcome->opened = cpr_reader_open_fd (&reader, memfd, &error);
  if (outcome->opened)
    read_stream (&reader, outcome);
  else
    note_error (outcome, error);
  cpr_reader_clear (&reader);
  close (memfd);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Outcome memory = { .code = -1 }, file = { .code = -1 };

  fuzz_begin ();
  read_from_memory (data, size, &memory);
  read_from_fd (data, size, &file);
  fuzz_end (64 * 1024 + 24 * size);

  if (memory.opened != judge_frame (data, size))
    g_error ("the library says '%s', the specification something else", memory.opened ? "right" : memory.message);
  g_assert_cmpstr (memory.message, ==, file.message);
  g_assert (memory.opened == file.opened && memory.code == file.code && memory.chunks == file.chunks &&
            memory.sections == file.sections && memory.values == file.values && memory.bulk == file.bulk);
  g_free (memory.message);
  g_free (file.message);
  return 0;
}
