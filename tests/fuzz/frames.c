/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "frames.h"

#include <string.h>

#include "base/checksum.h"
#include "stream/format.h"

static void
frame_free (void *data)
{
  Frame *frame = data;

  g_byte_array_unref (frame->payload);
  g_free (frame);
}

static Frame *
frame_new (uint32_t type, uint32_t flags, const uint8_t *payload, size_t len)
{
  Frame *frame = g_new0 (Frame, 1);

  frame->type = type;
  frame->flags = flags;
  frame->payload = g_byte_array_new ();
  g_byte_array_append (frame->payload, payload, (guint) len);
  return frame;
}

Frame *
frame_copy (const Frame *frame)
{
  Frame *copy = frame_new (frame->type, frame->flags, frame->payload->data, frame->payload->len);

  copy->padding = frame->padding;
  return copy;
}

GPtrArray *
frames_read (const uint8_t *data, size_t size)
{
  GPtrArray *frames = g_ptr_array_new_with_free_func (frame_free);
  size_t at = CPR_FORMAT_HEADER_SIZE;

  while (at + CPR_FORMAT_CHUNK_HEADER_SIZE + CPR_FORMAT_CHECKSUM_SIZE <= size)
    {
      size_t left = size - at - CPR_FORMAT_CHUNK_HEADER_SIZE - CPR_FORMAT_CHECKSUM_SIZE;
      uint32_t type, flags;
      uint64_t len;
      Frame *frame;

      memcpy (&type, data + at, sizeof type);
      memcpy (&flags, data + at + 4, sizeof flags);
      memcpy (&len, data + at + 8, sizeof len);
      if (type == CPR_CHUNK_END)
        break;
      len = MIN (len, left);
      frame = frame_new (type, flags, data + at + CPR_FORMAT_CHUNK_HEADER_SIZE, len);
      if (len < left && len % 8 != 0)
        frame->padding = data[at + CPR_FORMAT_CHUNK_HEADER_SIZE + len];
      g_ptr_array_add (frames, frame);
      at += CPR_FORMAT_CHUNK_HEADER_SIZE + len + (-len & 7) + CPR_FORMAT_CHECKSUM_SIZE;
    }
  return frames;
}

static void
put_chunk (GByteArray *out, uint32_t type, uint32_t flags, const void *payload, size_t len, uint8_t padding)
{
  const uint8_t pad[8] = { padding, 0, 0, 0, 0, 0, 0, 0 };
  guint start = out->len;
  uint64_t length = len, checksum;

  g_byte_array_append (out, (const uint8_t *) &type, sizeof type);
  g_byte_array_append (out, (const uint8_t *) &flags, sizeof flags);
  g_byte_array_append (out, (const uint8_t *) &length, sizeof length);
  g_byte_array_append (out, payload, (guint) len);
  g_byte_array_append (out, pad, -len & 7);
  checksum = cpr_checksum (out->data + start, out->len - start);
  g_byte_array_append (out, (const uint8_t *) &checksum, sizeof checksum);
}

static void
put_header (GByteArray *out, const uint8_t *head)
{
  static const uint8_t right[24] = CPR_FORMAT_MAGIC "\x01\0\0\0\x04\x03\x02\x01";
  uint64_t checksum;

  g_byte_array_append (out, head != NULL ? head : right, sizeof right);
  checksum = cpr_checksum (out->data, out->len);
  g_byte_array_append (out, (const uint8_t *) &checksum, sizeof checksum);
}

size_t
frames_write (const GPtrArray *frames, const uint8_t *head, uint8_t *out, size_t max_size)
{
  g_autoptr (GByteArray) made = g_byte_array_new ();
  uint64_t n = frames->len;

  put_header (made, head);
  for (guint i = 0; i < frames->len; i++)
    {
      const Frame *frame = frames->pdata[i];

      put_chunk (made, frame->type, frame->flags, frame->payload->data, frame->payload->len, frame->padding);
    }
  put_chunk (made, CPR_CHUNK_END, 0, &n, sizeof n, 0);
  if (made->len > max_size)
    return 0;
  memcpy (out, made->data, made->len);
  return made->len;
}
