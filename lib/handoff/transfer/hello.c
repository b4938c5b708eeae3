/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The greeting of a transfer's two programs. Each says who it is, and checks that the other is
 * for the same VM and has the same clocks. Called by transfer.c and arrival.c. */
#include "handoff/transfer/hello.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "stream/wire.h"

/* A HELLO:
 *
 *   u64      magic
 *   u32      the newest version that the sender knows
 *   u32      the oldest one
 *   u32      the sender's pid
 *   string   the VM's name: u16 length, bytes, and a zero byte that isn't counted
 *   u64      CLOCK_MONOTONIC in ns; the HELLO of an older program ends before it
 *   u64      CLOCK_BOOTTIME in ns
 *   ...      anything that a later version adds
 *
 * The magic and the two versions stay the same for ever. */
#define HELLO_MAGIC UINT64_C (0x31524546534e5254) /* "TRNSFER1" */

static uint64_t
read_clock (clockid_t id)
{
  struct timespec now = { 0 };

  clock_gettime (id, &now); /* can't fail */
  return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

CprClocks
cpr_clocks_get (void)
{
  return (CprClocks){ read_clock (CLOCK_MONOTONIC), read_clock (CLOCK_BOOTTIME) };
}

bool
cpr_hello_parse (CprHello *hello, const void *data, size_t len, GError **error)
{
  CprCursor cursor = { .data = data, .len = len };
  uint64_t magic = cpr_cursor_get_u64 (&cursor);
  const char *name;

  *hello = (CprHello){ .vm_name = NULL };
  hello->version = cpr_cursor_get_u32 (&cursor);
  hello->oldest = cpr_cursor_get_u32 (&cursor);
  if (cursor.failed || magic != HELLO_MAGIC)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "its greeting should begin with libcpr's magic number, and doesn't");
  if (hello->version < CPR_HELLO_OLDEST || hello->oldest > CPR_HELLO_VERSION || hello->oldest > hello->version)
    return cpr_throw (error, CPR_ERROR_VERSION, "it speaks versions %u to %u of the transfer, this program %d to %d",
                      hello->oldest, hello->version, CPR_HELLO_OLDEST, CPR_HELLO_VERSION);
  hello->pid = cpr_cursor_get_u32 (&cursor);
  name = cpr_cursor_get_name (&cursor);
  if (cursor.failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "its greeting has no name of a VM with 1 to %d bytes", CPR_NAME_MAX);
  hello->vm_name = g_strdup (name);
  hello->clocks.monotonic_ns = cpr_cursor_get_u64 (&cursor);
  hello->clocks.boottime_ns = cpr_cursor_get_u64 (&cursor);
  hello->has_clocks = !cursor.failed;
  return true;
}

/* Whether both ends are this process's, which isn't its own successor. */
static bool
is_own (int fd)
{
  struct ucred peer;
  socklen_t len = sizeof peer;

  return cpr_sys->getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid ();
}

bool
cpr_hello_is_waiting (int fd)
{
  uint8_t bytes[CPR_MESSAGE_HEADER + sizeof (uint64_t)];
  CprCursor cursor = { .data = bytes, .len = sizeof bytes };
  struct iovec part = { bytes, sizeof bytes };
  struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
  struct stat st;

  if (cpr_sys->fstat (fd, &st) < 0 || !S_ISSOCK (st.st_mode) || is_own (fd) ||
      cpr_sys->recvmsg (fd, &header, MSG_PEEK | MSG_DONTWAIT) != sizeof bytes)
    return false;
  return cpr_cursor_get_u32 (&cursor) == CPR_MESSAGE_HELLO && cpr_cursor_get_u32 (&cursor) > 0 &&
         cpr_cursor_get_u64 (&cursor) == HELLO_MAGIC;
}

static void
put_u32 (GByteArray *bytes, uint32_t value)
{
  g_byte_array_append (bytes, (const uint8_t *) &value, sizeof value);
}

static void
put_u64 (GByteArray *bytes, uint64_t value)
{
  g_byte_array_append (bytes, (const uint8_t *) &value, sizeof value);
}

static void
put_string (GByteArray *bytes, const char *string)
{
  uint16_t len = (uint16_t) strlen (string);

  g_byte_array_append (bytes, (const uint8_t *) &len, sizeof len);
  g_byte_array_append (bytes, (const uint8_t *) string, len + 1u);
}

bool
cpr_channel_send_hello (CprChannel *channel, const char *vm_name, GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  CprClocks clocks;

  put_u64 (bytes, HELLO_MAGIC);
  put_u32 (bytes, CPR_HELLO_VERSION);
  put_u32 (bytes, CPR_HELLO_OLDEST);
  put_u32 (bytes, (uint32_t) getpid ());
  put_string (bytes, vm_name);
  clocks = cpr_clocks_get ();
  put_u64 (bytes, clocks.monotonic_ns);
  put_u64 (bytes, clocks.boottime_ns);
  return cpr_channel_send (channel, CPR_MESSAGE_HELLO, bytes->data, bytes->len, NULL, 0, error);
}

/* The other program read its clocks after this one had asked, and before now. A clock outside
 * those two instants belongs to another time namespace. There a watchdog of the guest might fire
 * at once, or never. */
static bool
check_clock (const char *name, uint64_t asked_ns, uint64_t theirs_ns, uint64_t now_ns, GError **error)
{
  bool is_behind = theirs_ns < asked_ns;
  bool is_ahead = theirs_ns > now_ns;
  uint64_t by_ns;

  if (!is_behind && !is_ahead)
    return true;
  by_ns = is_behind ? asked_ns - theirs_ns : theirs_ns - now_ns;
  return cpr_throw (error, CPR_ERROR_MISMATCH, "it is in another time namespace: %s is %.3f s %s there", name,
                    (double) by_ns / 1e9, is_behind ? "behind" : "ahead");
}

static bool
check_clocks (const CprHello *hello, const CprClocks *asked, GError **error)
{
  const CprClocks now = cpr_clocks_get (), *theirs = &hello->clocks;

  if (asked == NULL || !hello->has_clocks)
    return true;
  return check_clock ("CLOCK_MONOTONIC", asked->monotonic_ns, theirs->monotonic_ns, now.monotonic_ns, error) &&
         check_clock ("CLOCK_BOOTTIME", asked->boottime_ns, theirs->boottime_ns, now.boottime_ns, error);
}

static bool
check_sender (const CprChannel *channel, const CprHello *hello, const char *vm_name, GError **error)
{
  if (strcmp (hello->vm_name, vm_name) != 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "it is for VM '%s', this program is for VM '%s'", hello->vm_name,
                      vm_name);
  if (hello->pid != (uint32_t) channel->peer)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "it is in another PID namespace: process %u there, %d here",
                      hello->pid, channel->peer);
  return true;
}

bool
cpr_channel_receive_hello (CprChannel *channel, const char *vm_name, const CprClocks *asked, GError **error)
{
  g_autofree CprMessage *message = g_new0 (CprMessage, 1);
  CprHello hello = { .vm_name = NULL };
  GError *reason = NULL;
  bool ok;

  if (!cpr_channel_receive (channel, message, "its greeting", error))
    return false;
  if (!cpr_channel_expect (channel, message, CPR_MESSAGE_HELLO, "its greeting", error))
    {
      cpr_message_clear (message);
      return false;
    }
  ok = cpr_hello_parse (&hello, message->data, message->len, &reason) &&
       check_sender (channel, &hello, vm_name, &reason) && check_clocks (&hello, asked, &reason);
  g_free (hello.vm_name);
  if (!ok)
    g_propagate_prefixed_error (error, reason, "%s: ", channel->whom);
  return ok;
}
