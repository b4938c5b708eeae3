/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A 16550 at the first PC serial port. Its other end is a character device of the library: the vCPU
 * writes there, and the main loop takes in what comes. */
#include "devices/serial.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "boot/layout.h"
#include "devices/irq.h"
#include "support/error.h"
#include "support/log.h"

#define FIFO 16

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

enum
{
  IER_RECEIVE = 0x01,
  IER_SEND = 0x02,
  IIR_NONE = 0x01,
  IIR_SEND = 0x02,
  IIR_RECEIVE = 0x04,
  IIR_FIFO = 0xc0,
  FCR_ENABLE = 0x01,
  FCR_CLEAR_RECEIVE = 0x02,
  FCR_CLEAR_SEND = 0x04,
  LCR_DLAB = 0x80,
  MCR_LOOP = 0x10,
  LSR_DATA = 0x01,
  LSR_SEND_EMPTY = 0x60,
  MSR_DCD_DSR_CTS = 0xb0
};

struct _Serial
{
  pthread_mutex_t mutex; /* of what follows */
  CprChardev *line;
  IrqLine irq;
  int wake_fd; /* has the main loop look again at what to wait for */

  uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
  bool send_event; /* the holding register has become empty, and the guest hasn't seen it yet */
  bool is_held;    /* nobody takes the byte in the holding register yet */
  uint8_t held;
  uint32_t n_received;
  uint8_t received[FIFO];
};

static const CprField serial_fields[] = {
  CPR_FIELD (Serial, ier),
  CPR_FIELD (Serial, fcr),
  CPR_FIELD (Serial, lcr),
  CPR_FIELD (Serial, mcr),
  CPR_FIELD (Serial, scr),
  CPR_FIELD (Serial, dll),
  CPR_FIELD (Serial, dlm),
  CPR_FIELD (Serial, send_event),
  CPR_FIELD (Serial, is_held),
  CPR_FIELD (Serial, held),
  CPR_FIELD_COUNTED (Serial, received, n_received),
  CPR_FIELD_END,
};

static const CprDeviceType serial_type = {
  .size = sizeof (CprDeviceType),
  .name = "serial-16550",
  .version = 1,
  .minimum_version = 1,
  .state = { "Serial", sizeof (Serial), serial_fields },
};

/* ---- The interrupt: the line follows these conditions, and each rise is an edge. */

static uint8_t
get_cause (const Serial *serial)
{
  if (serial->ier & IER_RECEIVE && serial->n_received > 0)
    return IIR_RECEIVE;
  return serial->ier & IER_SEND && serial->send_event ? IIR_SEND : IIR_NONE;
}

static bool
begin (Serial *serial)
{
  pthread_mutex_lock (&serial->mutex);
  return get_cause (serial) != IIR_NONE;
}

static void
end (Serial *serial, bool was_up)
{
  if (!was_up && get_cause (serial) != IIR_NONE)
    irq_line_raise (&serial->irq);
  pthread_mutex_unlock (&serial->mutex);
}

static void
wake_main_loop (const Serial *serial)
{
  const uint64_t one = 1;
  ssize_t written = write (serial->wake_fd, &one, sizeof one);

  g_assert (written == sizeof one);
}

/* ---- Data. */

static void
receive (Serial *serial, uint8_t byte)
{
  if (serial->n_received < FIFO)
    serial->received[serial->n_received++] = byte;
}

/* The line has room again for what waits there. */
static void
refill (Serial *serial)
{
  size_t n = cpr_chardev_read (serial->line, serial->received + serial->n_received, FIFO - serial->n_received);

  serial->n_received += (uint32_t) n;
  if (n > 0)
    wake_main_loop (serial);
}

static uint8_t
take_received (Serial *serial)
{
  uint8_t byte = serial->received[0];

  if (serial->n_received == 0)
    return 0;
  memmove (serial->received, serial->received + 1, --serial->n_received);
  refill (serial);
  return byte;
}

/* A byte that nobody takes waits until the main loop has made room. */
static void
flush (Serial *serial)
{
  if (serial->is_held && cpr_chardev_write (serial->line, &serial->held, 1) == 1)
    {
      serial->is_held = false;
      serial->send_event = true;
    }
  if (cpr_chardev_get_unsent (serial->line) > 0)
    wake_main_loop (serial);
}

static void
send_byte (Serial *serial, uint8_t byte)
{
  serial->send_event = false;
  if (serial->mcr & MCR_LOOP)
    {
      receive (serial, byte);
      serial->send_event = true;
      return;
    }
  serial->is_held = true;
  serial->held = byte;
  flush (serial);
}

/* ---- Registers. */

static void
write_ier (Serial *serial, uint8_t value)
{
  if (value & ~serial->ier & IER_SEND && !serial->is_held)
    serial->send_event = true;
  serial->ier = value & 0x0f;
}

static void
write_fcr (Serial *serial, uint8_t value)
{
  serial->fcr = value;
  if (value & FCR_CLEAR_RECEIVE)
    serial->n_received = 0;
  if (value & FCR_CLEAR_SEND)
    serial->is_held = false;
}

static void
write_register (Serial *serial, unsigned reg, uint8_t value)
{
  bool divisor = serial->lcr & LCR_DLAB;

  switch (reg)
    {
    case REG_DATA:
      if (divisor)
        serial->dll = value;
      else
        send_byte (serial, value);
      break;
    case REG_IER:
      if (divisor)
        serial->dlm = value;
      else
        write_ier (serial, value);
      break;
    case REG_IIR_FCR:
      write_fcr (serial, value);
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
read_iir (Serial *serial)
{
  uint8_t cause = get_cause (serial);

  if (cause == IIR_SEND)
    serial->send_event = false;
  return cause | (serial->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

/* With the loop closed the modem's lines are those that the guest sets. */
static uint8_t
read_msr (const Serial *serial)
{
  uint8_t mcr = serial->mcr;

  return mcr & MCR_LOOP ? (uint8_t) ((mcr & 0x02) << 3 | (mcr & 0x01) << 5 | (mcr & 0x0c) << 4) : MSR_DCD_DSR_CTS;
}

static uint8_t
read_register (Serial *serial, unsigned reg)
{
  bool divisor = serial->lcr & LCR_DLAB;

  switch (reg)
    {
    case REG_DATA:
      return divisor ? serial->dll : take_received (serial);
    case REG_IER:
      return divisor ? serial->dlm : serial->ier;
    case REG_IIR_FCR:
      return read_iir (serial);
    case REG_LCR:
      return serial->lcr;
    case REG_MCR:
      return serial->mcr;
    case REG_LSR:
      return (serial->n_received > 0 ? LSR_DATA : 0) | (serial->is_held ? 0 : LSR_SEND_EMPTY);
    case REG_MSR:
      return read_msr (serial);
    default:
      return serial->scr;
    }
}

static void
serial_write (void *device, uint64_t offset, unsigned size, uint64_t value)
{
  Serial *serial = device;
  bool was_up = begin (serial);

  write_register (serial, (unsigned) offset, (uint8_t) value);
  end (serial, was_up);
}

static uint64_t
serial_read (void *device, uint64_t offset, unsigned size)
{
  Serial *serial = device;
  bool was_up = begin (serial);
  uint8_t value = read_register (serial, (unsigned) offset);

  end (serial, was_up);
  return value;
}

static const BusDevice serial_ports = { serial_write, serial_read };

/* ---- The main loop's part. */

int
serial_fill_fds (Serial *serial, struct pollfd fds[SERIAL_FDS])
{
  int timeout_ms;

  pthread_mutex_lock (&serial->mutex);
  fds[0] = (struct pollfd){ serial->wake_fd, POLLIN, 0 };
  timeout_ms = cpr_chardev_fill_fds (serial->line, &fds[1]);
  pthread_mutex_unlock (&serial->mutex);
  return timeout_ms;
}

void
serial_serve (Serial *serial)
{
  uint64_t count;
  bool was_up = begin (serial);

  if (read (serial->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
    log_line ("serial port: errno %d", errno);
  cpr_chardev_serve (serial->line);
  refill (serial);
  flush (serial);
  end (serial, was_up);
}

/* The operator can't know which pseudo terminal it is. */
static void
tell_place (const CprChardev *line)
{
  g_autofree char *place = cpr_chardev_describe (line);

  if (g_str_has_prefix (place, "pty:"))
    log_line ("serial port: %s", place + strlen ("pty:"));
}

void
serial_end (Serial *serial)
{
  cpr_chardev_remove (serial->line, NULL);
}

Serial *
serial_new (CprSession *session, CprKvmVm *vm, Bus *bus, const char *where, GError **error)
{
  Serial *serial = g_new0 (Serial, 1);

  pthread_mutex_init (&serial->mutex, NULL);
  serial->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (serial->wake_fd < 0)
    {
      throw_errno (error, "serial port: eventfd");
      return NULL;
    }
  serial->line = cpr_chardev_new (session, "serial", where, error);
  if (!serial->line || !irq_line_new (&serial->irq, session, vm, SERIAL_IRQ, error) ||
      !cpr_device_add (session, "serial", &serial_type, serial, error))
    return NULL;
  tell_place (serial->line);
  bus_add (bus, BUS_PORTS, SERIAL_PORT, N_REGS, &serial_ports, serial);
  return serial;
}
