/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The messages of a preflight and their exchange: a question and an answer are read as they were
 * written, and a damaged one is refused with the value that is wrong. */
#include "machine.h"

#include <fcntl.h>
#include <unistd.h>

#include "ask/exchange.h"
#include "base/checksum.h"
#include "state/executable.h"
#include "state/seal.h"

static GError *error;
static Machine machine;
static CprManifest head;

static void
setup (void)
{
  machine_init (&machine);
  machine_head (&head);
}

static void
teardown (void)
{
  machine_clear (&machine);
}

static CprAskedVm
get_vm (void)
{
  return (CprAskedVm){ head, &machine.fds, &machine.ram, &machine.vfio, &machine.devices };
}

static void
write_question (CprWriter *writer)
{
  const CprQuestionHead to = { .answer_fd = 4, .pipe_device = 11, .pipe_inode = 12 };
  const CprAskedVm vm = get_vm ();

  cpr_writer_init (writer, -1);
  ck_assert (cpr_question_write (&to, &vm, writer, &error));
}

static void
assert_finding (const CprFinding *finding, CprSeverity severity, CprSubject subject, const char *name, const char *text)
{
  ck_assert_str_eq (finding->message, text);
  ck_assert_str_eq (finding->name, name);
  ck_assert_int_eq (finding->severity, severity);
  ck_assert_int_eq (finding->subject, subject);
}

START_TEST (a_question_is_read_as_it_was_written)
{
  CprQuestion question;
  CprWriter writer;
  write_question (&writer);
  ck_assert (cpr_question_read (&question, g_memdup2 (writer.data, writer.len), writer.len, &error));
  ck_assert_uint_eq (question.checksum, cpr_checksum (writer.data, writer.len));
  ck_assert (!question.head.schema_only);
  ck_assert_uint_eq (question.head.answer_fd, 4);
  ck_assert_uint_eq (question.head.pipe_device, 11);
  ck_assert_uint_eq (question.head.pipe_inode, 12);
  ck_assert_str_eq (question.manifest.vm_name, MACHINE_NAME);
  ck_assert_uint_eq (question.manifest.fds.entries->len, 3);
  ck_assert_uint_eq (question.devices->len, 2);
  ck_assert_ptr_nonnull (cpr_question_find_device (&question, "com1"));
  ck_assert_ptr_null (cpr_question_find_device (&question, "com2"));
  cpr_question_clear (&question);
  cpr_writer_clear (&writer);
}
END_TEST

START_TEST (a_question_for_the_schema_only_has_nothing_else)
{
  const CprQuestionHead to = { .schema_only = true, .answer_fd = 4 };
  CprQuestion question;
  CprWriter writer;

  cpr_writer_init (&writer, -1);
  cpr_question_write_head (&to, &writer);
  cpr_writer_finish (&writer);
  ck_assert (cpr_question_read (&question, g_memdup2 (writer.data, writer.len), writer.len, &error));
  ck_assert (question.head.schema_only);
  ck_assert_uint_eq (question.devices->len, 0);
  cpr_question_clear (&question);
  cpr_writer_clear (&writer);
}
END_TEST

static bool
read_question (const uint8_t *data, size_t len)
{
  CprQuestion question;
  bool ok = cpr_question_read (&question, g_memdup2 (data, MAX (len, 1)), len, &error);

  cpr_question_clear (&question);
  return ok;
}

static void
make_answer (CprAnswer *answer)
{
  *answer = (CprAnswer){ .question = 77, .findings = cpr_findings_new () };
  ck_assert (cpr_executable_get (&answer->executable, &answer->path, &error));
  cpr_findings_add (answer->findings, CPR_SEVERITY_LOSS, CPR_SUBJECT_DEVICE, "sda", "device 'sda': %d", 1);
  cpr_findings_add (answer->findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_VM, "vm", "VM 'vm': a\033[31m\nb");
}

static void
write_answer (CprAnswer *answer, CprWriter *writer)
{
  CprSchemaBuilder builder;

  cpr_schema_builder_init (&builder);
  cpr_schema_builder_add (&builder, &serial_type);
  cpr_writer_init (writer, -1);
  cpr_answer_write (answer, &builder, writer);
  cpr_schema_builder_clear (&builder);
}

static bool
read_answer (const uint8_t *data, size_t len)
{
  CprAnswer answer;
  bool ok = cpr_answer_read (&answer, data, len, &error);

  if (ok)
    cpr_answer_clear (&answer);
  return ok;
}

START_TEST (an_answer_is_read_as_it_was_written)
{
  CprAnswer answer, read;
  CprWriter writer;

  make_answer (&answer);
  g_free (answer.path);
  answer.path = g_strdup ("/opt/v\033[31m\nmm");
  write_answer (&answer, &writer);
  ck_assert (cpr_answer_read (&read, writer.data, writer.len, &error));
  ck_assert_uint_eq (read.question, 77);
  ck_assert_str_eq (read.path, "/opt/v?[31m mm");
  ck_assert (cpr_executable_equal (&read.executable, &answer.executable));
  ck_assert_uint_eq (read.findings->len, 2);
  /* refusals first; and what would do a terminal harm doesn't */
  assert_finding (read.findings->pdata[0], CPR_SEVERITY_REFUSAL, CPR_SUBJECT_VM, "vm", "VM 'vm': a?[31m b");
  assert_finding (read.findings->pdata[1], CPR_SEVERITY_LOSS, CPR_SUBJECT_DEVICE, "sda", "device 'sda': 1");
  cpr_answer_clear (&read);
  cpr_answer_clear (&answer);
  cpr_writer_clear (&writer);
}
END_TEST

START_TEST (too_many_findings_keep_the_refusals)
{
  CprAnswer answer, read;
  CprWriter writer;

  make_answer (&answer);
  for (int i = 0; i < 2000; i++)
    cpr_findings_add (answer.findings, CPR_SEVERITY_LOSS, CPR_SUBJECT_FD, "fd", "fd %d", i);
  write_answer (&answer, &writer);
  ck_assert (cpr_answer_read (&read, writer.data, writer.len, &error));
  ck_assert_uint_eq (read.findings->len, CPR_FINDINGS_MAX);
  ck_assert_uint_eq (cpr_findings_count_refusals (read.findings), 1);
  cpr_answer_clear (&read);
  cpr_answer_clear (&answer);
  cpr_writer_clear (&writer);
}
END_TEST

/* The checksum of the chunk that has the byte at @at, made right again. */
static void
repair (uint8_t *data, size_t len, size_t at)
{
  for (size_t start = CPR_FORMAT_HEADER_SIZE; start < len;)
    {
      uint64_t size, checksum;

      memcpy (&size, data + start + 8, sizeof size);
      size += -size & 7;
      if (size > len - start - 24)
        return;
      size += CPR_FORMAT_CHUNK_HEADER_SIZE;
      if (at >= start && at < start + size)
        {
          checksum = cpr_checksum (data + start, size);
          memcpy (data + start + size, &checksum, sizeof checksum);
          return;
        }
      start += size + CPR_FORMAT_CHECKSUM_SIZE;
    }
}

/* A message that is cut off or has a changed byte is refused; one that was changed on purpose,
 * with its checksums right, does no harm. */
static void
assert_robust (const CprWriter *writer, bool (*read) (const uint8_t *data, size_t len))
{
  g_autofree uint8_t *copy = g_memdup2 (writer->data, writer->len);

  ck_assert (read (copy, writer->len));
  for (size_t len = 0; len < writer->len; len++)
    {
      g_autofree uint8_t *part = g_memdup2 (copy, MAX (len, 1)); /* so that a tool sees what is read beyond it */

      ck_assert (!read (part, len));
      g_clear_error (&error);
    }
  for (size_t at = 0; at < writer->len; at++)
    for (int bit = 0; bit < 8; bit++)
      {
        copy[at] ^= (uint8_t) (1u << bit);
        ck_assert (!read (copy, writer->len));
        g_clear_error (&error);
        repair (copy, writer->len, at);
        read (copy, writer->len);
        g_clear_error (&error);
        memcpy (copy, writer->data, writer->len);
      }
}

START_TEST (a_damaged_question_is_refused)
{
  CprWriter writer;
  write_question (&writer);
  assert_robust (&writer, read_question);
  cpr_writer_clear (&writer);
}
END_TEST

START_TEST (a_damaged_answer_is_refused)
{
  CprAnswer answer;
  CprWriter writer;

  make_answer (&answer);
  write_answer (&answer, &writer);
  assert_robust (&writer, read_answer);
  cpr_writer_clear (&writer);
  cpr_answer_clear (&answer);
}
END_TEST

/* An answer by hand. */
static void
assert_answer_refused (
    uint32_t verdict, const char *build_id, uint32_t severity, uint32_t subject, unsigned n, const char *text)
{
  CprSchemaBuilder builder;
  CprWriter writer;

  cpr_schema_builder_init (&builder);
  cpr_writer_init (&writer, -1);
  cpr_writer_begin_chunk (&writer, CPR_CHUNK_ANSWER, 0);
  cpr_writer_put_u64 (&writer, 77);
  cpr_writer_put_u32 (&writer, verdict);
  cpr_writer_put_string (&writer, "/vmm");
  cpr_writer_put_string (&writer, build_id);
  cpr_writer_put_u64 (&writer, 1);
  cpr_writer_put_u64 (&writer, 2);
  cpr_writer_end_chunk (&writer);
  cpr_writer_begin_chunk (&writer, CPR_CHUNK_SCHEMA, 0);
  cpr_schema_builder_write (&builder, &writer);
  cpr_writer_end_chunk (&writer);
  for (unsigned i = 0; i < n; i++)
    {
      cpr_writer_begin_chunk (&writer, CPR_CHUNK_FINDING, 0);
      cpr_writer_put_u32 (&writer, severity);
      cpr_writer_put_u32 (&writer, subject);
      cpr_writer_put_string (&writer, "");
      cpr_writer_put_string (&writer, "message");
      cpr_writer_end_chunk (&writer);
    }
  cpr_writer_finish (&writer);
  if (text == NULL)
    ck_assert (read_answer (writer.data, writer.len));
  else
    {
      ck_assert (!read_answer (writer.data, writer.len));
      assert_error (&error, CPR_ERROR_CORRUPT, text);
    }
  cpr_writer_clear (&writer);
  cpr_schema_builder_clear (&builder);
}

START_TEST (an_answer_that_contradicts_itself_is_refused)
{
  assert_answer_refused (0, "", 0, 1, 1, NULL);
  assert_answer_refused (1, "ab01", 1, 6, 1000, NULL);
  assert_answer_refused (1, "", 0, 1, 1, "its verdict is no, which contradicts its findings: 0 are refusals");
  assert_answer_refused (1, "", 0, 1, 0, "its verdict is no, which contradicts its findings: 0 are refusals");
  assert_answer_refused (0, "", 1, 1, 1, "its verdict is yes, which contradicts its findings: 1 are refusals");
  assert_answer_refused (2, "", 0, 1, 0, "head: its verdict should be 0 or 1, and is 2");
  assert_answer_refused (0, "xyz", 0, 1, 0, "head: its build id should be hexadecimal, and is 'xyz'");
  assert_answer_refused (0, "", 2, 1, 1, "finding 0: its severity should be 0 or 1, and is 2");
  assert_answer_refused (0, "", 0, 0, 1, "finding 0: its subject should be 1 to 6, and is 0");
  assert_answer_refused (0, "", 0, 7, 1, "finding 0: its subject should be 1 to 6, and is 7");
  assert_answer_refused (1, "", 1, 1, 1001, "more than 1000");
}
END_TEST

START_TEST (an_executable_knows_itself)
{
  g_autofree char *path = NULL, *text = NULL;
  CprSuccessor self, other;

  ck_assert (cpr_executable_get (&self, &path, &error));
  ck_assert_ptr_nonnull (strstr (path, "test-exchange"));
  ck_assert_uint_eq (strspn (self.build_id, "0123456789abcdef"), strlen (self.build_id));
  other = self;
  ck_assert (cpr_executable_equal (&self, &other));
  other.inode++;
  ck_assert (!cpr_executable_equal (&self, &other));
  other = self;
  other.build_id = (char *) "00";
  ck_assert (!cpr_executable_equal (&self, &other));
  text = cpr_executable_describe (&other);
  ck_assert_ptr_nonnull (strstr (text, "build id 00"));
  cpr_executable_clear (&self);
}
END_TEST

/* ---- A question by hand. */

typedef struct
{
  const char *name;
  uint32_t type, flags;
} Row;

/* A device in the list, and a section. */
static void
put_row (CprWriter *writer, const Row *row)
{
  cpr_writer_put_string (writer, row->name);
  cpr_writer_put_u32 (writer, row->type);
  cpr_writer_put_u32 (writer, row->flags);
}

/* The devices of @list, up to the first without a name, and @section; NULL: no section. */
static void
assert_question_refused (uint32_t flags, uint32_t fd, const Row *list, const Row *section, const char *text)
{
  CprSchemaBuilder builder;
  CprWriter writer;
  uint32_t n = 0;

  cpr_schema_builder_init (&builder);
  cpr_writer_init (&writer, -1);
  cpr_writer_begin_chunk (&writer, CPR_CHUNK_QUESTION, 0);
  cpr_writer_put_u32 (&writer, flags);
  cpr_writer_put_u32 (&writer, fd);
  cpr_writer_put_u64 (&writer, 11);
  cpr_writer_put_u64 (&writer, 12);
  cpr_writer_end_chunk (&writer);
  cpr_manifest_write_vm (&head, &writer);
  cpr_manifest_write_tables (&machine.fds, &machine.ram, &writer);
  cpr_device_table_write_schema (&machine.devices, &builder, &writer);
  cpr_writer_begin_chunk (&writer, CPR_CHUNK_DEVICES, 0);
  while (list[n].name != NULL)
    n++;
  cpr_writer_put_u32 (&writer, n);
  for (uint32_t i = 0; i < n; i++)
    put_row (&writer, &list[i]);
  cpr_writer_end_chunk (&writer);
  if (section != NULL)
    {
      cpr_writer_begin_chunk (&writer, CPR_CHUNK_SECTION, 0);
      put_row (&writer, section);
      cpr_writer_end_chunk (&writer);
    }
  cpr_writer_finish (&writer);
  ck_assert (!read_question (writer.data, writer.len));
  ck_assert_msg (g_str_has_prefix (error->message, text), "%s", error->message);
  assert_error (&error, CPR_ERROR_CORRUPT, "");
  cpr_writer_clear (&writer);
  cpr_schema_builder_clear (&builder);
}

START_TEST (a_faulty_question_is_refused_with_the_value_that_is_wrong)
{
  const Row none[] = { { NULL, 0, 0 } }, twice[] = { { "a", 0, 0 }, { "a", 0, 0 }, { NULL, 0, 0 } },
            no_type[] = { { "a", 2, 0 }, { NULL, 0, 0 } }, flags[] = { { "a", 0, 5 }, { NULL, 0, 0 } },
            plain[] = { { "a", 0, 0 }, { NULL, 0, 0 } }, tried[] = { { "a", 0, 1 }, { NULL, 0, 0 } },
            other = { "b", 0, 0 }, type_1 = { "a", 1, 0 }, nonzero = { "a", 0, 1 };

  assert_question_refused (6, 4, none, NULL, "question: head: its flags are 0x6, of which 0x6 is unknown");
  assert_question_refused (0, 1u << 31, none, NULL,
                           "question: head: the fd for the answer should be 0 to 2147483647, and is 2147483648");
  assert_question_refused (1, 4, none, NULL, "question: it asks for the schema only, and describes a VM");
  assert_question_refused (0, 4, twice, NULL, "question: device 'a': it is in the list twice");
  assert_question_refused (0, 4, no_type, NULL,
                           "question: device 'a': its type has the number 2, and there are 2 types");
  assert_question_refused (0, 4, flags, NULL, "question: device 'a': its flags are 0x5, of which 0x4 is unknown");
  assert_question_refused (0, 4, tried, NULL, "question: device 'a': its section is missing");
  assert_question_refused (0, 4, plain, &other, "question: device 'b': it has a section, and isn't in the list");
  assert_question_refused (0, 4, plain, plain,
                           "question: device 'a': it has a section, and the list says that it has none");
  assert_question_refused (0, 4, tried, &type_1,
                           "question: device 'a': its type has the number 0 in the list, 1 in its section");
  assert_question_refused (0, 4, tried, &nonzero, "question: section at offset ");
}
END_TEST

/* ---- The exchange. */

static bool
read_question_from (int fd)
{
  CprQuestion question;

  if (!cpr_exchange_read_question (fd, &question, &error))
    return false;
  cpr_question_clear (&question);
  return true;
}

START_TEST (a_question_is_read_from_a_sealed_memfd_only)
{
  int sealed, unsealed = cpr_memfd_new ("unit-test", 0), other = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  CprWriter writer;

  write_question (&writer);
  sealed = cpr_memfd_seal ("unit-test", writer.data, writer.len);
  ck_assert (cpr_fd_write_all (unsealed, writer.data, writer.len));
  ck_assert_msg (read_question_from (sealed), "%s", error != NULL ? error->message : "");
  ck_assert (!read_question_from (unsealed));
  assert_error (&error, CPR_ERROR_CORRUPT, "question: it should be in a sealed memfd, and fd ");
  ck_assert (!read_question_from (other));
  assert_error (&error, CPR_ERROR_CORRUPT, "question: it should be in a sealed memfd, and fd ");
  cpr_writer_clear (&writer);
  close (sealed);
  close (unsealed);
  close (other);
}
END_TEST

START_TEST (an_answer_is_taken_for_its_own_question_only)
{
  CprAnswer answer, read;
  CprWriter writer;
  int fd;

  make_answer (&answer); /* to question 77 */
  write_answer (&answer, &writer);
  fd = cpr_memfd_seal ("unit-test", writer.data, writer.len);
  ck_assert (cpr_exchange_read_answer (fd, 77, &read, &error));
  cpr_answer_clear (&read);
  ck_assert (!cpr_exchange_read_answer (fd, 78, &read, &error));
  assert_error (&error, CPR_ERROR_CORRUPT,
                "its answer is damaged: it is to question 000000000000004d, and 000000000000004e was asked");
  close (fd);
  fd = cpr_memfd_seal ("unit-test", writer.data, writer.len - 1);
  ck_assert (!cpr_exchange_read_answer (fd, 77, &read, &error));
  ck_assert_ptr_null (strstr (error->message, "state"));
  assert_error (&error, CPR_ERROR_CORRUPT, "its answer is damaged: ");
  close (fd);
  fd = cpr_memfd_new ("unit-test", 0);
  ck_assert_int_eq (ftruncate (fd, CPR_ANSWER_MAX + 1), 0);
  ck_assert (!cpr_exchange_read_answer (fd, 77, &read, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "its answer: it has 16777217 bytes, and may have 16777216");
  close (fd);
  fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  ck_assert (!cpr_exchange_read_answer (fd, 77, &read, &error));
  assert_error (&error, CPR_ERROR_CORRUPT, "its answer: it should be in a memfd, and is in a file of the type 020000");
  close (fd);
  cpr_answer_clear (&answer);
  cpr_writer_clear (&writer);
}
END_TEST

/* Nothing else counts then, in any mode. */
START_TEST (a_faulty_config_is_the_finding)
{
  const CprSessionConfig config = { .size = sizeof config };
  const GError fault = { CPR_ERROR, CPR_ERROR_INVALID, (char *) "VM: it has no name" };
  CprAsked asked = { .config = &config, .fault = &fault, .asker = getpid () };
  CprQuestion question;
  CprAnswer answer;
  CprWriter writer;

  write_question (&writer);
  ck_assert (cpr_question_read (&question, g_memdup2 (writer.data, writer.len), writer.len, &error));
  cpr_writer_clear (&writer);
  for (int i = 0; i < 2; i++)
    {
      asked.is_executed = i == 1;
      ck_assert (cpr_exchange_answer (&asked, &question, &answer, &writer, &error));
      ck_assert_uint_eq (answer.question, question.checksum);
      ck_assert_uint_eq (answer.findings->len, 1);
      assert_finding (answer.findings->pdata[0], CPR_SEVERITY_REFUSAL, CPR_SUBJECT_PROGRAM, "", "VM: it has no name");
      cpr_writer_clear (&writer);
      cpr_answer_clear (&answer);
    }
  cpr_question_clear (&question);
  cpr_question_clear (&question); /* there is nothing left */
}
END_TEST

static void
declare_nothing (CprInventory *inventory, void *user_data)
{
  ++*(int *) user_data;
}

/* As long as the start-up is to come, neither what adds to it nor a list of types is all. */
START_TEST (a_declaration_is_asked_for_when_it_counts)
{
  static const CprDeviceType *const one_of_two[] = { &serial_type, NULL };
  int calls = 0;
  CprSessionConfig config = { .size = sizeof config,
                              .name = MACHINE_NAME,
                              .declare = declare_nothing,
                              .user_data = &calls,
                              .device_types = one_of_two };
  g_autoptr (CprInventory) built = cpr_inventory_new ();
  const struct
  {
    unsigned flags;
    CprInventory *built;
    int calls;
  } cases[] = { { 0, NULL, 1 }, { CPR_INCOMING_REHEARSE, NULL, 0 }, { CPR_INCOMING_REHEARSE, built, 1 } };

  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const CprAsked asked = { .config = &config, .asker = getpid (), .built = cases[i].built };
      CprQuestion question;
      CprAnswer answer;
      CprWriter writer;

      write_question (&writer);
      ck_assert (cpr_question_read (&question, g_memdup2 (writer.data, writer.len), writer.len, &error));
      cpr_writer_clear (&writer);
      config.incoming_flags = cases[i].flags;
      ck_assert (cpr_exchange_answer (&asked, &question, &answer, &writer, &error));
      ck_assert_int_eq (calls, cases[i].calls);
      ck_assert ((cpr_findings_count_refusals (answer.findings) > 0) == (calls > 0)); /* nothing is declared */
      calls = 0;
      cpr_writer_clear (&writer);
      cpr_answer_clear (&answer);
      cpr_question_clear (&question);
    }
}
END_TEST

int
main (void)
{
  BEGIN_SUITE ("exchange");
  tcase_add_checked_fixture (tests, setup, teardown);
  tcase_add_test (tests, a_question_is_read_as_it_was_written);
  tcase_add_test (tests, a_question_for_the_schema_only_has_nothing_else);
  tcase_add_test (tests, an_answer_is_read_as_it_was_written);
  tcase_add_test (tests, too_many_findings_keep_the_refusals);
  tcase_add_test (tests, a_damaged_question_is_refused);
  tcase_add_test (tests, a_damaged_answer_is_refused);
  tcase_add_test (tests, an_answer_that_contradicts_itself_is_refused);
  tcase_add_test (tests, an_executable_knows_itself);
  tcase_add_test (tests, a_faulty_question_is_refused_with_the_value_that_is_wrong);
  tcase_add_test (tests, a_question_is_read_from_a_sealed_memfd_only);
  tcase_add_test (tests, an_answer_is_taken_for_its_own_question_only);
  tcase_add_test (tests, a_faulty_config_is_the_finding);
  tcase_add_test (tests, a_declaration_is_asked_for_when_it_counts);
  return run_suite (suite);
}
