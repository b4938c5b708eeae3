/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exec mode's way back from a new program that failed and can say so: it executes the old
 * program. Called through the carrier's table. */
#include "handoff/exec/take-up.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/text.h"
#include "handoff/exec/image.h"

/* Gets an fd back from the guardian, which has copies. The new program may have closed its own,
 * as a device's constructor that fails does. */
static bool
fetch_fd (const CprFdEntry *entry, int guardian, GError **error)
{
  int copy = cpr_fd_above_std (cpr_sys->pidfd_getfd (guardian, entry->fd));
  int placed;

  if (copy < 0)
    return cpr_throw_errno (error, errno, "fd '%s' %d: it is gone, and the guardian can't give it back", entry->name,
                            entry->index);
  if (copy == entry->fd)
    return true;
  placed = cpr_sys->dup3 (copy, entry->fd, O_CLOEXEC);
  if (placed < 0)
    cpr_throw_errno (error, errno, "fd '%s' %d: dup3", entry->name, entry->index);
  cpr_fd_clear (&copy);
  return placed >= 0;
}

/* Opens a pidfd of the guardian with a number above those of the fd table, since dup3() would
 * close it otherwise. */
static bool
open_guardian (const CprIncoming *incoming, const CprFdTable *fds, pid_t guardian, int *pidfd, GError **error)
{
  int opened = cpr_fd_above_std (cpr_sys->pidfd_open (guardian)), highest = incoming->state_fd;

  for (guint i = 0; i < fds->entries->len; i++)
    highest = MAX (highest, ((CprFdEntry *) fds->entries->pdata[i])->fd);
  *pidfd = opened >= 0 ? cpr_sys->fcntl (opened, F_DUPFD_CLOEXEC, highest + 1) : -1;
  if (*pidfd < 0)
    cpr_throw_errno (error, errno, "guardian: pidfd_open");
  cpr_fd_clear (&opened);
  return *pidfd >= 0;
}

/* Makes sure that each fd of the fd table, and the state itself, is the one that the old program
 * had. The new program may have replaced some. */
static bool
repair_fds (const CprIncoming *incoming, const CprFdTable *fds, pid_t guardian, GError **error)
{
  const CprExecveTaken *taken = incoming->transport;
  int pidfd = -1;
  bool ok = true;

  for (guint i = 0; ok && i <= fds->entries->len; i++)
    {
      const CprFdEntry *entry = i < fds->entries->len ? fds->entries->pdata[i] : &taken->state_entry;

      if (cpr_fd_entry_verify (entry, guardian, guardian == 0 ? error : NULL))
        continue;
      if (guardian == 0)
        ok = false;
      else
        ok = (pidfd >= 0 || open_guardian (incoming, fds, guardian, &pidfd, error)) && fetch_fd (entry, pidfd, error);
    }
  cpr_fd_clear (&pidfd);
  return ok;
}

/* Leaves a guardian behind for the new program, which has an address space to tear down and
 * devices that are slow to close, too. */
static CprGuardian *
leave_guardian (CprIncoming *incoming, const CprManifest *manifest, GArray *carried, GArray *held)
{
  const CprExecveTaken *taken = incoming->transport;
  g_autoptr (GArray) keep = cpr_image_collect_fds (&manifest->fds, incoming->state_fd, held);
  CprGuardianConfig config = { .page = incoming->baton.page, .keep = keep, .release = taken->release_fd, .notify = -1 };
  CprGuardian *guardian;

  if (cpr_guardians_find (incoming->baton.page) == 0)
    return NULL; /* the update has no guardian */
  if (incoming->baton.page->rescue != 0)
    config.rescue = cpr_rescue_new (&incoming->manifest.program, manifest->vm_name, incoming->state_fd, carried);
  guardian = cpr_guardian_new (&config, NULL);
  if (guardian != NULL && !cpr_guardian_launch (guardian, NULL))
    g_clear_pointer (&guardian, cpr_guardian_free); /* a way back without one is slower */
  return guardian;
}

static bool
execute_old (CprIncoming *incoming, const CprManifest *manifest, GArray *held, GError **error)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, incoming->attempt, getpid () },
                     again = { CPR_BATON_OFFERED, incoming->attempt + 1, getpid () };
  g_autoptr (GArray) carried = cpr_image_collect_fds (&manifest->fds, incoming->state_fd, NULL);
  g_auto (GStrv) envp = cpr_program_make_envp (manifest->program.envp, incoming->state_fd);
  CprGuardian *guardian = leave_guardian (incoming, manifest, carried, held);

  cpr_baton_begin_attempt (incoming->baton.page, cpr_now_ns ());
  if (!cpr_baton_move (incoming->baton.page, offered, again))
    {
      cpr_guardian_free (guardian);
      return cpr_throw (error, CPR_ERROR_NOT_OWNER,
                        "way back: the baton isn't this process's any more, it is process %d's",
                        cpr_baton_get (incoming->baton.page).pid);
    }
  incoming->attempt++;
  cpr_program_restore (&manifest->program);
  cpr_image_exchange (carried, NULL, incoming->manifest.program.exe_fd, manifest->program.argv, envp, error);
  cpr_guardian_free (guardian);
  g_prefix_error (error, "way back: ");
  return false;
}

/* A common reason to go back is that fds have run out, and the way back needs some. The old
 * program's limits are restored later. */
static void
lift_fd_limit (void)
{
  struct rlimit limit;

  if (cpr_sys->getrlimit (RLIMIT_NOFILE, &limit) == 0)
    {
      limit.rlim_cur = limit.rlim_max;
      cpr_sys->setrlimit (RLIMIT_NOFILE, &limit);
    }
}

/* Restores the old program's surroundings before this process leaves a guardian behind, which
 * inherits them. So each guardian has them, whichever acts first. */
static bool
restore_surroundings (const CprIncoming *incoming, GError **error)
{
  const char *lost = cpr_guardians_restore_surroundings (incoming->baton.page, &incoming->manifest.program);

  return lost == NULL ||
         cpr_throw (error, CPR_ERROR_MISMATCH,
                    "way back: this process can't get the old program's %s; the guardian, which has them, "
                    "takes the guest back when this process has ended",
                    lost);
}

/* The old program inherits no more of 0, 1 and 2 than it had. */
static void
forget_streams (const CprIncoming *incoming)
{
  const CprExecveTaken *taken = incoming->transport;

  for (int fd = 0; fd <= STDERR_FILENO; fd++)
    if ((taken->closed_std >> fd & 1) != 0 && !cpr_streams_have (&incoming->baton.page->surroundings.streams[fd], fd))
      cpr_fd_set_cloexec (fd, true);
}

/* Both programs often have the same fault. Others write the page, so its text may lack its end, and
 * be any bytes. */
static bool
throw_back_already (const CprBatonPage *page, const char *reason, GError **error)
{
  g_autofree char *said = cpr_text_make_line (page->reason, strnlen (page->reason, CPR_BATON_REASON_SIZE - 1));

  if (page->reason[0] == '\0')
    return cpr_throw (error, CPR_ERROR_STATE, "way back: this is the way back already");
  if (strncmp (page->reason, reason, CPR_BATON_REASON_SIZE - 1) == 0)
    return cpr_throw (error, CPR_ERROR_STATE,
                      "way back: this is the way back already, and the new program failed in the same way");
  return cpr_throw (error, CPR_ERROR_STATE, "way back: this is the way back already, after the new program failed (%s)",
                    said);
}

static bool
return_to_old (CprIncoming *incoming, GArray *held, const char *reason, GError **error)
{
  CprExecveTaken *taken = incoming->transport;
  CprManifest manifest; /* as it was handed over: the session has taken entries out of its tables since */
  sigset_t old;
  bool ok;

  if (!cpr_incoming_check_owner (incoming, error))
    return false;
  if (incoming->attempt >= CPR_BATON_LAST_ROLLBACK)
    return throw_back_already (incoming->baton.page, reason, error);
  g_strlcpy (incoming->baton.page->reason, reason, CPR_BATON_REASON_SIZE);
  lift_fd_limit ();
  if (!restore_surroundings (incoming, error))
    return false;
  g_clear_pointer (&taken->fatal, cpr_fatal_disarm);
  incoming->baton.page->failed_ns = cpr_now_ns ();
  /* Before a launch: that guardian must not see the old deadline. */
  cpr_baton_begin_attempt (incoming->baton.page, cpr_now_ns ());

  forget_streams (incoming);
  cpr_manifest_init (&manifest);
  ok = cpr_manifest_read (&manifest, &incoming->reader, error) &&
       repair_fds (incoming, &manifest.fds, cpr_guardians_find (incoming->baton.page), error);
  if (ok)
    {
      cpr_signals_block_all (&old);
      ok = execute_old (incoming, &manifest, held, error);
      cpr_signals_restore (&old);
    }
  cpr_manifest_clear (&manifest);
  return ok;
}

bool
cpr_execve_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error)
{
  GError *failure = NULL;

  return_to_old (incoming, held, reason->message, &failure);
  g_propagate_prefixed_error (error, reason, "%s; the failure: ", failure->message);
  g_error_free (failure);
  return false;
}
