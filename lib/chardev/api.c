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
  if (!cpr_device_add (chardev->session, chardev->device_name, cpr_chardev_get_state_type (), chardev, error))
    return false;
  if (cpr_chardev_open_ends (chardev, error) && (!owns_guest (chardev->session) || go_live (chardev, error)))
    return true;
  close_all (chardev);
  cpr_device_remove (chardev->session, chardev->device_name, NULL);
  return false;
}

CprChardev *
cpr_chardev_new (CprSession *session, const char *name, const char *backend, GError **error)
{
  CprChardev *chardev;

  g_return_val_if_fail (session != NULL && name != NULL && backend != NULL, NULL);

  if (!cpr_session_check_call (session, CPR_CALL_CHARDEV_NEW, error) || !cpr_fd_table_check_name (name, 0, error))
    return NULL;
  chardev = g_new0 (CprChardev, 1);
  chardev->session = session;
  chardev->name = g_strdup (name);
  chardev->device_name = g_strconcat (CPR_CHARDEV_PREFIX, name, NULL);
  if (cpr_chardev_spec_parse (&chardev->spec, name, backend, error))
    {
      chardev->kind = chardev->spec.kind;
      if (start (chardev, error))
        return chardev;
    }
  destroy (chardev);
  return NULL;
}

bool
cpr_chardev_remove (CprChardev *chardev, GError **error)
{
  CprSession *session;

  g_return_val_if_fail (chardev != NULL, false);

  session = chardev->session;
  if (!cpr_session_check_call (session, CPR_CALL_CHARDEV_REMOVE, error))
    return false;
  if (owns_guest (session) || session->state == CPR_SESSION_STATE_HANDED_OVER)
    cpr_terminal_give_back (&chardev->terminal, STDIN_FILENO);
  if (owns_guest (session) && chardev->listener >= 0 && chardev->spec.path != NULL)
    cpr_sys->unlink (chardev->spec.path);
  cpr_device_remove (session, chardev->device_name, NULL);
  close_all (chardev);
  destroy (chardev);
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
  if (chardev->in.fd < 0 && chardev->next_try_ns == 0)
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
  if (chardev->spec.kind == CPR_CHARDEV_SERVER || chardev->spec.kind == CPR_CHARDEV_CLIENT)
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
  g_autofree char *device = NULL;

  g_return_if_fail (inventory != NULL && name != NULL);

  device = g_strconcat (CPR_CHARDEV_PREFIX, name, NULL);
  cpr_inventory_add_fd (inventory, name, -1);
  cpr_inventory_add_device (inventory, device, cpr_chardev_get_state_type ());
}
