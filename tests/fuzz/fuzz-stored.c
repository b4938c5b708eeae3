/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where RAM is in a state of reboot mode: any STORE, RAM and SUMS in a frame that is right, and
 * any bytes as the stream of pages behind it. The library and the specification judge them
 * alike; what was read is written as it was, and RAM holds what the pages say.
 *
 * The first byte says which payloads are in the input, GIVEN_…, each a u16 length and that many
 * bytes; and which good ones stand for the others. What follows are the pages, see make_pages(). */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "choices.h"
#include "frames.h"
#include "registry/ram/store.h"
#include "state/manifest.h"
#include "stored-judge.h"

enum
{
  GIVEN_STORE = 1,
  GIVEN_RAM = 2,
  GIVEN_SUMS = 4,
  NO_SUMS = 8,
  LAYOUT_1 = 16,
  RAW_PAGES = 32 /* the rest of the input, as it is */
};

#define NOTHING    "\0\0\0\0\0\0\0\0"
#define COPIED     "\0\0\0\0\0\0\0\0"
#define TWO_MIB_ON "\0\0\40\0\0\0\0\0"
#define REGULAR    "\1\0\0\0\0\200\0\0" NOTHING
#define FILE_1     "\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0" NOTHING "\0\20\0\0\0\0\0\0\7\0\0\0\0\0\0\0"
#define NO_FILE    NOTHING NOTHING NOTHING NOTHING NOTHING
#define BLOCKS(second)                                                                                              \
  "\3\0\0\0" /* pc, 2 MiB and a page; nv, a page in place; rom, a page: they have 3 sums where they are laid out */ \
  "\2\0pc\0"                                                                                                        \
  "\0\20\40\0\0\0\0\0" COPIED NOTHING NO_FILE "\2\0nv\0"                                                            \
  "\0\20\0\0\0\0\0\0" REGULAR FILE_1 "\3\0rom\0"                                                                    \
  "\0\20\0\0\0\0\0\0" COPIED second NO_FILE
static const char good_area[] = "\0\0\0\0" BLOCKS ("\0\0\100\0\0\0\0\0");
static const char good_stream[] = "\1\0\0\0" BLOCKS (NOTHING);
static const char good_ram[] = "\3\0\0\0"
                               "\2\0pc\0"
                               "\0\20\40\0\0\0\0\0" NOTHING "\2\0nv\0"
                               "\0\20\0\0\0\0\0\0"
                               "\2\0\0\0\0\0\0\0"
                               "\3\0rom\0"
                               "\0\20\0\0\0\0\0\0"
                               "\4\0\0\0\0\0\0\0";
static const char good_sums[] = "\3\0\0\0"
                                "11111111"
                                "22222222"
                                "33333333";
static const char good_vm[] = "\2\0vm\0\44\0"
                              "01234567-89ab-cdef-0123-456789abcdef"
                              "\0\0\0\0\0\1\0\0\0\3\0\0\0\0\0\0\0\0\0\0"
                              "\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static const char good_program[] = "\1\0\0\0\3\0\0\0vmm\0\0\0\0\0\1\0\0\0/\0\3\0\0\0vmm\0\22\0\0\0\0\0\0\0\0\0\0\0"
                                   "\1\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0";
static const char empty_fds[4], empty_schema[8];

/* ---- The input. */

typedef struct
{
  Payload store, ram, sums, pages;
  bool has_sums;
  GByteArray *made; /* the pages */
} Input;

static Payload
take (Choices *choices)
{
  size_t len = (size_t) choose_bytes (choices, 2);
  Payload payload = { choices->data, MIN (len, choices->left) };

  choices->data += payload.len;
  choices->left -= payload.len;
  return payload;
}

/* Puts a piece with the name of a good block, or another one, at any offset. */
static void
put_piece (GByteArray *payload, Choices *choices)
{
  static const char *const names[] = { "pc", "rom", "nv", "other" };
  const char *name = names[choose (choices, 4)];
  uint64_t offset = choose_bytes (choices, choose (choices, 9));
  uint16_t len = (uint16_t) strlen (name);

  g_byte_array_append (payload, (const uint8_t *) &len, sizeof len);
  g_byte_array_append (payload, (const uint8_t *) name, len + 1u);
  g_byte_array_append (payload, (const uint8_t *) &offset, sizeof offset);
  while (payload->len % 8 != 0)
    g_byte_array_append (payload, (const uint8_t *) "", 1);
}

static Frame *
make_frame (Choices *choices)
{
  Frame frame = { .type = CPR_CHUNK_PAGES, .payload = g_byte_array_new () };
  Frame *copy;
  Payload data;

  if (choose_one_in (choices, 16))
    frame.type = choose_byte (choices);
  if (choose_one_in (choices, 16))
    frame.flags = choose_byte (choices);
  if (choose_one_in (choices, 16))
    frame.padding = (uint8_t) choose_byte (choices);
  if (!choose_one_in (choices, 8))
    put_piece (frame.payload, choices);
  data = take (choices);
  g_byte_array_append (frame.payload, data.data, (guint) data.len);
  copy = frame_copy (&frame);
  g_byte_array_unref (frame.payload);
  return copy;
}

static void
frame_free (void *data)
{
  Frame *frame = data;

  g_byte_array_unref (frame->payload);
  g_free (frame);
}

/* Puts chunks into a right frame. Then it changes single bytes, and cuts off the end or more. */
static GByteArray *
make_pages (Choices *choices)
{
  g_autoptr (GPtrArray) frames = g_ptr_array_new_with_free_func (frame_free);
  size_t max_size = 64 * 1024 + 2 * choices->left;
  GByteArray *made = g_byte_array_new ();
  unsigned n = choose (choices, 8);

  for (unsigned i = 0; i < n; i++)
    g_ptr_array_add (frames, make_frame (choices));
  g_byte_array_set_size (made, (guint) max_size);
  g_byte_array_set_size (made, (guint) frames_write (frames, NULL, made->data, max_size));
  for (unsigned i = choose (choices, 4); i > 0; i--)
    {
      size_t at = (size_t) choose_bytes (choices, 2) % made->len;

      made->data[at] ^= (uint8_t) choose_byte (choices);
    }
  if (choose_one_in (choices, 8))
    g_byte_array_set_size (made, (guint) choose_bytes (choices, 2) % made->len);
  if (choose_one_in (choices, 8))
    g_byte_array_append (made, (const uint8_t *) "more", 1 + choose (choices, 4));
  return made;
}

static Input
read_input (const uint8_t *data, size_t size)
{
  Choices choices = { data, size };
  unsigned given = choose_byte (&choices);
  bool streamed = (given & LAYOUT_1) != 0;
  Input input = { .store = streamed ? (Payload){ (const uint8_t *) good_stream, sizeof good_stream - 1 }
                                    : (Payload){ (const uint8_t *) good_area, sizeof good_area - 1 },
                  .ram = { (const uint8_t *) good_ram, sizeof good_ram - 1 },
                  .sums = { (const uint8_t *) good_sums, sizeof good_sums - 1 },
                  .has_sums = (given & NO_SUMS) == 0 && (!streamed || (given & GIVEN_SUMS) != 0) };

  if ((given & GIVEN_STORE) != 0)
    input.store = take (&choices);
  if ((given & GIVEN_RAM) != 0)
    input.ram = take (&choices);
  if ((given & GIVEN_SUMS) != 0)
    input.sums = take (&choices);
  if ((given & RAW_PAGES) == 0)
    input.made = make_pages (&choices);
  input.pages =
      input.made != NULL ? (Payload){ input.made->data, input.made->len } : (Payload){ choices.data, choices.left };
  return input;
}

/* ---- The state. */

static void
put_chunk (CprWriter *writer, uint32_t type, const void *data, size_t len)
{
  cpr_writer_begin_chunk (writer, type, 0);
  cpr_writer_put (writer, data, len);
  cpr_writer_end_chunk (writer);
}

static void
write_state (const Input *input, CprWriter *writer)
{
  cpr_writer_init (writer, -1);
  put_chunk (writer, CPR_CHUNK_VM, good_vm, sizeof good_vm);
  put_chunk (writer, CPR_CHUNK_PROGRAM, good_program, sizeof good_program);
  put_chunk (writer, CPR_CHUNK_STORE, input->store.data, input->store.len);
  put_chunk (writer, CPR_CHUNK_FDS, empty_fds, sizeof empty_fds);
  put_chunk (writer, CPR_CHUNK_RAM, input->ram.data, input->ram.len);
  put_chunk (writer, CPR_CHUNK_SCHEMA, empty_schema, sizeof empty_schema);
  if (input->has_sums)
    put_chunk (writer, CPR_CHUNK_SUMS, input->sums.data, input->sums.len);
  cpr_writer_finish (writer);
}

static void
check_verdict (const char *what, bool ok, bool judged, const GError *error)
{
  g_assert (ok == (error == NULL));
  if (ok != judged)
    g_error ("%s: the library says '%s', the specification something else", what, ok ? "right" : error->message);
}

/* A chunk of the state is written as it was. */
static void
check_same (const CprWriter *writer, uint32_t type, Payload expected)
{
  CprReader reader;
  CprChunk chunk;
  bool ok = cpr_reader_open (&reader, writer->data, writer->len, NULL);

  g_assert (ok);
  while (cpr_reader_next (&reader, &chunk))
    if (chunk.type == type)
      g_assert (chunk.payload.len == expected.len && memcmp (chunk.payload.data, expected.data, expected.len) == 0);
  cpr_reader_clear (&reader);
}

static void
check_written_again (const CprRamStore *store, const Input *input)
{
  Input again = *input;
  CprWriter payload, state;
  size_t start;

  cpr_writer_init (&payload, -1);
  start = payload.len;
  cpr_ram_store_write (store, &payload);
  again.store = (Payload){ payload.data + start, payload.len - start };
  write_state (&again, &state);
  check_same (&state, CPR_CHUNK_STORE, input->store);
  cpr_writer_clear (&state);
  cpr_writer_clear (&payload);
}

/* ---- The pages. */

#define LOOKED_AT 16384 /* of a block's begin and of what comes next; the rest takes too long */

static void
check_contents (const CprRamStore *store, const Input *input)
{
  for (guint i = 0; i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];
      g_autofree uint8_t *bytes = g_malloc0 (LOOKED_AT);
      uint64_t size, len;
      struct stat st;
      Payload block;
      bool copied, ok = judged_block (input->store, i, &block, &size, &copied);

      g_assert (ok && copied == (stored->fd >= 0) && copied == !stored->in_place);
      if (!copied)
        continue;
      ok = fstat (stored->fd, &st) == 0;
      g_assert (ok && (uint64_t) st.st_size == size);
      len = MIN (size, LOOKED_AT);
      ok = cpr_fd_read_at (stored->fd, bytes, (size_t) len, 0);
      g_assert (ok);
      for (uint64_t at = 0; at < len; at += 1 + at / 8)
        g_assert (bytes[at] == judged_byte (input->pages, block, at));
    }
}

static void
receive (CprRamStore *store, const Input *input, const uint8_t *header)
{
  int fd = cpr_memfd_new ("pages", 0);
  GError *error = NULL;
  uint8_t byte;
  bool ok;

  ok = cpr_fd_write_all (fd, input->pages.data, input->pages.len) && lseek (fd, 0, SEEK_SET) == 0;
  g_assert (ok);
  ok = cpr_ram_store_receive (store, fd, &error);
  if (ok && read (fd, &byte, 1) != 0) /* as whoever takes it up looks for */
    {
      ok = false;
      g_set_error_literal (&error, CPR_ERROR, CPR_ERROR_CORRUPT, "bytes follow");
    }
  check_verdict ("pages", ok, judge_pages (input->pages, header, input->store), error);
  if (ok)
    check_contents (store, input);
  g_clear_error (&error);
  close (fd);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Input input = read_input (data, size);
  GError *error = NULL;
  CprManifest manifest;
  CprReader reader;
  CprWriter writer;
  bool ok;

  write_state (&input, &writer);
  ok = cpr_reader_open (&reader, writer.data, writer.len, &error);
  g_assert_no_error (error);
  g_assert (ok);
  cpr_manifest_init (&manifest);

  fuzz_begin ();
  ok = cpr_manifest_read (&manifest, &reader, &error) && cpr_manifest_read_sums (&manifest, &reader, &error);
  check_verdict ("store", ok,
                 judge_store (input.store) && judge_stored_ram (input.ram, input.store) &&
                     judge_sums (input.sums, input.has_sums, input.store),
                 error);
  if (ok)
    {
      g_assert (manifest.store->layout == judged_layout (input.store));
      check_written_again (manifest.store, &input);
      if (manifest.store->layout == CPR_RAM_LAYOUT_STREAM)
        receive (manifest.store, &input, writer.data);
    }
  fuzz_end ((5u << 20) + 64 * size); /* a chunk of pages may be of 4 MiB */

  g_clear_error (&error);
  cpr_manifest_clear (&manifest);
  cpr_reader_clear (&reader);
  cpr_writer_clear (&writer);
  g_clear_pointer (&input.made, g_byte_array_unref);
  return 0;
}
