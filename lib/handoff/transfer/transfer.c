/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transfer mode in the old program: the new program is a process of its own, which waits already or
 * is started here. Its half of the conversation is in handoff/transfer/arrival.c, and the messages
 * are in handoff/transfer/channel.h. There is no guardian: the old program lives until the commit
 * and takes the guest back itself. Called by the order of steps in lib/session. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "ask/exchange.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "base/text.h"
#include "handoff/transfer/arrival.h"
#include "handoff/transfer/channel.h"
#include "handoff/transfer/hello.h"
#include "handoff/transfer/start.h"
#include "state/seal.h"

#define WHOM "new program"
/* How long to wait for the death of a killed program. It may have much memory to give back, but
 * never runs the guest. */
#define DEATH_MS 10000
/* How long a program that doesn't get the guest, and knows it, may take to end by itself. */
#define GRACE_MS 2000

typedef struct
{
  CprCarrier base;
  CprChannel channel;
  CprMessage message; /* the last one received */
  CprStart start;
  CprFdTable *fds;
  CprBaton baton;
  uint64_t timeout_ns;
  bool gave_fds;    /* the new program has fds of the guest's devices and memory */
  bool handed_over; /* the new program has the guest, too */
} Transfer;

/* ---- Before the stop. */

static bool
transfer_check (const CprUpdate *update, GError **error)
{
  const char *path;
  int fd;

  if (update->uri == NULL)
    return update->program != NULL ||
           cpr_throw (error, CPR_ERROR_INVALID, "update: transfer mode needs a program to start, or a URI");
  return cpr_channel_parse (update->uri, &path, &fd, error);
}

/* Connects, or duplicates an inherited socket, which stays the caller's. */
static int
connect_to (const char *uri, uint64_t deadline_ns, int cancel_fd, GError **error)
{
  const char *path;
  int fd;

  if (!cpr_channel_parse (uri, &path, &fd, error))
    return -1;
  if (path != NULL)
    return cpr_channel_connect (path, deadline_ns, cancel_fd, error);
  fd = cpr_sys->fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (fd < 0)
    cpr_throw_errno (error, errno, "'%s'", uri);
  return fd;
}

static bool
connect_new (Transfer *transfer, const CprCarrierPlan *plan, GError **error)
{
  uint64_t deadline_ns = cpr_now_ns () + plan->ask_timeout_ns;
  const char *uri = plan->update->uri;
  int fd;

  if (uri != NULL)
    fd = connect_to (uri, deadline_ns, plan->cancel_fd, error);
  else
    fd = cpr_start_open (&transfer->start, plan->update, error);
  if (fd < 0 || !cpr_channel_open (&transfer->channel, fd, WHOM, error))
    return false;
  transfer->channel.cancel_fd = plan->cancel_fd;
  transfer->channel.deadline_ns = deadline_ns; /* up to the answer */
  return true;
}

static bool
send_signal (const Transfer *transfer, int number)
{
  return cpr_signals_send (transfer->channel.peer, transfer->channel.pidfd, number);
}

static bool
has_hung_up (const Transfer *transfer)
{
  struct pollfd fds[] = { { transfer->channel.fd, POLLRDHUP, 0 }, { transfer->channel.pidfd, POLLIN, 0 } };

  return cpr_sys->poll (fds, G_N_ELEMENTS (fds), 0) > 0;
}

/* A program that is started finds the greeting in its channel. */
static bool
exchange_greetings (Transfer *transfer, const CprCarrierPlan *plan, GError **error)
{
  CprChannel *channel = &transfer->channel;
  const CprClocks asked = cpr_clocks_get ();
  g_autofree char *end = NULL;

  if (!cpr_channel_send_hello (channel, plan->vm_name, error) ||
      (transfer->start.path != NULL && !cpr_start_run (&transfer->start, plan->update, error)))
    return false;
  if (cpr_channel_receive_hello (channel, plan->vm_name, &asked, error))
    return true;
  if (channel->peer == 0 && has_hung_up (transfer))
    end = cpr_start_describe_end (&transfer->start);
  if (end == NULL)
    return false;
  g_clear_error (error);
  return cpr_throw (error, CPR_ERROR_ROLLED_BACK,
                    WHOM " '%s': %s before it asked for the guest: did its start-up fail before cpr_session_new(), or "
                         "isn't it made with libcpr?",
                    transfer->start.path, end);
}

static bool
greet (Transfer *transfer, const CprCarrierPlan *plan, GError **error)
{
  CprChannel *channel = &transfer->channel;

  if (!exchange_greetings (transfer, plan, error))
    return false;
  if (channel->peer == getpid ())
    return cpr_throw (error, CPR_ERROR_MISMATCH, WHOM ": it is this very process");
  channel->pidfd = cpr_fd_above_std (cpr_sys->pidfd_open (channel->peer));
  if (channel->pidfd < 0)
    return cpr_throw_errno (error, errno, WHOM ": process %d", channel->peer);
  /* Later, with the guest stopped, it would be too late to find that out. */
  return send_signal (transfer, 0) ||
         cpr_throw_errno (error, errno, WHOM ": process %d: it must be one that this user may kill, in case it hangs",
                          channel->peer);
}

static bool
open_own (Transfer *transfer, const CprCarrierPlan *plan, GError **error)
{
  if (!cpr_fd_table_verify (transfer->fds, 0, error) || !cpr_baton_new (&transfer->baton, error))
    return false;
  transfer->base.page = transfer->baton.page;
  transfer->baton.page->timeout_ns = plan->timeout_ns;
  transfer->baton.page->pause_budget_ns = plan->pause_budget_ns;
  transfer->base.stream_fd = cpr_memfd_new ("libcpr-state", 0);
  return transfer->base.stream_fd >= 0 || cpr_throw_errno (error, errno, "state: memfd_create");
}

/* ---- The end of the new program. */

static bool
ends_within (const Transfer *transfer, unsigned patience_ms)
{
  struct pollfd death = { transfer->channel.pidfd, POLLIN, 0 };
  uint64_t end_ns = cpr_now_ns () + patience_ms * UINT64_C (1000000), now;
  int n = 0;

  for (now = cpr_now_ns (); n <= 0 && now < end_ns; now = cpr_now_ns ())
    {
      n = cpr_sys->poll (&death, 1, (int) ((end_ns - now + 999999) / 1000000));
      if (n < 0)
        g_usleep (1000);
    }
  return n > 0;
}

static void
end_new (Transfer *transfer)
{
  if (send_signal (transfer, SIGKILL) || errno != ESRCH)
    ends_within (transfer, DEATH_MS);
}

/* FAILED is the last message of the new program: it touches nothing of the guest any more. */
static bool
gave_up (const Transfer *transfer)
{
  return transfer->message.type == CPR_MESSAGE_FAILED;
}

/* A new program that has the fds and didn't get the guest holds locks, devices and memory for
 * nothing. It gets time to end by itself, since the guest already runs. A program that was started
 * here, and said nothing, gets none. */
static void
dismiss (Transfer *transfer)
{
  if (transfer->handed_over)
    return;
  cpr_fd_clear (&transfer->channel.fd); /* the new program sees the end of the connection */
  if ((transfer->gave_fds || (transfer->start.pid != 0 && transfer->channel.pidfd >= 0)) &&
      !ends_within (transfer, GRACE_MS))
    end_new (transfer);
  cpr_start_end (&transfer->start);
}

static void
transfer_close (CprCarrier *carrier)
{
  Transfer *transfer = (Transfer *) carrier;

  dismiss (transfer);
  cpr_start_clear (&transfer->start);
  cpr_message_clear (&transfer->message);
  cpr_channel_close (&transfer->channel);
  cpr_baton_clear (&transfer->baton);
  cpr_fd_clear (&transfer->base.stream_fd);
  g_free (transfer);
}

static CprCarrier *
transfer_open (const CprCarrierPlan *plan, GError **error)
{
  Transfer *transfer = g_new0 (Transfer, 1);
  GError *reason = NULL;

  transfer->base = (CprCarrier){ .type = &cpr_carrier_transfer, .stream_fd = -1 };
  transfer->channel = (CprChannel){ .fd = -1, .pidfd = -1, .cancel_fd = -1 };
  transfer->start = (CprStart){ .its_fd = -1, .pidfd = -1 };
  transfer->baton.fd = -1;
  transfer->fds = plan->fds;
  transfer->timeout_ns = plan->timeout_ns;
  if (connect_new (transfer, plan, &reason))
    {
      if (greet (transfer, plan, &reason) && open_own (transfer, plan, &reason))
        return &transfer->base;
      cpr_channel_send_failure (&transfer->channel, reason->message);
    }
  g_propagate_error (error, reason);
  transfer_close (&transfer->base);
  return NULL;
}

static bool
send_fds (Transfer *transfer, GError **error)
{
  const GPtrArray *entries = transfer->fds->entries;
  uint32_t numbers[CPR_MESSAGE_FDS_MAX];
  int fds[CPR_MESSAGE_FDS_MAX];

  for (guint first = 0; first < entries->len; first += CPR_MESSAGE_FDS_MAX)
    {
      guint n = MIN (entries->len - first, CPR_MESSAGE_FDS_MAX);

      for (guint i = 0; i < n; i++)
        {
          fds[i] = ((const CprFdEntry *) entries->pdata[first + i])->fd;
          numbers[i] = (uint32_t) fds[i];
        }
      if (!cpr_channel_send (&transfer->channel, CPR_MESSAGE_FDS, numbers, n * sizeof numbers[0], fds, n, error))
        return false;
    }
  return true;
}

static bool
send_question (Transfer *transfer, const CprWriter *question, bool wants_answer, GError **error)
{
  const uint8_t wants = wants_answer;
  int fds[2] = { cpr_memfd_seal ("libcpr-question", question->data, question->len), transfer->baton.fd };
  bool ok;

  if (fds[0] < 0)
    return cpr_throw_errno (error, errno, "manifest: a memfd of %zu bytes", question->len);
  ok = cpr_channel_send (&transfer->channel, CPR_MESSAGE_QUESTION, &wants, 1, fds, 2, error);
  cpr_fd_clear (&fds[0]);
  return ok;
}

static void
append (GError *error, const char *separator, const char *text)
{
  char *message = error->message;

  error->message = g_strconcat (message, separator, text, NULL);
  g_free (message);
}

/* Adds how the new program ended, where it is a child that has ended, and what it said before. That
 * is copied first: the program may write the page at any time. */
static void
add_reason (const Transfer *transfer, GError *error)
{
  g_autofree char *said = g_strndup (transfer->baton.page->reason, CPR_BATON_REASON_SIZE - 1);
  g_autofree char *line = cpr_text_make_line (said, strlen (said)), *end = NULL;

  if (has_hung_up (transfer)) /* else it is too late, or was cancelled */
    end = cpr_start_describe_end (&transfer->start);
  if (end != NULL)
    append (error, ": ", end);
  if (line[0] != '\0')
    append (error, "; before that: ", line);
}

/* Receives the next message, which has to be of @type. BUSY may come before it, and doesn't move
 * the deadline. */
static bool
receive (Transfer *transfer, CprMessageType type, const char *what, GError **error)
{
  CprMessage *message = &transfer->message;

  do
    if (!cpr_channel_receive (&transfer->channel, message, what, error))
      {
        if (!gave_up (transfer) && error != NULL)
          add_reason (transfer, *error);
        return false;
      }
  while (message->type == CPR_MESSAGE_BUSY);
  return cpr_channel_expect (&transfer->channel, message, type, what, error);
}

static bool
receive_answer (Transfer *transfer, uint64_t question, CprAnswer *answer, GError **error)
{
  if (!receive (transfer, CPR_MESSAGE_ANSWER, "its answer", error))
    return false;
  if (cpr_exchange_read_answer (transfer->message.fds[0], question, answer, error))
    return true;
  g_prefix_error (error, WHOM ": ");
  return false;
}

static bool
transfer_ask (CprCarrier *carrier, CprWriter *question, CprAnswer *answer, GError **error)
{
  Transfer *transfer = (Transfer *) carrier;

  transfer->gave_fds = true;
  if (!send_fds (transfer, error) || !send_question (transfer, question, answer != NULL, error))
    {
      if (error != NULL && cpr_error_get_errno (*error) == EPIPE) /* it gave no reason */
        add_reason (transfer, *error);
      return false;
    }
  return answer == NULL || receive_answer (transfer, cpr_checksum (question->data, question->len), answer, error);
}

/* The new program builds everything while the guest runs. */
static bool
transfer_launch (CprCarrier *carrier, GError **error)
{
  Transfer *transfer = (Transfer *) carrier;

  transfer->channel.deadline_ns = cpr_now_ns () + transfer->timeout_ns;
  return receive (transfer, CPR_MESSAGE_READY, "its preparations", error);
}

/* ---- With the guest stopped. */

static bool
transfer_stopped (CprCarrier *carrier, GError **error)
{
  Transfer *transfer = (Transfer *) carrier;

  transfer->channel.deadline_ns = cpr_now_ns () + transfer->timeout_ns; /* until the offer, which sets another */
  return cpr_channel_send (&transfer->channel, CPR_MESSAGE_STOPPED, NULL, 0, NULL, 0, error);
}

static bool
transfer_seal (CprCarrier *carrier, CprWriter *writer, GError **error)
{
  return cpr_stream_seal (carrier->stream_fd, writer, error);
}

/* Takes the guest back; false if the new program has committed. After the fence a new program
 * that hasn't given up can't commit, but may still work on devices or memory. That has to end
 * before the guest goes on, so it is killed. */
static bool
take_back (Transfer *transfer)
{
  const CprBatonWord offered = { CPR_BATON_OFFERED, 1, transfer->channel.peer },
                     fenced = { CPR_BATON_FENCED, 1, getpid () }, mine = { CPR_BATON_OWNED, 1, getpid () };

  if (!cpr_baton_move (transfer->baton.page, offered, fenced))
    return false;
  if (!gave_up (transfer))
    end_new (transfer);
  return cpr_baton_move (transfer->baton.page, fenced, mine);
}

static bool
is_cancelled (const Transfer *transfer)
{
  struct pollfd cancel = { transfer->channel.cancel_fd, POLLIN, 0 };

  return cpr_sys->poll (&cancel, 1, 0) > 0;
}

static bool
offer (Transfer *transfer, GError **error)
{
  if (is_cancelled (transfer))
    return cpr_throw (error, CPR_ERROR_ROLLED_BACK, "update: cancelled while the guest was stopped");
  transfer->base.offered = cpr_carrier_offer_baton (&transfer->base, transfer->channel.peer, error);
  transfer->channel.deadline_ns = transfer->baton.page->deadline_ns;
  return transfer->base.offered;
}

static bool
transfer_go (CprCarrier *carrier, GError **error)
{
  Transfer *transfer = (Transfer *) carrier;
  GError *reason = NULL;

  if (!offer (transfer, error))
    return false;
  if (cpr_channel_send (&transfer->channel, CPR_MESSAGE_STATE, NULL, 0, &transfer->base.stream_fd, 1, &reason) &&
      receive (transfer, CPR_MESSAGE_DONE, "its commit", &reason))
    cpr_throw (&reason, CPR_ERROR_CORRUPT, WHOM ": it said that it had the guest, and hasn't");
  transfer->handed_over = !take_back (transfer);
  if (transfer->handed_over)
    g_error_free (reason); /* the new program has the guest, so its error doesn't matter */
  else
    g_propagate_error (error, reason);
  return transfer->handed_over;
}

const CprCarrierType cpr_carrier_transfer = {
  .mode = CPR_MODE_TRANSFER,
  .name = "transfer",
  .scheme = CPR_CHANNEL_SCHEME,
  .alias = CPR_CHANNEL_SCHEME_FD,
  .check = transfer_check,
  .open = transfer_open,
  .ask = transfer_ask,
  .launch = transfer_launch,
  .stopped = transfer_stopped,
  .seal = transfer_seal,
  .go = transfer_go,
  .close = transfer_close,
  .find = cpr_arrival_find,
  .take_up = cpr_arrival_take_up,
  .defer = cpr_arrival_defer,
  .take_fd = cpr_arrival_take_fd,
  .await_state = cpr_arrival_await_state,
  .give_back = cpr_arrival_give_back,
  .finish = cpr_arrival_finish,
  .clear = cpr_arrival_clear,
};
