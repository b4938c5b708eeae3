/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sends bytes to a client, without waiting for it. Called for the clients of both monitors. */
#include "support/send.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

bool
send_some (int fd, uint8_t *bytes, uint32_t *len)
{
  ssize_t sent = send (fd, bytes, *len, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0)
    return errno == EAGAIN || errno == EINTR;
  *len -= (uint32_t) sent;
  memmove (bytes, bytes + sent, *len);
  return true;
}
