/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "serial.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "options.h"

#define BASE 0x3f8

enum
{
  REG_DATA = 0,
  REG_IER = 1,
  REG_IIR_FCR = 2,
  REG_LCR = 3,
  REG_MCR = 4,
  REG_LSR = 5,
  REG_MSR = 6,
  REG_SCR = 7,
  N_REGS = 8
};

#define LCR_DLAB        0x80
#define LSR_THR_EMPTY   0x20
#define LSR_IDLE        0x40
#define IIR_NO_IRQ      0x01
#define IIR_FIFO        0xc0
#define MSR_DCD_DSR_CTS 0xb0

struct _Serial
{
  CprSession *session;
  pthread_mutex_t mutex;
  int fd;
  bool owns_fd;

  uint8_t ier;
  uint8_t fcr;
  uint8_t lcr;
  uint8_t mcr;
  uint8_t scr;
  uint8_t dll;
  uint8_t dlm;
  uint8_t thr;
  bool thr_full;
#if MINIVMM_BUILD >= 2
  uint64_t tx_bytes;
#endif
};

static const CprField serial_fields[] = {
  CPR_FIELD (Serial, ier),
  CPR_FIELD (Serial, fcr),
  CPR_FIELD (Serial, lcr),
  CPR_FIELD (Serial, mcr),
  CPR_FIELD (Serial, scr),
  CPR_FIELD (Serial, dll),
  CPR_FIELD (Serial, dlm),
  CPR_FIELD (Serial, thr),
  CPR_FIELD (Serial, thr_full),
#if MINIVMM_BUILD >= 2
  CPR_FIELD_IGNORABLE (Serial, tx_bytes, 0),
#endif
  CPR_FIELD_END,
};

const CprDeviceType serial_type = {
  .size = sizeof (CprDeviceType),
  .name = "serial16550",
  .version = 1,
  .minimum_version = 1,
  .state = { "Serial", sizeof (Serial), serial_fields },
};

/* A write that was interrupted, because the guest is to stop, leaves the byte in the holding register, which goes
 * along in the state: a reader that doesn't read mustn't hold up an update, and a guest that waits for the register
 * to be empty loses nothing. */
static void
transmit (Serial *serial)
{
  if (!serial->thr_full)
    return;
  if (serial->fd >= 0 && write (serial->fd, &serial->thr, 1) < 0 && errno == EINTR)
    return;
  serial->thr_full = false;
#if MINIVMM_BUILD >= 2
  serial->tx_bytes++;
#endif
}

static void
write_register (Serial *serial, unsigned reg, uint8_t value)
{
  bool divisor = serial->lcr & LCR_DLAB;
  switch (reg)
    {
    case REG_DATA:
      if (divisor)
        {
          serial->dll = value;
          break;
        }
      serial->thr = value;
      serial->thr_full = true;
      transmit (serial);
      break;
    case REG_IER:
      if (divisor)
        serial->dlm = value;
      else
        serial->ier = value & 0x0f;
      break;
    case REG_IIR_FCR:
      serial->fcr = value;
      break;
    case REG_LCR:
      serial->lcr = value;
      break;
    case REG_MCR:
      serial->mcr = value & 0x1f;
      break;
    case REG_SCR:
      serial->scr = value;
      break;
    }
}

static uint8_t
read_register (const Serial *serial, unsigned reg)
{
  bool divisor = serial->lcr & LCR_DLAB;
  switch (reg)
    {
    case REG_DATA:
      return divisor ? serial->dll : 0;
    case REG_IER:
      return divisor ? serial->dlm : serial->ier;
    case REG_IIR_FCR:
      return IIR_NO_IRQ | (serial->fcr & 1 ? IIR_FIFO : 0);
    case REG_LCR:
      return serial->lcr;
    case REG_MCR:
      return serial->mcr;
    case REG_LSR:
      return serial->thr_full ? 0 : LSR_THR_EMPTY | LSR_IDLE;
    case REG_MSR:
      return MSR_DCD_DSR_CTS;
    default:
      return serial->scr;
    }
}

void
serial_out (Serial *serial, uint16_t port, uint8_t value)
{
  if (port < BASE || port >= BASE + N_REGS)
    return;
  pthread_mutex_lock (&serial->mutex);
  transmit (serial);
  write_register (serial, port - BASE, value);
  pthread_mutex_unlock (&serial->mutex);
}

uint8_t
serial_in (Serial *serial, uint16_t port)
{
  if (port < BASE || port >= BASE + N_REGS)
    return 0xff;
  pthread_mutex_lock (&serial->mutex);
  transmit (serial);
  uint8_t value = read_register (serial, port - BASE);
  pthread_mutex_unlock (&serial->mutex);
  return value;
}

void
serial_describe (Serial *serial, GString *text)
{
  /* A vCPU may sit in a write to a pipe that nobody reads; the monitor mustn't wait with it. */
  if (pthread_mutex_trylock (&serial->mutex))
    {
      g_string_append (text, "busy\n");
      return;
    }
  g_string_append_printf (text, "ier: %#x\nlcr: %#x\nmcr: %#x\nscr: %#x\ndivisor: %d\nholding: %s\n", serial->ier,
                          serial->lcr, serial->mcr, serial->scr, serial->dlm << 8 | serial->dll,
                          serial->thr_full ? "full" : "empty");
#if MINIVMM_BUILD >= 2
  g_string_append_printf (text, "tx bytes: %" PRIu64 "\n", serial->tx_bytes);
#endif
  pthread_mutex_unlock (&serial->mutex);
}

static int
open_file (const char *name, int index, void *user_data, GError **error)
{
  const char *path = user_data;
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0)
    throw_errno (error, "serial port: %s", path);
  return fd;
}

Serial *
serial_new (CprSession *session, const char *where, GError **error)
{
  g_autoptr (Serial) serial = g_new0 (Serial, 1);
  serial->session = session;
  pthread_mutex_init (&serial->mutex, NULL);
  serial->fd = -1;

  if (!strcmp (where, "stdio"))
    serial->fd = STDOUT_FILENO;
  else if (g_str_has_prefix (where, "file:"))
    {
      char *path = (char *) where + strlen ("file:");
      serial->fd = cpr_fd_open (session, "serial", 0, open_file, path, error);
      if (serial->fd < 0)
        return NULL;
      serial->owns_fd = true;
    }
  if (!cpr_device_add (session, "serial", &serial_type, serial, error))
    return NULL;
  return g_steal_pointer (&serial);
}

void
serial_declare (CprInventory *inventory, const char *where)
{
  if (g_str_has_prefix (where, "file:"))
    cpr_inventory_add_fd (inventory, "serial", 0);
  cpr_inventory_add_device (inventory, "serial", &serial_type);
}

void
serial_close (Serial *serial)
{
  if (serial->owns_fd)
    close (serial->fd);
  serial->fd = -1;
  serial->owns_fd = false;
}

void
serial_free (Serial *serial)
{
  if (!serial)
    return;
  cpr_device_remove (serial->session, "serial", NULL);
  if (serial->owns_fd)
    cpr_fd_remove (serial->session, "serial", 0, NULL);
  serial_close (serial);
  pthread_mutex_destroy (&serial->mutex);
  g_free (serial);
}
