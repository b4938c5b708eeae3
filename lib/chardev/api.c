/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public functions of character devices. The VMM calls them. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "chardev/device.h"

#define AWAY_LOOK_MS 100 /* how often it is looked whether somebody has opened a pseudo terminal */

/* Whether the guest is this process's. */
static bool
owns_guest (const CprSession *session)
{
  return session->state == CPR_SESSION_STATE_ACTIVE ||
         (session->state < CPR_SESSION_STATE_ACTIVE && !cpr_session_is_incoming (session));
}

static bool
may_serve (const CprChardev *chardev)
{
  return cpr_session_is_mine (chardev->session) && owns_guest (chardev->session);
}

static bool
go_live (CprChardev *chardev, GError **error)
{
  chardev->is_live = true;
  return chardev->spec.kind != CPR_CHARDEV_STDIO || chardev->in.fd < 0 ||
         cpr_terminal_set (&chardev->terminal, STDIN_FILENO, chardev->spec.signals) ||
         cpr_throw_errno (error, errno, "chardev '%s': the terminal's raw mode", chardev->name);
}

static void
destroy (CprChardev *chardev)
{
  g_clear_pointer (&chardev->clients, g_ptr_array_unref);
  cpr_chardev_spec_clear (&chardev->spec);
  g_free (chardev->device_name);
  g_free (chardev->name);
  g_free (chardev);
}

/* Before the commit the fds are the old program's, too, which may have to go on with them. */
static void
close_all (CprChardev *chardev)
{
  if (owns_guest (chardev->session) || chardev->session->state >= CPR_SESSION_STATE_LOST)
    cpr_chardev_close_ends (chardev);
  else
    {
      cpr_end_forget (&chardev->in);
      cpr_end_forget (&chardev->out);
    }
}

static bool
start (CprChardev *chardev, GError **error)
{
  chardev->kind = chardev->spec.kind;
  chardev->device_name = g_strconcat (CPR_CHARDEV_PREFIX, chardev->name, NULL);
  if (!cpr_device_add (chardev->session, chardev->device_name, cpr_chardev_get_state_type (), chardev, error))
    return false;
  if (cpr_chardev_open_ends (chardev, error) && (!owns_guest (chardev->session) || go_live (chardev, error)))
    return true;
  close_all (chardev);
  cpr_device_remove (chardev->session, chardev->device_name, NULL);
  return false;
}

static void
stop (CprChardev *chardev)
{
  for (guint i = 0; chardev->clients != NULL && i < chardev->clients->len; i++)
    stop (chardev->clients->pdata[i]);
  if (owns_guest (chardev->session))
    cpr_chardev_flush (chardev);
  cpr_device_remove (chardev->session, chardev->device_name, NULL);
  close_all (chardev);
  destroy (chardev);
}

static CprChardev *
make (CprSession *session, CprCall call, const char *name, const char *backend, GError **error)
{
  CprChardev *chardev;

  if (!cpr_session_check_call (session, call, error) || !cpr_fd_table_check_name (name, 0, error))
    return NULL;
  chardev = g_new0 (CprChardev, 1);
  chardev->session = session;
  chardev->fd_name = chardev->name = g_strdup (name);
  chardev->connection_index = CPR_CHARDEV_FD_CONNECTION;
  if (cpr_chardev_spec_parse (&chardev->spec, name, backend, error))
    return chardev;
  destroy (chardev);
  return NULL;
}

CprChardev *
cpr_chardev_new (CprSession *session, const char *name, const char *backend, GError **error)
{
  CprChardev *chardev;

  g_return_val_if_fail (session != NULL && name != NULL && backend != NULL, NULL);

  chardev = make (session, CPR_CALL_CHARDEV_NEW, name, backend, error);
  if (chardev == NULL || start (chardev, error))
    return chardev;
  destroy (chardev);
  return NULL;
}

static bool
add_client (CprChardev *server, GError **error)
{
  CprChardev *client = g_new0 (CprChardev, 1);

  client->session = server->session;
  client->name = g_strdup_printf ("%s/%u", server->name, server->clients->len);
  client->fd_name = server->name;
  client->connection_index = CPR_CHARDEV_FD_CLIENTS + (int) server->clients->len;
  client->spec = (CprChardevSpec){ .kind = CPR_CHARDEV_ACCEPTED, .where = g_strdup (server->spec.where) };
  client->is_client = true;
  if (start (client, error))
    {
      g_ptr_array_add (server->clients, client);
      return true;
    }
  destroy (client);
  return false;
}

CprChardev *
cpr_chardev_new_server (CprSession *session, const char *name, const char *backend, unsigned n_clients, GError **error)
{
  CprChardev *server;

  g_return_val_if_fail (session != NULL && name != NULL && backend != NULL && n_clients > 0, NULL);

  server = make (session, CPR_CALL_CHARDEV_NEW_SERVER, name, backend, error);
  if (server == NULL)
    return NULL;
  if (server->spec.kind != CPR_CHARDEV_SERVER)
    cpr_throw (error, CPR_ERROR_INVALID, "chardev '%s': it should be a server, and is '%s'", name, backend);
  else if (start (server, error))
    {
      server->clients = g_ptr_array_new ();
      while (server->clients->len < n_clients && add_client (server, error))
        ;
      if (server->clients->len == n_clients)
        return server;
      stop (server);
      return NULL;
    }
  destroy (server);
  return NULL;
}

CprChardev *
cpr_chardev_get_client (const CprChardev *server, unsigned place)
{
  g_return_val_if_fail (server != NULL && server->clients != NULL && place < server->clients->len, NULL);

  return server->clients->pdata[place];
}

bool
cpr_chardev_remove (CprChardev *chardev, GError **error)
{
  CprSession *session;

  g_return_val_if_fail (chardev != NULL && !chardev->is_client, false);

  session = chardev->session;
  if (!cpr_session_check_call (session, CPR_CALL_CHARDEV_REMOVE, error))
    return false;
  if (owns_guest (session) || (session->state == CPR_SESSION_STATE_HANDED_OVER && !session->shares_streams))
    cpr_terminal_give_back (&chardev->terminal, STDIN_FILENO);
  if (owns_guest (session) && chardev->listener >= 0 && chardev->spec.path != NULL)
    cpr_sys->unlink (chardev->spec.path);
  stop (chardev);
  return true;
}

/* ---- The main loop's part. */

static int
get_timeout_ms (const CprChardev *chardev)
{
  uint64_t now;

  if (chardev->is_away)
    return AWAY_LOOK_MS;
  if (chardev->in.fd >= 0 || chardev->connecting >= 0 || chardev->next_try_ns == 0)
    return -1;
  now = cpr_now_ns ();
  return now >= chardev->next_try_ns ? 0 : (int) ((chardev->next_try_ns - now) / 1000000 + 1);
}

int
cpr_chardev_fill_fds (const CprChardev *chardev, struct pollfd *fds)
{
  struct pollfd *input = &fds[0], *output = &fds[1];

  g_return_val_if_fail (chardev != NULL && fds != NULL, -1);

  *input = (struct pollfd){ -1, POLLIN, 0 };
  *output = (struct pollfd){ -1, POLLOUT, 0 };
  if (!may_serve (chardev))
    return -1;
  if (!chardev->is_live)
    return 0;
  if (chardev->listener >= 0 && chardev->next_try_ns == 0 && cpr_chardev_find_place (chardev) != NULL)
    input->fd = chardev->listener;
  else if (!chardev->is_away && !chardev->has_ended && chardev->n_input < CPR_CHARDEV_INPUT_MAX)
    input->fd = chardev->in.fd;
  if (chardev->connecting >= 0)
    output->fd = chardev->connecting;
  else if (chardev->n_output > 0 && !chardev->is_away && !chardev->is_broken)
    output->fd = chardev->out.fd;
  return get_timeout_ms (chardev);
}

/* The end of what came, where another client may follow. */
static void
end_connection (CprChardev *chardev)
{
  if (cpr_chardev_kind_is_socket (chardev->spec.kind))
    cpr_chardev_hang_up (chardev);
  else if (chardev->spec.kind == CPR_CHARDEV_PTY)
    {
      chardev->is_away = true;
      chardev->has_ended = false;
      chardev->n_output = 0;
    }
}

void
cpr_chardev_serve (CprChardev *chardev)
{
  g_autoptr (GError) error = NULL;

  g_return_if_fail (chardev != NULL);

  if (!may_serve (chardev))
    return;
  if (!chardev->is_live && !go_live (chardev, &error))
    cpr_session_log (chardev->session, CPR_LOG_WARNING, "%s", error->message);
  cpr_chardev_has_peer (chardev);
  if (!chardev->is_away)
    cpr_chardev_receive (chardev);
  cpr_chardev_flush (chardev);
  if (chardev->has_ended)
    end_connection (chardev);
  cpr_chardev_look_for_connection (chardev);
  cpr_chardev_flush (chardev); /* what waited for the connection */
  if (chardev->errnum != 0)
    cpr_session_log (chardev->session, CPR_LOG_WARNING, "chardev '%s': output is lost: %s", chardev->name,
                     g_strerror (chardev->errnum));
  chardev->errnum = 0;
}

void
cpr_chardev_disconnect (CprChardev *chardev)
{
  g_return_if_fail (chardev != NULL);

  if (!may_serve (chardev) || !cpr_chardev_kind_is_socket (chardev->spec.kind) || chardev->in.fd < 0)
    return;
  cpr_chardev_flush (chardev);
  cpr_chardev_hang_up (chardev);
  chardev->n_input = 0;
}

/* ---- The guest's part. */

size_t
cpr_chardev_read (CprChardev *chardev, void *data, size_t size)
{
  size_t n;

  g_return_val_if_fail (chardev != NULL && data != NULL, 0);

  n = MIN (size, chardev->n_input);
  memcpy (data, chardev->input, n);
  chardev->n_input -= (uint32_t) n;
  memmove (chardev->input, chardev->input + n, chardev->n_input);
  return n;
}

size_t
cpr_chardev_write (CprChardev *chardev, const void *data, size_t size)
{
  const uint8_t *at = data;
  size_t left = size;

  g_return_val_if_fail (chardev != NULL && data != NULL, 0);

  while (left > 0)
    {
      size_t n = MIN (left, CPR_CHARDEV_OUTPUT_MAX - chardev->n_output);

      if (!cpr_chardev_has_peer (chardev))
        return size; /* nobody gets it */
      if (n == 0)
        break;
      memcpy (chardev->output + chardev->n_output, at, n);
      chardev->n_output += (uint32_t) n;
      at += n;
      left -= n;
      if (chardev->is_live)
        cpr_chardev_flush (chardev);
    }
  return size - left;
}

size_t
cpr_chardev_get_unsent (const CprChardev *chardev)
{
  g_return_val_if_fail (chardev != NULL, 0);

  return chardev->n_output;
}

bool
cpr_chardev_is_connected (const CprChardev *chardev)
{
  g_return_val_if_fail (chardev != NULL, false);

  return (chardev->in.fd >= 0 || chardev->out.fd >= 0) && !chardev->is_away && !chardev->is_broken;
}

char *
cpr_chardev_describe (const CprChardev *chardev)
{
  char path[64];

  g_return_val_if_fail (chardev != NULL, NULL);

  if (chardev->spec.kind == CPR_CHARDEV_PTY && cpr_terminal_get_path (chardev->out.fd, path, sizeof path))
    return g_strconcat ("pty:", path, NULL);
  return g_strconcat (chardev->spec.where, chardev->listener >= 0 ? ",server=on" : NULL, NULL);
}

/* ---- In a preflight. */

const CprDeviceType *
cpr_chardev_get_type (void)
{
  return cpr_chardev_get_state_type ();
}

void
cpr_inventory_add_chardev (CprInventory *inventory, const char *name)
{
  g_autofree char *device = NULL, *clients = NULL;

  g_return_if_fail (inventory != NULL && name != NULL);

  device = g_strconcat (CPR_CHARDEV_PREFIX, name, NULL);
  clients = g_strconcat (device, "/", NULL);
  cpr_inventory_add_fd (inventory, name, -1);
  cpr_inventory_add_device (inventory, device, cpr_chardev_get_state_type ());
  cpr_inventory_add_device_prefix (inventory, clients, cpr_chardev_get_state_type ());
}
