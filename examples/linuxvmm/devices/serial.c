/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A 16550 at the first PC serial port. What the guest sends is written by the vCPU at once, as
 * far as the reader takes it; the rest, and what the guest gets, is the main loop's. */
#include "devices/serial.h"

#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "boot/layout.h"
#include "devices/irq.h"
#include "devices/serial-line.h"
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
  SerialLine line;
  IrqLine irq;
  int wake_fd; /* has the main loop look again at what to wait for */

  uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
  bool send_event; /* the holding register has become empty, and the guest hasn't seen it yet */
  uint32_t n_received, n_unsent;
  uint8_t received[FIFO];
  uint8_t unsent[FIFO];
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
  CPR_FIELD_COUNTED (Serial, received, n_received),
  CPR_FIELD_COUNTED (Serial, unsent, n_unsent),
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

static uint8_t
take_received (Serial *serial)
{
  uint8_t byte = serial->received[0];

  if (serial->n_received == 0)
    return 0;
  if (serial->n_received == FIFO)
    wake_main_loop (serial); /* there is room again */
  memmove (serial->received, serial->received + 1, --serial->n_received);
  return byte;
}

/* Where nobody is at the other end all of it is gone. */
static void
flush (Serial *serial)
{
  ssize_t n = serial->n_unsent;

  if (serial->line.out >= 0)
    n = write_at_once (serial->line.out, serial->unsent, serial->n_unsent);
  if (n <= 0)
    return;
  serial->n_unsent -= (uint32_t) n;
  memmove (serial->unsent, serial->unsent + n, serial->n_unsent);
  serial->send_event = serial->send_event || serial->n_unsent == 0;
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
  if (serial->n_unsent < FIFO)
    serial->unsent[serial->n_unsent++] = byte;
  flush (serial);
  if (serial->n_unsent > 0)
    wake_main_loop (serial);
}

/* ---- Registers. */

static void
write_ier (Serial *serial, uint8_t value)
{
  if (value & ~serial->ier & IER_SEND && serial->n_unsent == 0)
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
    serial->n_unsent = 0;
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
      return (serial->n_received > 0 ? LSR_DATA : 0) | (serial->n_unsent == 0 ? LSR_SEND_EMPTY : 0);
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

void
serial_fill_fds (Serial *serial, struct pollfd fds[SERIAL_FDS])
{
  pthread_mutex_lock (&serial->mutex);
  fds[0] = (struct pollfd){ serial->wake_fd, POLLIN, 0 };
  fds[1] = (struct pollfd){ serial->n_received < FIFO ? serial->line.in : -1, POLLIN, 0 };
  fds[2] = (struct pollfd){ serial->n_unsent > 0 ? serial->line.out : -1, POLLOUT, 0 };
  pthread_mutex_unlock (&serial->mutex);
}

static void
read_line (Serial *serial)
{
  uint8_t bytes[FIFO];
  ssize_t n = read (serial->line.in, bytes, FIFO - serial->n_received);

  if (n == 0)
    serial->line.in = -1; /* nobody will send anything any more */
  for (ssize_t i = 0; i < n; i++)
    receive (serial, bytes[i]);
}

void
serial_serve (Serial *serial, const struct pollfd fds[SERIAL_FDS])
{
  uint64_t count;
  bool was_up = begin (serial);

  if (fds[0].revents && read (serial->wake_fd, &count, sizeof count) < 0)
    log_line ("serial port: the main loop was woken for nothing");
  if (fds[1].revents && serial->n_received < FIFO)
    read_line (serial);
  if (fds[2].revents)
    flush (serial);
  end (serial, was_up);
}

Serial *
serial_new (CprSession *session, CprKvmVm *vm, Bus *bus, const char *where, GError **error)
{
  Serial *serial = g_new0 (Serial, 1);

  pthread_mutex_init (&serial->mutex, NULL);
  serial->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (serial->wake_fd < 0)
    throw_errno (error, "serial port: eventfd");
  if (serial->wake_fd < 0 || !serial_line_open (&serial->line, session, where, error) ||
      !irq_line_new (&serial->irq, session, vm, SERIAL_IRQ, error) ||
      !cpr_device_add (session, "serial", &serial_type, serial, error))
    return NULL;
  bus_add (bus, BUS_PORTS, SERIAL_PORT, N_REGS, &serial_ports, serial);
  return serial;
}
