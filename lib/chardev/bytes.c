/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of a character device on their way in and out. Called by api.c. */
#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "chardev/device.h"

static bool
must_wait (int errnum)
{
  return errnum == EAGAIN || errnum == EINTR;
}

/* The master of a pseudo terminal tells whether somebody has the other end open. */
static bool
is_hung_up (int master)
{
  struct pollfd look = { master, POLLOUT, 0 };

  return cpr_sys->poll (&look, 1, 0) == 1 && (look.revents & POLLHUP) != 0;
}

bool
cpr_chardev_has_peer (CprChardev *chardev)
{
  if (chardev->out.fd < 0 || chardev->is_broken)
    return false;
  if (chardev->is_away && chardev->is_live)
    chardev->is_away = is_hung_up (chardev->out.fd);
  return !chardev->is_away;
}

void
cpr_chardev_receive (CprChardev *chardev)
{
  while (chardev->in.fd >= 0 && !chardev->has_ended && chardev->n_input < CPR_CHARDEV_INPUT_MAX)
    {
      ssize_t n =
          cpr_end_read (&chardev->in, chardev->input + chardev->n_input, CPR_CHARDEV_INPUT_MAX - chardev->n_input);

      if (n < 0 && must_wait (errno))
        return;
      if (n <= 0)
        chardev->has_ended = true;
      else
        chardev->n_input += (uint32_t) n;
    }
}

/* A connection that takes nothing any more may still have something to say. Others may take
 * something later, such as a disk that was full. */
static void
fail (CprChardev *chardev, int errnum)
{
  chardev->n_output = 0;
  if (chardev->spec.kind == CPR_CHARDEV_PTY)
    chardev->is_away = true;
  else if (cpr_chardev_kind_is_socket (chardev->spec.kind))
    chardev->is_broken = true;
  else
    chardev->errnum = errnum;
}

void
cpr_chardev_flush (CprChardev *chardev)
{
  while (chardev->n_output > 0 && chardev->out.fd >= 0 && !chardev->is_broken)
    {
      ssize_t n = cpr_end_write (&chardev->out, chardev->output, chardev->n_output);

      if (n < 0 && must_wait (errno))
        return;
      if (n <= 0)
        fail (chardev, errno);
      else
        {
          chardev->n_output -= (uint32_t) n;
          memmove (chardev->output, chardev->output + n, chardev->n_output);
        }
    }
}
