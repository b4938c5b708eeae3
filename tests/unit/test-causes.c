/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors whose cause lies outside of the program name it: an operator has to know what to do. */
#include "carry.h"
#include "guest.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "state/executable.h"
#include "state/manifest.h"

static Guest guest;
static GError *error;

static void
setup (void)
{
  guest_init (&guest);
  error = NULL;
}

static void
teardown (void)
{
  cpr_sys = &cpr_sys_kernel;
  guest_clear (&guest);
}

/* ---- A root directory without /proc, or with a part of it. */

static CprSys bare;
static const char *missing;

static bool
is_missing (const char *path)
{
  if (!g_str_has_prefix (path, missing))
    return false;
  errno = ENOENT;
  return true;
}

static int
bare_open (const char *path, int flags, mode_t mode)
{
  return is_missing (path) ? -1 : cpr_sys_kernel.open (path, flags, mode);
}

static int
bare_stat (const char *path, struct stat *st)
{
  return is_missing (path) ? -1 : cpr_sys_kernel.stat (path, st);
}

static void
take_away (const char *path)
{
  missing = path;
  bare = cpr_sys_kernel;
  bare.open = bare_open;
  bare.stat = bare_stat;
  cpr_sys = &bare;
}

#define NOT_MOUNTED "/proc isn't mounted in this root directory, and libcpr needs it: "

START_TEST (a_start_without_proc_says_so)
{
  char name[] = "vmm", *argv[] = { name, NULL };
  CprSessionConfig config = guest_config (&guest, "vm");

  take_away ("/proc");
  ck_assert_ptr_null (cpr_session_new (&config, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, NOT_MOUNTED);
  config.argv = argv;
  ck_assert_ptr_null (cpr_session_new (&config, &error));
  ck_assert_int_eq (cpr_error_get_errno (error), ENOENT);
  assert_error (&error, CPR_ERROR_SYSTEM, NOT_MOUNTED);
}
END_TEST

START_TEST (each_part_of_proc_that_is_read_is_named)
{
  char boot_id[CPR_BOOT_ID_SIZE + 1], name[] = "vmm", *argv[] = { name, NULL };
  CprSuccessor executable;
  CprProgram program;
  char *path;

  take_away ("/proc");
  ck_assert (!cpr_boot_id_get (boot_id, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, NOT_MOUNTED "/proc/sys/kernel/random/boot_id");
  ck_assert (!cpr_executable_get (&executable, &path, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, NOT_MOUNTED "/proc/self/exe");
  ck_assert (!cpr_program_record (&program, NULL, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, NOT_MOUNTED "/proc/self/cmdline");
  cpr_program_clear (&program);
  ck_assert (!cpr_program_record (&program, argv, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, NOT_MOUNTED "/proc/self/exe");
  cpr_program_clear (&program);
  ck_assert_ptr_null (cpr_fd_list (&error));
  assert_error (&error, CPR_ERROR_SYSTEM, NOT_MOUNTED "/proc/self/fd");
}
END_TEST

START_TEST (a_proc_of_processes_only_is_named)
{
  char boot_id[CPR_BOOT_ID_SIZE + 1];

  take_away ("/proc/sys");
  ck_assert (!cpr_boot_id_get (boot_id, &error));
  assert_error (&error, CPR_ERROR_SYSTEM, "/proc is mounted without /proc/sys (subset=pid), and libcpr needs that");
}
END_TEST

START_TEST (a_file_that_is_missing_in_a_whole_proc_is_just_missing)
{
  take_away ("/proc/self/exe");
  cpr_proc_throw (&error, ENOENT, "/proc/self/exe");
  ck_assert_str_eq (error->message, "/proc/self/exe: No such file or directory");
  g_clear_error (&error);
}
END_TEST

START_TEST (the_command_line_is_read_whole)
{
  g_autofree char *expected = NULL;
  CprProgram program;
  size_t len, at = 0;

  ck_assert (g_file_get_contents ("/proc/self/cmdline", &expected, &len, NULL));
  ck_assert (cpr_program_record (&program, NULL, &error));
  for (char **argument = program.argv; *argument != NULL; argument++, at += strlen (expected + at) + 1)
    ck_assert_str_eq (*argument, expected + at);
  ck_assert_uint_eq (at, len);
  cpr_program_clear (&program);
}
END_TEST

/* ---- A filter. It can't be taken off: a child has it. */

static bool
forbid (unsigned number, unsigned errnum)
{
  struct sock_filter rules[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errnum),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = { G_N_ELEMENTS (rules), rules };

  return prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#define CANT_FILTER 77

static int
be_filtered (unsigned errnum)
{
  char name[] = "vmm", *argv[] = { name, NULL };
  const CprUpdate update = { .size = sizeof update, .mode = CPR_MODE_EXEC, .argv = argv };
  CprSession *session;

  if (!forbid (SYS_close_range, errnum))
    return CANT_FILTER;
  session = session_new_active (&guest, "vm");
  ck_assert (!cpr_session_update (session, &update, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "kernel: close_range()"));
  assert_error (&error, CPR_ERROR_BLOCKED, "(this process has a seccomp filter, which may be why)");
  ck_assert_int_eq (guest.stops, 0);
  cpr_session_free (session);
  return 0;
}

START_TEST (a_filter_that_denies_a_call_is_named_before_the_stop)
{
  const int errnums[] = { EPERM, ENOSYS };
  pid_t child = fork ();
  int status;

  if (child == 0)
    {
      setpgid (0, 0); /* Check kills the group of what fails */
      _exit (be_filtered ((unsigned) errnums[_i]));
    }
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert (status == 0 || (WIFEXITED (status) && WEXITSTATUS (status) == CANT_FILTER));
}
END_TEST

/* ---- A value that an older program can't have. */

typedef struct
{
  uint32_t x;
} Node;

typedef struct
{
  uint8_t anchor;
  uint32_t depth;
  int64_t skew;
  bool on;
  double scale;
  float narrow;
  uint16_t levels[3];
  uint32_t n;
  uint32_t counted[2];
  uint8_t bytes[2];
  char text[8], *heap_text;
  Node *node;
  int fd;
} Thing;

static const CprField node_fields[] = { CPR_FIELD (Node, x), CPR_FIELD_END };
static const CprStruct node_struct = { "Node", sizeof (Node), node_fields };

static bool
is_grouped (const void *thing)
{
  return ((const Thing *) thing)->depth > 0;
}

static const CprField group_fields[] = { CPR_FIELD (Thing, depth), CPR_FIELD_END };
static const CprStruct group = { "Group", sizeof (Thing), group_fields };

static const struct
{
  CprField field;
  const char *text;
} values[] = {
  { CPR_FIELD_OPTIONAL (Thing, depth, 16), "field 'depth' isn't at its default in the state and not known here: "
                                           "it is 4000000000, its default is 16" },
  { CPR_FIELD_OPTIONAL (Thing, skew, -7), "it is -12, its default is -7" },
  { CPR_FIELD (Thing, on, CPR_OPTIONAL), "it is true, its default is false" },
  { CPR_FIELD (Thing, scale, CPR_OPTIONAL), "it is 1.5, its default is 0" },
  { CPR_FIELD (Thing, narrow, CPR_OPTIONAL), "it is -0.25, its default is 0" },
  { CPR_FIELD_ARRAY (Thing, levels, CPR_OPTIONAL), "element 1 is 9, its default is 0" },
  { CPR_FIELD_COUNTED (Thing, counted, n, CPR_OPTIONAL), "it has 2 elements, by default it has none" },
  { CPR_FIELD_BYTES (Thing, bytes, CPR_OPTIONAL), "by default all its bytes are 0" },
  { CPR_FIELD_STRING (Thing, text, CPR_OPTIONAL), "it is 'on', by default there is no text" },
  { CPR_FIELD_HEAP_STRING (Thing, heap_text, 9), "it is '', by default there is no text" },
  { CPR_FIELD_POINTER (Thing, node, Node, node_struct), "it is there, by default it isn't" },
  { CPR_FIELD_GROUP (Thing, "group", group, is_grouped), "it is there, by default it isn't" },
};

START_TEST (a_value_that_is_not_the_default_is_told)
{
  static Node node = { 3 };
  static char empty[] = "";
  const Thing source = { .depth = 4000000000,
                         .skew = -12,
                         .on = true,
                         .scale = 1.5,
                         .narrow = -0.25f,
                         .levels = { 0, 9, 8 },
                         .n = 2,
                         .bytes = { 0, 1 },
                         .text = "on",
                         .heap_text = empty,
                         .node = &node };
  const CprField old_fields[] = { CPR_FIELD (Thing, anchor), CPR_FIELD_END },
                 new_fields[] = { CPR_FIELD (Thing, anchor), values[_i].field, CPR_FIELD_END };
  const CprStruct old = { "Thing", sizeof (Thing), old_fields }, new = { "Thing", sizeof (Thing), new_fields };
  Thing target = { .anchor = 0 };

  ck_assert (!carry (&new, &source, &old, &target, &error));
  assert_error (&error, CPR_ERROR_MISMATCH, values[_i].text);
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("causes");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_start_without_proc_says_so);
  tcase_add_test (tests, each_part_of_proc_that_is_read_is_named);
  tcase_add_test (tests, a_proc_of_processes_only_is_named);
  tcase_add_test (tests, a_file_that_is_missing_in_a_whole_proc_is_just_missing);
  tcase_add_test (tests, the_command_line_is_read_whole);
  if (!under_valgrind ()) /* it makes that call by others */
    tcase_add_loop_test (tests, a_filter_that_denies_a_call_is_named_before_the_stop, 0, 2);
  tcase_add_loop_test (tests, a_value_that_is_not_the_default_is_told, 0, G_N_ELEMENTS (values));
  return run_suite (suite);
}
