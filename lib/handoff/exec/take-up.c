/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exec mode in the new program, from the search for a state among the inherited fds to the
 * commit. Called through the carrier's table by handoff/incoming.c. */
#include "handoff/exec/take-up.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/uapi.h"
#include "handoff/exec/image.h"
#include "handoff/exec/runner.h"
#include "state/executable.h"
#include "state/seal.h"

/* ---- The fds that this process has inherited. */

static bool
is_sealed_state (int fd)
{
  char magic[CPR_FORMAT_MAGIC_SIZE];

  return cpr_stream_is_sealed (fd) && cpr_fd_read_at (fd, magic, sizeof magic, 0) &&
         memcmp (magic, CPR_FORMAT_MAGIC, sizeof magic) == 0;
}

/* Trusts the hint in the environment, or else searches all fds. A command such as `env -i` may
 * have removed the hint, and a state that was overlooked would mean a second guest on the same
 * disks. */
bool
cpr_execve_find (int *fd, GError **error)
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

/* ---- The state, verified. */

/* Verifies one of the library's own entries and takes it out of the table, so that the VMM never
 * sees it. */
static bool
take_own (CprIncoming *incoming, const char *name, int *fd, GError **error)
{
  CprFdEntry *entry = cpr_fd_table_find (&incoming->manifest.fds, name, 0);

  if (entry == NULL)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: fd '%s' should be in its fd table, and is missing", name);
  if (!cpr_fd_entry_verify (entry, 0, error))
    return false;
  *fd = entry->fd;
  cpr_fd_table_remove (&incoming->manifest.fds, entry);
  return true;
}

/* The guest runs meanwhile: the area through which it is asked for. */
static bool
take_late (CprIncoming *incoming, GError **error)
{
  struct stat st;
  void *area;

  if (cpr_fd_table_find (&incoming->manifest.fds, CPR_FD_LATE, 0) == NULL)
    return true;
  if (!take_own (incoming, CPR_FD_LATE, &incoming->late_fd, error) ||
      !take_own (incoming, CPR_FD_ASK, &incoming->ask, error))
    return false;
  if (cpr_sys->fstat (incoming->late_fd, &st) < 0 || (size_t) st.st_size < sizeof (CprLateArea))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "late state: its area is too small");
  area = cpr_sys->mmap (NULL, (size_t) st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, incoming->late_fd, 0);
  if (area == MAP_FAILED)
    return cpr_throw_errno (error, errno, "late state: mmap");
  incoming->late = area; /* stays mapped */
  return (incoming->late->magic == CPR_LATE_MAGIC && incoming->late->size == st.st_size) ||
         cpr_throw (error, CPR_ERROR_CORRUPT, "late state: its area says that it has %u bytes", incoming->late->size);
}

/* A failure after this can go back: the baton and the old executable are known. */
static bool
take_baton (CprIncoming *incoming, GError **error)
{
  CprExecveTaken *taken = incoming->transport;
  CprBatonWord word;
  int fd;

  if (!take_own (incoming, CPR_FD_BATON, &fd, error) || !cpr_baton_open (&incoming->baton, fd, error) ||
      !take_own (incoming, CPR_FD_RELEASE, &taken->release_fd, error) ||
      !take_own (incoming, CPR_FD_EXECUTABLE, &incoming->manifest.program.exe_fd, error))
    return false;
  word = cpr_baton_get (incoming->baton.page);
  if (word.state == CPR_BATON_OWNED)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: process %d took it up before", word.pid);
  incoming->attempt = word.attempt;
  return take_late (incoming, error) && cpr_incoming_check_owner (incoming, error);
}

/* On the way there this has to be the program that the preflight asked. Only that one has said
 * that it can take the guest over. */
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

/* A state that was saved into a file has RAM in that file, too, so it is no state of this mode. */
static bool
check_mode (const CprIncoming *incoming, GError **error)
{
  return incoming->manifest.store == NULL ||
         cpr_throw (error, CPR_ERROR_MISMATCH, "state: it is one of reboot mode; it is taken up from its file");
}

/* A way back accepts any clocks, since they are better than no guest. */
static CprBootDemand
get_demand (const CprIncoming *incoming)
{
  return incoming->attempt > 1 ? CPR_BOOT_SAME : CPR_BOOT_SAME_CLOCKS;
}

/* In another time namespace the old program would have the wrong clocks, too: this process can't
 * leave that namespace. The guardian never entered it. So this process ends instead, and the
 * guardian takes the guest back. */
static bool
is_guardians_matter (const CprIncoming *incoming)
{
  const CprBatonPage *page = incoming->baton.page;

  return incoming->attempt == 1 && page->rescue != 0 && cpr_guardians_find (page) != 0 &&
         !cpr_incoming_check_boot (&incoming->manifest, CPR_BOOT_SAME_CLOCKS, NULL) &&
         cpr_incoming_check_boot (&incoming->manifest, CPR_BOOT_SAME, NULL);
}

static bool
close_on_exec (const CprIncoming *incoming)
{
  g_autoptr (GArray) carried = cpr_image_collect_fds (&incoming->manifest.fds, incoming->state_fd, NULL);

  return cpr_image_set_cloexec (carried);
}

static bool
take_verified (CprIncoming *incoming, const char *vm_name, GError **error)
{
  CprExecveTaken *taken = incoming->transport;
  GError *reason = NULL;

  taken->state_entry = (CprFdEntry){ .name = (char *) CPR_FD_INTERNAL "state", .fd = incoming->state_fd };
  cpr_fd_identify (incoming->state_fd, &taken->state_entry.identity);
  if (!cpr_incoming_read_state (incoming, error) || !check_mode (incoming, error) || !take_baton (incoming, error))
    return false;
  if (!close_on_exec (incoming))
    cpr_throw_errno (&reason, errno, "making all fds close-on-exec: close_range");
  else if (check_successor (incoming, &reason) &&
           cpr_incoming_check_identity (&incoming->manifest, vm_name, get_demand (incoming), &reason) &&
           cpr_fd_table_verify (&incoming->manifest.fds, cpr_guardians_find (incoming->baton.page), &reason))
    return true;
  if (!is_guardians_matter (incoming))
    return cpr_incoming_give_back (incoming, NULL, reason, error);
  g_strlcpy (incoming->baton.page->reason, reason->message, CPR_BATON_REASON_SIZE);
  g_propagate_error (error, reason);
  return false;
}

/* ---- The way back after a fatal signal. */

/* Prepares everything that the signal handler will need, since a handler can't allocate. It gets
 * a guardian only if the update has one. */
static void
arm (CprIncoming *incoming)
{
  const CprManifest *manifest = &incoming->manifest;
  CprExecveTaken *taken = incoming->transport;
  g_autoptr (GArray) carried = cpr_image_collect_fds (&manifest->fds, incoming->state_fd, NULL);
  bool with_guardian = cpr_guardians_find (incoming->baton.page) != 0;
  CprGuardianConfig config = {
    .page = incoming->baton.page, .keep = carried, .release = taken->release_fd, .notify = -1
  };
  CprGuardian *guardian = NULL;

  g_array_append_val (carried, incoming->baton.fd);
  g_array_append_val (carried, taken->release_fd);
  g_array_append_val (carried, manifest->program.exe_fd);
  if (incoming->late != NULL)
    {
      g_array_append_val (carried, incoming->late_fd);
      g_array_append_val (carried, incoming->ask);
    }
  cpr_fd_sort (carried);
  if (with_guardian)
    {
      if (incoming->baton.page->rescue != 0)
        config.rescue = cpr_rescue_new (&manifest->program, manifest->vm_name, incoming->state_fd, carried);
      guardian = cpr_guardian_new (&config, NULL);
    }
  taken->fatal =
      cpr_fatal_arm (incoming->baton.page, incoming->attempt, &manifest->fds,
                     cpr_rescue_new (&manifest->program, manifest->vm_name, incoming->state_fd, carried), guardian);
}

/* ---- The carrier's functions. */

static void
take_name (const CprIncoming *incoming)
{
  if (incoming->attempt > 1) /* the kernel names a program that is executed by an fd after the fd */
    prctl (PR_SET_NAME, incoming->manifest.program.comm);
}

bool
cpr_execve_take_up (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error)
{
  CprExecveTaken *taken = g_new0 (CprExecveTaken, 1);

  incoming->transport = taken;
  taken->release_fd = -1;
  taken->closed_std = cpr_fd_get_closed_std ();
  if (!take_verified (incoming, config->name, error))
    {
      if (incoming->manifest.vm_name != NULL)
        cpr_signals_set_mask (incoming->manifest.signal_mask); /* so that signals can end this process */
      incoming->state_fd = -1; /* stays open: another try in this process has to be refused, too */
      return false;
    }
  g_unsetenv (CPR_STATE_VARIABLE);
  if (incoming->attempt == 1)
    arm (incoming);
  take_name (incoming);
  return true;
}

void
cpr_execve_committed (CprIncoming *incoming)
{
  CprExecveTaken *taken = incoming->transport;

  g_clear_pointer (&taken->fatal, cpr_fatal_disarm);
}

void
cpr_execve_leave (CprIncoming *incoming)
{
  const CprExecveTaken *taken = incoming->transport;

  if (taken->fatal != NULL)
    cpr_fatal_leave ();
}

void
cpr_execve_finish (CprIncoming *incoming)
{
  const CprExecveTaken *taken = incoming->transport;

  cpr_guardians_release (incoming->baton.page, taken->release_fd);
}

void
cpr_execve_clear (CprIncoming *incoming)
{
  CprExecveTaken *taken = incoming->transport;

  if (taken == NULL)
    return;
  cpr_fatal_disarm (taken->fatal);
  cpr_fd_clear (&taken->release_fd);
  g_free (taken);
}
