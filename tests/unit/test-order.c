/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds of streams and the order of their chunks, against a regular expression each; chunks
 * that nobody knows; and limits. */
#include "streams.h"

#include <unistd.h>

static CprWriter writer;
static GError *error;

static void
setup (void)
{
  cpr_writer_init (&writer, -1);
  error = NULL;
}

static void
teardown (void)
{
  cpr_writer_clear (&writer);
}

static void
restart (void)
{
  cpr_writer_clear (&writer);
  cpr_writer_init (&writer, -1);
}

/* A letter for each type; the END is put by itself. */
static const char letters[] = "VPUFRSsbQDANMTC";
static const uint32_t types[] = { CPR_CHUNK_VM,       CPR_CHUNK_PROGRAM, CPR_CHUNK_SUCCESSOR, CPR_CHUNK_FDS,
                                  CPR_CHUNK_RAM,      CPR_CHUNK_SCHEMA,  CPR_CHUNK_SECTION,   CPR_CHUNK_BULK,
                                  CPR_CHUNK_QUESTION, CPR_CHUNK_DEVICES, CPR_CHUNK_ANSWER,    CPR_CHUNK_FINDING,
                                  CPR_CHUNK_DMA,      CPR_CHUNK_STORE,   CPR_CHUNK_SUMS };
#define RIGHT_ORDER "^(VPU?FRM?Ss*b*|VPU?TFRM?Ss*b*C?|QVFRM?SDs*|Q|ASN*)$"

static void
write_sequence (const char *sequence)
{
  uint64_t bulk = 0;

  restart ();
  for (const char *at = sequence; *at != '\0'; at++)
    if (*at == 'b')
      {
        stream_put_piece (&writer, "device", bulk, "12345678", 8);
        bulk += 8;
      }
    else
      stream_put_chunk (&writer, types[strchr (letters, *at) - letters], 0, "payload", 7);
  ck_assert (cpr_writer_finish (&writer));
}

static unsigned n_right, n_wrong;

static void
try_sequence (const char *sequence)
{
  bool right = g_regex_match_simple (RIGHT_ORDER, sequence, 0, 0);

  write_sequence (sequence);
  ck_assert_msg (stream_reads (writer.data, writer.len, &error) == right, "'%s': %s", sequence,
                 error != NULL ? error->message : "reads");
  if (!right)
    assert_error (&error, CPR_ERROR_CORRUPT, "is out of order");
  n_right += right;
  n_wrong += !right;
}

static const char *const right_sequences[] = { "VPUFRSssbb", "VPFRSsb", "VPFRS", "VPFRSb",    "QVFRSDss", "QVFRSD",
                                               "Q",          "ASNNNN",  "AS",    "VPTFRSsbC", "VPUTFRS" };

START_TEST (the_kind_of_a_stream_is_that_of_its_first_chunk)
{
  for (size_t i = 0; i < G_N_ELEMENTS (right_sequences); i++)
    {
      const char *sequence = right_sequences[i];
      CprReader reader;

      try_sequence (sequence);
      ck_assert (cpr_reader_open (&reader, writer.data, writer.len, &error));
      ck_assert_int_eq (reader.kind, *sequence == 'Q'   ? CPR_STREAM_QUESTION
                                     : *sequence == 'A' ? CPR_STREAM_ANSWER
                                                        : CPR_STREAM_STATE);
      cpr_reader_clear (&reader);
    }
  ck_assert_uint_eq (n_right, G_N_ELEMENTS (right_sequences));
}
END_TEST

/* All sequences that are one step away from a right one: a chunk is missing, added or replaced, or
 * two are exchanged. */
START_TEST (one_step_away_from_a_right_order_is_right_only_by_the_rule)
{
  n_right = n_wrong = 0;
  for (size_t i = 0; i < G_N_ELEMENTS (right_sequences); i++)
    for (size_t at = 0; at <= strlen (right_sequences[i]); at++)
      {
        g_autoptr (GString) sequence = g_string_new (right_sequences[i]);

        for (const char *letter = letters; *letter != '\0'; letter++)
          {
            g_string_insert_c (sequence, (gssize) at, *letter);
            try_sequence (sequence->str);
            g_string_erase (sequence, (gssize) at, 1);
          }
        if (at == sequence->len)
          continue;
        for (size_t other = at + 1; other < sequence->len; other++)
          {
            char swap = sequence->str[at];

            sequence->str[at] = sequence->str[other];
            sequence->str[other] = swap;
            try_sequence (sequence->str);
            sequence->str[other] = sequence->str[at];
            sequence->str[at] = swap;
          }
        for (const char *letter = letters; *letter != '\0'; letter++)
          {
            sequence->str[at] = *letter;
            try_sequence (sequence->str);
          }
        g_string_erase (sequence, (gssize) at, 1);
        try_sequence (sequence->str);
      }
  ck_assert_uint_gt (n_right, 50);
  ck_assert_uint_gt (n_wrong, 1000);
}
END_TEST

START_TEST (types_of_the_table_must_not_be_marked_optional)
{
  for (uint32_t type = 0; type < 64; type++)
    {
      bool known = type <= CPR_CHUNK_SUMS || (type >= CPR_CHUNK_QUESTION && type <= CPR_CHUNK_FINDING);
      g_autofree char *reason = g_strdup_printf ("unknown chunk of type %u, flags 0x1, at offset 32", type);

      restart ();
      if (type == CPR_CHUNK_BULK)
        {
          stream_put_piece (&writer, "device", 0, "x", 1);
          writer.data[32 + 4] = 1;
        }
      else
        stream_put_chunk (&writer, type, CPR_CHUNK_FLAG_OPTIONAL, "12345678", 8);
      stream_put_chunk (&writer, CPR_CHUNK_QUESTION, 0, "", 0);
      cpr_writer_finish (&writer);
      ck_assert_msg (stream_reads (writer.data, writer.len, &error) == !known, "type %u", type);
      if (known)
        assert_error (&error, CPR_ERROR_VERSION, reason);
    }
}
END_TEST

START_TEST (unknown_mandatory_chunks_are_refused_wherever_they_stand)
{
  static const uint32_t unknown[] = { CPR_CHUNK_PAGES, 15, 20, 77, UINT32_MAX };

  for (size_t i = 0; i < G_N_ELEMENTS (unknown); i++)
    for (int place = 0; place < 2; place++)
      {
        restart ();
        if (place == 1)
          stream_put_chunk (&writer, CPR_CHUNK_QUESTION, 0, "", 0);
        stream_put_chunk (&writer, unknown[i], 0, "", 0);
        if (place == 0)
          stream_put_chunk (&writer, CPR_CHUNK_QUESTION, 0, "", 0);
        cpr_writer_finish (&writer);
        ck_assert (!stream_reads (writer.data, writer.len, &error));
        assert_error (&error, CPR_ERROR_VERSION, place == 0 ? "at offset 32" : "at offset 56");
      }
}
END_TEST

START_TEST (optional_chunks_are_checked_before_they_are_skipped)
{
  stream_put_chunk (&writer, 77, CPR_CHUNK_FLAG_OPTIONAL, "news", 4);
  stream_put_chunk (&writer, CPR_CHUNK_QUESTION, 0, "", 0);
  cpr_writer_finish (&writer);
  ck_assert (stream_reads (writer.data, writer.len, &error));
  writer.data[32 + 16] ^= 1;
  ck_assert (!stream_reads (writer.data, writer.len, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "the checksum of the chunk at offset 32 is wrong");
}
END_TEST

START_TEST (a_payload_has_at_most_64_mib)
{
  g_autofree uint8_t *payload = g_malloc0 (CPR_LIMIT_PAYLOAD + 1);

  for (int more = 0; more < 2; more++)
    {
      restart ();
      stream_put_chunk (&writer, CPR_CHUNK_QUESTION, 0, payload, CPR_LIMIT_PAYLOAD + (size_t) more);
      cpr_writer_finish (&writer);
      ck_assert (stream_reads (writer.data, writer.len, &error) == (more == 0));
      if (more == 1)
        assert_error (&error, CPR_ERROR_CORRUPT,
                      "state: the chunk at offset 32 has 67108865 bytes, at most 67108864 expected");
    }
}
END_TEST

/* The lengths go up to the highest one that the file has room for. The file has holes, and the
 * reader allocates nothing for them. */
START_TEST (a_chunk_that_is_too_long_is_refused_before_it_is_read)
{
  static const uint64_t lengths[] = { CPR_LIMIT_PAYLOAD + 1, UINT32_MAX, UINT64_C (1) << 40 };
  static const uint32_t long_types[] = { CPR_CHUNK_QUESTION, CPR_CHUNK_BULK, 77 };

  for (size_t i = 0; i < G_N_ELEMENTS (lengths); i++)
    for (size_t j = 0; j < G_N_ELEMENTS (long_types); j++)
      {
        CprReader reader;
        int fd;

        restart ();
        cpr_writer_put_u32 (&writer, long_types[j]);
        cpr_writer_put_u32 (&writer, long_types[j] == 77);
        cpr_writer_put_u64 (&writer, lengths[i]);
        fd = stream_to_fd (writer.data, writer.len);
        ck_assert_int_eq (ftruncate (fd, (off_t) (lengths[i] + 4096)), 0);
        ck_assert (!cpr_reader_open_fd (&reader, fd, &error));
        assert_error (&error, CPR_ERROR_CORRUPT, " bytes, at most ");
        cpr_reader_clear (&reader);
        close (fd);
      }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("order");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, the_kind_of_a_stream_is_that_of_its_first_chunk);
  tcase_add_test (tests, one_step_away_from_a_right_order_is_right_only_by_the_rule);
  tcase_add_test (tests, types_of_the_table_must_not_be_marked_optional);
  tcase_add_test (tests, unknown_mandatory_chunks_are_refused_wherever_they_stand);
  tcase_add_test (tests, optional_chunks_are_checked_before_they_are_skipped);
  tcase_add_test (tests, a_payload_has_at_most_64_mib);
  tcase_add_test (tests, a_chunk_that_is_too_long_is_refused_before_it_is_read);
  return run_suite (suite);
}
