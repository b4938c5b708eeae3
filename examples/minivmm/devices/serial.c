/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A 16550 at the first PC serial port: polled output, to a file or the standard output. */
#include "devices/serial-state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "guests/abi.h"
#include "support/error.h"
#include "support/log.h"

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

#define FCR_LONG        0x20
#define LCR_DLAB        0x80
#define LSR_THR_EMPTY   0x20
#define LSR_IDLE        0x40
#define IIR_NO_IRQ      0x01
#define IIR_FIFO        0xc0
#define MSR_DCD_DSR_CTS 0xb0

const CprDeviceType serial_type = {
  .size = sizeof (CprDeviceType),
  .name = "serial16550",
  .version = 1,
  .minimum_version = 1,
  .state = { "Serial", sizeof (Serial), serial_fields },
  .trial_save = true, /* plain numbers: a preflight may look at them while a vCPU changes them */
};

static bool
is_owner (const Serial *serial)
{
  return pthread_equal (serial->owner, pthread_self ());
}

/* A vCPU waits for the reader, without the mutex: the monitor goes on. */
static ssize_t
send_byte (Serial *serial)
{
  const uint8_t byte = serial->thr;
  if (is_owner (serial))
    return write_at_once (serial->fd, &byte, 1);
  serial->sending = true;
  pthread_mutex_unlock (&serial->mutex);
  ssize_t sent = write (serial->fd, &byte, 1);
  int errnum = errno;
  pthread_mutex_lock (&serial->mutex);
  serial->sending = false;
  errno = errnum;
  return sent;
}

/* A write that was interrupted, because the guest is to stop, leaves the byte in the holding
 * register, which goes along in the state: a reader that doesn't read mustn't hold up an update,
 * and a guest that waits for the register to be empty loses nothing. */
static void
transmit (Serial *serial)
{
  if (!serial->thr_full || serial->sending)
    return;
  if (serial->fd >= 0 && send_byte (serial) < 0 && (errno == EINTR || errno == EAGAIN))
    {
      serial->interrupted += errno == EINTR;
      return;
    }
  serial->thr_full = false;
  serial->tx_bytes++;
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
      if (serial->sending) /* the monitor's byte, which comes too soon */
        break;
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
      serial->fifo_depth = value & FCR_LONG ? FIFO_DEPTH_LONG : FIFO_DEPTH;
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

static void
begin_access (Serial *serial)
{
  if (!is_owner (serial))
    pthread_mutex_lock (&serial->turn);
  pthread_mutex_lock (&serial->mutex);
  transmit (serial);
}

static void
end_access (Serial *serial)
{
  pthread_mutex_unlock (&serial->mutex);
  if (!is_owner (serial))
    pthread_mutex_unlock (&serial->turn);
}

static void
serial_out (void *device, unsigned port, uint8_t value)
{
  Serial *serial = device;
  begin_access (serial);
  write_register (serial, port, value);
  end_access (serial);
}

static uint8_t
serial_in (void *device, unsigned port)
{
  Serial *serial = device;
  begin_access (serial);
  uint8_t value = read_register (serial, port);
  end_access (serial);
  return value;
}

static const BusDevice serial_ports = { serial_out, serial_in };

void
serial_describe (Serial *serial, GString *text)
{
  pthread_mutex_lock (&serial->mutex);
  g_string_append_printf (text, "ier: %#x\nlcr: %#x\nmcr: %#x\nscr: %#x\ndivisor: %d\nholding: %s\n", serial->ier,
                          serial->lcr, serial->mcr, serial->scr, serial->dlm << 8 | serial->dll,
                          serial->thr_full ? "full" : "empty");
  g_string_append_printf (text, "tx bytes: %" PRIu64 "\nfifo depth: %u\ninterrupted: %u\n", (uint64_t) serial->tx_bytes,
                          serial->fifo_depth, serial->interrupted);
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

/* A file of ours that has got the number of a closed stream isn't one; it is close-on-exec. */
static bool
is_stream (int fd)
{
  int flags = fcntl (fd, F_GETFD);
  return flags >= 0 && !(flags & FD_CLOEXEC);
}

Serial *
serial_new (CprSession *session, Bus *bus, const char *where, GError **error)
{
  g_autoptr (Serial) serial = g_new0 (Serial, 1);
  serial->session = session;
  serial->bus = bus;
  serial_reset_state (serial);
  pthread_mutex_init (&serial->turn, NULL);
  pthread_mutex_init (&serial->mutex, NULL);
  serial->owner = pthread_self ();
  serial->fd = -1;

  if (!strcmp (where, "stdio"))
    {
      if (!is_stream (STDOUT_FILENO))
        {
          throw_error (error, "serial port: the standard output is closed");
          return NULL;
        }
      serial->fd = STDOUT_FILENO;
    }
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
  bus_add (bus, GUEST_SERIAL_PORT, N_REGS, &serial_ports, serial);
  return g_steal_pointer (&serial);
}

void
serial_free (Serial *serial)
{
  if (!serial)
    return;
  cpr_device_remove (serial->session, "serial", NULL);
  bus_remove (serial->bus, serial);
  if (serial->owns_fd)
    {
      cpr_fd_remove (serial->session, "serial", 0, NULL);
      close (serial->fd);
    }
  pthread_mutex_destroy (&serial->mutex);
  pthread_mutex_destroy (&serial->turn);
  g_free (serial);
}
