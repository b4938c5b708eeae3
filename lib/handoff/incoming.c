/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state that this program was handed, from the take-up to the commit. This part is the same for
 * all modes; a mode's own part is called through its carrier's table. Called by lib/session. */
#include "handoff/incoming.h"

#include <errno.h>
#include <unistd.h>

#include "ask/question.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

bool
cpr_incoming_open_stream (CprIncoming *incoming, GError **error)
{
  if (!cpr_reader_open_fd_with (&incoming->reader, incoming->state_fd, g_steal_pointer (&incoming->spare), error))
    return false;
  return incoming->reader.kind == CPR_STREAM_STATE ||
         cpr_throw (error, CPR_ERROR_CORRUPT, "state: it should be a state, and is a preflight's message");
}

bool
cpr_incoming_read_state (CprIncoming *incoming, GError **error)
{
  struct stat st;

  if (cpr_sys->fstat (incoming->state_fd, &st) < 0)
    return cpr_throw_errno (error, errno, "state: fstat");
  /* A state says which program to execute and with which arguments. One by another user could run
   * anything in this user's name. */
  if (st.st_uid != geteuid ())
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: it belongs to user %u, this is user %u", st.st_uid,
                      geteuid ());
  if (st.st_size == 0)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: it is empty");
  return cpr_incoming_open_stream (incoming, error) &&
         cpr_manifest_read (&incoming->manifest, &incoming->reader, error);
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
cpr_incoming_check_boot (const CprManifest *manifest, CprBootDemand demand, GError **error)
{
  char here[CPR_BOOT_ID_SIZE + 1];

  if (!cpr_boot_id_get (here, error))
    return false;
  if (demand == CPR_BOOT_ANY || strcmp (manifest->boot_id, here) == 0)
    return true;
  if (!cpr_boot_id_is_of_same_boot (manifest->boot_id, here))
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: it is of boot %s, this is boot %s", manifest->boot_id, here);
  return demand == CPR_BOOT_SAME ||
         cpr_throw (error, CPR_ERROR_MISMATCH,
                    "state: it was saved in another time namespace, whose CLOCK_MONOTONIC or CLOCK_BOOTTIME isn't "
                    "this program's");
}

bool
cpr_incoming_check_identity (const CprManifest *manifest, const char *vm_name, CprBootDemand boot, GError **error)
{
  if (manifest->uid != geteuid ())
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: user %u saved it, this is user %u", manifest->uid, geteuid ());
  if (!cpr_incoming_check_boot (manifest, boot, error))
    return false;
  if (g_strcmp0 (manifest->vm_name, vm_name) != 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: it is of VM '%s', this is VM '%s'", manifest->vm_name,
                      vm_name != NULL ? vm_name : "");
  return true;
}

static CprIncoming *
incoming_new (const CprCarrierType *carrier)
{
  CprIncoming *incoming = g_new0 (CprIncoming, 1);

  incoming->carrier = carrier;
  incoming->state_fd = incoming->baton.fd = incoming->late_fd = incoming->ask = -1;
  cpr_manifest_init (&incoming->manifest);
  /* The manifest's fd table knows each fd by the place that the carrier gave it. */
  incoming->manifest.find_fd = carrier->take_fd;
  incoming->manifest.find_fd_data = incoming;
  return incoming;
}

static bool
take_up (CprIncoming **incoming,
         const CprCarrierType *carrier,
         int state_fd,
         const CprSessionConfig *config,
         const GError *fault,
         const char *address,
         GError **error)
{
  CprIncoming *made = incoming_new (carrier);

  made->state_fd = state_fd;
  made->fault = fault;
  if (!carrier->take_up (made, config, address, error))
    {
      cpr_incoming_free (made);
      return false;
    }
  made->fault = NULL;
  *incoming = made;
  return true;
}

bool
cpr_incoming_take_up (
    CprIncoming **incoming, int *question, const CprSessionConfig *config, const GError *fault, GError **error)
{
  const CprCarrierType *carrier;
  const char *address;
  int fd;

  /* The inherited fds come first, whatever @config says: a state among them is a guest, and a
   * program that overlooked it would run a second one on the same disks. */
  *incoming = NULL;
  *question = -1;
  if (!cpr_carrier_exec.find (&fd, error))
    return false;
  if (fd >= 0 && cpr_question_is_one (fd))
    *question = fd;
  else if (fd >= 0)
    return take_up (incoming, &cpr_carrier_exec, fd, config, fault, NULL, error);
  else if (config->incoming != NULL)
    {
      carrier = cpr_carrier_type_find (config->incoming, &address, error);
      return carrier != NULL && take_up (incoming, carrier, -1, config, fault, address, error);
    }
  return true;
}

void
cpr_incoming_free (CprIncoming *incoming)
{
  if (incoming == NULL)
    return;
  if (incoming->carrier->clear != NULL)
    incoming->carrier->clear (incoming);
  cpr_manifest_clear (&incoming->manifest);
  cpr_baton_clear (&incoming->baton);
  cpr_fd_clear (&incoming->late_fd);
  cpr_fd_clear (&incoming->ask);
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
  /* A failure means that a guardian or the old program was quicker. The guest is that process's
   * then. */
  if (!cpr_baton_move (incoming->baton.page, offered, mine))
    {
      cpr_incoming_check_owner (incoming, error);
      return false;
    }
  if (incoming->carrier->committed != NULL)
    incoming->carrier->committed (incoming);
  return true;
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
