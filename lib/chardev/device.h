/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_CHARDEV_DEVICE_H
#define CPR_CHARDEV_DEVICE_H

#include "chardev/end.h"
#include "chardev/spec.h"
#include "chardev/terminal.h"
#include "session/core.h"

#define CPR_CHARDEV_INPUT_MAX  8192
#define CPR_CHARDEV_OUTPUT_MAX 16384

/* How the device is called that has a character device's state. */
#define CPR_CHARDEV_PREFIX "chardev:"

/* The fds, in the fd table under the character device's name and these indices. A backend has its
 * own, so that one in place of another is found out by its fds. */
enum
{
  CPR_CHARDEV_FD_FILE = 0,
  CPR_CHARDEV_FD_PTY = 1,
  CPR_CHARDEV_FD_LISTENER = 2,
  CPR_CHARDEV_FD_CONNECTION = 3,
  CPR_CHARDEV_FD_IN = 4,
  CPR_CHARDEV_FD_OUT = 5,
  CPR_CHARDEV_FD_CLIENTS = 16 /* from here on: a server's clients, by their places */
};

struct _CprChardev
{
  CprSession *session;
  char *name;
  char *device_name;
  CprChardevSpec spec;
  const char *fd_name; /* in the fd table: of a server's client the server's, else its own */
  int connection_index;

  GPtrArray *clients; /* of a server that has several at a time; else NULL */
  bool is_client;     /* among them: it isn't ended by itself */

  bool is_live;         /* its fds may be read and written: not before the commit, nor once its state is saved */
  bool is_away;         /* of a pseudo terminal: nobody has it open */
  bool has_ended;       /* nothing more will come */
  bool is_broken;       /* nothing more can be sent */
  int errnum;           /* of a write, to be logged */
  int listener;         /* -1: none */
  int connecting;       /* -1: none */
  uint64_t next_try_ns; /* of a client to connect, of a server to accept; 0: of a client never, of a server now */
  CprEnd in, out;       /* of a socket or a pseudo terminal: the same fd */

  /* The state. */
  uint32_t kind;
  CprTerminal terminal;
  uint32_t n_input, n_output;
  uint8_t input[CPR_CHARDEV_INPUT_MAX];
  uint8_t output[CPR_CHARDEV_OUTPUT_MAX];
};

/* ---- Its fds: ends.c. */

/* Makes or takes over all that is at the other end. After a failure the caller closes what there
 * is. */
bool cpr_chardev_open_ends (CprChardev *chardev, GError **error);
/* Closes all of it and takes it out of the fd table. */
void cpr_chardev_close_ends (CprChardev *chardev);

/* The client has gone: closes the connection, and forgets what was meant for it. */
void cpr_chardev_hang_up (CprChardev *chardev);
/* Which character device gets a server's next client; NULL: none has a place. */
CprChardev *cpr_chardev_find_place (const CprChardev *server);
/* Looks for a connection, where a server or client has none. */
void cpr_chardev_look_for_connection (CprChardev *chardev);

/* ---- Its bytes: bytes.c. */

/* Takes in what has come, as far as there is room. */
void cpr_chardev_receive (CprChardev *chardev);
/* Sends what waits, as far as somebody takes it. */
void cpr_chardev_flush (CprChardev *chardev);
/* Whether somebody gets what is sent. */
bool cpr_chardev_has_peer (CprChardev *chardev);

/* ---- Its state: state.c. */

const CprDeviceType *cpr_chardev_get_state_type (void);

#endif
