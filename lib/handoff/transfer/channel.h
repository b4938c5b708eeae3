/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_TRANSFER_CHANNEL_H
#define CPR_HANDOFF_TRANSFER_CHANNEL_H

#include <sys/types.h>

#include <libcpr/libcpr.h>

/* The conversation of two programs over a Unix stream socket, in transfer mode: O has the guest,
 * N listens for O.
 *
 *   O     HELLO     says who O is
 *   N     HELLO     the same of N, made when O's has come: so O knows between which two instants
 *                   N read its clocks
 *   O     FDS       fds and the numbers that they have in O, as often as needed
 *   O     QUESTION  the question of a preflight, which is the manifest too, and the baton; a byte
 *                   of 0 says that O wants no answer
 *   N     ANSWER    N's answer to that; now N has all fds and begins to build
 *   N     BUSY      now and then: N still builds. This gives N no more time: no message moves the
 *                   end of a wait
 *   N     READY     N needs nothing but the sections; now O stops the guest
 *   O     STOPPED   the guest stands still, and the state comes in a moment
 *   O     STATE     the sealed state; O has offered the baton right before
 *   N     DONE      N has committed, and the guest runs
 *   both  FAILED    instead of anything else before the commit: why the sender can't go on; it
 *                   sends nothing after that
 *
 * A message is a u32 type, a u32 length, and as many bytes; its fds come with the first byte.
 * Anything large is in memfds. Both ends are on the same machine: numbers are little-endian as in
 * the stream. */
typedef enum
{
  CPR_MESSAGE_NONE = 0, /* none was received */
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

/* Closes the fds of a message that nobody has taken out. */
void cpr_message_clear (CprMessage *message);

/* Whether a message of this type may have @len bytes and @n_fds fds. */
bool cpr_message_check (uint32_t type, uint32_t len, unsigned n_fds, GError **error);

typedef struct
{
  int fd;
  const char *whom; /* the other end's name in messages: "new program" */
  pid_t peer;       /* the pid that the kernel gave for its first message; 0: none has come */
  int pidfd;        /* of the peer, or -1 */
  int cancel_fd;    /* readable: give up; or -1 */

  /* CLOCK_MONOTONIC: when each wait ends, whatever the other end sends or takes until then. 0: a
   * wait for a message has no end. The owner sets it again for each part of the conversation. */
  uint64_t deadline_ns;
} CprChannel;

/* Takes @fd. From then on each message arrives with its sender's credentials. */
bool cpr_channel_open (CprChannel *channel, int fd, const char *whom, GError **error);
void cpr_channel_close (CprChannel *channel);

/* Parses the place of the other program: "unix:PATH", or "unix-fd:N" for a socket that this
 * process was started with. Sets one of *path and *fd; the other gets NULL or -1. */
bool cpr_channel_parse (const char *uri, const char **path, int *fd, GError **error);

/* Connects to the socket at @path, whose listener may not accept. Gives up at @deadline_ns (0:
 * never), or when @cancel_fd (or -1) is readable; -1 with an error. */
int cpr_channel_connect (const char *path, uint64_t deadline_ns, int cancel_fd, GError **error);
/* Listens at @path; -1 with an error. Replaces a stale socket, and nothing else. */
int cpr_channel_listen (const char *path, int backlog, GError **error);

/* Sends a message. @fds stay the caller's. Waits for room until the channel's deadline, but for
 * 5 s at most, since messages are small. If the peer has closed the connection after a FAILED,
 * the error is the reason that FAILED gave. */
bool cpr_channel_send (CprChannel *channel,
                       CprMessageType type,
                       const void *data,
                       size_t len,
                       const int *fds,
                       unsigned n_fds,
                       GError **error);

/* Sends FAILED with @reason. Nobody has to know whether it arrives. */
void cpr_channel_send_failure (CprChannel *channel, const char *reason);

/* Waits for a message until the channel's deadline and checks who sent it. FAILED is an error
 * here, CPR_ERROR_ROLLED_BACK with the peer's reason; so are the end of the connection and of
 * the peer. @what names the expected message in errors. */
bool cpr_channel_receive (CprChannel *channel, CprMessage *message, const char *what, GError **error);

/* Fails unless @message is of @type. @what names the expected message in errors. */
bool cpr_channel_expect (
    const CprChannel *channel, const CprMessage *message, CprMessageType type, const char *what, GError **error);

/* Polls for up to @ns until a message can be read, without going to sleep: waking up takes
 * longer than the message does. Yields the CPU between two looks, since the sender may be
 * waiting for it. */
void cpr_channel_spin (CprChannel *channel, uint64_t ns);

#endif
