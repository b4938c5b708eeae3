/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_INCOMING_H
#define CPR_HANDOFF_INCOMING_H

#include "handoff/baton.h"
#include "handoff/carrier.h"
#include "state/manifest.h"

/* A state that this process was handed, from its take-up to the commit. */
struct _CprIncoming
{
  const CprCarrierType *carrier;
  void *transport;     /* the carrier's own */
  const GError *fault; /* of this program's config, for its answer to a question; NULL once that is given */
  int state_fd;
  void *spare; /* memory for reading it, got ahead; or NULL */
  CprReader reader;
  CprManifest manifest; /* its tables move into the session */
  CprBaton baton;
  unsigned attempt; /* 1: the way there; above: the way back */
};

/* Finds out whether this process was handed a state: *incoming is NULL if not. A state that
 * isn't for this VM, user, boot or process is an error; where the old program can be executed
 * again, it is, and the function doesn't return. Else it comes from where @config says, if it
 * does. @question: the fd of a preflight's question, should this process have been started to be
 * asked, or -1. @fault: what is wrong with @config, or NULL; it is an answer to a question, and
 * nothing else yet. */
bool cpr_incoming_take_up (
    CprIncoming **incoming, int *question, const CprSessionConfig *config, const GError *fault, GError **error);
void cpr_incoming_free (CprIncoming *incoming);

/* The steps of a take-up that carriers share: what is behind incoming->state_fd is verified and
 * is a state; that, and its manifest read; the manifest is of this VM and user, and of this boot
 * or its clocks as far as that is demanded. */
typedef enum
{
  CPR_BOOT_ANY,        /* times are converted */
  CPR_BOOT_SAME,       /* its clocks may be another time namespace's: times are converted, too */
  CPR_BOOT_SAME_CLOCKS /* as devices and the guest go on by them */
} CprBootDemand;
bool cpr_incoming_open_stream (CprIncoming *incoming, GError **error);
bool cpr_incoming_read_state (CprIncoming *incoming, GError **error);
bool cpr_incoming_check_boot (const CprManifest *manifest, CprBootDemand demand, GError **error);
bool cpr_incoming_check_identity (const CprManifest *manifest, const char *vm_name, CprBootDemand boot, GError **error);

/* Whether this process still is the one that the baton was offered to. */
bool cpr_incoming_check_owner (const CprIncoming *incoming, GError **error);

/* Returns when the sections are there. */
bool cpr_incoming_await_state (CprIncoming *incoming, const CprRamTable *ram, GError **error);

/* The commit: takes the baton. */
bool cpr_incoming_commit (CprIncoming *incoming, GError **error);

/* The way back, as the carrier has one: the old program gets the guest, and the reason. Returns
 * only where this process lives on, and false then, with an error that says both. @held: fds
 * that are slow to close, or NULL; @reason is taken. */
bool cpr_incoming_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error);

#endif
