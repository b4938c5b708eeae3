/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "handoff/incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "handoff/executable.h"
#include "handoff/question.h"

static bool
is_sealed_state (int fd)
{
  char magic[CPR_FORMAT_MAGIC_SIZE];

  return cpr_stream_is_sealed (fd) && cpr_fd_read_at (fd, magic, sizeof magic, 0) &&
         memcmp (magic, CPR_FORMAT_MAGIC, sizeof magic) == 0;
}

/* The hint of the environment, or else a search: a state that is there is never overlooked. -1: there is
 * none. */
static bool
find_state (int *fd, GError **error)
{
  const char *hint = g_getenv (CPR_STATE_VARIABLE);
  g_autoptr (GArray) open_fds = NULL;
  gint64 number;

  *fd = -1;
  if (hint != NULL)
    {
      if (!g_ascii_string_to_signed (hint, 10, STDERR_FILENO + 1, G_MAXINT, &number, NULL) ||
          !is_sealed_state ((int) number))
        return cpr_throw (error, CPR_ERROR_MISMATCH,
                          "state: %s=%s in the environment doesn't name one; unset it for a fresh start",
                          CPR_STATE_VARIABLE, hint);
      *fd = (int) number;
      return true;
    }
  open_fds = cpr_fd_list (error);
  if (open_fds == NULL)
    return false;
  for (guint i = 0; i < open_fds->len && *fd < 0; i++)
    if (is_sealed_state (g_array_index (open_fds, int, i)))
      *fd = g_array_index (open_fds, int, i);
  if (*fd < 0 && cpr_guardian_is_child ())
    return cpr_throw (error, CPR_ERROR_MISMATCH,
                      "state: an update is under way in this process, but its fds were closed on the way");
  return true;
}

bool
cpr_incoming_open_stream (CprIncoming *incoming, GError **error)
{
  if (!cpr_reader_open_fd_with (&incoming->reader, incoming->state_fd, g_steal_pointer (&incoming->spare), error))
    return false;
  return incoming->reader.kind == CPR_STREAM_STATE ||
         cpr_throw (error, CPR_ERROR_CORRUPT, "state: it is a preflight's message");
}

bool
cpr_incoming_read_state (CprIncoming *incoming, GError **error)
{
  struct stat st;

  if (cpr_sys->fstat (incoming->state_fd, &st) < 0)
    return cpr_throw_errno (error, errno, "state: fstat");
  if (st.st_uid != geteuid ())
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: it belongs to user %u, this is user %u", st.st_uid,
                      geteuid ());
  if (st.st_size == 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: it is empty");
  incoming->state_entry = (CprFdEntry){ .name = (char *) CPR_FD_INTERNAL "state", .fd = incoming->state_fd };
  cpr_fd_identify (incoming->state_fd, &incoming->state_entry.identity);
  return cpr_incoming_open_stream (incoming, error) &&
         cpr_manifest_read (&incoming->manifest, &incoming->reader, error);
}

/* One of the library's own entries: verified, and then out of the table. */
static bool
take_own (CprIncoming *incoming, const char *name, int *fd, GError **error)
{
  CprFdEntry *entry = cpr_fd_table_find (&incoming->manifest.fds, name, 0);

  if (entry == NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: the fd '%s' isn't in it", name);
  if (!cpr_fd_entry_verify (entry, 0, error))
    return false;
  *fd = entry->fd;
  cpr_fd_table_remove (&incoming->manifest.fds, entry);
  return true;
}

/* After this the way back is known. */
static bool
take_baton (CprIncoming *incoming, GError **error)
{
  CprBatonWord word;
  int fd;

  if (!take_own (incoming, CPR_FD_BATON, &fd, error) || !cpr_baton_open (&incoming->baton, fd, error) ||
      !take_own (incoming, CPR_FD_RELEASE, &incoming->release_fd, error) ||
      !take_own (incoming, CPR_FD_EXECUTABLE, &incoming->manifest.program.exe_fd, error))
    return false;
  word = cpr_baton_get (incoming->baton.page);
  if (word.state == CPR_BATON_OWNED)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: process %d took it up before", word.pid);
  incoming->attempt = word.attempt;
  return cpr_incoming_check_owner (incoming, error);
}

bool
cpr_incoming_check_owner (const CprIncoming *incoming, GError **error)
{
  CprBatonWord word = cpr_baton_get (incoming->baton.page);

  if (word.state == CPR_BATON_OFFERED && word.pid == getpid () && word.attempt == incoming->attempt)
    return true;
  return cpr_throw (error, CPR_ERROR_NOT_OWNER, "state: it is meant for process %d, this is process %d", word.pid,
                    getpid ());
}

bool
cpr_incoming_check_identity (const CprManifest *manifest, const char *vm_name, bool boot, GError **error)
{
  char boot_id[CPR_BOOT_ID_SIZE + 1];

  if (manifest->uid != geteuid ())
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: user %u saved it, this is user %u", manifest->uid, geteuid ());
  if (!cpr_boot_id_get (boot_id, error))
    return false;
  if (boot && strcmp (manifest->boot_id, boot_id) != 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: it is of boot %s, this is boot %s", manifest->boot_id,
                      boot_id);
  if (g_strcmp0 (manifest->vm_name, vm_name) != 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: it is of VM '%s', this is VM '%s'", manifest->vm_name,
                      vm_name != NULL ? vm_name : "");
  return true;
}

/* On the way there: it is the very program that was asked. */
static bool
check_successor (const CprIncoming *incoming, GError **error)
{
  const CprSuccessor *asked = &incoming->manifest.successor;
  g_autofree char *path = NULL, *was = NULL, *is = NULL;
  CprSuccessor here;

  if (asked->build_id == NULL || incoming->attempt > 1)
    return true;
  if (!cpr_executable_get (&here, &path, error))
    return false;
  if (!cpr_executable_equal (&here, asked))
    {
      was = cpr_executable_describe (asked);
      is = cpr_executable_describe (&here);
      cpr_throw (error, CPR_ERROR_MISMATCH, "program: the one that said it would take over was %s; this is '%s', %s",
                 was, path != NULL ? path : "", is);
    }
  cpr_executable_clear (&here);
  return was == NULL;
}

/* What was saved into a file has its RAM there, too. */
static bool
check_mode (const CprIncoming *incoming, GError **error)
{
  return incoming->manifest.store == NULL ||
         cpr_throw (error, CPR_ERROR_MISMATCH, "state: it is one of reboot mode; it is taken up from its file");
}

static bool
take_up (CprIncoming *incoming, const char *vm_name, GError **error)
{
  GError *reason = NULL;

  if (!cpr_incoming_read_state (incoming, error) || !check_mode (incoming, error) || !take_baton (incoming, error))
    return false;
  if (cpr_sys->close_range (STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
    cpr_throw_errno (&reason, errno, "close_range");
  else if (check_successor (incoming, &reason) &&
           cpr_incoming_check_identity (&incoming->manifest, vm_name, true, &reason) &&
           cpr_fd_table_verify (&incoming->manifest.fds, cpr_guardians_find (incoming->baton.page), &reason))
    return true;
  return cpr_incoming_give_back (incoming, NULL, reason, error);
}

/* Everything that a signal handler will need. It does without a guardian of its own where the update does. */
static void
arm (CprIncoming *incoming)
{
  const CprManifest *manifest = &incoming->manifest;
  g_autoptr (GArray) carried = cpr_execve_collect (&manifest->fds, incoming->state_fd, NULL);
  bool with_guardian = cpr_guardians_find (incoming->baton.page) != 0;
  CprGuardianConfig config = { incoming->baton.page, carried, incoming->release_fd, -1, NULL };
  CprGuardian *guardian = NULL;

  g_array_append_val (carried, incoming->baton.fd);
  g_array_append_val (carried, incoming->release_fd);
  g_array_append_val (carried, manifest->program.exe_fd);
  cpr_fd_sort (carried);
  if (with_guardian)
    {
      if (incoming->baton.page->rescue != 0)
        config.rescue = cpr_rescue_new (&manifest->program, manifest->vm_name, incoming->state_fd, carried);
      guardian = cpr_guardian_new (&config, NULL);
    }
  incoming->fatal =
      cpr_fatal_arm (incoming->baton.page, incoming->attempt, &manifest->fds,
                     cpr_rescue_new (&manifest->program, manifest->vm_name, incoming->state_fd, carried), guardian);
}

static CprIncoming *
incoming_new (const CprCarrierType *carrier)
{
  CprIncoming *incoming = g_new0 (CprIncoming, 1);

  incoming->carrier = carrier;
  incoming->state_fd = incoming->release_fd = incoming->baton.fd = -1;
  cpr_manifest_init (&incoming->manifest);
  incoming->manifest.find_fd = carrier->take_fd;
  incoming->manifest.find_fd_data = incoming;
  return incoming;
}

/* A state that was handed over through execve. */
static bool
take_up_inherited (CprIncoming **incoming, int state_fd, const char *vm_name, GError **error)
{
  CprIncoming *made = incoming_new (&cpr_carrier_exec);

  made->state_fd = state_fd;
  if (!take_up (made, vm_name, error))
    {
      if (made->manifest.vm_name != NULL)
        cpr_signals_set_mask (made->manifest.signal_mask); /* it ends by itself, or by a signal */
      made->state_fd = -1;                                 /* stays open, so that this process goes on being refused */
      cpr_incoming_free (made);
      return false;
    }
  g_unsetenv (CPR_STATE_VARIABLE);
  if (made->attempt == 1)
    arm (made);
  if (made->attempt > 1) /* executed by its fd, it was named after that */
    prctl (PR_SET_NAME, made->manifest.program.comm);
  *incoming = made;
  return true;
}

static bool
take_up_from (CprIncoming **incoming, const CprSessionConfig *config, GError **error)
{
  const char *address;
  const CprCarrierType *carrier = cpr_carrier_type_find (config->incoming, &address, error);
  CprIncoming *made;

  if (carrier == NULL)
    return false;
  made = incoming_new (carrier);
  if (carrier->take_up (made, config, address, error))
    *incoming = made;
  else
    cpr_incoming_free (made);
  return *incoming != NULL;
}

bool
cpr_incoming_take_up (CprIncoming **incoming, int *question, const CprSessionConfig *config, GError **error)
{
  int fd;

  *incoming = NULL;
  *question = -1;
  if (!find_state (&fd, error))
    return false;
  if (fd >= 0 && cpr_question_is_one (fd))
    *question = fd;
  else if (fd >= 0)
    return take_up_inherited (incoming, fd, config->name, error);
  else if (config->incoming != NULL)
    return take_up_from (incoming, config, error);
  return true;
}

void
cpr_incoming_free (CprIncoming *incoming)
{
  if (incoming == NULL)
    return;
  cpr_fatal_disarm (incoming->fatal);
  if (incoming->carrier->clear != NULL)
    incoming->carrier->clear (incoming);
  cpr_manifest_clear (&incoming->manifest);
  cpr_baton_clear (&incoming->baton);
  cpr_fd_clear (&incoming->release_fd);
  cpr_reader_clear (&incoming->reader);
  g_free (incoming->spare);
  cpr_fd_clear (&incoming->state_fd);
  g_free (incoming);
}

bool
cpr_incoming_commit (CprIncoming *incoming, GError **error)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, incoming->attempt, getpid () },
                     mine = { CPR_BATON_OWNED, incoming->attempt, getpid () };

  if (incoming->carrier->commit != NULL && !incoming->carrier->commit (incoming, error))
    return false;
  if (cpr_baton_move (incoming->baton.page, offered, mine))
    {
      g_clear_pointer (&incoming->fatal, cpr_fatal_disarm);
      return true;
    }
  cpr_incoming_check_owner (incoming, error);
  return false;
}

bool
cpr_incoming_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error)
{
  return incoming->carrier->give_back (incoming, held, reason, error);
}

bool
cpr_incoming_await_state (CprIncoming *incoming, const CprRamTable *ram, GError **error)
{
  return incoming->carrier->await_state == NULL || incoming->carrier->await_state (incoming, ram, error);
}
