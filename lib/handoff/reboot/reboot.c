/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reboot mode in the old program: the state and the contents of RAM go into a file or a pipe.
 * The carrier's table is here, too. Called by the order of steps in lib/session. */
#include "handoff/reboot/reboot.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

#define SCHEME_FILE CPR_REBOOT_SCHEME_FILE ":"
#define SCHEME_FD   "fd:"

/* How long a pipe's reader may take if the update doesn't say: LEAST_NS, and the time of all RAM
 * at LEAST_RATE bytes a second. */
#define LEAST_NS   (UINT64_C (60) * 1000000000)
#define LEAST_RATE (1u << 20)

/* The size of a stream's last chunk. */
#define END_SIZE (CPR_FORMAT_CHUNK_HEADER_SIZE + 8 + CPR_FORMAT_CHECKSUM_SIZE)

typedef struct
{
  CprCarrier base;
  CprBaton baton;
  CprRamStore *store;
  const CprUpdate *update;
  _Atomic uint64_t *ram_done, *ram_total;
  char *path;     /* NULL: the state goes into an fd */
  char *new_path; /* the file's name until the end of the save; NULL: there is no such file */
  int file;
} Reboot;

/* ---- The old program. */

static bool
parse_fd (const char *uri, int *fd)
{
  gint64 number;

  if (!g_str_has_prefix (uri, SCHEME_FD) ||
      !g_ascii_string_to_signed (uri + strlen (SCHEME_FD), 10, STDERR_FILENO + 1, G_MAXINT, &number, NULL))
    return false;
  *fd = (int) number;
  return true;
}

static bool
reboot_check (const CprUpdate *update, GError **error)
{
  const char *uri = update->uri;
  int fd;

  if (uri != NULL &&
      (parse_fd (uri, &fd) || (g_str_has_prefix (uri, SCHEME_FILE) && uri[strlen (SCHEME_FILE)] != '\0')))
    return true;
  return cpr_throw (error, CPR_ERROR_INVALID, "update: uri '%s': file:PATH or fd:NUMBER expected",
                    uri != NULL ? uri : "");
}

/* Fails if there is a file @path: it may be a state, and overwriting that would lose a guest. */
static bool
check_absence (const char *path, GError **error)
{
  g_autofree char *target = cpr_reboot_read_link (path);
  struct stat st;

  if (target != NULL) /* a link that leads nowhere counts, too: its name is in use */
    return cpr_throw (error, CPR_ERROR_EXISTS, "state: there is a symbolic link '%s', to '%s'", path, target);
  if (cpr_sys->stat (path, &st) == 0)
    return cpr_throw (error, CPR_ERROR_EXISTS, "state: there is a file '%s'", path);
  return errno == ENOENT || cpr_throw_errno (error, errno, "state: '%s'", path);
}

static char *
make_new_path (const char *path)
{
  return g_strdup_printf ("%s.%08x.new", path, g_random_int ());
}

/* Opens the new file by its name and claims it, by the same calls as a take-up. The lock ends
 * when the fd is closed. */
static bool
check_claim (const Reboot *reboot, GError **error)
{
  int file = cpr_reboot_open_file (reboot->path, reboot->new_path, error);
  struct stat st;
  bool ok = file >= 0 && cpr_reboot_claim_file (file, reboot->path, reboot->new_path, &st, error);

  cpr_fd_clear (&file);
  return ok;
}

/* Tries a rename and the sync of the folder, as the end of the save and the take-up will do
 * them. */
static bool
check_renames (Reboot *reboot, GError **error)
{
  g_autofree char *other = make_new_path (reboot->path);

  if (!cpr_reboot_rename (reboot->new_path, other))
    return cpr_throw_errno (error, errno, "state '%s': renaming it", reboot->path);
  g_free (reboot->new_path);
  reboot->new_path = g_steal_pointer (&other);
  return cpr_reboot_sync_folder (reboot->path) ||
         cpr_throw_errno (error, errno, "state '%s': fsync of its folder", reboot->path);
}

/* Finds out, while the guest still runs, whether a state in this file could be taken up. */
static bool
check_take_up (Reboot *reboot, GError **error)
{
  GError *reason = NULL;

  if (check_claim (reboot, &reason) && check_renames (reboot, &reason))
    return true;
  if (g_error_matches (reason, CPR_ERROR, CPR_ERROR_NOT_OWNER)) /* the file is new, so no process takes it up */
    {
      g_clear_error (&reason);
      cpr_throw (&reason, CPR_ERROR_MISMATCH,
                 "state '%s': its file system shows another file under the new file's name, or has a lock on it",
                 reboot->path);
    }
  g_propagate_prefixed_error (error, reason, "a state that is saved there couldn't be taken up: ");
  return false;
}

static bool
open_file (Reboot *reboot, const char *path, GError **error)
{
  g_autofree char *taken = cpr_reboot_name_taken (path);

  if (!check_absence (path, error) || !check_absence (taken, error))
    return false;
  reboot->path = g_strdup (path);
  reboot->new_path = make_new_path (path);
  reboot->file =
      cpr_fd_above_std (cpr_sys->open (reboot->new_path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (reboot->file >= 0)
    return check_take_up (reboot, error);
  cpr_throw_errno (error, errno, "state: making '%s'", reboot->new_path);
  g_clear_pointer (&reboot->new_path, g_free);
  return false;
}

/* Opens the pipe again, without blocking: a write then takes as much as there is room for. If
 * the pipe can't be opened again, smaller writes have to do. */
static void
make_nonblocking (Reboot *reboot)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", reboot->file);
  int fd = cpr_fd_above_std (cpr_sys->open (link, O_WRONLY | O_NONBLOCK | O_CLOEXEC, 0));

  if (fd < 0)
    return;
  cpr_fd_clear (&reboot->file);
  reboot->file = fd;
}

/* Ends the wait for the reader, who may take nothing, or a byte now and then. The guest stands
 * still until that end. */
static uint64_t
choose_end (const CprCarrierPlan *plan)
{
  uint64_t ns = LEAST_NS;

  if (plan->update->deadline_ms != 0)
    return cpr_now_ns () + plan->timeout_ns;
  for (guint i = 0; i < plan->ram->blocks->len; i++)
    ns += ((const CprRamBlock *) plan->ram->blocks->pdata[i])->size / LEAST_RATE * 1000000000;
  return cpr_now_ns () + ns;
}

static bool
open_target (Reboot *reboot, const CprCarrierPlan *plan, GError **error)
{
  const char *uri = plan->update->uri;
  struct stat st;
  int fd;

  if (!parse_fd (uri, &fd))
    return open_file (reboot, uri + strlen (SCHEME_FILE), error);
  reboot->file = cpr_sys->fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (reboot->file < 0 || cpr_sys->fstat (reboot->file, &st) < 0)
    return cpr_throw_errno (error, errno, "state: fd %d", fd);
  if (S_ISFIFO (st.st_mode))
    make_nonblocking (reboot);
  if (!S_ISREG (st.st_mode))
    reboot->base.stream_end_ns = choose_end (plan);
  return true;
}

static void
reboot_close (CprCarrier *carrier)
{
  Reboot *reboot = (Reboot *) carrier;

  if (reboot->new_path != NULL)
    cpr_sys->unlink (reboot->new_path);
  cpr_fd_clear (&reboot->file);
  cpr_baton_clear (&reboot->baton);
  cpr_ram_store_free (reboot->store);
  g_free (reboot->new_path);
  g_free (reboot->path);
  g_free (reboot);
}

static CprCarrier *
reboot_open (const CprCarrierPlan *plan, GError **error)
{
  Reboot *reboot = g_new0 (Reboot, 1);
  bool in_place = (plan->update->flags & CPR_UPDATE_RAM_IN_PLACE) != 0;
  int fd;

  *reboot = (Reboot){ .base.type = &cpr_carrier_reboot,
                      .baton = { .fd = -1 },
                      .update = plan->update,
                      .ram_done = plan->ram_done,
                      .ram_total = plan->ram_total,
                      .file = -1 };
  reboot->store = cpr_ram_store_new (
      plan->ram, parse_fd (plan->update->uri, &fd) ? CPR_RAM_LAYOUT_STREAM : CPR_RAM_LAYOUT_AREA, in_place, error);
  if (reboot->store != NULL && cpr_ram_store_probe (reboot->store, error) && cpr_baton_new (&reboot->baton, error) &&
      open_target (reboot, plan, error))
    {
      reboot->base.page = reboot->baton.page;
      reboot->base.page->pause_budget_ns = plan->pause_budget_ns;
      reboot->base.stream_fd = reboot->file;
      return &reboot->base;
    }
  reboot_close (&reboot->base);
  return NULL;
}

static void
reboot_describe (CprCarrier *carrier, CprWriter *writer)
{
  cpr_writer_begin_chunk (writer, CPR_CHUNK_STORE, 0);
  cpr_ram_store_write (((Reboot *) carrier)->store, writer);
  cpr_writer_end_chunk (writer);
}

static bool
reboot_launch (CprCarrier *carrier, GError **error)
{
  return true;
}

static bool
report (uint64_t done, uint64_t total, void *user_data, GError **error)
{
  const Reboot *reboot = user_data;
  const CprUpdate *update = reboot->update;

  *reboot->ram_done = done;
  *reboot->ram_total = total;
  return update->progress == NULL || update->progress (done, total, update->callback_data, error);
}

static bool
finish_stream (Reboot *reboot, CprWriter *writer, GError **error)
{
  cpr_ram_store_write_sums (reboot->store, writer);
  return cpr_writer_finish (writer) || cpr_throw_errno (error, errno, "state: writing it");
}

/* Writes the file: RAM first, then the chunks with the sums of RAM, then the stream's end. The
 * stream's length is computed beforehand, since it says where RAM begins. */
static bool
write_file (Reboot *reboot, CprWriter *writer, GError **error)
{
  const CprRamProgress progress = { report, reboot };
  uint64_t len = cpr_writer_get_len (writer) + cpr_ram_store_get_sums_len (reboot->store) + END_SIZE;
  uint64_t base = cpr_reboot_get_base (len);

  if (reboot->store->area > 0 && !cpr_fd_truncate (reboot->file, base + reboot->store->area))
    return cpr_throw_errno (error, errno, "state: a file of %" G_GUINT64_FORMAT " bytes", base + reboot->store->area);
  if (!cpr_ram_store_copy (reboot->store, reboot->file, base, &progress, error) ||
      !finish_stream (reboot, writer, error))
    return false;
  return cpr_sys->fsync (reboot->file) == 0 || cpr_throw_errno (error, errno, "state: fsync");
}

static bool
write_pipe (Reboot *reboot, CprWriter *writer, GError **error)
{
  const CprRamProgress progress = { report, reboot };

  if (!cpr_ram_store_copy (reboot->store, -1, 0, NULL, error) || !finish_stream (reboot, writer, error) ||
      !cpr_ram_store_send (reboot->store, reboot->file, reboot->base.stream_end_ns, &progress, error))
    return false;
  if (cpr_sys->fsync (reboot->file) == 0 || errno == EINVAL || errno == EROFS) /* a pipe has none */
    return true;
  return cpr_throw_errno (error, errno, "state: fsync");
}

static bool
reboot_seal (CprCarrier *carrier, CprWriter *writer, GError **error)
{
  Reboot *reboot = (Reboot *) carrier;

  if (!cpr_ram_store_stamp (reboot->store, error))
    return false;
  return reboot->path != NULL ? write_file (reboot, writer, error) : write_pipe (reboot, writer, error);
}

static bool
confirm (const Reboot *reboot, GError **error)
{
  const CprUpdate *update = reboot->update;
  GError *reason = NULL;

  if (update->confirm == NULL || update->confirm (update->callback_data, &reason))
    return true;
  return cpr_throw_callback (error, reason, "state: the confirm callback refused it");
}

/* Takes the state back after an error: it has its name, but might not have it after a crash of
 * the host. If another process was quicker, that one has the guest. */
static bool
take_back (Reboot *reboot, int errnum, GError **error)
{
  if (cpr_sys->unlink (reboot->path) == 0)
    return cpr_throw_errno (error, errnum, "state: fsync of the folder of '%s'", reboot->path);
  reboot->base.lost = true;
  return cpr_throw_errno (error, errno, "state: '%s' can't be taken back, and has the guest", reboot->path);
}

static bool
reboot_go (CprCarrier *carrier, GError **error)
{
  Reboot *reboot = (Reboot *) carrier;

  cpr_fd_clear (&reboot->file);
  if (!confirm (reboot, error))
    return false;
  if (reboot->path == NULL)
    return true;
  if (!cpr_reboot_rename (reboot->new_path, reboot->path))
    return cpr_throw_errno (error, errno, "state: renaming it to '%s'", reboot->path);
  g_clear_pointer (&reboot->new_path, g_free);
  return cpr_reboot_sync_folder (reboot->path) || take_back (reboot, errno, error);
}

const CprCarrierType cpr_carrier_reboot = {
  .mode = CPR_MODE_REBOOT,
  .name = "reboot",
  .scheme = CPR_REBOOT_SCHEME_FILE,
  .alias = CPR_REBOOT_SCHEME_PIPE,
  .check = reboot_check,
  .open = reboot_open,
  .describe = reboot_describe,
  .launch = reboot_launch,
  .seal = reboot_seal,
  .go = reboot_go,
  .close = reboot_close,
  .take_up = cpr_reboot_take_up,
  .commit = cpr_reboot_commit,
  .give_back = cpr_reboot_give_back,
  .finish = cpr_reboot_finish,
  .clear = cpr_reboot_clear,
};
