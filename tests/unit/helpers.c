/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int
run_suite (Suite *suite)
{
  SRunner *runner = srunner_create (suite);
  int failed;

  g_log_set_always_fatal (G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

bool
under_valgrind (void)
{
  const char *preload = g_getenv ("LD_PRELOAD");

  return g_getenv ("RUNNING_ON_VALGRIND") != NULL || (preload != NULL && strstr (preload, "vgpreload") != NULL);
}

unsigned
update_flags (void)
{
  const unsigned flags = CPR_UPDATE_NO_PREFLIGHT | CPR_UPDATE_NO_RESCUE; /* a rescue would run all tests again */

#ifdef __SANITIZE_THREAD__
  return flags | CPR_UPDATE_NO_GUARDIAN;
#else
  return under_valgrind () ? flags | CPR_UPDATE_NO_GUARDIAN : flags;
#endif
}

void
assert_error_at (const char *file, int line, GError **error, int code, const char *text)
{
  if (*error == NULL)
    ck_abort_msg ("%s:%d: no error, code %d with '%s' expected", file, line, code, text);
  if ((*error)->domain != CPR_ERROR || (*error)->code != code || strstr ((*error)->message, text) == NULL)
    ck_abort_msg ("%s:%d: '%s' (%s, code %d), code %d with '%s' expected", file, line, (*error)->message,
                  g_quark_to_string ((*error)->domain), (*error)->code, code, text);
  g_clear_error (error);
}

char *
name_of (size_t len)
{
  return g_strnfill (len, 'n');
}

int
file_new (size_t size)
{
  int fd = memfd_create ("unit-test", MFD_CLOEXEC);

  ck_assert_int_ge (fd, 3);
  ck_assert_int_eq (ftruncate (fd, (off_t) size), 0);
  return fd;
}

CprCursor
written_from (const CprWriter *writer, size_t start)
{
  return (CprCursor){ .data = writer->data + start, .len = writer->len - start };
}

unsigned
count_mappings (const char *text)
{
  g_autofree char *maps = NULL;
  unsigned n = 0;

  ck_assert (g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL));
  for (const char *at = maps; (at = strstr (at, text)) != NULL; at += strlen (text))
    n++;
  return n;
}

static void
describe_fds (GString *text)
{
  for (int fd = 0; fd < 1024; fd++)
    {
      struct stat st;

      if (fstat (fd, &st) == 0)
        g_string_append_printf (text, "fd %d: %lx:%lx type %o flags %o %s\n", fd, (unsigned long) st.st_dev,
                                (unsigned long) st.st_ino, st.st_mode & S_IFMT,
                                (unsigned) fcntl (fd, F_GETFL), /* with O_CLOEXEC or without */
                                (fcntl (fd, F_GETFD) & FD_CLOEXEC) != 0 ? "close-on-exec" : "inherited");
    }
}

static void
describe_signals (GString *text)
{
  struct itimerval timer;
  sigset_t mask, pending;

  sigprocmask (SIG_BLOCK, NULL, &mask);
  sigpending (&pending);
  for (int number = 1; number <= 64; number++)
    if (sigismember (&mask, number) == 1 || sigismember (&pending, number) == 1)
      g_string_append_printf (text, "signal %d:%s%s\n", number, sigismember (&mask, number) == 1 ? " blocked" : "",
                              sigismember (&pending, number) == 1 ? " pending" : "");
  getitimer (ITIMER_REAL, &timer); /* it runs on meanwhile: to 100 s */
  g_string_append_printf (text, "timer: %ld00 s, each %ld s\n", (long) timer.it_value.tv_sec / 100,
                          (long) timer.it_interval.tv_sec);
}

char *
process_describe (void)
{
  GString *text = g_string_new (NULL);
  g_autofree char *cwd = g_get_current_dir ();
  mode_t mode = umask (0);
  siginfo_t child;
  bool childless;

  umask (mode);
  describe_fds (text);
  describe_signals (text);
  childless = waitid (P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 && errno == ECHILD;
  g_string_append_printf (text, "mappings of states, batons and RAM: %u\n", count_mappings ("/memfd:libcpr-"));
  g_string_append_printf (text, "children: %s\n", childless ? "none" : "some");
  g_string_append_printf (text, "umask %o in %s\n", mode, cwd);
  for (char **variable = environ; *variable != NULL; variable++)
    g_string_append_printf (text, "%s\n", *variable);
  return g_string_free (text, FALSE);
}

/* The lines of @text that aren't in @other. */
static char *
only_in (const char *text, const char *other)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1), others = g_strsplit (other, "\n", -1);
  GString *only = g_string_new (NULL);

  for (char **line = lines; *line != NULL; line++)
    if (!g_strv_contains ((const char *const *) others, *line))
      g_string_append_printf (only, "%.200s\n", *line);
  g_string_truncate (only, MIN (only->len, 2000));
  return g_string_free (only, FALSE);
}

void
assert_process_at (const char *file, int line, const char *before)
{
  g_autofree char *now = process_describe ();

  if (strcmp (before, now) != 0)
    {
      g_autofree char *gone = only_in (before, now), *come = only_in (now, before);

      ck_abort_msg ("%s:%d: the process was:\n%sand is:\n%s", file, line, gone, come);
    }
}

/* ---- The kernel, with faults. */

Faults faults;

static bool
fails (const char *call, int usual_errnum)
{
  if (faults.executed || ++faults.calls != faults.fail_at)
    return false;
  faults.failed = call;
  errno = faults.errnum != 0 ? faults.errnum : usual_errnum;
  return true;
}

static int
faulty_memfd_create (const char *name, unsigned flags)
{
  return fails ("memfd_create", ENOMEM) ? -1 : cpr_sys_kernel.memfd_create (name, flags);
}

static int
faulty_ftruncate (int fd, off_t size)
{
  return fails ("ftruncate", ENOSPC) ? -1 : cpr_sys_kernel.ftruncate (fd, size);
}

static ssize_t
faulty_write (int fd, const void *data, size_t len)
{
  return fails ("write", ENOSPC) ? -1 : cpr_sys_kernel.write (fd, data, len);
}

static ssize_t
faulty_pread (int fd, void *data, size_t len, off_t offset)
{
  return fails ("pread", EIO) ? -1 : cpr_sys_kernel.pread (fd, data, len, offset);
}

static int
faulty_open (const char *path, int flags, mode_t mode)
{
  return fails ("open", EMFILE) ? -1 : cpr_sys_kernel.open (path, flags, mode);
}

static int
faulty_close_range (unsigned first, unsigned last, int flags)
{
  return fails ("close_range", ENOMEM) ? -1 : cpr_sys_kernel.close_range (first, last, flags);
}

static int
faulty_fstat (int fd, struct stat *st)
{
  return fails ("fstat", EIO) ? -1 : cpr_sys_kernel.fstat (fd, st);
}

/* F_GETFD of an open fd can't fail. */
static int
faulty_fcntl (int fd, int command, long argument)
{
  return command != F_GETFD && fails ("fcntl", ENOMEM) ? -1 : cpr_sys_kernel.fcntl (fd, command, argument);
}

static void *
faulty_mmap (void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
  void *made = fails ("mmap", ENOMEM) ? MAP_FAILED : cpr_sys_kernel.mmap (address, size, protection, flags, fd, offset);

  faults.mappings += made != MAP_FAILED;
  return made;
}

static int
faulty_munmap (void *address, size_t size)
{
  faults.mappings--;
  return cpr_sys_kernel.munmap (address, size);
}

static int
faulty_madvise (void *address, size_t size, int advice)
{
  return fails ("madvise", ENOMEM) ? -1 : cpr_sys_kernel.madvise (address, size, advice);
}

static int
faulty_mlock2 (const void *address, size_t size, unsigned flags)
{
  return fails ("mlock2", ENOMEM) ? -1 : cpr_sys_kernel.mlock2 (address, size, flags);
}

static int
faulty_eventfd (unsigned initial, int flags)
{
  return fails ("eventfd", EMFILE) ? -1 : cpr_sys_kernel.eventfd (initial, flags);
}

static int
faulty_pidfd_open (pid_t pid)
{
  return fails ("pidfd_open", EMFILE) ? -1 : cpr_sys_kernel.pidfd_open (pid);
}

static int
faulty_clone (int (*entry) (void *), void *stack_top, int flags, void *argument)
{
  return fails ("clone", ENOMEM) ? -1 : cpr_sys_kernel.clone (entry, stack_top, flags, argument);
}

static int
faulty_execve (const char *path, char *const *argv, char *const *envp)
{
  faults.executed = true;
  errno = faults.exec_errnum;
  return faults.exec_errnum != 0 ? -1 : cpr_sys_kernel.execve (path, argv, envp);
}

static int
faulty_execveat (int fd, char *const *argv, char *const *envp)
{
  faults.executed = true;
  errno = faults.exec_errnum;
  return faults.exec_errnum != 0 ? -1 : cpr_sys_kernel.execveat (fd, argv, envp);
}

static int
faulty_pipe2 (int ends[2], int flags)
{
  return fails ("pipe2", EMFILE) ? -1 : cpr_sys_kernel.pipe2 (ends, flags);
}

static int
faulty_poll (struct pollfd *fds, nfds_t n_fds, int timeout_ms)
{
  return fails ("poll", ENOMEM) ? -1 : cpr_sys_kernel.poll (fds, n_fds, timeout_ms);
}

static int
faulty_posix_spawn (pid_t *pid,
                    const char *program,
                    const posix_spawn_file_actions_t *actions,
                    const posix_spawnattr_t *attributes,
                    char *const *argv,
                    char *const *envp)
{
  return fails ("posix_spawn", EAGAIN) ? errno
                                       : cpr_sys_kernel.posix_spawn (pid, program, actions, attributes, argv, envp);
}

static int
faulty_setitimer (int which, const struct itimerval *value, struct itimerval *old)
{
  return fails ("setitimer", EINVAL) ? -1 : cpr_sys_kernel.setitimer (which, value, old);
}

void
faults_begin (unsigned fail_at, int errnum, int exec_errnum)
{
  static CprSys faulty;

  faulty = cpr_sys_kernel;
  faulty.memfd_create = faulty_memfd_create;
  faulty.ftruncate = faulty_ftruncate;
  faulty.write = faulty_write;
  faulty.pread = faulty_pread;
  faulty.open = faulty_open;
  faulty.close_range = faulty_close_range;
  faulty.fstat = faulty_fstat;
  faulty.fcntl = faulty_fcntl;
  faulty.mmap = faulty_mmap;
  faulty.munmap = faulty_munmap;
  faulty.madvise = faulty_madvise;
  faulty.mlock2 = faulty_mlock2;
  faulty.eventfd = faulty_eventfd;
  faulty.pidfd_open = faulty_pidfd_open;
  faulty.clone = faulty_clone;
  faulty.execve = faulty_execve;
  faulty.execveat = faulty_execveat;
  faulty.pipe2 = faulty_pipe2;
  faulty.poll = faulty_poll;
  faulty.posix_spawn = faulty_posix_spawn;
  faulty.setitimer = faulty_setitimer;
  faults = (Faults){ .fail_at = fail_at, .errnum = errnum, .exec_errnum = exec_errnum };
  cpr_sys = &faulty;
}

void
faults_end (void)
{
  cpr_sys = &cpr_sys_kernel;
}

/* ---- A VM. */

static const CprField timer_fields[] = { CPR_FIELD (Timer, period), CPR_FIELD (Timer, drift), CPR_FIELD_END };
const CprStruct timer_struct = { "Timer", sizeof (Timer), timer_fields };

static const CprField serial_fields[] = {
  CPR_FIELD (Serial, enabled),
  CPR_FIELD (Serial, ier),
  CPR_FIELD (Serial, skew),
  CPR_FIELD (Serial, scale),
  CPR_FIELD_ARRAY (Serial, fifo),
  CPR_FIELD_STRUCT_COUNTED (Serial, queue, n_queue, Timer, timer_struct),
  CPR_FIELD_STRUCT (Serial, timer, Timer, timer_struct),
  CPR_FIELD_BYTES (Serial, blob),
  CPR_FIELD_OPTIONAL (Serial, depth, 16),
  CPR_FIELD_IGNORABLE (Serial, cache, -1),
  CPR_FIELD_END,
};
const CprDeviceType serial_type = {
  .size = sizeof (CprDeviceType),
  .name = "serial",
  .version = 3,
  .minimum_version = 2,
  .state = { "Serial", sizeof (Serial), serial_fields },
};

static const CprField disk_fields[] = { CPR_FIELD (Disk, sector), CPR_FIELD (Disk, dirty), CPR_FIELD_END };
const CprDeviceType disk_type = {
  .size = sizeof (CprDeviceType),
  .name = "disk",
  .version = 1,
  .minimum_version = 1,
  .state = { "Disk", sizeof (Disk), disk_fields },
};

const Serial serial_example = {
  .enabled = true,
  .ier = 0xa5,
  .skew = INT64_MIN + 7,
  .scale = 0.3,
  .fifo = { 1, 0xffffffff, 3, 0x01020304 },
  .n_queue = 2,
  .queue = { { 100, -5 }, { 200, 32767 } },
  .timer = { 4000000000u, -32768 },
  .blob = { 9, 8, 7, 6, 5 },
  .depth = 64,
  .cache = -1,
};
const Disk disk_example = { .sector = UINT64_C (0xfedcba9876543210), .dirty = true };

typedef struct
{
  uint32_t value;
} Leaf;

const CprStruct *
nest (Nest *nested, unsigned depth)
{
  static const CprField leaf = CPR_FIELD (Leaf, value);

  memset (nested, 0, sizeof *nested);
  for (unsigned i = 0; i < depth; i++)
    {
      nested->fields[i][0] = leaf;
      if (i > 0)
        {
          nested->fields[i][0].kind = CPR_KIND_STRUCT;
          nested->fields[i][0].type = &nested->structs[i - 1];
        }
      nested->structs[i] = (CprStruct){ "Nest", sizeof (Leaf), nested->fields[i] };
    }
  return &nested->structs[depth - 1];
}

static void
assert_timer_eq (const Timer *a, const Timer *b)
{
  ck_assert_uint_eq (a->period, b->period);
  ck_assert_int_eq (a->drift, b->drift);
}

void
assert_serial_eq (const Serial *a, const Serial *b)
{
  ck_assert_int_eq (a->enabled, b->enabled);
  ck_assert_uint_eq (a->ier, b->ier);
  ck_assert_int_eq (a->skew, b->skew);
  ck_assert_mem_eq (&a->scale, &b->scale, sizeof a->scale);
  ck_assert_mem_eq (a->fifo, b->fifo, sizeof a->fifo);
  ck_assert_uint_eq (a->n_queue, b->n_queue);
  for (unsigned i = 0; i < a->n_queue; i++)
    assert_timer_eq (&a->queue[i], &b->queue[i]);
  assert_timer_eq (&a->timer, &b->timer);
  ck_assert_mem_eq (a->blob, b->blob, sizeof a->blob);
  ck_assert_uint_eq (a->depth, b->depth);
  ck_assert_int_eq (a->cache, b->cache);
}

static bool
guest_stop (void *user_data, GError **error)
{
  Guest *guest = user_data;

  if (!guest->running) /* no ck_assert: it writes to a file, and a test may have limited that */
    g_error ("a stopped guest is stopped");
  if (guest->stop == STOP_FAILS)
    g_set_error (error, g_quark_from_static_string ("unit-test"), 42, "vCPU 1 doesn't answer");
  if (guest->stop != STOP_WORKS)
    return false;
  guest->running = false;
  guest->stops++;
  return true;
}

static void
guest_start (void *user_data)
{
  Guest *guest = user_data;

  if (guest->running)
    g_error ("a running guest is started");
  guest->running = true;
  guest->starts++;
}

static void
guest_log (CprLogLevel level, const char *message, void *user_data)
{
  g_string_append_printf (((Guest *) user_data)->log, "%u %s\n", level, message);
}

void
guest_init (Guest *guest)
{
  *guest = (Guest){ .log = g_string_new (NULL) };
}

void
guest_clear (Guest *guest)
{
  g_string_free (guest->log, TRUE);
}

CprSessionConfig
guest_config (Guest *guest, const char *name)
{
  return (CprSessionConfig){
    .size = sizeof (CprSessionConfig),
    .name = name,
    .stop = guest_stop,
    .start = guest_start,
    .log = guest_log,
    .user_data = guest,
  };
}

CprSession *
session_new (Guest *guest, const char *name)
{
  CprSessionConfig config = guest_config (guest, name);
  GError *error = NULL;
  CprSession *session = cpr_session_new (&config, &error);

  assert_no_error (error);
  ck_assert_ptr_nonnull (session);
  return session;
}

CprSession *
session_new_active (Guest *guest, const char *name)
{
  CprSession *session = session_new (guest, name);

  ck_assert (cpr_session_load (session, NULL));
  ck_assert (cpr_session_start (session, NULL));
  ck_assert (guest->running);
  return session;
}

bool
update_up_to_execve (CprSession *session, unsigned pause_budget_ms, GError **error)
{
  static char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .size = sizeof update,
                             .mode = CPR_MODE_EXEC,
                             .flags = update_flags () | CPR_UPDATE_NO_PREFLIGHT,
                             .argv = argv,
                             .pause_budget_ms = pause_budget_ms };
  bool ok;

  faults_begin (0, 0, ENOEXEC);
  ok = cpr_session_update (session, &update, error);
  faults_end ();
  return ok;
}

uint64_t
block_exec (CprSession *session, const char *reason)
{
  GError *error = NULL;
  uint64_t blocker = cpr_blocker_add (session, CPR_MODES_EXEC, reason, &error);

  assert_no_error (error);
  ck_assert_uint_ne (blocker, 0);
  return blocker;
}

static void
collect_blocker (uint64_t blocker, unsigned modes, const char *reason, void *user_data)
{
  g_string_append_printf (user_data, "%s%s|", blocker == 0 ? "*" : "", reason);
}

void
assert_blockers (CprSession *session, unsigned modes, const char *expected)
{
  g_autoptr (GString) found = g_string_new (NULL);

  cpr_blocker_foreach (session, modes, collect_blocker, found);
  ck_assert_str_eq (found->str, expected);
}

void
machine_init (Machine *machine)
{
  static char *argv[] = { (char *) "unit", (char *) "--ram", (char *) "", NULL };
  const CprRamOptions options = { .size = sizeof options, .flags = CPR_RAM_DONT_DUMP };
  GError *error = NULL;

  *machine = (Machine){ .serial = serial_example, .disk = disk_example };
  cpr_fd_table_init (&machine->fds);
  cpr_ram_table_init (&machine->ram);
  cpr_vfio_table_init (&machine->vfio);
  machine->vfio.fds = &machine->fds;
  machine->vfio.ram = &machine->ram;
  cpr_device_table_init (&machine->devices);
  ck_assert (cpr_program_record (&machine->program, argv, &error));
  ck_assert_int_eq (pipe2 (machine->pipe, O_CLOEXEC), 0);
  ck_assert (cpr_fd_table_add (&machine->fds, "console", 0, machine->pipe[0], &error));
  ck_assert (cpr_fd_table_add (&machine->fds, "console", 1, machine->pipe[1], &error));
  machine->block = cpr_ram_table_add (&machine->ram, &machine->fds, "pc.ram", 4 * PAGE, &options, &error);
  ck_assert_ptr_nonnull (machine->block);
  ck_assert (cpr_device_table_add (&machine->devices, "com1", &serial_type, &machine->serial, &error));
  ck_assert (cpr_device_table_add (&machine->devices, "sda", &disk_type, &machine->disk, &error));
  assert_no_error (error);
}

void
machine_clear (Machine *machine)
{
  cpr_device_table_clear (&machine->devices);
  cpr_vfio_table_clear (&machine->vfio);
  cpr_ram_table_clear (&machine->ram);
  cpr_fd_table_clear (&machine->fds);
  cpr_program_clear (&machine->program);
  cpr_fd_clear (&machine->pipe[0]);
  cpr_fd_clear (&machine->pipe[1]);
}

void
machine_head (CprManifest *head)
{
  *head = (CprManifest){
    .vm_name = (char *) MACHINE_NAME,
    .uid = geteuid (),
    .pid = (uint32_t) getpid (),
    .generation = 7,
    .run_state = CPR_RUN_STATE_RUNNING,
  };
  ck_assert (cpr_boot_id_get (head->boot_id, NULL));
}

void
machine_write (Machine *machine, const CprManifest *head, int fd, CprWriter *writer)
{
  CprCodec codec = cpr_fd_table_get_codec (&machine->fds);
  CprSchemaBuilder builder;

  cpr_writer_init (writer, fd);
  cpr_schema_builder_init (&builder);
  cpr_manifest_write_vm (head, writer);
  cpr_manifest_write_program (&machine->program, &head->successor, writer);
  cpr_manifest_write_tables (&machine->fds, &machine->ram, writer);
  cpr_manifest_write_vfio (&machine->vfio, &machine->ram, writer);
  cpr_device_table_write_schema (&machine->devices, &builder, writer);
  ck_assert (cpr_device_table_write_sections (&machine->devices, &builder, &codec, writer, NULL));
  cpr_schema_builder_clear (&builder);
}

void
machine_write_to_memory (Machine *machine, const CprManifest *head, CprWriter *writer)
{
  machine_write (machine, head, -1, writer);
  ck_assert (cpr_writer_finish (writer));
}

static void
prepare (Offer *offer, Machine *machine)
{
  static char *argv[] = { (char *) "/bin/true", NULL };
  const CprUpdate update = { .argv = argv, .flags = CPR_UPDATE_NO_GUARDIAN | CPR_UPDATE_NO_RESCUE };
  const CprCarrierPlan plan = {
    .update = &update, .vm_name = MACHINE_NAME, .self = &machine->program, .fds = &machine->fds
  };
  GError *error = NULL;

  offer->exec = (CprExecve *) cpr_carrier_exec.open (&plan, &error);
  assert_no_error (error);
  offer->state_fd = offer->exec->state_fd;
  offer->baton_fd = offer->exec->baton.fd;
  offer->release_fd = offer->exec->release_fd;
  offer->exe_fd = machine->program.exe_fd;
}

static void
seal_and_offer (Offer *offer, CprWriter *writer)
{
  const CprBatonWord mine = { CPR_BATON_OWNED, 0, getpid () }, offered = { CPR_BATON_OFFERED, 1, getpid () };

  ck_assert (cpr_carrier_exec.seal (&offer->exec->base, writer, NULL));
  ck_assert (cpr_baton_move (offer->exec->baton.page, mine, offered));
}

void
offer_make (Offer *offer, Machine *machine, const CprManifest *head)
{
  CprWriter writer;

  prepare (offer, machine);
  machine_write (machine, head, offer->exec->state_fd, &writer);
  seal_and_offer (offer, &writer);
  cpr_writer_clear (&writer);
}

void
offer_clear (Offer *offer, Machine *machine)
{
  int *const fds[] = { &offer->exec->state_fd, &offer->exec->baton.fd, &offer->exec->release_fd,
                       &machine->program.exe_fd };

  /* Whoever took the state up has closed them. */
  for (size_t i = 0; i < G_N_ELEMENTS (fds); i++)
    if (*fds[i] >= 0 && fcntl (*fds[i], F_GETFD) < 0)
      *fds[i] = -1;
  cpr_carrier_exec.close (&offer->exec->base);
  machine_clear (machine);
}
