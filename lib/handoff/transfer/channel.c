/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The messages between the two programs of a transfer, with their fds, and one deadline for each
 * part of the conversation. transfer.c and arrival.c speak through it. */
#include "handoff/transfer/channel.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"
#include "base/text.h"

/* How long a full socket may hold up a sender, even if the other end takes a little now and
 * then. An other end that works reads faster. */
#define SEND_PATIENCE_NS (UINT64_C (5) * 1000000000)
/* How long to look for the reason of a peer that has closed the connection. The reason was sent
 * before that, so it is there. */
#define REASON_PATIENCE_NS (UINT64_C (100) * 1000000)

/* ---- Messages. */

static const struct
{
  uint32_t least, most; /* bytes */
  unsigned least_fds, most_fds;
} limits[] = {
  [CPR_MESSAGE_HELLO] = { 1, 512, 0, 0 },
  [CPR_MESSAGE_FDS] = { 4, 4 * CPR_MESSAGE_FDS_MAX, 1, CPR_MESSAGE_FDS_MAX },
  [CPR_MESSAGE_QUESTION] = { 1, 1, 2, 2 },
  [CPR_MESSAGE_ANSWER] = { 0, 0, 1, 1 },
  [CPR_MESSAGE_BUSY] = { 0, 0, 0, 0 },
  [CPR_MESSAGE_READY] = { 0, 0, 0, 0 },
  [CPR_MESSAGE_STATE] = { 0, 0, 1, 1 },
  [CPR_MESSAGE_DONE] = { 0, 0, 0, 0 },
  [CPR_MESSAGE_FAILED] = { 1, CPR_MESSAGE_MAX, 0, 0 },
  [CPR_MESSAGE_STOPPED] = { 0, 0, 0, 0 },
};

bool
cpr_message_check (uint32_t type, uint32_t len, unsigned n_fds, GError **error)
{
  if (type < CPR_MESSAGE_HELLO || type >= G_N_ELEMENTS (limits))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "it sent a message of the unknown type %u", type);
  if (len < limits[type].least || len > limits[type].most || n_fds < limits[type].least_fds ||
      n_fds > limits[type].most_fds || (type == CPR_MESSAGE_FDS && len != n_fds * sizeof (uint32_t)))
    return cpr_throw (error, CPR_ERROR_CORRUPT,
                      "it sent a message of type %u with %u bytes and %u fds, %u to %u bytes and %u to %u fds expected",
                      type, len, n_fds, limits[type].least, limits[type].most, limits[type].least_fds,
                      limits[type].most_fds);
  return true;
}

void
cpr_message_clear (CprMessage *message)
{
  for (unsigned i = 0; i < message->n_fds; i++)
    cpr_fd_clear (&message->fds[i]);
  message->n_fds = 0;
}

/* ---- The socket. */

bool
cpr_channel_open (CprChannel *channel, int fd, const char *whom, GError **error)
{
  static const int on = 1;
  int type = 0, domain = 0;
  socklen_t len = sizeof type;

  *channel = (CprChannel){ .fd = fd, .whom = whom, .pidfd = -1, .cancel_fd = -1 };
  if (cpr_sys->getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
      cpr_sys->getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
    return cpr_throw_errno (error, errno, "%s: fd %d", whom, fd);
  if (type != SOCK_STREAM || domain != AF_UNIX)
    return cpr_throw (error, CPR_ERROR_INVALID, "%s: fd %d isn't a Unix stream socket", whom, fd);
  return (cpr_sys->setsockopt (fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0 && cpr_fd_set_cloexec (fd, true)) ||
         cpr_throw_errno (error, errno, "%s: fd %d", whom, fd);
}

void
cpr_channel_close (CprChannel *channel)
{
  cpr_fd_clear (&channel->fd);
  cpr_fd_clear (&channel->pidfd);
}

/* ---- Waiting. */

/* Waits until something can be read, or sent. The peer's end may show at the pidfd only, since a
 * child that the peer forked keeps the socket open.
 *
 * Past @end_ns (0: never) even a message that is there doesn't count: otherwise a peer that
 * sends without end would never be too late. */
static bool
await (CprChannel *channel, short events, uint64_t end_ns, const char *what, GError **error)
{
  struct pollfd fds[] = { { channel->fd, events, 0 },
                          { channel->cancel_fd, POLLIN, 0 },
                          { channel->pidfd, POLLIN, 0 } };

  for (;;)
    {
      uint64_t now = cpr_now_ns (), left = end_ns > now ? end_ns - now : 0;
      int n;

      if (end_ns != 0 && left == 0)
        return cpr_throw (error, CPR_ERROR_ROLLED_BACK, "%s: nothing came in time, waiting for %s", channel->whom,
                          what);
      n = cpr_sys->poll (fds, G_N_ELEMENTS (fds), end_ns == 0 ? -1 : (int) MIN ((left + 999999) / 1000000, G_MAXINT));
      if (n < 0 && errno != EINTR && errno != EAGAIN)
        return cpr_throw_errno (error, errno, "%s: poll", channel->whom);
      if (n <= 0)
        continue;
      if ((fds[1].revents & POLLIN) != 0)
        return cpr_throw (error, CPR_ERROR_ROLLED_BACK, "update: cancelled while waiting for %s", what);
      if (fds[0].revents != 0)
        return true;
      if (fds[2].revents != 0)
        return cpr_throw (error, CPR_ERROR_ROLLED_BACK, "%s: process %d ended, waiting for %s", channel->whom,
                          channel->peer, what);
    }
}

/* @patience_ns from now, or the channel's deadline if that is sooner. */
static uint64_t
get_end (const CprChannel *channel, uint64_t patience_ns)
{
  uint64_t end_ns = cpr_now_ns () + patience_ns;

  return channel->deadline_ns != 0 ? MIN (channel->deadline_ns, end_ns) : end_ns;
}

/* ---- Receiving. */

typedef union
{
  char bytes[CMSG_SPACE (sizeof (struct ucred)) + CMSG_SPACE (CPR_MESSAGE_FDS_MAX * sizeof (int))];
  struct cmsghdr alignment;
} Control;

/* Takes received fds into the message. More than fit come only where any fd is an error; those
 * are closed at once. */
static void
take_fds (CprMessage *message, const void *fds, size_t n)
{
  for (size_t i = 0; i < n; i++)
    {
      int fd;

      memcpy (&fd, (const uint8_t *) fds + i * sizeof fd, sizeof fd);
      fd = cpr_fd_above_std (fd);
      if (message->n_fds < CPR_MESSAGE_FDS_MAX)
        message->fds[message->n_fds++] = fd;
      else
        cpr_fd_clear (&fd);
    }
}

static void
take_control (struct msghdr *header, CprMessage *message, struct ucred *sender)
{
  for (struct cmsghdr *part = CMSG_FIRSTHDR (header); part != NULL; part = CMSG_NXTHDR (header, part))
    {
      size_t len = part->cmsg_len - CMSG_LEN (0);

      if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS && len == sizeof *sender)
        memcpy (sender, CMSG_DATA (part), sizeof *sender);
      if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
        take_fds (message, CMSG_DATA (part), len / sizeof (int));
    }
}

static bool
check_sender (CprChannel *channel, const struct ucred *sender, GError **error)
{
  if (sender->uid != geteuid ())
    return cpr_throw (error, CPR_ERROR_MISMATCH, "%s: it is user %u's, this is user %u", channel->whom, sender->uid,
                      geteuid ());
  if (sender->pid <= 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "%s: its process can't be seen from this PID namespace",
                      channel->whom);
  if (channel->peer != 0 && sender->pid != channel->peer)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "%s: process %d sent a message in the place of process %d",
                      channel->whom, sender->pid, channel->peer);
  channel->peer = sender->pid;
  return true;
}

/* Receives @len bytes. fds may come with the first of them only, and only if @sender isn't NULL. */
static bool
receive_bytes (CprChannel *channel,
               void *data,
               size_t len,
               CprMessage *message,
               struct ucred *sender,
               uint64_t end_ns,
               const char *what,
               GError **error)
{
  for (size_t got = 0; got < len;)
    {
      struct iovec part = { (char *) data + got, len - got };
      Control control;
      struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes
      };
      unsigned n_fds = message->n_fds;
      struct ucred ignored;
      ssize_t n;

      if (!await (channel, POLLIN, end_ns, what, error))
        return false;
      n = cpr_sys->recvmsg (channel->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (n < 0 && (errno == EAGAIN || errno == EINTR))
        continue;
      if (n < 0 && errno != ECONNRESET)
        return cpr_throw_errno (error, errno, "%s: receiving %s", channel->whom, what);
      if (n <= 0)
        return cpr_throw (error, CPR_ERROR_ROLLED_BACK, "%s: it closed the connection, waiting for %s", channel->whom,
                          what);
      take_control (&header, message, got == 0 && sender != NULL ? sender : &ignored);
      if ((header.msg_flags & MSG_CTRUNC) != 0)
        return cpr_throw_errno (error, EMFILE, "%s: the fds that it sent didn't all arrive", channel->whom);
      if (message->n_fds > n_fds && (got > 0 || sender == NULL))
        return cpr_throw (error, CPR_ERROR_CORRUPT, "%s: it sent fds in the middle of a message", channel->whom);
      got += (size_t) n;
    }
  return true;
}

static bool
receive (CprChannel *channel, CprMessage *message, uint64_t end_ns, const char *what, GError **error)
{
  struct ucred sender = { .pid = 0, .uid = (uid_t) -1 };
  uint32_t head[2];

  if (!receive_bytes (channel, head, sizeof head, message, &sender, end_ns, what, error) ||
      !check_sender (channel, &sender, error))
    return false;
  if (!cpr_message_check (head[0], head[1], message->n_fds, error))
    {
      g_prefix_error (error, "%s: ", channel->whom);
      return false;
    }
  message->len = head[1];
  if (!receive_bytes (channel, message->data, message->len, message, NULL, end_ns, what, error))
    return false;
  message->type = (CprMessageType) head[0]; /* last: a message counts when all of it is there */
  return true;
}

static bool
receive_any (CprChannel *channel, CprMessage *message, uint64_t end_ns, const char *what, GError **error)
{
  g_autofree char *reason = NULL;

  cpr_message_clear (message); /* the fds of the last message */
  message->type = CPR_MESSAGE_NONE;
  if (receive (channel, message, end_ns, what, error))
    {
      if (message->type != CPR_MESSAGE_FAILED)
        return true;
      reason = cpr_text_make_line ((const char *) message->data, message->len);
      cpr_throw (error, CPR_ERROR_ROLLED_BACK, "%s: %s", channel->whom, reason);
    }
  cpr_message_clear (message);
  return false;
}

bool
cpr_channel_receive (CprChannel *channel, CprMessage *message, const char *what, GError **error)
{
  return receive_any (channel, message, channel->deadline_ns, what, error);
}

/* ---- Sending. */

/* Each message carries its sender's credentials. The kernel vouches for them, and they name the
 * sender even where another process opened the socket. */
static void
put_control (struct msghdr *header, Control *control, const int *fds, unsigned n_fds)
{
  const struct ucred self = { .pid = getpid (), .uid = geteuid (), .gid = getegid () };
  struct cmsghdr *part;

  header->msg_control = control->bytes;
  header->msg_controllen = CMSG_SPACE (sizeof self) + (n_fds > 0 ? CMSG_SPACE (n_fds * sizeof (int)) : 0);
  memset (control->bytes, 0, header->msg_controllen);
  part = CMSG_FIRSTHDR (header);
  *part = (struct cmsghdr){ CMSG_LEN (sizeof self), SOL_SOCKET, SCM_CREDENTIALS };
  memcpy (CMSG_DATA (part), &self, sizeof self);
  if (n_fds == 0)
    return;
  part = CMSG_NXTHDR (header, part);
  *part = (struct cmsghdr){ CMSG_LEN (n_fds * sizeof (int)), SOL_SOCKET, SCM_RIGHTS };
  memcpy (CMSG_DATA (part), fds, n_fds * sizeof (int));
}

/* Advances @header past the @sent bytes. The control data went with the first of them. */
static void
advance (struct msghdr *header, size_t sent)
{
  header->msg_controllen = 0;
  header->msg_control = NULL;
  for (; header->msg_iovlen > 0 && sent >= header->msg_iov->iov_len; header->msg_iov++)
    {
      sent -= header->msg_iov->iov_len;
      header->msg_iovlen--;
    }
  if (header->msg_iovlen > 0)
    {
      header->msg_iov->iov_base = (char *) header->msg_iov->iov_base + sent;
      header->msg_iov->iov_len -= sent;
    }
}

/* Throws the error of a send. A peer that has closed the connection may have said why: then its
 * reason is the error. */
static bool
throw_unsent (CprChannel *channel, CprMessageType type, int errnum, GError **error)
{
  g_autofree CprMessage *message = g_new0 (CprMessage, 1);
  uint64_t end_ns = get_end (channel, REASON_PATIENCE_NS);
  GError *reason = NULL;

  while (errnum == EPIPE && error != NULL && reason == NULL)
    receive_any (channel, message, end_ns, "its reason", &reason);
  cpr_message_clear (message);
  if (message->type == CPR_MESSAGE_FAILED)
    {
      g_propagate_error (error, reason);
      return false;
    }
  g_clear_error (&reason);
  if (errnum == EPIPE || errnum == ECONNRESET)
    return cpr_error_set_errno (
        error, CPR_ERROR_ROLLED_BACK, errnum, "%s: it closed the connection%s (sending message %u)", channel->whom,
        type == CPR_MESSAGE_HELLO ? " at once: it has ended, or it isn't made with libcpr" : "", type);
  return cpr_throw_errno (error, errnum, "%s: sending message %u", channel->whom, type);
}

static bool
send_all (CprChannel *channel, CprMessageType type, struct msghdr *header, GError **error)
{
  uint64_t end_ns = get_end (channel, SEND_PATIENCE_NS);

  while (header->msg_iovlen > 0)
    {
      ssize_t sent = cpr_sys->sendmsg (channel->fd, header, MSG_NOSIGNAL | MSG_DONTWAIT);

      if (sent >= 0)
        advance (header, (size_t) sent);
      else if (errno == EAGAIN)
        {
          if (!await (channel, POLLOUT, end_ns, "room for a message", error))
            return false;
        }
      /* The user's limit on fds in flight: the other end makes room when it takes some. */
      else if (errno == ETOOMANYREFS && cpr_now_ns () < end_ns)
        g_usleep (1000);
      else if (errno != EINTR)
        return throw_unsent (channel, type, errno, error);
    }
  return true;
}

bool
cpr_channel_send (CprChannel *channel,
                  CprMessageType type,
                  const void *data,
                  size_t len,
                  const int *fds,
                  unsigned n_fds,
                  GError **error)
{
  uint32_t head[2] = { type, (uint32_t) len };
  struct iovec parts[2] = { { head, sizeof head }, { (void *) data, len } };
  struct msghdr header = { .msg_iov = parts, .msg_iovlen = len > 0 ? 2 : 1 };
  Control control;

  put_control (&header, &control, fds, n_fds);
  return send_all (channel, type, &header, error);
}

void
cpr_channel_send_failure (CprChannel *channel, const char *reason)
{
  size_t len = MIN (strlen (reason), CPR_MESSAGE_MAX);

  if (len > 0)
    cpr_channel_send (channel, CPR_MESSAGE_FAILED, reason, len, NULL, 0, NULL);
}

bool
cpr_channel_expect (
    const CprChannel *channel, const CprMessage *message, CprMessageType type, const char *what, GError **error)
{
  return message->type == type ||
         cpr_throw (error, CPR_ERROR_CORRUPT, "%s: message %u came in place of %s", channel->whom, message->type, what);
}

void
cpr_channel_spin (CprChannel *channel, uint64_t ns)
{
  uint64_t end = cpr_now_ns () + ns;
  struct pollfd poll = { channel->fd, POLLIN, 0 };

  while (cpr_sys->poll (&poll, 1, 0) == 0 && cpr_now_ns () < end)
    sched_yield ();
}
