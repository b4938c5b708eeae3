/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The serial port as tests see and set it, for commands.c and fail.c. */
#include "serial-test.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "devices/serial-state.h"
#include "support/error.h"

void
serial_describe_all (Serial *serial, GString *text)
{
  pthread_mutex_lock (&serial->mutex);
  g_string_append_printf (text, "ier: %#x\nlcr: %#x\nmcr: %#x\nscr: %#x\ndivisor: %d\nholding: %s\n", serial->ier,
                          serial->lcr, serial->mcr, serial->scr, serial->dlm << 8 | serial->dll,
                          serial->thr_full ? "full" : "empty");
  g_string_append_printf (text, "tx bytes: %" PRIu64 "\nflow: %u\n", (uint64_t) serial->tx_bytes, serial->flow);
#if RELEASE >= 2
  g_string_append_printf (text, "fifo depth: %u\ninterrupted: %u\n", serial->fifo_depth, serial->interrupted);
#endif
#if RELEASE < 3
  g_string_append_printf (text, "pace: %u us\n", serial->pace_us);
#else
  g_string_append_printf (text, "rs485: %s, %u us before, %u us after\n", serial->rs485 ? "on" : "off",
                          serial->rs485_before_us, serial->rs485_after_us);
#endif
  pthread_mutex_unlock (&serial->mutex);
}

/* Numbers that a guest can't set, or not to any value. */
bool
serial_set (Serial *serial, const char *field, uint64_t value, GError **error)
{
  /* clang-format off */
#define MOST(member) _Generic ((member), bool: 1, default: UINT64_MAX >> (64 - 8 * sizeof (member)))
#define SETTABLE(member) { #member, &serial->member, sizeof serial->member, MOST (serial->member) }
  /* clang-format on */
  const struct
  {
    const char *name;
    void *at;
    size_t size;
    uint64_t most;
  } settable[] = {
    SETTABLE (tx_bytes),
    SETTABLE (flow),
#if RELEASE >= 2
    SETTABLE (fifo_depth),
    SETTABLE (interrupted),
#endif
#if RELEASE < 3
    SETTABLE (pace_us),
#else
    SETTABLE (rs485),
    SETTABLE (rs485_before_us),
    SETTABLE (rs485_after_us),
#endif
  };
#undef SETTABLE
#undef MOST

  for (size_t i = 0; i < G_N_ELEMENTS (settable); i++)
    if (!strcmp (settable[i].name, field))
      {
        if (value > settable[i].most)
          return throw_error (error, "serial: %s is at most %" PRIu64, field, settable[i].most);
        pthread_mutex_lock (&serial->mutex);
        memcpy (settable[i].at, &value, settable[i].size);
        pthread_mutex_unlock (&serial->mutex);
        return true;
      }
  return throw_error (error, "serial: '%s' can't be set", field);
}

void
serial_close (Serial *serial)
{
  if (serial->owns_fd)
    close (serial->fd);
  serial->fd = -1;
  serial->owns_fd = false;
}
