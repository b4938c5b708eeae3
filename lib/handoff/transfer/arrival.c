/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transfer mode in the new program, which waits for the old one to connect: its half of the
 * conversation, up to the commit. Called through the carrier's table by handoff/incoming.c. */
#include "handoff/transfer/arrival.h"

#include <errno.h>
#include <unistd.h>

#include "ask/exchange.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/populate.h"
#include "base/signals.h"
#include "base/sys.h"
#include "handoff/incoming.h"
#include "handoff/transfer/channel.h"
#include "handoff/transfer/hello.h"
#include "process/program.h"
#include "registry/ram/fill.h"
#include "state/seal.h"

#define WHOM "old program"
/* How long a program that has connected may take to say who it is. Until then no other program
 * gets through. */
#define HELLO_NS (UINT64_C (5) * 1000000000)
/* How long the old program may then take to send its manifest, which it makes while its guest
 * runs. */
#define MANIFEST_NS (UINT64_C (60) * 1000000000)
/* How long the old program may take to stop the guest and to save. It does that without this
 * one, so only a program that hangs takes as long. */
#define STOP_NS (UINT64_C (600) * 1000000000)
/* How often this program tells the old one that it is still preparing. */
#define BUSY_MS 500
/* How long this program stays awake for a state that has been announced. */
#define AWAKE_NS (UINT64_C (2) * 1000000)

typedef struct
{
  CprChannel channel;
  CprMessage message; /* the last one received */
  GHashTable *fds;    /* number in the old program → number here; a number of the manifest has to be among them */
  CprQuestion question;
  uint64_t fill_end_ns; /* when the filling of page tables ends, complete or not */
} Arrival;

static Arrival *
get_arrival (const CprIncoming *incoming)
{
  return incoming->transport;
}

/* ---- The connection. */

/* An fd that is the channel of a transfer: the variable names it, or else it is found among all
 * fds. A program that overlooked it would run a second guest on the same disks. */
bool
cpr_arrival_find (int *fd, GError **error)
{
  const char *hint = g_getenv (CPR_STATE_VARIABLE);
  g_autoptr (GArray) open_fds = NULL;
  gint64 number;

  *fd = -1;
  if (hint != NULL)
    {
      if (g_ascii_string_to_signed (hint, 10, STDERR_FILENO + 1, G_MAXINT, &number, NULL) &&
          cpr_hello_is_waiting ((int) number))
        *fd = (int) number;
      return true;
    }
  open_fds = cpr_fd_list (error);
  for (guint i = 0; open_fds != NULL && i < open_fds->len && *fd < 0; i++)
    if (cpr_hello_is_waiting (g_array_index (open_fds, int, i)))
      *fd = g_array_index (open_fds, int, i);
  return open_fds != NULL;
}

static void
limit_waits (Arrival *arrival, uint64_t patience_ns)
{
  arrival->channel.deadline_ns = cpr_now_ns () + patience_ns;
}

/* Answers a HELLO, after it came: the old program knows between which instants this one's clocks
 * were read. Where the two don't match this HELLO is sent anyway, so that the old program can
 * say itself what doesn't. */
static bool
answer_greeting (Arrival *arrival, const char *vm_name, GError **reason)
{
  if (*reason == NULL)
    return cpr_channel_send_hello (&arrival->channel, vm_name, reason);
  if ((*reason)->code == CPR_ERROR_MISMATCH || (*reason)->code == CPR_ERROR_VERSION)
    cpr_channel_send_hello (&arrival->channel, vm_name, NULL);
  return false;
}

static bool
greet (Arrival *arrival, int fd, const char *vm_name, GError **error)
{
  GError *reason = NULL;

  if (cpr_channel_open (&arrival->channel, fd, WHOM, &reason))
    {
      limit_waits (arrival, HELLO_NS);
      cpr_channel_receive_hello (&arrival->channel, vm_name, NULL, &reason);
      if (answer_greeting (arrival, vm_name, &reason))
        return true;
    }
  cpr_channel_send_failure (&arrival->channel, reason->message);
  g_propagate_error (error, reason);
  cpr_channel_close (&arrival->channel);
  return false;
}

static void
log_refused (const CprSessionConfig *config, GError *reason)
{
  g_autofree char *text = g_strdup_printf ("incoming: a connection was refused: %s", reason->message);

  if (config->log != NULL)
    config->log (CPR_LOG_WARNING, text, config->user_data);
  g_error_free (reason);
}

/* Accepts connections until one is the old program's: another process must not keep the old
 * program out. */
static bool
accept_old (Arrival *arrival, int listener, const CprSessionConfig *config, GError **error)
{
  for (;;)
    {
      int fd = cpr_fd_above_std (cpr_sys->accept4 (listener, NULL, NULL, SOCK_CLOEXEC));
      GError *reason = NULL;

      if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
        continue;
      if (fd < 0)
        return cpr_throw_errno (error, errno, "incoming: accept");
      if (greet (arrival, fd, config->name, &reason))
        return true;
      log_refused (config, reason);
    }
}

/* Whether a socket that this process was started with listens, or is connected already. */
static bool
is_listening (int fd, int *listening, GError **error)
{
  socklen_t len = sizeof *listening;

  return cpr_sys->getsockopt (fd, SOL_SOCKET, SO_ACCEPTCONN, listening, &len) == 0 ||
         cpr_throw_errno (error, errno, WHOM ": fd %d", fd);
}

static bool
connect_old (Arrival *arrival, const CprSessionConfig *config, GError **error)
{
  const char *path;
  int fd, listening = 1;
  bool ok;

  if (!cpr_channel_parse (config->incoming, &path, &fd, error))
    return false;
  if (path != NULL)
    fd = cpr_channel_listen (path, 1, error);
  if (fd < 0 || (path == NULL && !is_listening (fd, &listening, error)))
    return false;
  if (!listening)
    return greet (arrival, fd, config->name, error);
  ok = accept_old (arrival, fd, config, error);
  cpr_fd_clear (&fd);
  if (path != NULL)
    cpr_sys->unlink (path);
  return ok;
}

/* ---- The question, and all fds. */

static bool
keep_fds (Arrival *arrival, GError **error)
{
  CprMessage *message = &arrival->message;
  CprCursor numbers = { .data = message->data, .len = message->len };

  for (unsigned i = 0; i < message->n_fds; i++)
    {
      uint32_t number = cpr_cursor_get_u32 (&numbers);
      int fd = cpr_fd_above_std (message->fds[i]);

      message->fds[i] = -1;
      if (fd < 0)
        return cpr_throw_errno (error, errno, WHOM ": fd %u", number);
      if (g_hash_table_contains (arrival->fds, GUINT_TO_POINTER (number)))
        {
          cpr_fd_clear (&fd);
          return cpr_throw (error, CPR_ERROR_CORRUPT, WHOM ": fd %u came twice", number);
        }
      g_hash_table_insert (arrival->fds, GUINT_TO_POINTER (number), GINT_TO_POINTER (fd));
    }
  return true;
}

int
cpr_arrival_take_fd (void *incoming, uint32_t where, GError **error)
{
  GHashTable *fds = get_arrival (incoming)->fds;
  int fd = GPOINTER_TO_INT (g_hash_table_lookup (fds, GUINT_TO_POINTER (where)));

  if (fd != 0)
    return fd;
  cpr_throw (error, CPR_ERROR_CORRUPT, "it didn't come with the manifest");
  return -1;
}

/* Gives each fd of the manifest the number that it has here. An fd that came and isn't in the
 * manifest would stay open for ever, so it is an error. */
static bool
place_fds (CprIncoming *incoming, GError **error)
{
  Arrival *arrival = get_arrival (incoming);
  CprFdTable *table = &arrival->question.manifest.fds;
  guint came = g_hash_table_size (arrival->fds);

  return cpr_fd_table_place (table, cpr_arrival_take_fd, incoming, error) &&
         (came == table->entries->len ||
          cpr_throw (error, CPR_ERROR_CORRUPT, WHOM ": %u fds came, %u are in the manifest", came,
                     table->entries->len));
}

static bool
open_baton (CprIncoming *incoming, int *fd, GError **error)
{
  CprBatonWord word;

  if (!cpr_baton_open (&incoming->baton, *fd, error))
    {
      incoming->baton.fd = -1;
      return false;
    }
  *fd = -1;
  word = cpr_baton_get (incoming->baton.page);
  incoming->attempt = 1;
  return (word.state == CPR_BATON_OWNED && word.pid == get_arrival (incoming)->channel.peer) ||
         cpr_throw (error, CPR_ERROR_MISMATCH, "baton: it should be process %d's, and is process %d's",
                    get_arrival (incoming)->channel.peer, word.pid);
}

/* Receives everything that this program needs before the stop. *wanted: whether the old program
 * wants an answer. */
static bool
receive_all (CprIncoming *incoming, bool *wanted, GError **error)
{
  Arrival *arrival = get_arrival (incoming);
  CprMessage *message = &arrival->message;

  limit_waits (arrival, MANIFEST_NS);
  for (;;)
    {
      if (!cpr_channel_receive (&arrival->channel, message, "the manifest", error))
        return false;
      if (message->type == CPR_MESSAGE_QUESTION)
        break;
      if (!cpr_channel_expect (&arrival->channel, message, CPR_MESSAGE_FDS, "the manifest", error) ||
          !keep_fds (arrival, error))
        return false;
    }
  *wanted = message->data[0] != 0;
  return cpr_exchange_read_question (message->fds[0], &arrival->question, error) &&
         open_baton (incoming, &message->fds[1], error);
}

/* ---- The answer. */

static bool
send_answer (Arrival *arrival, const CprWriter *answer, GError **error)
{
  int fd = cpr_memfd_seal ("libcpr-answer", answer->data, answer->len);
  bool ok;

  if (fd < 0)
    return cpr_throw_errno (error, errno, "answer: a memfd of %zu bytes", answer->len);
  ok = cpr_channel_send (&arrival->channel, CPR_MESSAGE_ANSWER, NULL, 0, &fd, 1, error);
  cpr_fd_clear (&fd);
  return ok;
}

static bool
compare_and_answer (CprIncoming *incoming, const CprSessionConfig *config, GError **error)
{
  Arrival *arrival = get_arrival (incoming);
  const CprAsked asked = { .config = config, .fault = incoming->fault, .asker = arrival->channel.peer };
  CprAnswer answer;
  CprWriter writer;
  bool ok;

  if (!cpr_exchange_answer (&asked, &arrival->question, &answer, &writer, error))
    return false;
  ok = send_answer (arrival, &writer, error);
  if (ok && cpr_findings_count_refusals (answer.findings) > 0)
    ok = cpr_throw (error, CPR_ERROR_REFUSED, "%s", ((const CprFinding *) answer.findings->pdata[0])->message);
  cpr_writer_clear (&writer);
  cpr_answer_clear (&answer);
  return ok;
}

/* ---- The take-up. */

static void
close_fd (void *key, void *value, void *unused)
{
  int fd = GPOINTER_TO_INT (value);

  cpr_fd_clear (&fd);
}

static bool
take_up (CprIncoming *incoming, const CprSessionConfig *config, GError **error)
{
  Arrival *arrival = get_arrival (incoming);
  CprQuestion *question = &arrival->question;
  bool wanted = false;

  arrival->channel.pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (arrival->channel.peer));
  if (arrival->channel.pidfd < 0)
    return cpr_throw_errno (error, errno, WHOM ": process %d", arrival->channel.peer);
  if (!receive_all (incoming, &wanted, error) || !place_fds (incoming, error) ||
      (wanted && !compare_and_answer (incoming, config, error)))
    return false;
  /* From here on the old program's deadline runs. A quarter of it is left for all other work. A
   * page that isn't filled costs the guest a fault, and no more. */
  arrival->fill_end_ns = cpr_now_ns () + incoming->baton.page->timeout_ns / 4 * 3;
  arrival->channel.deadline_ns = 0;
  incoming->question = wanted ? question : NULL;
  /* Read again, since the comparison has claimed fds. */
  return cpr_manifest_read (&incoming->manifest, &question->reader, error) &&
         cpr_incoming_check_identity (&incoming->manifest, config->name, CPR_BOOT_SAME_CLOCKS, error) &&
         cpr_fd_table_verify (&incoming->manifest.fds, 0, error);
}

bool
cpr_arrival_take_up (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error)
{
  Arrival *arrival = g_new0 (Arrival, 1);
  GError *reason = NULL;

  arrival->channel = (CprChannel){ .fd = -1, .pidfd = -1, .cancel_fd = -1, .whom = WHOM };
  arrival->fds = g_hash_table_new (NULL, NULL);
  incoming->transport = arrival;
  if (config->name == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "VM: it has no name");
  if (!connect_old (arrival, config, error))
    return false;
  if (take_up (incoming, config, &reason))
    {
      /* This process keeps its own signal mask: no signal was blocked for an execve. */
      incoming->manifest.signal_mask = cpr_signals_get_mask ();
      g_unsetenv (CPR_STATE_VARIABLE);
      return true;
    }
  cpr_channel_send_failure (&arrival->channel, reason->message);
  g_propagate_error (error, reason);
  g_hash_table_foreach (arrival->fds, close_fd, NULL);
  return false;
}

void
cpr_arrival_clear (CprIncoming *incoming)
{
  Arrival *arrival = get_arrival (incoming);

  if (arrival == NULL)
    return;
  cpr_message_clear (&arrival->message);
  cpr_channel_close (&arrival->channel);
  g_hash_table_unref (arrival->fds);
  cpr_question_clear (&arrival->question);
  g_free (arrival);
  incoming->transport = NULL;
}

/* ---- The state. */

/* Fills page tables for as long as there is time, and says now and then that this program is
 * alive. */
static bool
fill (Arrival *arrival, const CprRamTable *ram, GError **error)
{
  CprFill *filling = cpr_fill_start (ram);
  bool ok = true;

  while (ok)
    {
      uint64_t now = cpr_now_ns (), left_ms = arrival->fill_end_ns > now ? (arrival->fill_end_ns - now) / 1000000 : 0;

      if (cpr_fill_wait (filling, (unsigned) MIN (left_ms, BUSY_MS)) || left_ms == 0)
        break;
      ok = cpr_channel_send (&arrival->channel, CPR_MESSAGE_BUSY, NULL, 0, NULL, 0, error);
    }
  cpr_fill_end (filling);
  return ok;
}

static bool
equals (const CprChunk *a, const CprChunk *b)
{
  return a->type == b->type && a->payload.len == b->payload.len &&
         memcmp (a->payload.data, b->payload.data, a->payload.len) == 0;
}

static bool
find_chunk (CprReader *reader, uint32_t type, CprChunk *chunk)
{
  cpr_reader_rewind (reader);
  while (cpr_reader_next (reader, chunk))
    if (chunk->type == type)
      return true;
  return false;
}

/* Fails if the state describes another VM than the manifest that this program built its VM from.
 * The DMA chunk is optional: a VM without assigned devices has none. */
static bool
check_unchanged (Arrival *arrival, CprReader *state, GError **error)
{
  static const struct
  {
    uint32_t type;
    bool is_optional;
    const char *what;
  } parts[] = { { CPR_CHUNK_FDS, false, "fds" },
                { CPR_CHUNK_RAM, false, "RAM blocks" },
                { CPR_CHUNK_DMA, true, "assigned devices and their mappings" },
                { CPR_CHUNK_SCHEMA, false, "device types" } };

  for (size_t i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      CprChunk early, late;
      bool was_there = find_chunk (&arrival->question.reader, parts[i].type, &early);
      bool is_there = find_chunk (state, parts[i].type, &late);

      if (was_there != is_there || (is_there ? !equals (&early, &late) : !parts[i].is_optional))
        return cpr_throw (error, CPR_ERROR_MISMATCH, "state: the %s have changed since this program was told of them",
                          parts[i].what);
    }
  return true;
}

static bool
open_state (CprIncoming *incoming, int *fd, GError **error)
{
  if (!cpr_stream_is_sealed (*fd))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "state: its memfd should be sealed, and isn't");
  incoming->state_fd = *fd;
  *fd = -1;
  return cpr_incoming_open_stream (incoming, error) &&
         check_unchanged (get_arrival (incoming), &incoming->reader, error);
}

bool
cpr_arrival_await_state (CprIncoming *incoming, const CprRamTable *ram, GError **error)
{
  Arrival *arrival = get_arrival (incoming);

  incoming->spare = g_malloc (CPR_READER_BLOCK);
  cpr_populate (incoming->spare, CPR_READER_BLOCK);
  if (!fill (arrival, ram, error))
    return false;
  limit_waits (arrival, STOP_NS);
  if (!cpr_channel_send (&arrival->channel, CPR_MESSAGE_READY, NULL, 0, NULL, 0, error) ||
      !cpr_channel_receive (&arrival->channel, &arrival->message, "the stop", error) ||
      !cpr_channel_expect (&arrival->channel, &arrival->message, CPR_MESSAGE_STOPPED, "the stop", error))
    return false;
  cpr_channel_spin (&arrival->channel, AWAKE_NS);
  return cpr_channel_receive (&arrival->channel, &arrival->message, "the state", error) &&
         cpr_channel_expect (&arrival->channel, &arrival->message, CPR_MESSAGE_STATE, "the state", error) &&
         open_state (incoming, &arrival->message.fds[0], error);
}

/* ---- The end. */

/* The old program still has the guest, or takes it back as soon as it gets this message. */
/* The old program has a deadline of its own for each thing that it waits for. */
bool
cpr_arrival_defer (CprIncoming *incoming, bool deferred, GError **error)
{
  return cpr_throw (error, CPR_ERROR_STATE,
                    "cpr_session_defer: not possible in transfer mode, where the old program waits for this one");
}

bool
cpr_arrival_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error)
{
  cpr_channel_send_failure (&get_arrival (incoming)->channel, reason->message);
  cpr_channel_close (&get_arrival (incoming)->channel);
  g_propagate_error (error, reason);
  return false;
}

void
cpr_arrival_finish (CprIncoming *incoming)
{
  CprChannel *channel = &get_arrival (incoming)->channel;

  channel->deadline_ns = 0; /* the deadline of the wait for the state doesn't affect this message */
  cpr_channel_send (channel, CPR_MESSAGE_DONE, NULL, 0, NULL, 0, NULL);
}
