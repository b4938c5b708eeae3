/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_INCOMING_H
#define CPR_HANDOFF_INCOMING_H

#include "ask/question.h"
#include "handoff/baton.h"
#include "handoff/carrier.h"
#include "state/manifest.h"

/* A state that this process was handed, from its take-up to the commit. */
struct _CprIncoming
{
  const CprCarrierType *carrier;
  void *transport;       /* the carrier's own */
  const GError *fault;   /* what is wrong with this program's config, for an answer; NULL once that is given */
  CprQuestion *question; /* the carrier's; NULL: this program wasn't asked on its way here */
  int state_fd;
  void *spare; /* memory for reading the state, allocated before the pause; or NULL */
  CprReader reader;
  CprManifest manifest; /* the session takes its tables over */
  CprBaton baton;
  struct CprLateArea *late; /* the guest runs meanwhile; NULL: it stands */
  int late_fd, ask;         /* of that, or -1 */
  unsigned attempt; /* 1: the way there; above 1: a way back */
};

/* Looks for a state that this process was handed; *incoming is NULL if there is none. First it
 * looks among the inherited fds, then where @config says. A state that isn't meant for this VM,
 * user, boot or process is an error. If the old program can still be executed then, it is, and
 * the function doesn't return.
 *
 * @question: the fd of a preflight's question if this process was started to answer one, else -1.
 * @fault: what is wrong with @config, or NULL. An answer to a question reports that fault; here
 * it isn't an error yet. */
bool cpr_incoming_take_up (
    CprIncoming **incoming, int *question, const CprSessionConfig *config, const GError *fault, GError **error);
void cpr_incoming_free (CprIncoming *incoming);

/* The steps of a take-up that the carriers share: open_stream verifies the stream behind
 * incoming->state_fd and that it is a state. read_state does the same and reads the manifest.
 * check_identity demands that the manifest names this VM and user, and this boot or its clocks as
 * far as @boot says. */
typedef enum
{
  CPR_BOOT_ANY,        /* any boot: times are converted */
  CPR_BOOT_SAME,       /* this boot, with any time namespace's clocks: times are converted */
  CPR_BOOT_SAME_CLOCKS /* this boot and these clocks: devices and the guest go on by them */
} CprBootDemand;
bool cpr_incoming_open_stream (CprIncoming *incoming, GError **error);
bool cpr_incoming_read_state (CprIncoming *incoming, GError **error);
bool cpr_incoming_check_boot (const CprManifest *manifest, CprBootDemand demand, GError **error);
bool cpr_incoming_check_identity (const CprManifest *manifest, const char *vm_name, CprBootDemand boot, GError **error);

/* Whether the baton is still offered to this process, for this attempt. */
bool cpr_incoming_check_owner (const CprIncoming *incoming, GError **error);

/* Returns when the reader has the sections. */
bool cpr_incoming_await_state (CprIncoming *incoming, const CprRamTable *ram, GError **error);

/* The commit: takes the baton. */
bool cpr_incoming_commit (CprIncoming *incoming, GError **error);

/* The carrier's way back: the old program gets the guest and the reason. Returns only where this
 * process lives on, and then returns false, with an error that names both failures. @held: fds
 * that are slow to close, or NULL; @reason is taken. */
bool cpr_incoming_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error);

#endif
