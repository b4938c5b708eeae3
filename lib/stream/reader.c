/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a stream: verifies its checksums at the beginning, then hands out chunks. It is safe
 * for any bytes. */
#include "stream/reader.h"

#include <errno.h>
#include <unistd.h>

#include "base/checksum.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

/* Where the header's elements are. */
enum
{
  HEADER_MAJOR = 8,
  HEADER_BYTE_ORDER = 12,
  HEADER_FLAGS = 16,
  HEADER_CHECKSUM = 24
};

#define FRAME (CPR_FORMAT_CHUNK_HEADER_SIZE + CPR_FORMAT_CHECKSUM_SIZE)
/* The most that can stand before the data of a BULK chunk. */
#define BULK_PREFIX_MAX (2 + CPR_NAME_MAX + 1 + 8 + 7)

static const uint8_t zeros[8];

static bool
is_in_block (const CprReader *reader, uint64_t at, size_t size)
{
  return at >= reader->block_start && at - reader->block_start <= reader->block_len &&
         size <= reader->block_len - (at - reader->block_start);
}

static bool
throw_unreadable (uint64_t at, int errnum, GError **error)
{
  return cpr_throw_errno (error, errnum, "state: reading at offset %" G_GUINT64_FORMAT, at);
}

/* @size bytes at @at, which lie in the stream; valid as long as the reader. NULL with an error
 * if they can't be read. */
static const uint8_t *
fetch (CprReader *reader, uint64_t at, size_t size, GError **error)
{
  uint8_t *block;
  size_t wanted;

  if (reader->data != NULL)
    return reader->data + at;
  if (is_in_block (reader, at, size))
    return reader->block + (at - reader->block_start);

  wanted = (size_t) MIN (MAX (size, CPR_READER_BLOCK), reader->len - at);
  block = wanted <= CPR_READER_BLOCK ? g_steal_pointer (&reader->spare) : NULL;
  if (block == NULL)
    block = g_try_malloc (wanted);
  if (block == NULL || !cpr_fd_read_at (reader->fd, block, wanted, at))
    {
      throw_unreadable (at, block == NULL ? ENOMEM : errno, error);
      g_free (block);
      return NULL;
    }
  g_ptr_array_add (reader->blocks, block);
  reader->block = block;
  reader->block_start = at;
  reader->block_len = wanted;
  return block;
}

/* Up to CPR_READER_PEEK bytes at @at; valid until the next look. Between large pieces of BULK
 * nothing is kept. */
static bool
peek (CprReader *reader, uint64_t at, CprCursor *cursor, GError **error)
{
  size_t size = (size_t) MIN (CPR_READER_PEEK, reader->len - at);

  *cursor = (CprCursor){ .data = reader->peeked, .len = size };
  if (reader->data != NULL)
    cursor->data = reader->data + at;
  else if (is_in_block (reader, at, size))
    cursor->data = reader->block + (at - reader->block_start);
  else if (!cpr_fd_read_at (reader->fd, reader->peeked, size, at))
    return throw_unreadable (at, errno, error);
  return true;
}

/* The magic comes first: of what isn't a state at all nothing else is said. */
static bool
check_magic (const CprCursor *header, GError **error)
{
  if (header->len < CPR_FORMAT_MAGIC_SIZE || memcmp (header->data, CPR_FORMAT_MAGIC, CPR_FORMAT_MAGIC_SIZE) != 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: it doesn't begin like a libcpr state");
  if (header->len < CPR_FORMAT_HEADER_SIZE)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: cut off within the header, at %zu bytes", header->len);
  return true;
}

static bool
check_header (CprReader *reader, GError **error)
{
  static const uint8_t nothing;
  size_t size = MIN (reader->len, CPR_FORMAT_HEADER_SIZE);
  CprCursor cursor = { .data = size > 0 ? fetch (reader, 0, size, error) : &nothing, .len = size };
  uint32_t byte_order;
  uint64_t flags, checksum;
  unsigned major;

  if (cursor.data == NULL || !check_magic (&cursor, error))
    return false;
  cursor.pos = CPR_FORMAT_MAGIC_SIZE;
  major = cpr_cursor_get_u16 (&cursor);
  reader->minor = cpr_cursor_get_u16 (&cursor); /* what is new in it says itself whether it is optional */
  byte_order = cpr_cursor_get_u32 (&cursor);
  flags = cpr_cursor_get_u64 (&cursor);
  checksum = cpr_cursor_get_u64 (&cursor);

  reader->at = HEADER_CHECKSUM;
  if (checksum != cpr_checksum (cursor.data, CPR_FORMAT_HEADER_SIZE - CPR_FORMAT_CHECKSUM_SIZE))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: the header's checksum is wrong");
  reader->at = HEADER_BYTE_ORDER;
  if (byte_order != CPR_FORMAT_BYTE_ORDER)
    return cpr_throw (error, CPR_ERROR_VERSION, "state: byte order is 0x%08x, 0x%08x expected", byte_order,
                      CPR_FORMAT_BYTE_ORDER);
  reader->at = HEADER_MAJOR;
  if (major != CPR_FORMAT_MAJOR)
    return cpr_throw (error, CPR_ERROR_VERSION, "state: format version is %u, this program reads %u", major,
                      CPR_FORMAT_MAJOR);
  reader->at = HEADER_FLAGS;
  if (flags != 0)
    return cpr_throw (error, CPR_ERROR_VERSION, "state: unknown flags 0x%" G_GINT64_MODIFIER "x in the header", flags);
  return true;
}

static bool
is_known (uint32_t type)
{
  return type <= CPR_CHUNK_SUMS || (type >= CPR_CHUNK_QUESTION && type <= CPR_CHUNK_FINDING);
}

static uint64_t
padded (uint64_t len)
{
  return len + (-len & 7);
}

/* Reads the frame of the chunk at @pos, without reading past the stream's end. */
static bool
read_frame (CprReader *reader, uint64_t pos, CprChunk *chunk, GError **error)
{
  uint64_t left = reader->len - pos, most;
  CprCursor header;

  if (left < FRAME)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: cut off within the chunk at offset %" G_GUINT64_FORMAT, pos);
  if (!peek (reader, pos, &header, error))
    return false;
  chunk->type = cpr_cursor_get_u32 (&header);
  chunk->flags = cpr_cursor_get_u32 (&header);
  chunk->len = cpr_cursor_get_u64 (&header);
  chunk->offset = pos;
  chunk->payload = (CprCursor){ .len = 0 };
  chunk->prefix = chunk->size = 0;
  if (chunk->len > left - FRAME || padded (chunk->len) > left - FRAME)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: cut off within the chunk at offset %" G_GUINT64_FORMAT, pos);
  most = chunk->type == CPR_CHUNK_BULK ? CPR_LIMIT_BULK + BULK_PREFIX_MAX : CPR_LIMIT_PAYLOAD;
  if (chunk->len > most)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "state: the chunk at offset %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
                      " bytes, at most %" G_GUINT64_FORMAT " expected",
                      pos, chunk->len, most);
  return true;
}

static bool
check_type (const CprChunk *chunk, GError **error)
{
  bool optional = (chunk->flags & CPR_CHUNK_FLAG_OPTIONAL) != 0;

  if ((chunk->flags & ~(uint32_t) CPR_CHUNK_FLAG_OPTIONAL) != 0 || is_known (chunk->type) == optional)
    return cpr_throw (error, CPR_ERROR_VERSION,
                      "state: unknown chunk of type %u, flags 0x%x, at offset %" G_GUINT64_FORMAT, chunk->type,
                      chunk->flags, chunk->offset);
  return true;
}

/* All of a chunk that isn't BULK. */
static bool
check_chunk (CprReader *reader, CprChunk *chunk, GError **error)
{
  size_t len = (size_t) padded (chunk->len) + CPR_FORMAT_CHUNK_HEADER_SIZE;
  const uint8_t *start = fetch (reader, chunk->offset, len + CPR_FORMAT_CHECKSUM_SIZE, error);
  uint64_t checksum;

  if (start == NULL)
    return false;
  memcpy (&checksum, start + len, sizeof checksum);
  if (checksum != cpr_checksum (start, len))
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "state: the checksum of the chunk at offset %" G_GUINT64_FORMAT " is wrong", chunk->offset);
  chunk->payload = (CprCursor){ .data = start + CPR_FORMAT_CHUNK_HEADER_SIZE, .len = (size_t) chunk->len };
  for (size_t i = CPR_FORMAT_CHUNK_HEADER_SIZE + (size_t) chunk->len; i < len; i++)
    if (start[i] != 0)
      return cpr_throw (error, CPR_ERROR_CORRUPT,
                        "state: the padding of the chunk at offset %" G_GUINT64_FORMAT " isn't zero", chunk->offset);
  return check_type (chunk, error);
}

/* A BULK chunk up to its data. */
static bool
read_prefix (CprReader *reader, CprChunk *chunk, const char **device, uint64_t *offset, GError **error)
{
  CprCursor cursor;
  uint64_t size;

  if (!peek (reader, chunk->offset, &cursor, error))
    return false;
  cursor.len = (size_t) MIN (cursor.len, CPR_FORMAT_CHUNK_HEADER_SIZE + chunk->len);
  cursor.pos = CPR_FORMAT_CHUNK_HEADER_SIZE;
  *device = cpr_cursor_get_name (&cursor);
  *offset = cpr_cursor_get_u64 (&cursor);
  for (size_t padding = -cursor.pos & 7; padding > 0; padding--)
    cursor.failed |= cpr_cursor_get_u8 (&cursor) != 0;
  size = CPR_FORMAT_CHUNK_HEADER_SIZE + chunk->len - cursor.pos;
  chunk->prefix = (uint32_t) cursor.pos;
  chunk->size = (uint32_t) size;
  if (cursor.failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "state: the bulk data at offset %" G_GUINT64_FORMAT
                      " should begin with a device's name, an offset and zeros, and doesn't",
                      chunk->offset);
  if (size == 0 || size > CPR_LIMIT_BULK)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "state: the bulk data at offset %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
                      " bytes, 1 to %u expected",
                      chunk->offset, size, CPR_LIMIT_BULK);
  return true;
}

static void
bulk_free (void *data)
{
  CprBulkData *bulk = data;

  g_free ((char *) bulk->device);
  g_free (bulk);
}

/* One piece after the other, one device after the other. */
static bool
check_bulk (CprReader *reader, CprChunk *chunk, GError **error)
{
  CprBulkData *bulk = reader->bulk->len > 0 ? reader->bulk->pdata[reader->bulk->len - 1] : NULL;
  const char *device;
  uint64_t offset;

  if (!check_type (chunk, error) || !read_prefix (reader, chunk, &device, &offset, error))
    return false;
  if (bulk == NULL || strcmp (device, bulk->device) != 0)
    {
      bulk = g_new0 (CprBulkData, 1);
      bulk->device = g_strdup (device);
      bulk->first = reader->chunks->len;
      g_ptr_array_add (reader->bulk, bulk);
      if (!g_hash_table_insert (reader->bulk_by_device, (char *) bulk->device, bulk))
        offset = UINT64_MAX; /* it was there before */
    }
  if (offset != bulk->size)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "state: the bulk data at offset %" G_GUINT64_FORMAT " doesn't go on where the last piece ended",
                      chunk->offset);
  bulk->size += chunk->size;
  bulk->n++;
  return true;
}

/* The order of chunks: what may come after what. A stage of a kind of stream is one type, there
 * once unless it says otherwise. */
typedef struct
{
  uint32_t type;
  bool repeated, may_be_missing;
} Stage;

static const Stage state_stages[] = {
  { CPR_CHUNK_VM, false, false },   { CPR_CHUNK_PROGRAM, false, false }, { CPR_CHUNK_SUCCESSOR, false, true },
  { CPR_CHUNK_STORE, false, true }, { CPR_CHUNK_FDS, false, false },     { CPR_CHUNK_RAM, false, false },
  { CPR_CHUNK_DMA, false, true },   { CPR_CHUNK_SCHEMA, false, false },  { CPR_CHUNK_SECTION, true, true },
  { CPR_CHUNK_BULK, true, true },   { CPR_CHUNK_SUMS, false, true },     { CPR_CHUNK_END, false, false },
};
static const Stage question_stages[] = {
  { CPR_CHUNK_QUESTION, false, false }, { CPR_CHUNK_VM, false, false },    { CPR_CHUNK_FDS, false, false },
  { CPR_CHUNK_RAM, false, false },      { CPR_CHUNK_DMA, false, true },    { CPR_CHUNK_SCHEMA, false, false },
  { CPR_CHUNK_DEVICES, false, false },  { CPR_CHUNK_SECTION, true, true }, { CPR_CHUNK_END, false, false },
};
static const Stage answer_stages[] = {
  { CPR_CHUNK_ANSWER, false, false },
  { CPR_CHUNK_SCHEMA, false, false },
  { CPR_CHUNK_FINDING, true, true },
  { CPR_CHUNK_END, false, false },
};

static const Stage *
get_stages (CprReader *reader, uint32_t first)
{
  switch (first)
    {
    case CPR_CHUNK_QUESTION:
      reader->kind = CPR_STREAM_QUESTION;
      return question_stages;
    case CPR_CHUNK_ANSWER:
      reader->kind = CPR_STREAM_ANSWER;
      return answer_stages;
    default:
      reader->kind = CPR_STREAM_STATE;
      return state_stages;
    }
}

/* A question that is only for the schema ends at once. */
static bool
ends_early (const CprReader *reader, const Stage *stage, const CprChunk *chunk)
{
  return chunk->type == CPR_CHUNK_END && reader->kind == CPR_STREAM_QUESTION && stage == question_stages + 1;
}

static bool
has_chunk (const CprReader *reader, uint32_t type)
{
  for (guint i = 0; i < reader->chunks->len; i++)
    if (g_array_index (reader->chunks, CprChunk, i).type == type)
      return true;
  return false;
}

static bool
check_order (CprReader *reader, const Stage **stage, const CprChunk *chunk, GError **error)
{
  if (*stage == NULL)
    *stage = get_stages (reader, chunk->type);
  while ((*stage)->type != chunk->type && (*stage)->may_be_missing)
    (*stage)++;
  if (((*stage)->type != chunk->type && !ends_early (reader, *stage, chunk)) ||
      (chunk->type == CPR_CHUNK_SUMS && !has_chunk (reader, CPR_CHUNK_STORE)))
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "state: a chunk of type %u at offset %" G_GUINT64_FORMAT " is out of order", chunk->type,
                      chunk->offset);
  if (!(*stage)->repeated)
    (*stage)++;
  return true;
}

static bool
check_end (CprReader *reader, CprChunk *chunk, uint64_t end, GError **error)
{
  CprCursor payload = chunk->payload;
  uint64_t n = cpr_cursor_get_u64 (&payload);

  if (chunk->len != 8 || n != reader->chunks->len - 1)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "state: the end at offset %" G_GUINT64_FORMAT " counts %" G_GUINT64_FORMAT
                      " chunks in %" G_GUINT64_FORMAT " bytes, there are %u",
                      chunk->offset, n, chunk->len, reader->chunks->len - 1);
  reader->at = end;
  if (end != reader->len)
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "state: %" G_GUINT64_FORMAT " bytes follow its end at offset %" G_GUINT64_FORMAT,
                      reader->len - end, end);
  return true;
}

static bool
check_chunks (CprReader *reader, GError **error)
{
  const Stage *stage = NULL;
  CprChunk chunk;

  reader->at = CPR_FORMAT_HEADER_SIZE;
  for (;;)
    {
      uint64_t end;

      if (!read_frame (reader, reader->at, &chunk, error))
        return false;
      if (chunk.type == CPR_CHUNK_BULK ? !check_bulk (reader, &chunk, error) : !check_chunk (reader, &chunk, error))
        return false;
      if (is_known (chunk.type) && !check_order (reader, &stage, &chunk, error))
        return false;
      g_array_append_val (reader->chunks, chunk);
      end = reader->at + padded (chunk.len) + FRAME;
      if (chunk.type == CPR_CHUNK_END)
        return check_end (reader, &chunk, end, error);
      reader->at = end;
    }
}

static bool
check (CprReader *reader, GError **error)
{
  reader->chunks = g_array_new (FALSE, FALSE, sizeof (CprChunk));
  reader->bulk = g_ptr_array_new_with_free_func (bulk_free);
  reader->bulk_by_device = g_hash_table_new (g_str_hash, g_str_equal);
  if (!check_header (reader, error) || !check_chunks (reader, error))
    return false;
  cpr_reader_rewind (reader);
  return true;
}

bool
cpr_reader_open (CprReader *reader, const void *data, size_t len, GError **error)
{
  *reader = (CprReader){ .data = data != NULL ? data : zeros, .len = len, .fd = -1 };
  return check (reader, error);
}

bool
cpr_reader_open_fd (CprReader *reader, int fd, GError **error)
{
  return cpr_reader_open_fd_with (reader, fd, NULL, error);
}

bool
cpr_reader_open_fd_with (CprReader *reader, int fd, void *spare, GError **error)
{
  struct stat st;

  *reader = (CprReader){ .fd = fd, .spare = spare };
  reader->blocks = g_ptr_array_new_with_free_func (g_free);
  if (cpr_sys->fstat (fd, &st) < 0)
    return cpr_throw_errno (error, errno, "state: fstat");
  reader->len = (uint64_t) st.st_size;
  return check (reader, error);
}

void
cpr_reader_clear (CprReader *reader)
{
  g_clear_pointer (&reader->chunks, g_array_unref);
  g_clear_pointer (&reader->bulk_by_device, g_hash_table_unref);
  g_clear_pointer (&reader->bulk, g_ptr_array_unref);
  g_clear_pointer (&reader->blocks, g_ptr_array_unref);
  g_clear_pointer (&reader->spare, g_free);
  g_clear_pointer (&reader->checksum, cpr_checksum_free);
}

bool
cpr_reader_next (CprReader *reader, CprChunk *chunk)
{
  for (; reader->next < reader->chunks->len; reader->next++)
    {
      *chunk = g_array_index (reader->chunks, CprChunk, reader->next);
      if (chunk->type == CPR_CHUNK_END)
        return false;
      if (!is_known (chunk->type))
        continue;
      reader->next++;
      reader->at = chunk->offset;
      return true;
    }
  return false;
}

void
cpr_reader_rewind (CprReader *reader)
{
  reader->next = 0;
  reader->at = 0;
}

const CprBulkData *
cpr_reader_find_bulk (const CprReader *reader, const char *device)
{
  return g_hash_table_lookup (reader->bulk_by_device, device);
}

size_t
cpr_reader_get_piece_size (const CprReader *reader, guint index)
{
  return g_array_index (reader->chunks, CprChunk, index).size;
}

/* The bytes before and after the data of a piece. */
typedef struct
{
  uint8_t prefix[CPR_FORMAT_CHUNK_HEADER_SIZE + BULK_PREFIX_MAX];
  uint8_t tail[7 + CPR_FORMAT_CHECKSUM_SIZE];
  size_t tail_len;
} Frame;

static bool
read_from_fd (const CprReader *reader, const CprChunk *chunk, uint8_t *data, Frame *frame)
{
  const struct iovec parts[] = { { frame->prefix, chunk->prefix },
                                 { data, chunk->size },
                                 { frame->tail, frame->tail_len } };
  size_t len = chunk->prefix + chunk->size + frame->tail_len;
  uint64_t at = chunk->offset;

  if (cpr_sys->preadv (reader->fd, parts, G_N_ELEMENTS (parts), (off_t) at) == (ssize_t) len)
    return true;
  for (size_t i = 0; i < G_N_ELEMENTS (parts); at += parts[i].iov_len, i++) /* cut off by a signal, or for good */
    if (!cpr_fd_read_at (reader->fd, parts[i].iov_base, parts[i].iov_len, at))
      return false;
  return true;
}

static void
copy_from_memory (const CprReader *reader, const CprChunk *chunk, uint8_t *data, Frame *frame)
{
  const uint8_t *start = reader->data + chunk->offset;

  memcpy (frame->prefix, start, chunk->prefix);
  memcpy (data, start + chunk->prefix, chunk->size);
  memcpy (frame->tail, start + chunk->prefix + chunk->size, frame->tail_len);
}

/* The checksum of the copy, which is still in the cache: so that it is right whatever happens to
 * the source meanwhile. */
static bool
check_copy (CprReader *reader, const CprChunk *chunk, const uint8_t *data, const Frame *frame)
{
  size_t padding = frame->tail_len - CPR_FORMAT_CHECKSUM_SIZE;
  uint64_t checksum;

  if (reader->checksum == NULL)
    reader->checksum = cpr_checksum_new ();
  cpr_checksum_begin (reader->checksum);
  cpr_checksum_add (reader->checksum, frame->prefix, chunk->prefix);
  cpr_checksum_add (reader->checksum, data, chunk->size);
  cpr_checksum_add (reader->checksum, frame->tail, padding);
  memcpy (&checksum, frame->tail + padding, sizeof checksum);
  return checksum == cpr_checksum_end (reader->checksum) && memcmp (frame->tail, zeros, padding) == 0;
}

bool
cpr_reader_read_piece (CprReader *reader, guint index, void *data, GError **error)
{
  const CprChunk *chunk = &g_array_index (reader->chunks, CprChunk, index);
  Frame frame = { .tail_len = (-chunk->size & 7) + CPR_FORMAT_CHECKSUM_SIZE };

  reader->at = chunk->offset;
  if (reader->data != NULL)
    copy_from_memory (reader, chunk, data, &frame);
  else if (!read_from_fd (reader, chunk, data, &frame))
    return throw_unreadable (chunk->offset, errno, error);
  if (check_copy (reader, chunk, data, &frame))
    return true;
  return cpr_throw (error, CPR_ERROR_CORRUPT,
                    "state: the checksum of the chunk at offset %" G_GUINT64_FORMAT " is wrong", chunk->offset);
}
