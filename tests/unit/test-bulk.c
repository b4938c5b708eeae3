/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device's bulk data: its pieces in the stream, what devices do with it, and how little memory
 * it takes. */
#include "programs.h"
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t) 1024 * 1024)

/* A device with a frame buffer. */
typedef struct
{
  uint32_t number;
  const uint8_t *out; /* what it saves */
  size_t out_len;
  size_t step; /* so many bytes in one call; 0: all */
  uint8_t *in; /* where it loads to */
  size_t in_len;
  uint64_t seen; /* what was left at first */
  bool loaded;
  enum
  {
    WORKS,
    FAILS,
    FAILS_SILENTLY
  } save, load;
} Screen;

static Programs programs;
static GError *error;
static Screen from, to;
static uint8_t *data;

static bool
answer (int how, const char *text, GError **to_error)
{
  if (how == FAILS)
    g_set_error (to_error, g_quark_from_static_string ("screen"), 5, "%s", text);
  return how == WORKS;
}

static bool
save_screen (void *device, CprBulk *bulk, GError **to_error)
{
  Screen *screen = device;
  size_t step = screen->step != 0 ? screen->step : MAX (screen->out_len, 1);

  for (size_t done = 0; done < screen->out_len; done += step)
    if (!cpr_bulk_write (bulk, screen->out + done, MIN (step, screen->out_len - done), to_error))
      return false;
  return answer (screen->save, "frame buffer is gone", to_error);
}

static bool
load_screen (void *device, CprBulk *bulk, GError **to_error)
{
  Screen *screen = device;
  size_t step = screen->step != 0 ? screen->step : MAX (screen->in_len, 1);

  screen->loaded = true;
  screen->seen = cpr_bulk_get_left (bulk);
  for (size_t done = 0; done < screen->in_len; done += step)
    {
      size_t size = MIN (step, screen->in_len - done);
      uint64_t left = cpr_bulk_get_left (bulk);

      if (!cpr_bulk_read (bulk, screen->in + done, size, to_error))
        return false;
      ck_assert_uint_eq (cpr_bulk_get_left (bulk), left - size);
    }
  return answer (screen->load, "no such mode", to_error);
}

static const CprField screen_fields[] = { CPR_FIELD (Screen, number), CPR_FIELD_END };
static const CprDeviceType screen_type = {
  .size = sizeof (CprDeviceType),
  .name = "screen",
  .version = 1,
  .minimum_version = 1,
  .state = { "Screen", sizeof (Screen), screen_fields },
  .save_bulk = save_screen,
  .load_bulk = load_screen,
};
static const CprDeviceType blind_type = {
  .size = sizeof (CprDeviceType),
  .name = "screen",
  .version = 1,
  .minimum_version = 1,
  .state = { "Screen", sizeof (Screen), screen_fields },
};

static void
setup (void)
{
  programs_init (&programs);
  error = NULL;
  data = g_malloc (3 * MIB);
  for (size_t i = 0; i < 3 * MIB; i++)
    data[i] = (uint8_t) (i * 13 + (i >> 11));
  from = (Screen){ .number = 7, .out = data, .out_len = 3 * MIB };
  to = (Screen){ .number = 9, .in_len = 3 * MIB };
  to.in = g_malloc0 (3 * MIB);
  ck_assert (cpr_device_table_add (&programs.saved, "screen", &screen_type, &from, NULL));
}

static void
teardown (void)
{
  programs_clear (&programs);
  g_free (data);
  g_free (to.in);
}

static void
expect (const CprDeviceType *type)
{
  ck_assert (cpr_device_table_add (&programs.loaded, "screen", type, &to, NULL));
}

static void
assert_fails (int code, const char *text)
{
  ck_assert (!programs_load (&programs, &error));
  assert_error (&error, code, text);
}

/* ---- The devices' side. */

START_TEST (bulk_data_arrives_in_steps_of_any_size)
{
  static const size_t steps[] = { 0, 1, 7, 4096, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 2 * MIB };
  static const size_t lengths[] = { 1, 100, 256 * 1024, 256 * 1024 + 1, 3 * MIB };

  expect (&screen_type);
  for (size_t i = 0; i < G_N_ELEMENTS (lengths); i++)
    for (size_t j = 0; j < G_N_ELEMENTS (steps); j++)
      for (size_t k = 0; k < G_N_ELEMENTS (steps); k++)
        {
          if ((lengths[i] > 1000 && (steps[j] < 1000 || steps[k] < 1000) && (steps[j] > 0 || steps[k] > 0)) ||
              (under_valgrind () && lengths[i] == 3 * MIB && j != k))
            continue;
          from.out_len = to.in_len = lengths[i];
          from.step = steps[j];
          to.step = steps[k];
          memset (to.in, 0, lengths[i]);
          ck_assert (programs_save (&programs, &error));
          ck_assert_msg (programs_load (&programs, &error), "%s", error != NULL ? error->message : "");
          ck_assert_uint_eq (to.seen, lengths[i]);
          ck_assert_uint_eq (to.number, 7);
          ck_assert (memcmp (to.in, data, lengths[i]) == 0);
        }
}
END_TEST

START_TEST (bulk_data_arrives_through_an_fd)
{
  static const size_t steps[] = { 0, 1000, 300 * 1024, 2 * MIB };

  programs_use_fd (&programs);
  expect (&screen_type);
  for (size_t i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      from.step = steps[i];
      to.step = steps[G_N_ELEMENTS (steps) - 1 - i];
      memset (to.in, 0, to.in_len);
      ck_assert (programs_save (&programs, &error));
      ck_assert_msg (programs_load (&programs, &error), "%s", error != NULL ? error->message : "");
      ck_assert (memcmp (to.in, data, to.in_len) == 0);
    }
}
END_TEST

START_TEST (without_bulk_data_load_bulk_is_not_called)
{
  from.out_len = 0;
  expect (&screen_type);
  ck_assert (programs_save (&programs, &error));
  ck_assert (programs_load (&programs, &error));
  ck_assert (!to.loaded);
  ck_assert_uint_eq (to.number, 7);
}
END_TEST

START_TEST (bulk_data_that_is_left_over_is_an_error)
{
  from.out_len = 1000;
  to.in_len = 999;
  expect (&screen_type);
  ck_assert (programs_save (&programs, &error));
  assert_fails (CPR_ERROR_MISMATCH, "device 'screen': load_bulk should read all of its bulk data, and left 1 bytes");
  to.in_len = 0;
  assert_fails (CPR_ERROR_MISMATCH, "device 'screen': load_bulk should read all of its bulk data, and left 1000 bytes");
}
END_TEST

START_TEST (more_bulk_data_than_there_is_cannot_be_read)
{
  from.out_len = 1000;
  to.in_len = 1001;
  expect (&screen_type);
  ck_assert (programs_save (&programs, &error));
  assert_fails (CPR_ERROR_MISMATCH, "device 'screen': 1001 more bytes of bulk data are wanted, 1000 are left");
  to.step = 600;
  assert_fails (CPR_ERROR_MISMATCH, "device 'screen': 401 more bytes of bulk data are wanted, 400 are left");
}
END_TEST

START_TEST (bulk_data_without_load_bulk_is_refused_before_anything_is_applied)
{
  expect (&blind_type);
  ck_assert (programs_save (&programs, &error));
  assert_fails (CPR_ERROR_MISMATCH, "device 'screen': the state has bulk data, and the type here has no load_bulk");
  ck_assert_uint_eq (to.number, 9);
}
END_TEST

START_TEST (callbacks_fail_with_their_reason_or_without_one)
{
  from.out_len = to.in_len = 100;
  expect (&screen_type);
  from.save = FAILS;
  ck_assert (!programs_save (&programs, &error));
  ck_assert_str_eq (error->message, "device 'screen': frame buffer is gone");
  ck_assert (g_error_matches (error, g_quark_from_static_string ("screen"), 5));
  g_clear_error (&error);
  from.save = FAILS_SILENTLY;
  ck_assert (!programs_save (&programs, &error));
  assert_error (&error, CPR_ERROR_CALLBACK, "device 'screen': save_bulk failed without a reason");
  from.save = WORKS;
  ck_assert (programs_save (&programs, &error));
  to.load = FAILS;
  ck_assert (!programs_load (&programs, &error));
  ck_assert_str_eq (error->message, "device 'screen': no such mode");
  g_clear_error (&error);
  to.load = FAILS_SILENTLY;
  assert_fails (CPR_ERROR_CALLBACK, "device 'screen': load_bulk failed without a reason");
}
END_TEST

START_TEST (bulk_data_that_cannot_be_written_is_a_system_error)
{
  programs.fd = open ("/dev/full", O_RDWR | O_CLOEXEC);
  ck_assert_int_ge (programs.fd, 3);
  cpr_schema_builder_init (&programs.builder);
  cpr_writer_init (&programs.writer, programs.fd);
  ck_assert (!cpr_device_table_write_sections (&programs.saved, &programs.builder, NULL, &programs.writer, &error));
  ck_assert_int_eq (cpr_error_get_errno (error), ENOSPC);
  assert_error (&error, CPR_ERROR_SYSTEM, "device 'screen': state: writing 3145728 bytes");
}
END_TEST

/* ---- The pieces in the stream. */

typedef struct
{
  const char *device;
  uint64_t offset;
  size_t len;
} Piece;

static void
write_pieces (const Piece *pieces, size_t n)
{
  programs_begin (&programs);
  programs_begin_section (&programs, "screen", 0, 0);
  cpr_writer_put_u32 (&programs.writer, 7);
  cpr_writer_end_chunk (&programs.writer);
  for (size_t i = 0; i < n; i++)
    stream_put_piece (&programs.writer, pieces[i].device, pieces[i].offset, data + pieces[i].offset % MIB,
                      pieces[i].len);
  programs_end (&programs);
}

static void
assert_pieces_refused (const Piece *pieces, size_t n, const char *text)
{
  write_pieces (pieces, n);
  to.number = 9;
  assert_fails (CPR_ERROR_CORRUPT, text);
  ck_assert_uint_eq (to.number, 9);
  ck_assert (!to.loaded);
  if (programs.verify_error != NULL) /* the reader has nothing against it */
    ck_assert_str_eq (programs.verify_error, text);
  else
    {
      ck_assert (!stream_reads (programs.writer.data, programs.writer.len, &error));
      assert_error (&error, CPR_ERROR_CORRUPT, text);
    }
}

START_TEST (pieces_of_any_size_make_up_the_data)
{
  const Piece pieces[] = { { "screen", 0, 1 }, { "screen", 1, 7 }, { "screen", 8, 1000 }, { "screen", 1008, 100000 } };

  expect (&screen_type);
  to.in_len = 101008;
  for (to.step = 0; to.step < 5000; to.step += 999)
    {
      memset (to.in, 0, to.in_len);
      write_pieces (pieces, G_N_ELEMENTS (pieces));
      ck_assert_msg (programs_load (&programs, &error), "%s", error != NULL ? error->message : "");
      ck_assert (memcmp (to.in, data, to.in_len) == 0);
    }
}
END_TEST

START_TEST (pieces_out_of_order_or_twice_are_refused)
{
  static const Piece wrong[][3] = {
    { { "screen", 8, 8 }, { "screen", 0, 8 }, { "screen", 16, 8 } }, /* not from 0 on */
    { { "screen", 0, 8 }, { "screen", 16, 8 }, { "screen", 8, 8 } }, /* another order */
    { { "screen", 0, 8 }, { "screen", 8, 8 }, { "screen", 8, 8 } },  /* twice */
    { { "screen", 0, 8 }, { "screen", 8, 8 }, { "screen", 0, 8 } },  /* again from 0 on */
    { { "screen", 0, 8 }, { "screen", 8, 8 }, { "screen", 17, 8 } }, /* a hole */
    { { "screen", 0, 8 }, { "screen", 8, 8 }, { "screen", 15, 8 } }, /* overlapping */
    { { "screen", 0, 8 }, { "other", 0, 8 }, { "screen", 8, 8 } },   /* another device's between */
    { { "screen", 0, 8 }, { "screen", 8, 8 }, { "screen", UINT64_MAX, 8 } },
  };

  expect (&screen_type);
  for (size_t i = 0; i < G_N_ELEMENTS (wrong); i++)
    assert_pieces_refused (wrong[i], 3, "doesn't go on where the last piece ended");
}
END_TEST

START_TEST (pieces_without_a_section_are_refused)
{
  const Piece pieces[] = { { "screen", 0, 8 }, { "other", 0, 8 } };

  expect (&screen_type);
  to.in_len = 8;
  assert_pieces_refused (pieces, 2, "device 'other' has bulk data and no section");
}
END_TEST

START_TEST (a_piece_has_1_byte_to_4_mib)
{
  g_autofree char *longest = name_of (255), *too_long = name_of (256);
  Piece piece = { "screen", 0, 0 };

  g_free (data);
  data = g_malloc0 (CPR_LIMIT_BULK + 1);
  g_free (to.in);
  to.in = g_malloc (CPR_LIMIT_BULK);
  expect (&screen_type);
  assert_pieces_refused (&piece, 1, "the bulk data at offset");
  piece.len = CPR_LIMIT_BULK + 1;
  assert_pieces_refused (&piece, 1, "the bulk data at offset");
  piece = (Piece){ "", 0, 1 };
  assert_pieces_refused (&piece, 1, "the bulk data at offset");
  piece.device = too_long;
  assert_pieces_refused (&piece, 1, "the bulk data at offset");
  piece = (Piece){ longest, 0, CPR_LIMIT_BULK };
  write_pieces (&piece, 1);
  ck_assert (stream_reads (programs.writer.data, programs.writer.len, &error));
  piece.device = "screen";
  to.in_len = CPR_LIMIT_BULK;
  write_pieces (&piece, 1);
  ck_assert (programs_load (&programs, &error));
}
END_TEST

START_TEST (optional_chunks_between_pieces_are_skipped)
{
  expect (&screen_type);
  to.in_len = 24;
  for (to.step = 0; to.step < 20; to.step += 5)
    {
      programs_begin (&programs);
      programs_begin_section (&programs, "screen", 0, 0);
      cpr_writer_put_u32 (&programs.writer, 7);
      cpr_writer_end_chunk (&programs.writer);
      for (uint64_t offset = 0; offset < 24; offset += 8)
        {
          stream_put_chunk (&programs.writer, 77, CPR_CHUNK_FLAG_OPTIONAL, "news", 4);
          stream_put_piece (&programs.writer, "screen", offset, data + offset, 8);
        }
      programs_end (&programs);
      memset (to.in, 0, 24);
      ck_assert_msg (programs_load (&programs, &error), "%s", error != NULL ? error->message : "");
      ck_assert_mem_eq (to.in, data, 24);
    }
}
END_TEST

/* Every byte of the chunk is tried, in its frame, name, padding and checksum, too. */
START_TEST (damage_of_a_piece_is_found_by_reading_it_at_the_latest)
{
  size_t start, end;

  from.out_len = to.in_len = 101;
  expect (&screen_type);
  ck_assert (programs_save (&programs, &error));
  end = programs.writer.len - 32;
  start = end - 16 - 24 - 104 - 8;
  for (size_t at = start; at < end; at++)
    for (unsigned bit = 0; bit < 8; bit += 3)
      {
        programs.writer.data[at] ^= (uint8_t) (1u << bit);
        ck_assert_msg (!programs_load (&programs, &error), "byte %zu, bit %u", at - start, bit);
        /* A length that could be right is noticed when the device reads less or more than that. */
        ck_assert_msg (error->domain == CPR_ERROR &&
                           (error->code == CPR_ERROR_CORRUPT || error->code == CPR_ERROR_VERSION ||
                            (error->code == CPR_ERROR_MISMATCH && at == start + 8)),
                       "byte %zu, bit %u: %s", at - start, bit, error->message);
        g_clear_error (&error);
        programs.writer.data[at] ^= (uint8_t) (1u << bit);
      }
  ck_assert (programs_load (&programs, &error));
}
END_TEST

/* The checksum is right here. */
static void
pad_with (size_t start, size_t end, size_t at)
{
  uint64_t checksum;

  programs.writer.data[at] = 1;
  checksum = cpr_checksum (programs.writer.data + start, end - start);
  memcpy (programs.writer.data + end, &checksum, sizeof checksum);
}

START_TEST (the_padding_of_a_piece_is_zero_before_its_data_and_behind_them)
{
  size_t start, end;

  from.out_len = to.in_len = 101;
  expect (&screen_type);
  for (int in_fd = 0; in_fd < 2; in_fd++)
    for (int behind = 0; behind < 2; behind++)
      {
        ck_assert (programs_save (&programs, &error));
        end = programs.writer.len - 32 - 8;
        start = end - 16 - 24 - 104;
        pad_with (start, end, behind == 1 ? end - 1 : start + 16 + 23);
        if (in_fd == 1)
          programs.fd = stream_to_fd (programs.writer.data, programs.writer.len);
        ck_assert (!programs_load (&programs, &error));
        assert_error (&error, CPR_ERROR_CORRUPT, behind == 1 ? "the chunk at offset" : "the bulk data at offset");
        cpr_fd_clear (&programs.fd);
      }
}
END_TEST

START_TEST (damage_of_the_second_piece_names_it_and_nothing_after_it_arrives)
{
  expect (&screen_type);
  to.step = 256 * 1024;
  ck_assert (programs_save (&programs, &error));
  programs.writer.data[programs.writer.len - 32 - 11 * 256 * 1024] ^= 1;
  assert_fails (CPR_ERROR_CORRUPT, "device 'screen': state: the checksum of the chunk at offset 262");
  ck_assert (memcmp (to.in, data, 256 * 1024) == 0);
  ck_assert_uint_eq (to.in[2 * 256 * 1024], 0);
}
END_TEST

/* ---- Memory. */

#define STREAM_SIZE (256 * MIB)
#define MOST_KIB    (16 * 1024)

static unsigned long
get_peak_kib (void)
{
  g_autofree char *status = NULL;
  const char *line;

  ck_assert (g_file_get_contents ("/proc/self/status", &status, NULL, NULL));
  line = strstr (status, "VmHWM:");
  ck_assert_ptr_nonnull (line);
  return strtoul (line + 6, NULL, 10);
}

static bool
save_much (void *device G_GNUC_UNUSED, CprBulk *bulk, GError **to_error)
{
  for (size_t done = 0; done < STREAM_SIZE; done += MIB)
    if (!cpr_bulk_write (bulk, data + done / MIB, MIB, to_error))
      return false;
  return true;
}

static bool
load_much (void *device G_GNUC_UNUSED, CprBulk *bulk, GError **to_error)
{
  for (size_t done = 0; done < STREAM_SIZE; done += MIB)
    {
      if (!cpr_bulk_read (bulk, to.in, MIB, to_error))
        return false;
      ck_assert (memcmp (to.in, data + done / MIB, MIB) == 0);
    }
  return true;
}

/* This runs in a process of its own, whose peak of memory so far is its present use. */
static void
assert_peak_grows_little (bool (*func) (Programs *programs, GError **error))
{
  pid_t child;
  int status;

  child = fork ();
  ck_assert_int_ge (child, 0);
  if (child == 0)
    {
      unsigned long before;
      int fd = open ("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

      if (fd < 0 || write (fd, "5", 1) != 1)
        _exit (3);
      close (fd);
      before = get_peak_kib ();
      if (!func (&programs, NULL))
        _exit (2);
      _exit (get_peak_kib () - before < MOST_KIB ? 0 : 1);
    }
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_msg (WIFEXITED (status) && WEXITSTATUS (status) == 0, "status 0x%x", (unsigned) status);
}

START_TEST (streams_of_256_mib_are_written_and_read_with_less_than_16_more)
{
  CprDeviceType much = screen_type;

  much.save_bulk = save_much;
  much.load_bulk = load_much;
  ck_assert (cpr_device_table_remove (&programs.saved, "screen", NULL));
  much.name = "much";
  ck_assert (cpr_device_table_add (&programs.saved, "screen", &much, &from, NULL));
  expect (&much);
  programs_use_fd (&programs);
  assert_peak_grows_little (programs_save);
  ck_assert_int_ge (lseek (programs.fd, 0, SEEK_END), STREAM_SIZE);
  assert_peak_grows_little (programs_load);
  ck_assert (cpr_device_table_remove (&programs.saved, "screen", NULL));
  ck_assert (cpr_device_table_remove (&programs.loaded, "screen", NULL));
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("bulk");

  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, bulk_data_arrives_in_steps_of_any_size);
  tcase_add_test (tests, bulk_data_arrives_through_an_fd);
  tcase_add_test (tests, without_bulk_data_load_bulk_is_not_called);
  tcase_add_test (tests, bulk_data_that_is_left_over_is_an_error);
  tcase_add_test (tests, more_bulk_data_than_there_is_cannot_be_read);
  tcase_add_test (tests, bulk_data_without_load_bulk_is_refused_before_anything_is_applied);
  tcase_add_test (tests, callbacks_fail_with_their_reason_or_without_one);
  tcase_add_test (tests, bulk_data_that_cannot_be_written_is_a_system_error);
  tcase_add_test (tests, pieces_of_any_size_make_up_the_data);
  tcase_add_test (tests, pieces_out_of_order_or_twice_are_refused);
  tcase_add_test (tests, pieces_without_a_section_are_refused);
  tcase_add_test (tests, a_piece_has_1_byte_to_4_mib);
  tcase_add_test (tests, optional_chunks_between_pieces_are_skipped);
  tcase_add_test (tests, damage_of_a_piece_is_found_by_reading_it_at_the_latest);
  tcase_add_test (tests, the_padding_of_a_piece_is_zero_before_its_data_and_behind_them);
  tcase_add_test (tests, damage_of_the_second_piece_names_it_and_nothing_after_it_arrives);
  tcase_add_test (tests, streams_of_256_mib_are_written_and_read_with_less_than_16_more);
  return run_suite (suite);
}
