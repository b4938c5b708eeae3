/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One client of the monitor, for monitor.c: lines come in, answers go out, and nobody waits. */
#include "monitor/client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "support/send.h"

const CprField client_fields[] = {
  CPR_FIELD_COUNTED (Client, input, input_len),
  CPR_FIELD_COUNTED (Client, output, output_len),
  CPR_FIELD_END,
};

bool
client_receive (Client *client)
{
  size_t room = CLIENT_INPUT_MAX - client->input_len;
  uint8_t *input = client->input + client->input_len;
  ssize_t len = recv (client->fd, input, room, MSG_DONTWAIT | MSG_PEEK);
  const uint8_t *end = len > 0 ? memchr (input, '\n', (size_t) len) : NULL;
  if (len > 0)
    len = recv (client->fd, input, end ? (size_t) (end + 1 - input) : (size_t) len, MSG_DONTWAIT);
  if (len < 0)
    return errno == EAGAIN || errno == EINTR;
  client->input_len += (uint32_t) len;
  return len > 0;
}

void
client_flush (Client *client)
{
  if (client->fd >= 0 && !client->drop && client->output_len)
    client->drop = !send_some (client->fd, client->output, &client->output_len);
}

void
client_say (Client *client, const char *text)
{
  for (size_t len = strlen (text); len && !client->drop;)
    {
      size_t fits = MIN (len, CLIENT_OUTPUT_MAX - client->output_len);
      memcpy (client->output + client->output_len, text, fits);
      client->output_len += (uint32_t) fits;
      text += fits;
      len -= fits;
      client_flush (client);
      if (len && client->output_len == CLIENT_OUTPUT_MAX)
        client->drop = true;
    }
}

void
client_answer (Client *client, const char *text)
{
  client_say (client, text);
  client_say (client, "(minivmm) ");
}

char *
client_take_line (Client *client)
{
  const uint8_t *end = memchr (client->input, '\n', client->input_len);
  if (!end)
    return NULL;
  size_t len = (size_t) (end - client->input);
  char *line = g_strndup ((const char *) client->input, len);
  client->input_len -= (uint32_t) (len + 1);
  memmove (client->input, end + 1, client->input_len);
  return line;
}
