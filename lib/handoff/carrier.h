/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_CARRIER_H
#define CPR_HANDOFF_CARRIER_H

#include "ask/answer.h"
#include "handoff/baton.h"
#include "state/manifest.h"

/* A carrier takes fds and the stream to the new program: one table of functions for each mode.
 * What is carried, the manifest and the sections, is the same in all of them, and so is the
 * order of steps in lib/session/update.c and load.c, which call nothing of a mode but its
 * table. A new mode is a file with a table and a line in carrier.c.
 *
 * The functions are named by their members: exec_open(), transfer_open() and reboot_open() beside
 * the table in the old program's file; cpr_execve_take_up(), cpr_arrival_take_up() and
 * cpr_reboot_take_up() in the new program's. */

typedef struct _CprIncoming CprIncoming;

/* The request of an update. */
typedef struct
{
  const CprUpdate *update; /* check() has passed it */
  const char *vm_name;
  const CprProgram *self;                 /* for the way back */
  CprFdTable *fds;                        /* the session's */
  const CprRamTable *ram;                 /* the session's */
  _Atomic uint64_t *ram_done, *ram_total; /* for who asks how far the copying of RAM is */
  GArray *held;                           /* fds for the guardian only */
  uint64_t timeout_ns;                    /* from the offer to the commit */
  uint64_t ask_timeout_ns;                /* for the answer to a question */
  uint64_t pause_budget_ns;               /* from the stop to the commit; 0: none */
  int cancel_fd;                          /* readable: whoever waits gives up; or -1 */
} CprCarrierPlan;

typedef struct _CprCarrierType CprCarrierType;

/* One update in the old program; each carrier's own struct begins with it. */
typedef struct
{
  const CprCarrierType *type;
  int stream_fd;          /* where the stream's bytes go; -1: into memory */
  uint64_t stream_end_ns; /* CLOCK_MONOTONIC: until then they go there; 0: for as long as it takes */
  CprBatonPage *page;     /* the steps' stamps, deadlines and who owns the guest; never NULL once it is open */
  bool lost;              /* another process took the guest: it mustn't run here again */
  bool offered;           /* another process had the state: it may have changed what both have in the kernel */
} CprCarrier;

struct _CprCarrierType
{
  CprMode mode;
  const char *name;   /* in messages */
  const char *scheme; /* of the `incoming` of CprSessionConfig, as in "unix"; NULL: it finds its state by itself */
  const char *alias;  /* another one, or NULL */

  bool starts_program; /* `argv` of the update names the new program, and a preflight asks that */

  /* ---- In the old program, in this order. The guest runs until launch() has succeeded. */

  /* Whether the mode's own part of @update can be right. */
  bool (*check) (const CprUpdate *update, GError **error);
  /* Makes all that is needed, so that little can fail once the guest stands still. */
  CprCarrier *(*open) (const CprCarrierPlan *plan, GError **error);
  /* Offers an fd: *where is how the new program finds it again. NULL: under its own number. */
  bool (*offer_fd) (CprCarrier *carrier, const CprFdEntry *entry, uint32_t *where, GError **error);
  /* Asks the new program, which is there already, the question of a preflight, and reads its
   * answer; @answer NULL: it is only told. NULL where it isn't there: see starts_program. */
  bool (*ask) (CprCarrier *carrier, CprWriter *question, CprAnswer *answer, GError **error);
  /* Adds to the manifest, before the tables. NULL: nothing. */
  void (*describe) (CprCarrier *carrier, CprWriter *writer);
  /* The last act before the stop; the stream has the manifest by now. */
  bool (*launch) (CprCarrier *carrier, GError **error);
  /* The guest has just been stopped. NULL: that is nothing to it. */
  bool (*stopped) (CprCarrier *carrier, GError **error);
  /* The stream is complete but for its end: finishes it, after which nobody can change it. */
  bool (*seal) (CprCarrier *carrier, CprWriter *writer, GError **error);
  /* Hands over. Success: the guest is the new program's, and never runs here again. Where the
   * new program replaces this one in its process there is nobody to return to. On failure the
   * guest may run here again, unless carrier->lost. */
  bool (*go) (CprCarrier *carrier, GError **error);
  /* Undoes open() and launch(), as far as there is something to undo; frees. */
  void (*close) (CprCarrier *carrier);

  /* ---- In the new program, in this order. */

  /* Finds a state, or the question of a preflight, that this process has without having been
   * told of it; *fd -1: there is none. NULL where it has to be told. */
  bool (*find) (int *fd, GError **error);
  /* Takes up what was found, incoming->state_fd, or what comes from @address, the rest of
   * `incoming` after the scheme: fills the manifest and the baton. On failure @incoming can be
   * freed. */
  bool (*take_up) (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error);
  /* Takes an fd back, with the CprIncoming as its data. NULL: it is here under the number that
   * it was offered under. */
  CprFdFinder take_fd;
  /* In cpr_session_load(): returns when incoming->reader has the sections. NULL: it had them
   * from the beginning. */
  bool (*await_state) (CprIncoming *incoming, const CprRamTable *ram, GError **error);
  /* The commit, right before the baton is taken. On failure the guest can't be had here. NULL:
   * the baton is all. */
  bool (*commit) (CprIncoming *incoming, GError **error);
  /* The baton is taken: from now on nothing leads back. On the thread that took the state up.
   * NULL: that is nothing to it. */
  void (*committed) (CprIncoming *incoming);
  /* Before the commit: the old program gets the guest back, and the reason. Returns only where
   * this process lives on, and false then, with an error that says what there is to say. @held:
   * fds that are slow to close, or NULL; @reason is taken. */
  bool (*give_back) (CprIncoming *incoming, GArray *held, GError *reason, GError **error);
  /* After the commit, with the guest running; not on the VMM's thread: what the old program
   * waits for. */
  void (*finish) (CprIncoming *incoming);
  /* Frees incoming->transport; NULL where there is none. */
  void (*clear) (CprIncoming *incoming);
};

/* NULL for a mode that isn't known. */
const CprCarrierType *cpr_carrier_type_get (CprMode mode);
/* By the scheme of "SCHEME:ADDRESS"; *address is what follows it. NULL with an error. */
const CprCarrierType *cpr_carrier_type_find (const char *incoming, const char **address, GError **error);

/* All of them. */
extern const CprCarrierType cpr_carrier_exec, cpr_carrier_transfer, cpr_carrier_reboot;

/* Offers every fd of the table, so that the manifest says where they are. */
bool cpr_carrier_offer_fds (CprCarrier *carrier, CprFdTable *fds, GError **error);

/* Offers the baton to @candidate, right before it is handed the guest: its time, and the step of
 * the execve, begin now. CPR_ERROR_NOT_OWNER where the baton isn't this process's. */
bool cpr_carrier_offer_baton (CprCarrier *carrier, pid_t candidate, GError **error);

#endif
