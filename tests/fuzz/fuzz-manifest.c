/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Payloads of a manifest's chunks in a frame that is right: the library and the specification
 * judge them alike, and what was read is written as it was. */
#include <string.h>

#include "state/manifest.h"
#include "manifest-judge.h"
#include "stream/reader.h"
#include "stream/writer.h"

/* The payloads of chunks that are not in the input. */
#define BOOT_ID          "01234567-89ab-cdef-0123-456789abcdef"
#define FD(name, number) name number "\x80\0\0\2\0\0\0\1\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
static const char good_vm[] = "\2\0vm\0\44\0" BOOT_ID "\0\0\0\0\0\1\0\0\0\3\0\0\0\0\0\0\0\0\0\0"
                              "\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static const char good_program[] = "\1\0\0\0\3\0\0\0vmm\0\0\0\0\0\1\0\0\0/\0\3\0\0\0vmm\0\22\0\0\0\0\0\0\0\0\0\0\0"
                                   "\1\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0";
static const char good_successor[] = "\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\4\0beef";
static const char good_fds[] =
    "\7\0\0\0" FD ("\3\0tap\0\0\0\0\0", "\4\0\0\0\0") "\0" FD ("\15\0libcpr:ram:pc\0\0\0\0\0", "\5\0\0\0\0") "\0" FD (
        "\27\0libcpr:vfio-container:c\0\0\0\0\0",
        "\6\0\0\0\0") "\0" FD ("\24\0libcpr:vfio-device:d\0\0\0\0\0",
                               "\7\0\0\0\0") "\0" FD ("\21\0libcpr:vfio-group\0\32\0\0\0",
                                                      "\10\0\0\0\0") "\0" FD ("\21\0libcpr:vfio-irq:d\0\0\0\1\0",
                                                                              "\11\0\0\0\0") "\0" FD ("\21\0libcpr:"
                                                                                                      "vfio-irq:"
                                                                                                      "d\0\1\0\1\0",
                                                                                                      "\12\0\0\0\0");
static const char good_ram[] = "\1\0\0\0\2\0pc\0\0\20\0\0\0\0\0\0\0\0\0\0\0\0\0";
static const char good_dma[] = "\1\0\0\0\1\0c\0\1\0\0\0\0\0\0\0"
                               "\1\0\0\0\1\0d\0\3\0pci\0\32\0\0\0"
                               "\2\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0"
                               "\2\0\0\0\0\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0"
                               "\0\4\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\4\0\0\0\0\0";
static const char good_schema[] = "\0\0\0\0\0\0\0";

#define GOOD(type, payload)                     \
  {                                             \
    type,                                       \
    {                                           \
      (const uint8_t *) payload, sizeof payload \
    }                                           \
  }
static const struct
{
  uint32_t type;
  Payload good; /* the strings' own zero bytes are the last */
} chunks[] = {
  GOOD (CPR_CHUNK_VM, good_vm),   GOOD (CPR_CHUNK_PROGRAM, good_program), GOOD (CPR_CHUNK_SUCCESSOR, good_successor),
  GOOD (CPR_CHUNK_FDS, good_fds), GOOD (CPR_CHUNK_RAM, good_ram),         GOOD (CPR_CHUNK_SCHEMA, good_schema),
  GOOD (CPR_CHUNK_DMA, good_dma),
};
#define N_CHUNKS G_N_ELEMENTS (chunks)
#define DMA \
  (N_CHUNKS - 1) /* it may be missing: it is there where the input has it, or has this bit in its first byte */
#define WITH_DMA 0x80u

/* The first byte says which chunks are in the input. Each is a u16 length and that many bytes, or
 * fewer at the end. */
static void
take_payloads (const uint8_t *data, size_t size, Payload payloads[N_CHUNKS])
{
  unsigned given = size > 0 ? data[0] : 0;
  size_t at = 1;

  for (size_t i = 0; i < N_CHUNKS; i++)
    {
      size_t len;

      payloads[i] = chunks[i].good;
      if ((given & 1u << i) == 0)
        continue;
      len = at + 2 <= size ? (size_t) data[at] | (size_t) data[at + 1] << 8 : 0;
      at = MIN (at + 2, size);
      payloads[i] = (Payload){ data + at, MIN (len, size - at) };
      at += payloads[i].len;
    }
}

static void
write_chunk (const Payload payloads[N_CHUNKS], size_t i, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, chunks[i].type, 0);
  cpr_writer_put (writer, payloads[i].data, payloads[i].len);
  cpr_writer_end_chunk (writer);
}

/* DMA stands before SCHEMA. */
static void
write_stream (const Payload payloads[N_CHUNKS], bool with_dma, CprWriter *writer)
{
  cpr_writer_init (writer, -1);
  for (size_t i = 0; i < DMA - 1; i++)
    write_chunk (payloads, i, writer);
  if (with_dma)
    write_chunk (payloads, DMA, writer);
  write_chunk (payloads, DMA - 1, writer);
  cpr_writer_finish (writer);
}

static bool
judge (const Payload payloads[N_CHUNKS], bool with_dma)
{
  return judge_vm (payloads[0]) && judge_program (payloads[1]) && judge_successor (payloads[2]) &&
         judge_fds (payloads[3]) && judge_ram (payloads[4], payloads[3]) && judge_schema (payloads[5]) &&
         (!with_dma || judge_dma (payloads[6], payloads[3], payloads[4]));
}

/* ---- Writing it again. There is no writer of schemas that were read: this is one. */

static void
write_schema_field (const CprSchemaField *field, CprWriter *writer)
{
  cpr_writer_put_string (writer, field->name);
  cpr_writer_put_u8 (writer, (uint8_t) field->kind);
  cpr_writer_put_u8 (writer, (uint8_t) field->width);
  cpr_writer_put_u16 (writer, (uint16_t) field->flags);
  cpr_writer_put_u32 (writer, field->count);
  cpr_writer_put_u32 (writer, field->struct_index);
  cpr_writer_put_u64 (writer, field->default_value);
}

static void
write_schema (const CprSchema *schema, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_SCHEMA, 0);
  cpr_writer_put_u32 (writer, schema->structs->len);
  for (guint i = 0; i < schema->structs->len; i++)
    {
      const CprSchemaStruct *made = cpr_schema_get_struct (schema, i);

      cpr_writer_put_string (writer, made->name);
      cpr_writer_put_u32 (writer, made->fields->len);
      for (guint j = 0; j < made->fields->len; j++)
        write_schema_field (&g_array_index (made->fields, CprSchemaField, j), writer);
    }
  cpr_writer_put_u32 (writer, schema->types->len);
  for (guint i = 0; i < schema->types->len; i++)
    {
      const CprSchemaType *type = &g_array_index (schema->types, CprSchemaType, i);

      cpr_writer_put_string (writer, type->name);
      cpr_writer_put_u32 (writer, type->version);
      cpr_writer_put_u32 (writer, type->minimum_version);
      cpr_writer_put_u32 (writer, type->struct_index);
    }
  cpr_writer_end_chunk (writer);
}

static void
check_written_again (const CprManifest *manifest, bool with_dma, CprReader *original)
{
  CprChunk was, is;
  CprReader reader;
  CprWriter writer;
  bool ok;

  cpr_writer_init (&writer, -1);
  cpr_manifest_write_vm (manifest, &writer);
  cpr_manifest_write_program (&manifest->program, &manifest->successor, &writer);
  cpr_manifest_write_tables (&manifest->fds, &manifest->ram, &writer);
  if (with_dma && manifest->vfio.containers->len == 0) /* nobody writes an empty one */
    write_chunk ((Payload[N_CHUNKS]){ [DMA] = { (const uint8_t *) "\0\0\0", 4 } }, DMA, &writer);
  cpr_manifest_write_vfio (&manifest->vfio, &manifest->ram, &writer);
  write_schema (&manifest->schema, &writer);
  cpr_writer_finish (&writer);

  ok = cpr_reader_open (&reader, writer.data, writer.len, NULL);
  g_assert (ok);
  cpr_reader_rewind (original);
  while (cpr_reader_next (original, &was))
    {
      ok = cpr_reader_next (&reader, &is);
      g_assert (ok && is.type == was.type);
      g_assert (is.len == was.len);
      g_assert (memcmp (is.payload.data, was.payload.data, is.len) == 0);
    }
  cpr_reader_clear (&reader);
  cpr_writer_clear (&writer);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Payload payloads[N_CHUNKS];
  GError *error = NULL;
  CprManifest manifest;
  CprReader reader;
  CprWriter writer;
  bool with_dma = size > 0 && (data[0] & (WITH_DMA | 1u << DMA)) != 0, ok;

  take_payloads (data, size, payloads);
  write_stream (payloads, with_dma, &writer);
  ok = cpr_reader_open (&reader, writer.data, writer.len, &error);
  g_assert_no_error (error);
  g_assert (ok && reader.kind == CPR_STREAM_STATE);

  fuzz_begin ();
  cpr_manifest_init (&manifest);
  ok = cpr_manifest_read (&manifest, &reader, &error);
  fuzz_end (16 * 1024 + 24 * size);
  g_assert (ok == (error == NULL));
  if (ok != judge (payloads, with_dma))
    g_error ("the library says '%s', the specification something else", ok ? "right" : error->message);
  /* The payloads that are not in the input are right. */
  if (size == 0)
    g_assert_no_error (error);
  if (ok)
    check_written_again (&manifest, with_dma, &reader);
  g_clear_error (&error);
  cpr_manifest_clear (&manifest);
  cpr_reader_clear (&reader);
  cpr_writer_clear (&writer);
  return 0;
}
