/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mutations of streams, most of which keep the frame right. */
#include <string.h>

#include "frames.h"
#include "stream/wire.h"

#define PAYLOAD_MORE 256

static void
mutate_payload (Frame *frame)
{
  GByteArray *payload = frame->payload;
  guint len = payload->len;

  g_byte_array_set_size (payload, len + PAYLOAD_MORE);
  g_byte_array_set_size (payload, (guint) LLVMFuzzerMutate (payload->data, len, payload->len));
}

static void
mutate_frames (GPtrArray *frames, GRand *random)
{
  guint at = (guint) g_rand_int_range (random, 0, (gint32) frames->len);
  Frame *frame = frames->pdata[at];

  switch (g_rand_int_range (random, 0, 16))
    {
    case 0:
      g_ptr_array_remove_index (frames, at);
      break;
    case 1:
      g_ptr_array_insert (frames, (gint) at, frame_copy (frame));
      break;
    case 2:
      g_ptr_array_insert (frames, g_rand_int_range (random, 0, (gint32) frames->len), frame_copy (frame));
      break;
    case 3:
      frame->type = (uint32_t) g_rand_int_range (random, 1, 24);
      break;
    case 4:
      frame->flags ^= 1;
      break;
    case 5:
      frame->padding = (uint8_t) g_rand_int_range (random, 0, 2);
      break;
    default:
      mutate_payload (frame);
      break;
    }
}

/* Each piece of bulk data begins where the one before it ended. */
static void
repair_bulk (const GPtrArray *frames)
{
  uint64_t offset = 0;

  for (guint i = 0; i < frames->len; i++)
    {
      const Frame *frame = frames->pdata[i], *before = i > 0 ? frames->pdata[i - 1] : NULL;
      CprCursor cursor = { .data = frame->payload->data, .len = frame->payload->len };
      size_t name;

      if (frame->type != CPR_CHUNK_BULK || cursor.len == 0)
        continue;
      cpr_cursor_get_name (&cursor);
      name = cursor.pos;
      cpr_cursor_get_u64 (&cursor);
      if (cursor.failed)
        continue;
      if (before == NULL || before->type != CPR_CHUNK_BULK || before->payload->len < name ||
          memcmp (before->payload->data, frame->payload->data, name) != 0)
        offset = 0;
      memcpy (frame->payload->data + name, &offset, sizeof offset);
      offset += frame->payload->len - MIN (frame->payload->len, (name + 8 + 7) / 8 * 8);
    }
}

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  g_autoptr (GPtrArray) frames = frames_read (data, size);
  bool keep_head = size >= CPR_FORMAT_HEADER_SIZE && g_rand_int_range (random, 0, 16) == 0;
  size_t made;

  if (frames->len == 0 || g_rand_int_range (random, 0, 32) == 0)
    return LLVMFuzzerMutate (data, size, max_size);
  mutate_frames (frames, random);
  if (g_rand_boolean (random))
    repair_bulk (frames);
  made = frames_write (frames, keep_head ? data : NULL, data, max_size);
  return made != 0 ? made : LLVMFuzzerMutate (data, size, max_size);
}

/* Joins the first frames of one stream and the last frames of the other. */
size_t
LLVMFuzzerCustomCrossOver (const uint8_t *data1,
                           size_t size1,
                           const uint8_t *data2,
                           size_t size2,
                           uint8_t *out,
                           size_t max_out_size,
                           unsigned seed)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  g_autoptr (GPtrArray) one = frames_read (data1, size1), other = frames_read (data2, size2);
  guint cut = (guint) g_rand_int_range (random, 0, (gint32) one->len + 1);

  g_ptr_array_set_size (one, (gint) cut);
  for (guint i = (guint) g_rand_int_range (random, 0, (gint32) other->len + 1); i < other->len; i++)
    g_ptr_array_add (one, frame_copy (other->pdata[i]));
  return frames_write (one, NULL, out, max_out_size);
}
