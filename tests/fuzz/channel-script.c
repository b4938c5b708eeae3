/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The deliveries to one end of a transfer in fuzz-channel: messages of a good conversation, changed
 * or not, and others, as the input decides. */
#include "channel-script.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "handoff/transfer/hello.h"
#include "state/seal.h"

Good good[CPR_MESSAGE_STOPPED + 1];
static const CprMessageType to_new[N_TO_NEW] = { CPR_MESSAGE_HELLO, CPR_MESSAGE_FDS, CPR_MESSAGE_QUESTION,
                                                 CPR_MESSAGE_STOPPED, CPR_MESSAGE_STATE };
static const CprMessageType to_old[N_TO_OLD] = { CPR_MESSAGE_HELLO, CPR_MESSAGE_ANSWER, CPR_MESSAGE_READY,
                                                 CPR_MESSAGE_DONE };

Script script;

static void
put_fd (int fd)
{
  if (fd >= 0 && script.n_fds < MAX_FDS)
    script.fds[script.n_fds++] = fd;
  else if (fd >= 0)
    close (fd);
}

void
script_drop_fds (void)
{
  for (unsigned i = 0; i < script.n_fds; i++)
    close (script.fds[i]);
  script.n_fds = 0;
}

/* Moves the baton as the program at the other end would. */
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
    g_error ("making a baton failed");
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
    g_error ("making a memfd failed");
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
    g_error ("reading this program's identity failed");
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

/* Chooses the next message of the conversation, or another one. */
static CprMessageType
choose_good (Choices *choices)
{
  unsigned n = script.is_old ? N_TO_OLD : N_TO_NEW, which = choose_byte (choices);

  if (which > 0)
    return (CprMessageType) (1 + which % CPR_MESSAGE_STOPPED);
  which = MIN (script.n_good, n - 1);
  script.n_good++;
  return (script.is_old ? to_old : to_new)[which];
}

/* @at and @bits: a byte of the contents, and which bits of it are flipped. */
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

What
script_peek (void)
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

bool
script_next (void)
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
