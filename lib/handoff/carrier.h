/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_CARRIER_H
#define CPR_HANDOFF_CARRIER_H

#include "ask/answer.h"
#include "handoff/baton.h"
#include "kvm/vm.h"
#include "state/manifest.h"

/* A carrier takes the fds and the stream to the new program. It is one table of functions for
 * each mode. The manifest and the sections are the same in all modes, and so is the order of
 * steps in lib/session/update.c and load.c. Those call a mode only through its table, so a new
 * mode is a file with a table and a line in carrier.c.
 *
 * The functions have the names of their members: exec_open(), transfer_open() and reboot_open()
 * stand beside the table in the old program's file. The new program's are cpr_execve_take_up(),
 * cpr_arrival_take_up() and cpr_reboot_take_up(). */

typedef struct _CprIncoming CprIncoming;

/* One update's orders, as lib/session gives them to the carrier. */
typedef struct
{
  const CprUpdate *update; /* check() has passed it */
  const char *vm_name;
  const CprProgram *self;                 /* for the way back */
  CprFdTable *fds;                        /* the session's */
  const CprRamTable *ram;                 /* the session's */
  _Atomic uint64_t *ram_done, *ram_total; /* how far the copying of RAM is, for another thread to read */
  GArray *held;                           /* held fds: for the guardian only */
  uint64_t timeout_ns;                    /* from the offer to the commit */
  uint64_t ask_timeout_ns;                /* for the answer to a question */
  uint64_t pause_budget_ns;               /* from the stop to the commit; 0: none */
  CprKvmVm *run_through;                  /* its guest runs on meanwhile; NULL: it stands still */
  int cancel_fd;                          /* readable: each wait of the carrier ends with an error; or -1 */
} CprCarrierPlan;

typedef struct _CprCarrierType CprCarrierType;

/* One update in the old program; each carrier's own struct begins with it. */
typedef struct
{
  const CprCarrierType *type;
  int stream_fd;          /* the stream's bytes go there; -1: into memory */
  uint64_t stream_end_ns; /* CLOCK_MONOTONIC: when writing to stream_fd ends; 0: it may take any time */
  CprBatonPage *page;     /* the steps' stamps, deadlines and the baton; never NULL after open() */
  bool lost;              /* another process took the guest, which mustn't run here again */
  bool offered;           /* another process had the state, and may have changed what both have in the kernel */
} CprCarrier;

struct _CprCarrierType
{
  CprMode mode;
  const char *name;   /* in messages */
  const char *scheme; /* in `incoming` of CprSessionConfig, as in "unix"; NULL: the mode finds its state by itself */
  const char *alias;  /* a second scheme, or NULL */

  bool starts_program; /* `argv` of the update names the new program, and a preflight starts it to ask */

  /* ---- In the old program, in this order. The guest runs until launch() has succeeded. */

  /* Whether the mode's own part of @update is complete and well formed. */
  bool (*check) (const CprUpdate *update, GError **error);
  /* Makes everything that the handover needs, so that little can fail once the guest stands
   * still. */
  CprCarrier *(*open) (const CprCarrierPlan *plan, GError **error);
  /* Offers an fd. *where is how the new program finds that fd. NULL: the fd keeps its number. */
  bool (*offer_fd) (CprCarrier *carrier, const CprFdEntry *entry, uint32_t *where, GError **error);
  /* Asks the new program, which already runs, the question of a preflight, and reads its answer.
   * @answer NULL: the new program gets the question, and needn't answer. NULL for a mode whose
   * new program doesn't run yet; see starts_program. */
  bool (*ask) (CprCarrier *carrier, CprWriter *question, CprAnswer *answer, GError **error);
  /* Adds the mode's own chunks to the manifest, before the tables. NULL: there are none. */
  void (*describe) (CprCarrier *carrier, CprWriter *writer);
  /* The last act before the stop; the stream already has the manifest. */
  bool (*launch) (CprCarrier *carrier, GError **error);
  /* The guest has just been stopped. NULL: the mode does nothing then. */
  bool (*stopped) (CprCarrier *carrier, GError **error);
  /* Finishes the stream, which has everything but its end. After that nobody can change it. */
  bool (*seal) (CprCarrier *carrier, CprWriter *writer, GError **error);
  /* Hands over. On success the new program owns the guest, which never runs here again. Where the
   * new program replaces this one in its process, success doesn't return. On failure the guest
   * may run here again, unless carrier->lost. */
  bool (*go) (CprCarrier *carrier, GError **error);
  /* Undoes open() and launch() as far as they came, and frees. */
  void (*close) (CprCarrier *carrier);

  /* ---- In the new program, in this order. */

  /* Finds a state or the question of a preflight among the fds of this process, which wasn't told
   * of it. *fd -1: there is none. NULL: `incoming` has to say where the state is. */
  bool (*find) (int *fd, GError **error);
  /* Takes up the state that find() found, incoming->state_fd, or the one from @address, the rest
   * of `incoming` after the scheme. Fills the manifest and the baton. On failure @incoming can be
   * freed. */
  bool (*take_up) (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error);
  /* Takes an fd out of what was handed over, with the CprIncoming as its data. NULL: each fd has
   * the number that it was offered under. */
  CprFdFinder take_fd;
  /* In cpr_session_load(): returns when incoming->reader has the sections. NULL: the reader has
   * had them since the take-up. */
  bool (*await_state) (CprIncoming *incoming, const CprRamTable *ram, GError **error);
  /* The mode's part of the commit, right before the baton is taken. On failure this program can't
   * have the guest. NULL: taking the baton is the whole commit. */
  bool (*commit) (CprIncoming *incoming, GError **error);
  /* The baton is taken, and there is no way back any more. Called on the thread that took the
   * state up. NULL: the mode does nothing then. */
  void (*committed) (CprIncoming *incoming);
  /* Before the commit: gives the guest and the reason back to the old program. Returns only where
   * this process lives on, and then returns false, with an error that names both failures. @held:
   * fds that are slow to close, or NULL; @reason is taken. */
  bool (*give_back) (CprIncoming *incoming, GArray *held, GError *reason, GError **error);
  /* Before the commit: gives the guest back while any thread may be in the middle of any other
   * function of this table. The reason is in the baton's page. Returns only on failure; the process
   * then ends. NULL: the end of the process is enough. */
  void (*leave) (CprIncoming *incoming);
  /* After the commit, while the guest runs: releases whatever waited for it, which is the
   * guardian, the old program or the state's file. Not called on the VMM's thread. */
  void (*finish) (CprIncoming *incoming);
  /* Frees incoming->transport. NULL for a mode that has none. */
  void (*clear) (CprIncoming *incoming);
};

/* The table of @mode; NULL if there is none. */
const CprCarrierType *cpr_carrier_type_get (CprMode mode);
/* The table for "SCHEME:ADDRESS"; *address is the text behind the colon. NULL with an error. */
const CprCarrierType *cpr_carrier_type_find (const char *incoming, const char **address, GError **error);

/* All tables. */
extern const CprCarrierType cpr_carrier_exec, cpr_carrier_transfer, cpr_carrier_reboot;

/* Offers every fd of the table, so that the manifest can say where each is found. */
bool cpr_carrier_offer_fds (CprCarrier *carrier, CprFdTable *fds, GError **error);

/* Offers the baton to @candidate, right before the handover. The candidate's time and the step of
 * the execve begin now. CPR_ERROR_NOT_OWNER if this process isn't the owner; the guest is lost to
 * it then. */
bool cpr_carrier_offer_baton (CprCarrier *carrier, pid_t candidate, GError **error);

#endif
