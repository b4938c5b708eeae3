/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stored-judge.h"

#include "base/checksum.h"
#include "judge-bytes.h"

#define PIECE   (UINT64_C (2) << 20)
#define MOST    ((UINT64_C (1) << 62) - 1)
#define REGULAR 0100000
#define HEADER  32
#define OUTER   16 /* type, flags, length */

typedef struct
{
  Text name;
  uint64_t size, where, type, offset;
} Block;

static Block
read_block (Bytes *bytes)
{
  Block block = { .name = name (bytes) };

  block.size = number (bytes, 8);
  block.where = number (bytes, 4);
  block.type = number (bytes, 4);
  block.offset = number (bytes, 8);
  for (int i = 0; i < 5; i++)
    number (bytes, 8);
  return block;
}

/* The block at @index; all in front of it are right. */
static Block
get_block (Payload store, uint64_t index)
{
  Bytes bytes = open_payload (store);
  Block block;

  number (&bytes, 8);
  for (uint64_t i = 0; i <= index; i++)
    block = read_block (&bytes);
  return block;
}

static uint64_t
count_blocks (Payload store)
{
  Bytes bytes = open_payload (store);

  number (&bytes, 4);
  return number (&bytes, 4);
}

uint64_t
judged_layout (Payload store)
{
  Bytes bytes = open_payload (store);

  return number (&bytes, 4);
}

bool
judge_store (Payload store)
{
  Bytes bytes = open_payload (store);
  uint64_t layout = number (&bytes, 4), n = number (&bytes, 4), area = 0;

  for (uint64_t i = 0; i < n; i++)
    {
      Block block = read_block (&bytes);
      bool laid_out = block.where == 0 && layout == 0;

      if (bytes.bad || block.size < 1 || block.size > MOST || block.where > 1 || area > MOST ||
          block.offset != (laid_out ? area : 0))
        return false;
      for (uint64_t k = 0; k < i; k++)
        if (same (get_block (store, k).name, block.name))
          return false;
      if (laid_out)
        area += (block.size + PIECE - 1) / PIECE * PIECE;
    }
  return layout <= 1 && !bytes.bad && bytes.left == 0;
}

bool
judge_stored_ram (Payload ram, Payload store)
{
  Bytes bytes = open_payload (ram);
  uint64_t n = number (&bytes, 4);

  if (n != count_blocks (store))
    return false;
  for (uint64_t i = 0; i < n; i++)
    {
      Text own = name (&bytes);
      uint64_t size = number (&bytes, 8), backing = number (&bytes, 4), flags = number (&bytes, 4);
      Block block = get_block (store, i);

      if (bytes.bad || !same (own, block.name) || size != block.size || backing > 4 || flags > 31)
        return false;
    }
  return !bytes.bad && bytes.left == 0;
}

bool
judge_sums (Payload sums, bool there, Payload store)
{
  Bytes bytes = open_payload (sums);
  uint64_t expected = 0, n = number (&bytes, 4);

  for (uint64_t i = 0; i < count_blocks (store); i++)
    {
      Block block = get_block (store, i);

      if (block.where == 0 ? judged_layout (store) == 0 : block.type != REGULAR)
        expected += (block.size + PIECE - 1) / PIECE;
    }
  if (!there)
    return expected == 0;
  return !bytes.bad && expected > 0 && n == expected && bytes.left == 8 * n;
}

/* ---- The stream of pages. */

static uint64_t
number_at (const uint8_t *at, unsigned width)
{
  Bytes bytes = { at, width, false };

  return number (&bytes, width);
}

/* The chunk at the beginning of @data: its payload and its whole length. Returns 0 if there is
 * none. */
static uint64_t
read_chunk (Payload data, uint64_t *type, Payload *payload)
{
  uint64_t len, end;

  if (data.len < OUTER + 8)
    return 0;
  *type = number_at (data.data, 4);
  len = number_at (data.data + 8, 8);
  if (len > data.len)
    return 0;
  end = OUTER + (len + 7) / 8 * 8;
  if (end + 8 > data.len || number_at (data.data + 4, 4) != 0 ||
      number_at (data.data + end, 8) != cpr_checksum (data.data, (size_t) end))
    return 0;
  for (uint64_t i = OUTER + len; i < end; i++)
    if (data.data[i] != 0)
      return 0;
  *payload = (Payload){ data.data + OUTER, (size_t) len };
  return end + 8;
}

typedef struct
{
  Text block;
  uint64_t offset;
  Bytes bytes; /* the data */
} Piece;

static bool
read_piece (Payload payload, Piece *piece)
{
  Bytes bytes = open_payload (payload);

  piece->block = name (&bytes);
  piece->offset = number (&bytes, 8);
  while (!bytes.bad && (payload.len - bytes.left) % 8 != 0)
    if (number (&bytes, 1) != 0)
      return false;
  piece->bytes = bytes;
  return !bytes.bad && bytes.left >= 1 && bytes.left <= UINT64_C (4) << 20;
}

/* Goes on from the block at *current, of which @at bytes are done. */
static bool
judge_piece (const Piece *piece, Payload store, uint64_t *current, uint64_t *at)
{
  for (; *current < count_blocks (store); (*current)++, *at = 0)
    {
      Block block = get_block (store, *current);

      if (block.where != 0 || !same (block.name, piece->block))
        continue;
      if (piece->offset < *at || piece->offset > block.size || piece->bytes.left > block.size - piece->offset)
        return false;
      *at = piece->offset + piece->bytes.left;
      return true;
    }
  return false;
}

bool
judge_pages (Payload pages, const uint8_t header[32], Payload store)
{
  uint64_t current = 0, at = 0;

  if (pages.len < HEADER || memcmp (pages.data, header, HEADER) != 0)
    return false;
  pages = (Payload){ pages.data + HEADER, pages.len - HEADER };
  for (uint64_t n = 0;; n++)
    {
      Payload payload;
      uint64_t type, len = read_chunk (pages, &type, &payload);
      Piece piece;

      if (len == 0)
        return false;
      if (type == 0)
        return payload.len == 8 && number_at (payload.data, 8) == n && len == pages.len;
      if (type != 12 || !read_piece (payload, &piece) || !judge_piece (&piece, store, &current, &at))
        return false;
      pages = (Payload){ pages.data + len, pages.len - len };
    }
}

bool
judged_block (Payload store, uint64_t index, Payload *block, uint64_t *size, bool *copied)
{
  Block found;

  if (index >= count_blocks (store))
    return false;
  found = get_block (store, index);
  *block = (Payload){ found.name.at, found.name.len };
  *size = found.size;
  *copied = found.where == 0;
  return true;
}

uint8_t
judged_byte (Payload pages, Payload block, uint64_t offset)
{
  Text wanted = { block.data, block.len };
  uint64_t len, type;
  Payload payload;

  for (uint64_t at = HEADER;; at += len)
    {
      Piece piece;

      len = read_chunk ((Payload){ pages.data + at, pages.len - at }, &type, &payload);
      if (len == 0 || type == 0)
        return 0;
      if (read_piece (payload, &piece) && same (piece.block, wanted) && offset >= piece.offset &&
          offset - piece.offset < piece.bytes.left)
        return piece.bytes.at[offset - piece.offset];
    }
}
