/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_TRANSFER_CHANNEL_H
#define CPR_HANDOFF_TRANSFER_CHANNEL_H

#include <sys/types.h>

#include <libcpr/libcpr.h>

/* The conversation of two programs over a Unix stream socket, in transfer mode: O has the guest,
 * N listens for it.
 *
 *   O     HELLO     who it is
 *   N     HELLO     the same, made when that of O has come: so O knows between which instants it
 *                   was
 *   O     FDS       fds and the numbers that they have in O, as often as needed
 *   O     QUESTION  the question of a preflight, which is the manifest too, and the baton; a byte:
 *                   0: no answer is wanted
 *   N     ANSWER    what N says to that; now it has all fds and begins to build
 *   N     BUSY      now and then: it still builds. That gives it no more time: nothing that is said
 *                   moves the end of a wait
 *   N     READY     it needs nothing but the sections; now O stops the guest
 *   O     STOPPED   the guest stands still, the state comes in a moment
 *   O     STATE     the sealed state; the baton has been offered right before
 *   N     DONE      it has committed and the guest runs
 *   both  FAILED    instead of anything else before the commit: why it can't go on; the last
 *                   thing that it sends
 *
 * A message is a u32 type, a u32 length, and as many bytes; its fds come with the first byte.
 * Large contents are in memfds. Both ends are on the same machine: numbers are little-endian as in
 * the stream. */
typedef enum
{
  CPR_MESSAGE_NONE = 0, /* none has been received */
  CPR_MESSAGE_HELLO = 1,
  CPR_MESSAGE_FDS = 2,
  CPR_MESSAGE_QUESTION = 3,
  CPR_MESSAGE_ANSWER = 4,
  CPR_MESSAGE_BUSY = 5,
  CPR_MESSAGE_READY = 6,
  CPR_MESSAGE_STATE = 7,
  CPR_MESSAGE_DONE = 8,
  CPR_MESSAGE_FAILED = 9,
  CPR_MESSAGE_STOPPED = 10
} CprMessageType;

#define CPR_CHANNEL_SCHEME    "unix"
#define CPR_CHANNEL_SCHEME_FD "unix-fd"

#define CPR_MESSAGE_HEADER  8
#define CPR_MESSAGE_MAX     1024 /* bytes after the header */
#define CPR_MESSAGE_FDS_MAX 253  /* the kernel's SCM_MAX_FD */

typedef struct
{
  CprMessageType type;
  uint32_t len;
  uint8_t data[CPR_MESSAGE_MAX];
  unsigned n_fds;
  int fds[CPR_MESSAGE_FDS_MAX]; /* the receiver's, close-on-exec; -1: taken out */
} CprMessage;

/* Closes the fds of a message that isn't wanted. */
void cpr_message_clear (CprMessage *message);

/* Whether a message of this type can have so many bytes and fds. */
bool cpr_message_check (uint32_t type, uint32_t len, unsigned n_fds, GError **error);

typedef struct
{
  int fd;
  const char *whom; /* in messages: "new program" */
  pid_t peer;       /* as the kernel says of its first message; 0: it hasn't said anything */
  int pidfd;        /* of the peer, or -1 */
  int cancel_fd;    /* readable: give up; or -1 */

  /* CLOCK_MONOTONIC: when each wait on it ends, whatever the other end sends or takes until
   * then; 0: no wait for a message does. The owner sets it anew for each part of the
   * conversation. */
  uint64_t deadline_ns;
} CprChannel;

/* Takes @fd. From then on each message says who sent it. */
bool cpr_channel_open (CprChannel *channel, int fd, const char *whom, GError **error);
void cpr_channel_close (CprChannel *channel);

/* Where the other program is: "unix:PATH", or "unix-fd:N" for a socket that this process was
 * started with. One of *path and *fd is set, the other is NULL or -1. */
bool cpr_channel_parse (const char *uri, const char **path, int *fd, GError **error);

/* Connects to the socket at @path, where somebody listens who may not accept: until @deadline_ns
 * (0: for ever), or @cancel_fd (or -1) is readable; -1 with an error. */
int cpr_channel_connect (const char *path, uint64_t deadline_ns, int cancel_fd, GError **error);
/* Listens at @path; -1 with an error. A stale socket is replaced, anything else isn't. */
int cpr_channel_listen (const char *path, GError **error);

/* @fds stay the caller's. Waits for room until the channel's end, and for 5 s at most: there is
 * little that is sent. Where nobody reads it any more, what the peer said in FAILED is the
 * error. */
bool cpr_channel_send (CprChannel *channel,
                       CprMessageType type,
                       const void *data,
                       size_t len,
                       const int *fds,
                       unsigned n_fds,
                       GError **error);

/* Says why not; whether it arrives is nobody's concern. */
void cpr_channel_send_failure (CprChannel *channel, const char *reason);

/* Waits for a message until the channel's end and checks who sent it. FAILED is an error here,
 * CPR_ERROR_ROLLED_BACK with the peer's reason; so are the connection's or the peer's end. @what
 * is waited for, in messages. */
bool cpr_channel_receive (CprChannel *channel, CprMessage *message, const char *what, GError **error);

/* Whether what was received in place of @what is of @type. */
bool cpr_channel_expect (
    const CprChannel *channel, const CprMessage *message, CprMessageType type, const char *what, GError **error);

/* Looks for up to @ns whether something can be read, without going to sleep: waking up takes longer
 * than the wait. The sender may have been put on the same CPU, and goes first there. */
void cpr_channel_spin (CprChannel *channel, uint64_t ns);

/* The time on a process's clocks at an instant. */
typedef struct
{
  uint64_t monotonic_ns, boottime_ns;
} CprClocks;

CprClocks cpr_clocks_get (void);

/* A greeting, which says who a program is. */
typedef struct
{
  uint32_t version; /* the newest of this conversation that it knows, and the oldest */
  uint32_t oldest;
  uint32_t pid; /* as it sees itself */
  char *vm_name;
  bool has_clocks; /* an older program doesn't say */
  CprClocks clocks;
} CprHello;

#define CPR_HELLO_VERSION 1
#define CPR_HELLO_OLDEST  1

/* Introduces this process. */
bool cpr_channel_send_hello (CprChannel *channel, const char *vm_name, GError **error);
/* Checks who is at the other end: the same version, user, VM and PID namespace. @asked: before
 * what this greeting answers to was sent, or NULL: then it was made between that and now, on the
 * same clocks. */
bool cpr_channel_receive_hello (CprChannel *channel, const char *vm_name, const CprClocks *asked, GError **error);
/* Reads the bytes of a HELLO; vm_name is the caller's. */
bool cpr_hello_parse (CprHello *hello, const void *data, size_t len, GError **error);

#endif
