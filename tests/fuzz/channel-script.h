/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_TESTS_CHANNEL_SCRIPT_H
#define CPR_TESTS_CHANNEL_SCRIPT_H

#include <libcpr/libcpr.h>

#include "base/sys.h"
#include "choices.h"
#include "handoff/carrier.h"
#include "handoff/transfer/channel.h"

#define MAX_FDS CPR_MESSAGE_FDS_MAX /* as the kernel has it */

/* The one device of the VM. */
typedef struct
{
  uint32_t value;
} Box;

extern const CprDeviceType box_type;

/* A message of a good conversation. */
typedef struct
{
  uint8_t data[CPR_MESSAGE_MAX];
  size_t len;
  unsigned n_fds;
  int fds[4];        /* FDS only: kept open */
  uint8_t *contents; /* of the memfd that is its first fd, or NULL */
  size_t n_contents;
} Good;

extern Good good[CPR_MESSAGE_STOPPED + 1];
/* The kernel keeps what is sent in @good. */
extern bool recording;
/* The number of messages of the conversation that come to either end. */
#define N_TO_NEW 5
#define N_TO_OLD 4

/* The script of one end: what arrives there, and what else happens. */
typedef struct
{
  Choices choices;
  bool is_old;     /* this end */
  pid_t peer;      /* the other */
  unsigned n_good; /* messages of the conversation that have come */
  CprBaton baton;  /* the other end's view of it; fd -1: not there */
  uint64_t question;
  bool committed; /* the other end has taken the guest */
  int pidfd, send_errno;
  bool cancelled;

  /* The delivery under way. */
  uint8_t bytes[2 * CPR_MESSAGE_MAX];
  size_t len, at, chunk, fds_at;
  int fds[MAX_FDS];
  unsigned n_fds, sender;
  bool truncated;
} Script;

extern Script script;

/* The next event at this end. Each is a byte of the input. */
typedef enum
{
  WHAT_GOOD,
  WHAT_PATCHED,
  WHAT_OTHER_FD,
  WHAT_PATCHED_CONTENTS,
  WHAT_OTHER,
  WHAT_RAW,
  WHAT_CHUNKS,
  WHAT_SENDER,
  WHAT_LATE_FDS,
  WHAT_TRUNCATED,
  WHAT_NO_SENDING,
  WHAT_COMMIT,
  WHAT_CANCEL, /* from here on poll() sees it */
  WHAT_DEATH,
  WHAT_INTERRUPTED,
  WHAT_ERROR,
  N_WHATS
} What;

What script_peek (void);
/* Fills the script's delivery; false at the end of the input. */
bool script_next (void);
/* Closes the fds that were not delivered. */
void script_drop_fds (void);

/* The table of system calls that plays the script. */
const CprSys *script_kernel (void);

#endif
