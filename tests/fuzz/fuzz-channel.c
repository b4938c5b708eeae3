/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any row of messages, with any fds, to both ends of a transfer: whatever the other program is
 * or says, this one neither crashes nor hangs nor keeps an fd, it says why it refuses, and the
 * guest has one owner.
 *
 * The kernel is scripted: an input is a byte that says which end is tried and then what arrives
 * there, one decision after the other, see next_delivery(). Made of zeros only it is a good
 * conversation, as the two programs had one when this program began: that has to succeed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "choices.h"
#include "fuzz.h"
#include "handoff/carrier.h"
#include "handoff/transfer/channel.h"
#include "state/seal.h"

#define VM       "vm1"
#define RAM_SIZE 4096
#define MAX_FDS  CPR_MESSAGE_FDS_MAX /* as the kernel has it */
#define MINUTE   60000

typedef struct
{
  uint32_t value;
} Box;

static const CprField box_fields[] = { CPR_FIELD (Box, value), CPR_FIELD_END };
static const CprDeviceType box_type = {
  .size = sizeof (CprDeviceType),
  .name = "box",
  .version = 1,
  .minimum_version = 1,
  .state = { "Box", sizeof (Box), box_fields },
};

/* ---- A good conversation. */

typedef struct
{
  uint8_t data[CPR_MESSAGE_MAX];
  size_t len;
  unsigned n_fds;
  int fds[4];        /* FDS only: kept open */
  uint8_t *contents; /* of the memfd that is its first fd, or NULL */
  size_t n_contents;
} Good;

static Good good[CPR_MESSAGE_STOPPED + 1];
static bool recording;
static const CprMessageType to_new[] = { CPR_MESSAGE_HELLO, CPR_MESSAGE_FDS, CPR_MESSAGE_QUESTION, CPR_MESSAGE_STOPPED,
                                         CPR_MESSAGE_STATE };
static const CprMessageType to_old[] = { CPR_MESSAGE_HELLO, CPR_MESSAGE_ANSWER, CPR_MESSAGE_READY, CPR_MESSAGE_DONE };

/* ---- What arrives. */

static struct
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
} script;

static void
put_fd (int fd)
{
  if (fd >= 0 && script.n_fds < MAX_FDS)
    script.fds[script.n_fds++] = fd;
  else if (fd >= 0)
    close (fd);
}

static void
drop_fds (void)
{
  for (unsigned i = 0; i < script.n_fds; i++)
    close (script.fds[i]);
  script.n_fds = 0;
}

/* Takes part in the handing over as the program at the other end would. */
static bool
move_baton (CprBatonState from, unsigned from_attempt, pid_t from_pid, CprBatonState to, pid_t to_pid)
{
  const CprBatonWord old = { from, from_attempt, from_pid }, new = { to, 1, to_pid };

  return script.baton.fd >= 0 && cpr_baton_move (script.baton.page, old, new);
}

static int
copy_baton (void)
{
  if (script.baton.fd < 0 && !cpr_baton_new (&script.baton, NULL))
    g_error ("no baton");
  return fcntl (script.baton.fd, F_DUPFD_CLOEXEC, 3);
}

static int
make_memfd (Choices *choices, bool sealed, uint64_t size)
{
  int fd = cpr_memfd_new ("fuzz", 0);
  uint8_t data[256];

  for (size_t i = 0; i < size && i < sizeof data; i++)
    data[i] = (uint8_t) choose_byte (choices);
  if (!cpr_fd_write_all (fd, data, MIN (size, sizeof data)) || ftruncate (fd, (off_t) size) < 0 ||
      (sealed && fcntl (fd, F_ADD_SEALS, CPR_STATE_SEALS) < 0))
    g_error ("no memfd");
  return fd;
}

static int
make_fd (Choices *choices)
{
  const Good *message;
  int ends[2];

  switch (choose (choices, 11))
    {
    case 0:
      return open ("/dev/null", O_RDWR | O_CLOEXEC);
    case 1:
      return make_memfd (choices, false, choose_byte (choices));
    case 2:
      return make_memfd (choices, true, choose_byte (choices));
    case 3:
      return make_memfd (choices, true, UINT64_C (1) << (choose_one_in (choices, 2) ? 40 : 19));
    case 4:
      return socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    case 5:
      return copy_baton ();
    case 6:
      message = &good[choose_one_in (choices, 2) ? CPR_MESSAGE_STATE : CPR_MESSAGE_QUESTION];
      return cpr_memfd_seal ("fuzz", message->contents, message->n_contents);
    case 7:
      if (pipe2 (ends, O_CLOEXEC) < 0)
        return -1;
      close (ends[1]);
      return ends[0];
    case 8:
      return open ("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    case 9:
      return make_memfd (choices, false, sizeof (CprBatonPage));
    default:
      return fcntl (good[CPR_MESSAGE_FDS].fds[0], F_DUPFD_CLOEXEC, 3);
    }
}

static void
put_head (uint32_t type, uint32_t len)
{
  const uint32_t head[2] = { type, len };

  memcpy (script.bytes, head, sizeof head);
  script.len = CPR_MESSAGE_HEADER + len;
}

static void
answer_question (Good *message)
{
  CprAnswer answer = { .question = script.question, .findings = cpr_findings_new () };
  CprSchemaBuilder builder;
  CprWriter writer;

  if (!cpr_executable_get (&answer.executable, &answer.path, NULL))
    g_error ("this program can't be known");
  cpr_schema_builder_init (&builder);
  cpr_schema_builder_add (&builder, &box_type);
  cpr_writer_init (&writer, -1);
  cpr_answer_write (&answer, &builder, &writer);
  g_free (message->contents);
  message->contents = g_memdup2 (writer.data, writer.len);
  message->n_contents = writer.len;
  cpr_writer_clear (&writer);
  cpr_schema_builder_clear (&builder);
  cpr_answer_clear (&answer);
}

/* The one of the conversation that would be next, or another one. */
static CprMessageType
choose_good (Choices *choices)
{
  unsigned n = script.is_old ? G_N_ELEMENTS (to_old) : G_N_ELEMENTS (to_new), which = choose_byte (choices);

  if (which > 0)
    return (CprMessageType) (1 + which % CPR_MESSAGE_STOPPED);
  which = MIN (script.n_good, n - 1);
  script.n_good++;
  return (script.is_old ? to_old : to_new)[which];
}

/* Patches are made of the contents, too: @at and @bits. */
static void
put_good (CprMessageType type, size_t at, uint8_t bits)
{
  Good *message = &good[type];

  if (type == CPR_MESSAGE_ANSWER)
    answer_question (message);
  put_head (type, (uint32_t) message->len);
  memcpy (script.bytes + CPR_MESSAGE_HEADER, message->data, message->len);
  if (type == CPR_MESSAGE_HELLO) /* the pid, as the kernel will say it, and its clocks */
    {
      const CprClocks clocks = cpr_clocks_get ();

      memcpy (script.bytes + CPR_MESSAGE_HEADER + 16, &(uint32_t){ (uint32_t) script.peer }, 4);
      memcpy (script.bytes + CPR_MESSAGE_HEADER + message->len - sizeof clocks, &clocks, sizeof clocks);
    }
  for (unsigned i = 0; type == CPR_MESSAGE_FDS && i < message->n_fds; i++)
    put_fd (fcntl (message->fds[i], F_DUPFD_CLOEXEC, 3));
  if (message->contents != NULL)
    {
      message->contents[at % message->n_contents] ^= bits;
      put_fd (cpr_memfd_seal ("fuzz", message->contents, message->n_contents));
      message->contents[at % message->n_contents] ^= bits;
    }
  if (type == CPR_MESSAGE_QUESTION)
    put_fd (copy_baton ());
  if (type == CPR_MESSAGE_STATE && !script.is_old)
    move_baton (CPR_BATON_OWNED, 0, getpid (), CPR_BATON_OFFERED, getpid ());
  if (type == CPR_MESSAGE_DONE && script.is_old)
    script.committed |= move_baton (CPR_BATON_OFFERED, 1, script.peer, CPR_BATON_OWNED, script.peer);
}

static void
put_other (Choices *choices)
{
  uint32_t type = choose_byte (choices),
           len = (uint32_t) choose_bytes (choices, 2) % (2 * CPR_MESSAGE_MAX - CPR_MESSAGE_HEADER);
  unsigned n_fds = choose_one_in (choices, 8) ? choose_byte (choices) : choose (choices, 4);

  put_head (type, len);
  for (uint32_t i = 0; i < len; i++)
    script.bytes[CPR_MESSAGE_HEADER + i] = (uint8_t) choose_byte (choices);
  for (unsigned i = 0; i < n_fds; i++)
    put_fd (make_fd (choices));
}

static void
put_raw (Choices *choices)
{
  script.len = 1 + choose_byte (choices);
  for (size_t i = 0; i < script.len; i++)
    script.bytes[i] = (uint8_t) choose_byte (choices);
  for (unsigned i = choose (choices, 4); i > 0; i--)
    put_fd (make_fd (choices));
}

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

static What
peek (void)
{
  return script.choices.left > 0 ? (What) (*script.choices.data % N_WHATS) : WHAT_GOOD;
}

static void
put (What what, Choices *choices)
{
  size_t at;

  switch (what)
    {
    case WHAT_GOOD:
      put_good (choose_good (choices), 0, 0);
      break;
    case WHAT_PATCHED:
      put_good (choose_good (choices), 0, 0);
      at = (size_t) choose_bytes (choices, 2) % script.len;
      script.bytes[at] ^= (uint8_t) choose_byte (choices);
      break;
    case WHAT_OTHER_FD:
      put_good (choose_good (choices), 0, 0);
      if (script.n_fds == 0)
        break;
      at = choose (choices, script.n_fds);
      close (script.fds[at]);
      script.fds[at] = make_fd (choices);
      break;
    case WHAT_PATCHED_CONTENTS:
      at = (size_t) choose_bytes (choices, 2);
      put_good (choose_good (choices), at, (uint8_t) choose_byte (choices));
      break;
    case WHAT_OTHER:
      put_other (choices);
      break;
    default:
      put_raw (choices);
    }
}

/* Fills the script's delivery; false at the end of the input. */
static bool
next_delivery (void)
{
  Choices *choices = &script.choices;

  script.len = script.at = script.fds_at = 0;
  script.sender = 0;
  script.truncated = false;
  while (script.len == 0 && choices->left > 0)
    {
      What what = (What) choose (choices, N_WHATS);

      if (what <= WHAT_RAW)
        put (what, choices);
      else if (what == WHAT_CHUNKS)
        script.chunk = 1 + choose_byte (choices);
      else if (what == WHAT_SENDER)
        script.sender = 1 + choose (choices, 4);
      else if (what == WHAT_LATE_FDS)
        script.fds_at = 1 + choose_byte (choices);
      else if (what == WHAT_TRUNCATED)
        script.truncated = true;
      else if (what == WHAT_NO_SENDING)
        script.send_errno = choose_one_in (choices, 2) ? ENOBUFS : EPIPE;
      else if (what == WHAT_COMMIT && script.is_old)
        script.committed |= move_baton (CPR_BATON_OFFERED, 1, script.peer, CPR_BATON_OWNED, script.peer);
    }
  script.fds_at %= MAX (script.len, 1);
  return script.len > 0;
}

/* ---- The kernel. */

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
  drop_fds ();
}

static ssize_t
script_recvmsg (int fd, struct msghdr *header, int flags)
{
  size_t len;
  bool with_fds;

  if (script.at == script.len && peek () == WHAT_ERROR && script.choices.left > 0)
    {
      static const int errnos[] = { EINTR, EAGAIN, ECONNRESET, EIO };

      choose_byte (&script.choices);
      errno = errnos[choose (&script.choices, G_N_ELEMENTS (errnos))];
      return -1;
    }
  if (script.at == script.len && !next_delivery ())
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
    g_error ("no contents");
  message->n_contents = (size_t) st.st_size;
  message->contents = g_malloc (message->n_contents);
  if (!cpr_fd_read_at (fd, message->contents, message->n_contents, 0))
    g_error ("no contents");
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

/* What the old program asks is needed for an answer. */
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
  What what = script.at == script.len ? peek () : WHAT_GOOD;
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

static CprSys scripted;

/* ---- The two ends. */

static unsigned n_stops, n_starts;

static bool
stop (void *user_data, GError **error)
{
  n_stops++;
  return true;
}

static void
start (void *user_data)
{
  n_starts++;
}

static CprSessionConfig
make_config (const char *incoming)
{
  static const CprDeviceType *const types[] = { &box_type, NULL };

  return (CprSessionConfig){ .size = sizeof (CprSessionConfig),
                             .name = VM,
                             .stop = stop,
                             .start = start,
                             .device_types = types,
                             .incoming = incoming };
}

static Box box;

/* Everything that a program builds; what there is is taken over. */
static bool
build (CprSession *session, GError **error)
{
  static const CprDeviceType *const type = &box_type;

  return cpr_ram_new (session, "ram", RAM_SIZE, NULL, error) != NULL &&
         cpr_device_add (session, "box", type, &box, error) && cpr_session_load (session, error) &&
         cpr_session_start (session, error);
}

static void
check_reason (bool ok, const GError *error)
{
  g_assert (ok == (error == NULL));
  if (error == NULL)
    return;
  g_assert (error->domain == CPR_ERROR && error->message[0] != '\0');
}

static void
run_old (int socket)
{
  const CprSessionConfig config = make_config (NULL);
  g_autofree char *uri = g_strdup_printf ("unix-fd:%d", socket);
  const CprUpdate update = {
    .size = sizeof update, .mode = CPR_MODE_TRANSFER, .uri = uri, .deadline_ms = MINUTE, .preflight_timeout_ms = MINUTE
  };
  CprSession *session = cpr_session_new (&config, NULL);
  GError *error = NULL;
  bool ok;

  box.value = 4711;
  if (session == NULL || !build (session, NULL))
    g_error ("a fresh session can't be had");
  n_stops = n_starts = 0;
  ok = cpr_session_update (session, &update, &error);
  check_reason (ok, error);
  g_assert (ok == script.committed);
  g_assert (cpr_session_get_state (session) == (ok ? CPR_SESSION_STATE_HANDED_OVER : CPR_SESSION_STATE_ACTIVE));
  g_assert (n_stops == n_starts + (ok ? 1 : 0));
  cpr_session_free (session);
  g_clear_error (&error);
}

static bool
run_new (int socket)
{
  g_autofree char *uri = g_strdup_printf ("unix-fd:%d", socket);
  const CprSessionConfig config = make_config (uri);
  GError *error = NULL;
  CprSession *session;
  bool ok = false;

  box.value = 0;
  n_starts = 0;
  session = cpr_session_new (&config, &error);
  if (session != NULL)
    ok = build (session, &error);
  check_reason (ok, error);
  g_assert (n_starts == (ok ? 1 : 0));
  if (ok)
    {
      CprBatonWord word = cpr_baton_get (script.baton.page);

      g_assert (word.state == CPR_BATON_OWNED && word.attempt == 1 && box.value == 4711);
    }
  cpr_session_free (session);
  g_clear_error (&error);
  return ok;
}

static unsigned
count_fds (void)
{
  g_autoptr (GArray) fds = cpr_fd_list (NULL);

  return fds->len;
}

/* Whether the new program has the guest. */
static bool
run (const uint8_t *data, size_t size)
{
  unsigned before = count_fds ();
  int ends[2];
  bool ok;

  script = (typeof (script)){ .choices = { data, size }, .chunk = SIZE_MAX, .baton.fd = -1, .pidfd = -1 };
  script.is_old = choose_one_in (&script.choices, 2);
  script.peer = script.is_old ? getppid () : getpid ();
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    g_error ("no socket");
  cpr_sys = &scripted;
  if (script.is_old)
    {
      run_old (ends[1]);
      close (ends[1]);
      ok = script.committed;
    }
  else
    ok = run_new (ends[1]);
  cpr_sys = &cpr_sys_kernel;
  close (ends[0]);
  drop_fds ();
  cpr_baton_clear (&script.baton);
  g_assert (recording || count_fds () == before);
  return ok;
}

static void
end (void)
{
  for (unsigned i = 0; i < good[CPR_MESSAGE_FDS].n_fds; i++)
    close (good[CPR_MESSAGE_FDS].fds[i]);
}

static void
begin (void)
{
  static const uint8_t old[1 + 2 * G_N_ELEMENTS (to_old)] = { 1 }, new[1 + 2 * G_N_ELEMENTS (to_new)] = { 0 };

  scripted = cpr_sys_kernel;
  scripted.recvmsg = script_recvmsg;
  scripted.sendmsg = script_sendmsg;
  scripted.poll = script_poll;
  scripted.pidfd_open = script_pidfd_open;
  scripted.pidfd_send_signal = script_pidfd_send_signal;
  /* Before there is a conversation the HELLO is made here. */
  good[CPR_MESSAGE_FAILED].len = 6;
  memcpy (good[CPR_MESSAGE_FAILED].data, "reason", 6);
  recording = true;
  run (old, 1);
  g_assert (run (old, sizeof old));
  recording = false;
  atexit (end);
  g_assert (run (new, sizeof new));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static bool begun;

  if (!begun)
    begin ();
  begun = true;
  fuzz_begin ();
  run (data, size);
  fuzz_end ((4u << 20) + 64 * size);
  return 0;
}
