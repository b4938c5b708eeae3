/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel that the library talks to in fuzz-channel: it delivers what the script says. */
#include "channel-script.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

bool recording;

static void *
add_part (struct msghdr *header, size_t *used, int type, size_t len)
{
  struct cmsghdr *part = (struct cmsghdr *) ((uint8_t *) header->msg_control + *used);

  if (*used + CMSG_LEN (len) > header->msg_controllen)
    return NULL;
  *part = (struct cmsghdr){ CMSG_LEN (len), SOL_SOCKET, type };
  *used = MIN (*used + CMSG_SPACE (len), header->msg_controllen);
  return CMSG_DATA (part);
}

static void
fill_control (struct msghdr *header, bool with_fds)
{
  static const struct
  {
    int pid, uid; /* more than what is right */
  } wrong[] = { { 0, 0 }, { 0, 1 }, { 1, 0 }, { -1, 0 }, { 0, -1 } };
  struct ucred sender = { .pid = script.peer + wrong[script.sender].pid,
                          .uid = geteuid () + (uid_t) wrong[script.sender].uid };
  size_t used = 0, room = header->msg_controllen;
  void *at = script.sender == 3 ? NULL : add_part (header, &used, SCM_CREDENTIALS, sizeof sender);
  unsigned n = 0;

  if (at != NULL)
    memcpy (at, &sender, sizeof sender);
  if (with_fds && script.n_fds > 0 && room >= used + CMSG_LEN (sizeof (int)))
    {
      n = MIN (script.n_fds, (unsigned) ((room - used - CMSG_LEN (0)) / sizeof (int)));
      memcpy (add_part (header, &used, SCM_RIGHTS, n * sizeof (int)), script.fds, n * sizeof (int));
    }
  header->msg_flags = script.truncated || (with_fds && n < script.n_fds) ? MSG_CTRUNC : 0;
  header->msg_controllen = used;
  if (!with_fds)
    return;
  memmove (script.fds, script.fds + n, (script.n_fds - n) * sizeof (int));
  script.n_fds -= n;
  script_drop_fds ();
}

static ssize_t
script_recvmsg (int fd, struct msghdr *header, int flags)
{
  size_t len;
  bool with_fds;

  if (script.at == script.len && script_peek () == WHAT_ERROR && script.choices.left > 0)
    {
      static const int errnos[] = { EINTR, EAGAIN, ECONNRESET, EIO };

      choose_byte (&script.choices);
      errno = errnos[choose (&script.choices, G_N_ELEMENTS (errnos))];
      return -1;
    }
  if (script.at == script.len && !script_next ())
    return 0;
  len = MIN (MIN (header->msg_iov->iov_len, script.chunk), script.len - script.at);
  with_fds = script.at <= script.fds_at && script.fds_at < script.at + len;
  if (!with_fds && script.at < script.fds_at)
    len = MIN (len, script.fds_at - script.at);
  memcpy (header->msg_iov->iov_base, script.bytes + script.at, len);
  script.at += len;
  fill_control (header, with_fds);
  return (ssize_t) len;
}

static void
keep_contents (Good *message, int fd)
{
  struct stat st;

  if (fstat (fd, &st) < 0)
    g_error ("reading the contents of a memfd failed");
  message->n_contents = (size_t) st.st_size;
  message->contents = g_malloc (message->n_contents);
  if (!cpr_fd_read_at (fd, message->contents, message->n_contents, 0))
    g_error ("reading the contents of a memfd failed");
}

static void
record (const uint32_t head[2], const void *data, const int *fds, unsigned n_fds)
{
  Good *message = &good[head[0]];

  if (message->len > 0 || message->contents != NULL || head[0] == CPR_MESSAGE_FAILED)
    return;
  message->len = head[1];
  if (head[1] > 0)
    memcpy (message->data, data, head[1]);
  message->n_fds = n_fds;
  if (head[0] == CPR_MESSAGE_FDS)
    for (unsigned i = 0; i < n_fds; i++)
      message->fds[i] = fcntl (fds[i], F_DUPFD_CLOEXEC, 3);
  else if (n_fds > 0)
    keep_contents (message, fds[0]);
}

/* An answer names the checksum of the old program's question. */
static void
hear_question (const int *fds)
{
  Good question = { .len = 0 };
  int fd = fcntl (fds[1], F_DUPFD_CLOEXEC, 3);

  keep_contents (&question, fds[0]);
  script.question = cpr_checksum (question.contents, question.n_contents);
  g_free (question.contents);
  if (script.baton.fd >= 0 || !cpr_baton_open (&script.baton, fd, NULL))
    close (fd);
}

static ssize_t
script_sendmsg (int fd, const struct msghdr *header, int flags)
{
  const struct cmsghdr *part = CMSG_FIRSTHDR (header);
  const uint32_t *head = header->msg_iov[0].iov_base;
  ssize_t len = 0;
  const int *fds;

  if (script.send_errno != 0)
    {
      errno = script.send_errno;
      return -1;
    }
  g_assert (part != NULL && part->cmsg_type == SCM_CREDENTIALS && header->msg_iov[0].iov_len == CPR_MESSAGE_HEADER);
  part = CMSG_NXTHDR ((struct msghdr *) header, (struct cmsghdr *) part);
  fds = part != NULL ? (const int *) CMSG_DATA (part) : NULL;
  for (size_t i = 0; i < header->msg_iovlen; i++)
    len += (ssize_t) header->msg_iov[i].iov_len;
  if (script.is_old && head[0] == CPR_MESSAGE_QUESTION)
    hear_question (fds);
  if (recording)
    record (head, header->msg_iovlen > 1 ? header->msg_iov[1].iov_base : NULL, fds,
            part != NULL ? (unsigned) ((part->cmsg_len - CMSG_LEN (0)) / sizeof (int)) : 0);
  return len;
}

static int
script_poll (struct pollfd *fds, nfds_t n, int timeout_ms)
{
  What what = script.at == script.len ? script_peek () : WHAT_GOOD;
  struct stat st;
  int ready = 0;

  if (what == WHAT_INTERRUPTED && n > 1)
    {
      choose_byte (&script.choices);
      errno = EINTR;
      return -1;
    }
  for (nfds_t i = 0; i < n; i++)
    {
      bool is_socket = fds[i].fd >= 0 && fstat (fds[i].fd, &st) == 0 && S_ISSOCK (st.st_mode);
      bool is_pidfd = fds[i].fd >= 0 && fds[i].fd == script.pidfd;

      fds[i].revents = 0;
      if (fds[i].fd >= 0 && (is_socket  ? n == 1 || what < WHAT_CANCEL || what == WHAT_ERROR
                             : is_pidfd ? n == 1 || what == WHAT_DEATH
                                        : what == WHAT_CANCEL))
        fds[i].revents = fds[i].events;
      ready += fds[i].revents != 0;
    }
  if (ready == 0 && timeout_ms != 0) /* who isn't there can't cancel */
    {
      choose_byte (&script.choices);
      errno = EINTR;
      return -1;
    }
  return ready;
}

static int
script_pidfd_open (pid_t pid)
{
  script.pidfd = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  return script.pidfd;
}

static int
script_pidfd_send_signal (int pidfd, int number)
{
  return 0;
}

const CprSys *
script_kernel (void)
{
  static CprSys scripted;

  scripted = cpr_sys_kernel;
  scripted.recvmsg = script_recvmsg;
  scripted.sendmsg = script_sendmsg;
  scripted.poll = script_poll;
  scripted.pidfd_open = script_pidfd_open;
  scripted.pidfd_send_signal = script_pidfd_send_signal;
  return &scripted;
}
