/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structs that say their own size: programs that were built with another version of the headers
 * than the library. */
#include "vfio-programs.h"

#include <sys/mman.h>

#include "base/versioned.h"

static VfioProgram program;
static GError *error;

static void
setup (void)
{
  error = NULL;
  sim_begin ();
  vfio_program_start (&program, CPR_VFIO_TYPE1);
}

static void
teardown (void)
{
  vfio_program_clear (&program);
  sim_end ();
}

/* ---- Each struct with the call that takes it. True if the call went on with what the struct
 * says. */

static bool
take_config (const void *given)
{
  g_autoptr (CprSession) session = cpr_session_new (given, &error);

  return session != NULL;
}

/* A mode that doesn't exist shows that the library read the member. */
static bool
is_mode_refused (void)
{
  if (strstr (error->message, "unknown mode 77") == NULL)
    return false;
  g_clear_error (&error);
  return true;
}

static void
make_active (void)
{
  if (cpr_session_get_state (program.session) == CPR_SESSION_STATE_FRESH)
    ck_assert (cpr_session_load (program.session, NULL) && cpr_session_start (program.session, NULL));
}

static bool
take_update (const void *given)
{
  make_active ();
  ck_assert (!cpr_session_update (program.session, given, &error));
  return is_mode_refused ();
}

static bool
take_preflight (const void *given)
{
  make_active ();
  ck_assert (!cpr_session_preflight (program.session, given, NULL, &error));
  return is_mode_refused ();
}

static bool
take_ram_options (const void *given)
{
  CprRamBlock *block = cpr_ram_new (program.session, "more", PAGE, given, &error);

  return block != NULL && cpr_ram_remove (program.session, block, NULL);
}

static bool
take_device_type (const void *given)
{
  CprSchemaBuilder builder;
  CprWriter writer;
  uint32_t state = 7;

  if (!cpr_device_add (program.session, "more", given, &state, &error))
    return false;
  cpr_writer_init (&writer, -1);
  cpr_schema_builder_init (&builder);
  cpr_device_table_write_schema (&program.session->devices, &builder, &writer);
  ck_assert (cpr_device_table_write_sections (&program.session->devices, &builder, NULL, &writer, &error));
  ck_assert (cpr_device_table_write_list (&program.session->devices, &builder, &writer, &error));
  cpr_writer_clear (&writer);
  cpr_schema_builder_clear (&builder);
  return cpr_device_remove (program.session, "more", &error);
}

static bool
take_container_options (const void *given)
{
  CprVfioContainer *container = cpr_vfio_container_new (program.session, "more", given, &error);

  return container != NULL && cpr_vfio_container_remove (container, NULL);
}

static bool
take_device_options (const void *given)
{
  CprVfioDevice *device = cpr_vfio_device_new (program.container, "more", sim_path ("0000:00:05.0"), given, &error);

  return device != NULL && cpr_vfio_device_remove (device, NULL);
}

static bool
take_pci_options (const void *given)
{
  return cpr_vfio_pci_add (program.device, "more", given, &error);
}

/* ---- The structs as version 0.1 has them; what a program leaves in their padding is anything. */

static uint8_t config_space[256], emulated_bits[256];

static bool
stop (void *user_data G_GNUC_UNUSED, GError **reason G_GNUC_UNUSED)
{
  return true;
}

static void
start (void *user_data G_GNUC_UNUSED)
{
}

static const CprField fields[] = { { .name = "x", .kind = CPR_KIND_UINT, .width = 4, .count = 1 }, CPR_FIELD_END };
static const CprSessionConfig config = { .size = 120, .name = "vm", .stop = stop, .start = start };
static const CprUpdate update = { .size = 80, .mode = 77 };
static const CprRamOptions ram_options = { .size = 40 };
static const CprDeviceType device_type = { .size = 104, .name = "more", .state = { "More", 4, fields } };
static const CprVfioContainerOptions container_options = { .size = 32, .backend = CPR_VFIO_NONE };
static const CprVfioDeviceOptions device_options = { .size = 16 };
static const CprVfioPciOptions pci_options = {
  .size = 40, .config = config_space, .config_size = sizeof config_space, .emulated = emulated_bits
};

/* Sizes in bytes where pointers have 64 bits. */
static const struct
{
  const char *name;
  size_t size_0_1; /* never changes */
  size_t least;    /* that a program can do with */
  size_t known;
  const void *example;
  bool (*take) (const void *given);
} structs[] = {
  { "CprSessionConfig", 120, 48, sizeof config, &config, take_config },
  { "CprUpdate", 80, 16, sizeof update, &update, take_update },
  { "CprUpdate", 80, 16, sizeof update, &update, take_preflight },
  { "CprRamOptions", 40, 16, sizeof ram_options, &ram_options, take_ram_options },
  { "CprDeviceType", 104, 48, sizeof device_type, &device_type, take_device_type },
  { "CprVfioContainerOptions", 32, 16, sizeof container_options, &container_options, take_container_options },
  { "CprVfioDeviceOptions", 16, 16, sizeof device_options, &device_options, take_device_options },
  { "CprVfioPciOptions", 40, 32, sizeof pci_options, &pci_options, take_pci_options },
};

/* A copy of the first @size bytes of a struct, zeros where it has fewer, right before a page
 * that can't be read. */
static void *
fence (const void *example, size_t known, size_t size)
{
  uint8_t *pages = mmap (NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void *copy = pages + PAGE - size;

  ck_assert_ptr_ne (pages, MAP_FAILED);
  ck_assert_int_eq (mprotect (pages + PAGE, PAGE, PROT_NONE), 0);
  memcpy (copy, example, MIN (known, size));
  memcpy (copy, &size, MIN (size, sizeof size));
  return copy;
}

static void
unfence (void *copy)
{
  ck_assert_int_eq (munmap ((void *) ((uintptr_t) copy & ~(PAGE - 1)), 2 * PAGE), 0);
}

static void
assert_taken (int i, size_t size)
{
  void *given = fence (structs[i].example, structs[i].known, size);

  ck_assert_msg (structs[i].take (given), "%s of %zu bytes: %s", structs[i].name, size,
                 error != NULL ? error->message : "");
  unfence (given);
}

static void
assert_refused (int i, void *given, const char *text)
{
  g_autofree char *start_of_it = g_strdup_printf ("%s: ", structs[i].name);

  ck_assert (!structs[i].take (given));
  ck_assert_ptr_nonnull (error);
  ck_assert_ptr_nonnull (strstr (error->message, start_of_it));
  assert_error (&error, CPR_ERROR_INVALID, text);
  unfence (given);
}

START_TEST (the_size_of_version_0_1_is_taken)
{
  assert_taken (_i, structs[_i].size_0_1);
}
END_TEST

/* Nothing beyond the size is read: there is no page there. */
START_TEST (a_smaller_size_is_taken_and_what_is_missing_is_0)
{
  assert_taken (_i, structs[_i].least);
}
END_TEST

START_TEST (a_larger_size_is_taken_while_what_is_unknown_is_0)
{
  assert_taken (_i, structs[_i].known + 24);
}
END_TEST

START_TEST (a_larger_size_is_refused_where_what_is_unknown_is_set)
{
  uint8_t *given = fence (structs[_i].example, structs[_i].known, structs[_i].known + 24);

  given[structs[_i].known + 23] = 1;
  assert_refused (_i, given, "was built with a later libcpr");
}
END_TEST

START_TEST (a_size_that_no_version_has_is_refused)
{
  const size_t sizes[] = {
    0, sizeof (void *), structs[_i].least - 4, structs[_i].size_0_1 - 4, SIZE_MAX, SIZE_MAX - 7
  };

  for (size_t k = 0; k < G_N_ELEMENTS (sizes); k++)
    {
      void *given = fence (structs[_i].example, structs[_i].known, structs[_i].known);

      memcpy (given, &sizes[k], sizeof sizes[k]);
      assert_refused (_i, given, "its size is ");
    }
}
END_TEST

/* ---- The one that the library fills. */

START_TEST (information_is_written_as_far_as_the_size_goes)
{
  const size_t sizes[] = { 280, offsetof (CprUpdateInfo, guardian), sizeof (CprUpdateInfo) };

  for (size_t k = 0; k < G_N_ELEMENTS (sizes); k++)
    {
      CprUpdateInfo *info = fence ("", 0, sizes[k]);

      info->generation = 77;
      cpr_session_get_update_info (program.session, info);
      ck_assert_uint_eq (info->size, sizes[k]);
      ck_assert_uint_eq (info->generation, 0);
      unfence (info);
    }
}
END_TEST

START_TEST (information_that_the_library_does_not_have_is_0)
{
  CprUpdateInfo *info = fence ("", 0, sizeof *info + 16);
  uint8_t *beyond = (uint8_t *) (info + 1);

  memset (beyond, 0xff, 16);
  cpr_session_get_update_info (program.session, info);
  ck_assert_uint_eq (info->size, sizeof *info + 16);
  for (size_t i = 0; i < 16; i++)
    ck_assert_uint_eq (beyond[i], 0);
  unfence (info);
}
END_TEST

/* ---- A later version of a struct, as its library sees one of the first version. */

typedef struct
{
  size_t size;
  uint32_t a;
  const char *b;
  uint32_t c;
  uint32_t in_padding; /* since 0.2, and a mistake: the size doesn't tell */
  uint64_t d;          /* since 0.3 */
} Later;

static const CprVersioned later = { "Later", sizeof (Later), CPR_VERSIONED_END (Later, a),
                                    CPR_VERSIONED_END (Later, c) };

START_TEST (the_padding_of_the_first_version_is_not_read)
{
  const Later given = { .size = 32, .a = 1, .b = "b", .c = 3, .in_padding = 0xffffffff, .d = 5 };
  Later own;

  ck_assert (cpr_versioned_read (&later, &own, &given, &error));
  ck_assert_uint_eq (own.size, sizeof own);
  ck_assert_uint_eq (own.a, 1);
  ck_assert_str_eq (own.b, "b");
  ck_assert_uint_eq (own.c, 3);
  ck_assert_uint_eq (own.in_padding, 0);
  ck_assert_uint_eq (own.d, 0);
}
END_TEST

START_TEST (what_is_known_is_read_also_where_more_is_set)
{
  const struct
  {
    Later known;
    uint64_t more;
  } given = { .known = { .size = sizeof given, .a = 1, .d = 5 }, .more = 1 };
  Later own;

  ck_assert (!cpr_versioned_read (&later, &own, &given, &error));
  ck_assert_uint_eq (own.a, 1);
  ck_assert_uint_eq (own.d, 5);
  assert_error (&error, CPR_ERROR_INVALID, "Later: this version of libcpr knows 40 bytes of it, and byte 40 is set");
}
END_TEST

static void
add_tests (TCase *tests)
{
  const int n = G_N_ELEMENTS (structs);

  tcase_add_loop_test (tests, the_size_of_version_0_1_is_taken, 0, n);
  tcase_add_loop_test (tests, a_smaller_size_is_taken_and_what_is_missing_is_0, 0, n);
  tcase_add_loop_test (tests, a_larger_size_is_taken_while_what_is_unknown_is_0, 0, n);
  tcase_add_loop_test (tests, a_larger_size_is_refused_where_what_is_unknown_is_set, 0, n);
  tcase_add_loop_test (tests, a_size_that_no_version_has_is_refused, 0, n);
  tcase_add_test (tests, information_is_written_as_far_as_the_size_goes);
  tcase_add_test (tests, information_that_the_library_does_not_have_is_0);
  tcase_add_test (tests, the_padding_of_the_first_version_is_not_read);
  tcase_add_test (tests, what_is_known_is_read_also_where_more_is_set);
}

int
main (void)
{
  BEGIN_SUITE ("versioned");

  tcase_add_checked_fixture (tests, setup, teardown);
  if (sizeof (void *) == 8)
    add_tests (tests);
  return run_suite (suite);
}
