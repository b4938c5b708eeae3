/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Both ends of a channel of transfer mode in one process. */
#include "channel-ends.h"

#include <sys/socket.h>

CprChannel ours, theirs;
CprMessage message;

void
open_both (void)
{
  int ends[2];

  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ck_assert (cpr_channel_open (&ours, ends[0], WHOM, NULL) && cpr_channel_open (&theirs, ends[1], WHOM, NULL));
}

void
close_both (void)
{
  cpr_message_clear (&message);
  cpr_channel_close (&ours);
  cpr_channel_close (&theirs);
}

bool
receive (GError **error)
{
  return cpr_channel_receive (&theirs, &message, "a message", error);
}
