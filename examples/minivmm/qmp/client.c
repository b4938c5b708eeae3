/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One client of QMP, for qmp.c: messages come in, answers and events go out, and nobody waits. */
#include "qmp/client.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "support/send.h"

const CprField qmp_client_fields[] = {
  CPR_FIELD (QmpClient, drop),
  CPR_FIELD (QmpClient, negotiated),
  CPR_FIELD_COUNTED (QmpClient, input, input_len),
  CPR_FIELD_COUNTED (QmpClient, output, output_len),
  CPR_FIELD_END,
};

void
qmp_client_init (QmpClient *client, int fd)
{
  client->fd = fd;
  client->drop = client->negotiated = false;
  client->watched = EPOLLIN;
  client->input_len = client->output_len = 0;
  client->scan = (QmpScan){ 0 };
}

bool
qmp_client_receive (QmpClient *client)
{
  size_t room = QMP_INPUT_MAX - client->input_len;
  if (!room)
    return true;
  ssize_t len = recv (client->fd, client->input + client->input_len, room, MSG_DONTWAIT);
  if (len < 0)
    return errno == EAGAIN || errno == EINTR;
  client->input_len += (uint32_t) len;
  return len > 0;
}

/* ---- Where a message ends. JSON has no other mark: clients may write one on several lines, or
 * several on one. */

static bool
scan_string (QmpScan *scan, uint8_t byte)
{
  if (scan->escaped)
    scan->escaped = false;
  else if (byte == '\\')
    scan->escaped = true;
  else if (byte == '"')
    scan->in_string = false;
  return byte < ' '; /* invalid in a string: what follows may be a message again */
}

/* True: @byte is the last one of a message. What isn't between brackets is none, and ends with its
 * line. */
static bool
scan_byte (QmpScan *scan, uint8_t byte)
{
  if (scan->in_string)
    return scan_string (scan, byte);
  switch (byte)
    {
    case '"':
      scan->in_string = true;
      return false;
    case '{':
    case '[':
      scan->depth++;
      return false;
    case '}':
    case ']':
      if (scan->depth)
        scan->depth--;
      return scan->depth == 0;
    case '\n':
      return scan->depth == 0;
    default:
      return false;
    }
}

static char *
take (QmpClient *client, uint32_t len)
{
  char *text = g_malloc (len + 1u);
  memcpy (text, client->input, len);
  for (uint32_t i = 0; i < len; i++)
    if (!text[i])
      text[i] = '\1'; /* as invalid as a 0, and doesn't end the text */
  text[len] = '\0';
  client->input_len -= len;
  memmove (client->input, client->input + len, client->input_len);
  client->scan = (QmpScan){ 0 };
  return text;
}

char *
qmp_client_take (QmpClient *client)
{
  while (client->scan.position < client->input_len)
    if (scan_byte (&client->scan, client->input[client->scan.position++]))
      {
        char *text = g_strstrip (take (client, client->scan.position));
        if (*text)
          return text;
        g_free (text);
      }
  return NULL;
}

/* ---- The other way. */

void
qmp_client_put (QmpClient *client, const json_t *message)
{
  size_t room = QMP_OUTPUT_MAX - client->output_len;
  char *to = (char *) client->output + client->output_len;
  size_t len = client->drop ? 0 : json_dumpb (message, to, room, 0);
  if (!len || len + 2 > room)
    {
      client->drop = true;
      return;
    }
  memcpy (to + len, "\r\n", 2);
  client->output_len += (uint32_t) (len + 2);
}

void
qmp_client_flush (QmpClient *client)
{
  if (client->fd >= 0 && !client->drop && client->output_len)
    client->drop = !send_some (client->fd, client->output, &client->output_len);
}
