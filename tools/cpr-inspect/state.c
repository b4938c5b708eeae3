/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state that was read and verified, from a file or a pipe, and the complaint where it is refused.
 * Called by each command that reads one. */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "text.h"

/* How much is read from a pipe at a time. */
#define BLOCK_SIZE (64 * 1024)

static bool
has_magic (const GByteArray *data)
{
  return memcmp (data->data, CPR_FORMAT_MAGIC, MIN (data->len, CPR_FORMAT_MAGIC_SIZE)) == 0;
}

/* To its end; what isn't a state may have none, so that is read no further. */
static bool
read_all (int fd, GByteArray *data, GError **error)
{
  g_autofree uint8_t *block = g_malloc (BLOCK_SIZE);
  ssize_t got;

  do
    {
      got = read (fd, block, BLOCK_SIZE);
      if (got < 0 && errno != EINTR)
        return cpr_throw_errno (error, errno, "reading");
      if (got > 0 && (size_t) got > G_MAXUINT - data->len)
        return cpr_throw_errno (error, EFBIG, "reading");
      if (got > 0)
        g_byte_array_append (data, block, (guint) got);
    }
  while (got < 0 || (got > 0 && has_magic (data)));
  return true;
}

/* Whether it can be read from its begin, and any number of times. */
static bool
is_file (int fd)
{
  struct stat st;

  return fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && lseek (fd, 0, SEEK_CUR) == 0;
}

/* In reboot mode something follows the stream's end. Where that is what the reader complains of,
 * only the stream is read. */
static bool
reopen_shorter (InspectState *state)
{
  CprReader *reader = &state->reader;
  guint n = reader->chunks != NULL ? reader->chunks->len : 0;
  bool has_store = false;
  uint64_t end = reader->at;
  const CprChunk *last;

  for (guint i = 0; i < n; i++)
    has_store = has_store || g_array_index (reader->chunks, CprChunk, i).type == CPR_CHUNK_STORE;
  if (!has_store)
    return false;
  last = &g_array_index (reader->chunks, CprChunk, n - 1);
  if (last->type != CPR_CHUNK_END || end <= last->offset || end >= reader->len)
    return false;
  state->size = reader->len;
  if (state->data == NULL)
    {
      state->data = g_byte_array_new ();
      g_byte_array_set_size (state->data, (guint) end);
      if (!cpr_fd_read_at (state->fd, state->data->data, end, 0))
        return false;
    }
  cpr_reader_clear (reader);
  return cpr_reader_open (reader, state->data->data, end, NULL);
}

static bool
open_data (InspectState *state, GError **error)
{
  GError *reason = NULL;

  if (cpr_reader_open (&state->reader, state->data->data, state->data->len, &reason) || reopen_shorter (state))
    {
      g_clear_error (&reason);
      return true;
    }
  g_propagate_error (error, reason);
  return false;
}

static bool
open_input (InspectState *state, GError **error)
{
  bool standard = strcmp (state->path, "-") == 0;

  /* A FIFO without a writer is waited for, as everybody does. */
  state->fd = standard ? fcntl (STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open (state->path, O_RDONLY | O_CLOEXEC);
  if (state->fd < 0)
    return cpr_throw (error, CPR_ERROR_SYSTEM, "%s", g_strerror (errno));
  if (is_file (state->fd))
    {
      GError *reason = NULL;

      if (cpr_reader_open_fd (&state->reader, state->fd, &reason) || reopen_shorter (state))
        {
          g_clear_error (&reason);
          return true;
        }
      g_propagate_error (error, reason);
      return false;
    }
  state->data = g_byte_array_new ();
  return read_all (state->fd, state->data, error) && open_data (state, error);
}

/* Reads all bulk data, which the reader hasn't verified, of the chunks that it has seen. */
static bool
read_bulk (InspectState *state, GError **error)
{
  g_autofree uint8_t *data = g_malloc (CPR_LIMIT_BULK);

  for (guint i = 0; state->reader.chunks != NULL && i < state->reader.chunks->len; i++)
    if (g_array_index (state->reader.chunks, CprChunk, i).type == CPR_CHUNK_BULK &&
        !cpr_reader_read_piece (&state->reader, i, data, error))
      return false;
  return true;
}

static bool
is_state (InspectState *state, GError **error)
{
  uint32_t unwanted = state->reader.kind == CPR_STREAM_QUESTION ? CPR_CHUNK_QUESTION : CPR_CHUNK_ANSWER;

  if (state->reader.kind == CPR_STREAM_STATE || (state->takes_question && state->reader.kind == CPR_STREAM_QUESTION))
    return true;
  for (guint i = 0; i < state->reader.chunks->len; i++)
    {
      const CprChunk *chunk = &g_array_index (state->reader.chunks, CprChunk, i);

      state->reader.at = chunk->offset;
      if (chunk->type == unwanted)
        break;
    }
  return cpr_throw (error, CPR_ERROR_CORRUPT, "it is %s of a preflight, not a state",
                    unwanted == CPR_CHUNK_QUESTION ? "the question" : "the answer");
}

/* The frame, bulk data included: a damaged chunk of that is at fault for what seems to follow
 * it. */
static bool
read_frame (InspectState *state, GError **error)
{
  g_autoptr (GError) earlier = NULL;
  GError *found = NULL;
  bool ok = open_input (state, &found);
  uint64_t at = state->reader.at;

  if (!ok && g_error_matches (found, CPR_ERROR, CPR_ERROR_SYSTEM))
    {
      g_propagate_error (error, found);
      return false;
    }
  if (!read_bulk (state, &earlier) || !is_state (state, &earlier))
    {
      g_clear_error (&found);
      g_propagate_error (error, g_steal_pointer (&earlier));
      return false;
    }
  state->reader.at = at;
  if (!ok)
    g_propagate_error (error, found);
  return ok;
}

static void
collect_devices (InspectState *state)
{
  CprChunk chunk;

  cpr_reader_rewind (&state->reader);
  while (cpr_reader_next (&state->reader, &chunk))
    {
      InspectDevice device;

      if (chunk.type == CPR_CHUNK_SECTION &&
          cpr_section_read (&state->manifest.schema, &chunk, &device.name, &device.type, &device.fields))
        g_array_append_val (state->devices, device);
    }
}

/* ---- The contents of RAM, which follow the stream in reboot mode. */

/* An fd at the end of the stream, which is the caller's. */
static int
open_rest (const InspectState *state)
{
  int fd;

  if (is_file (state->fd))
    {
      fd = fcntl (state->fd, F_DUPFD_CLOEXEC, 3);
      lseek (fd, (off_t) state->reader.len, SEEK_SET);
      return fd;
    }
  fd = cpr_memfd_new ("rest", 0);
  if (fd >= 0 && (!cpr_fd_write_all (fd, state->data->data + state->reader.len, state->data->len - state->reader.len) ||
                  lseek (fd, 0, SEEK_SET) < 0))
    cpr_fd_clear (&fd);
  return fd;
}

static bool
check_pages (InspectState *state, GError **error)
{
  int fd = open_rest (state);
  uint8_t byte;
  size_t got = 0;
  bool ok =
      fd >= 0 ? cpr_ram_store_receive (state->manifest.store, fd, error) : cpr_throw_errno (error, errno, "reading");

  if (ok && cpr_fd_read_all (fd, &byte, 1, &got) && got > 0)
    ok = cpr_throw (error, CPR_ERROR_CORRUPT, "the file should end with RAM's contents, and goes on");
  cpr_fd_clear (&fd);
  return ok;
}

static bool
check_sums (const CprRamStore *store, const uint8_t *area, GError **error)
{
  for (guint i = 0; i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];
      g_autofree uint64_t *sums = g_new (uint64_t, stored->n_sums + 1);
      const CprRamImage image = {
        .name = stored->name, .vaddr = (uint8_t *) area + stored->offset, .size = stored->size, .fd = -1, .sums = sums
      };

      if (stored->in_place || stored->n_sums == 0)
        continue;
      if (!cpr_ram_sum (&image, 1, NULL, error))
        return false;
      for (uint64_t piece = 0; piece < stored->n_sums; piece++)
        if (sums[piece] != store->sums[stored->first_sum + piece])
          return cpr_throw (error, CPR_ERROR_CORRUPT,
                            "RAM block '%s': the checksum of its contents at offset %" G_GUINT64_FORMAT
                            " should be %016" G_GINT64_MODIFIER "x, and is %016" G_GINT64_MODIFIER "x",
                            stored->name, piece * CPR_RAM_PIECE, store->sums[stored->first_sum + piece], sums[piece]);
    }
  return true;
}

static bool
check_area (InspectState *state, GError **error)
{
  const CprRamStore *store = state->manifest.store;
  uint64_t base = (state->reader.len + CPR_RAM_AREA_ALIGN - 1) / CPR_RAM_AREA_ALIGN * CPR_RAM_AREA_ALIGN;
  uint64_t size = state->size != 0 ? state->size : state->reader.len;
  uint64_t wanted = store->area > 0 ? base + store->area : state->reader.len;
  void *mapped;
  bool ok;

  if (size != wanted)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "area of RAM: the file should end at byte %" G_GUINT64_FORMAT
                      ", after the area, and ends at byte %" G_GUINT64_FORMAT,
                      wanted, size);
  if (store->area == 0)
    return true;
  if (!is_file (state->fd))
    return check_sums (store, state->data->data + base, error);
  mapped = mmap (NULL, store->area, PROT_READ, MAP_PRIVATE, state->fd, (off_t) base);
  if (mapped == MAP_FAILED)
    return cpr_throw_errno (error, errno, "area of RAM: mapping %" G_GUINT64_FORMAT " bytes", (uint64_t) store->area);
  ok = check_sums (store, mapped, error);
  munmap (mapped, store->area);
  return ok;
}

static bool
check_rest (InspectState *state, GError **error)
{
  if (state->manifest.store == NULL)
    return true;
  if (!cpr_manifest_read_sums (&state->manifest, &state->reader, error))
    {
      const CprChunk *end = &g_array_index (state->reader.chunks, CprChunk, state->reader.chunks->len - 1);

      if (state->reader.next >= state->reader.chunks->len - 1 &&
          g_array_index (state->reader.chunks, CprChunk, state->reader.next - 1).type != CPR_CHUNK_SUMS)
        state->reader.at = end->offset; /* what stands where they should */
      return false;
    }
  state->reader.at = state->reader.len;
  return state->manifest.store->layout == CPR_RAM_LAYOUT_AREA ? check_area (state, error) : check_pages (state, error);
}

/* Of a program that asked, recorded by `record`. */
static bool
read_question (InspectState *state, GError **error)
{
  size_t len = (size_t) state->reader.len;
  void *data = g_malloc (len);

  if (state->data != NULL)
    memcpy (data, state->data->data, len);
  else if (!cpr_fd_read_at (state->fd, data, len, 0))
    {
      g_free (data);
      return cpr_throw_errno (error, errno, "reading");
    }
  state->question = g_new0 (CprQuestion, 1);
  if (!cpr_question_read (state->question, data, len, error))
    return false;
  return !state->question->head.schema_only ||
         cpr_throw (error, CPR_ERROR_CORRUPT, "it is a question for the schema alone, and describes no VM");
}

static bool
read_state (InspectState *state, GError **error)
{
  CprCodec codec = cpr_fd_table_get_codec (&state->manifest.fds);

  if (!read_frame (state, error))
    return false;
  if (state->reader.kind == CPR_STREAM_QUESTION)
    return read_question (state, error);
  if (!cpr_manifest_read (&state->manifest, &state->reader, error) ||
      !cpr_sections_verify (&state->manifest.schema, &state->reader, &codec, error) || !check_rest (state, error))
    return false;
  collect_devices (state);
  return true;
}

static const char *
skip_prefix (const char *text, const char *prefix)
{
  size_t len = strlen (prefix);

  return strncmp (text, prefix, len) == 0 ? text + len : text;
}

/* The library's messages name the state and the chunk where the line has named them already. */
static const char *
skip_place (const char *message)
{
  const char *after_state = skip_prefix (message, "state: ");
  const char *number = skip_prefix (after_state, "chunk at offset ");
  const char *rest = number + strspn (number, "0123456789");

  return number != after_state && g_str_has_prefix (rest, ": ") ? rest + strlen (": ") : after_state;
}

InspectStatus
inspect_state_read (InspectState *state, const char *path, bool takes_question, char **complaint)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *message = NULL;

  *state = (InspectState){ .path = path, .fd = -1, .takes_question = takes_question };
  state->devices = g_array_new (FALSE, FALSE, sizeof (InspectDevice));
  cpr_manifest_init (&state->manifest);
  *complaint = NULL;
  if (read_state (state, &error))
    return INSPECT_YES;
  message = inspect_text_escape_message (skip_place (error->message));
  if (g_error_matches (error, CPR_ERROR, CPR_ERROR_SYSTEM))
    {
      *complaint = g_steal_pointer (&message);
      return INSPECT_TROUBLE;
    }
  *complaint = g_strdup_printf ("offset %" G_GUINT64_FORMAT ": %s", state->reader.at, message);
  return INSPECT_NO;
}

InspectStatus
inspect_state_open (InspectState *state, const char *path, const char *prefix)
{
  g_autofree char *file = inspect_text_escape (path, strlen (path)), *complaint = NULL;
  InspectStatus status = inspect_state_read (state, path, false, &complaint);

  if (status != INSPECT_YES)
    fprintf (stderr, "%s%s: %s\n", status == INSPECT_TROUBLE ? "cpr-inspect: " : prefix, file, complaint);
  return status;
}

void
inspect_state_close (InspectState *state)
{
  if (state->question != NULL)
    cpr_question_clear (state->question);
  g_clear_pointer (&state->question, g_free);
  cpr_manifest_clear (&state->manifest);
  cpr_reader_clear (&state->reader);
  g_clear_pointer (&state->devices, g_array_unref);
  g_clear_pointer (&state->data, g_byte_array_unref);
  cpr_fd_clear (&state->fd);
}

void
inspect_device_walk (const InspectState *state, const InspectDevice *device, const CprVisitor *visitor)
{
  CprCursor fields = device->fields;

  cpr_struct_walk (&state->manifest.schema, device->type->struct_index, &fields, NULL, visitor, NULL);
}
