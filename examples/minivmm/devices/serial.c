/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "devices/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "support/error.h"
#include "guests/abi.h"
#include "support/log.h"
#include "options.h"

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

/* What it was called in builds 1 and 2. */
#if MINIVMM_BUILD < 3
#  define line_control lcr
#endif

#define FIFO_DEPTH      16
#define FIFO_DEPTH_LONG 64
#define PACE_US         100

struct _Serial
{
  CprSession *session;
  pthread_mutex_t turn;  /* of the vCPUs: one has it all through its access, also while its byte waits for a reader */
  pthread_mutex_t mutex; /* of what follows; nobody waits with it */
  pthread_t owner;       /* the monitor's thread, which doesn't wait for readers */
  bool sending;          /* a vCPU is about to write `thr` */
  int fd;
  bool owns_fd;

  uint8_t ier;
  uint8_t fcr;
  uint8_t line_control;
  uint8_t mcr;
  uint8_t scr;
  uint8_t dll;
  uint8_t dlm;
  uint8_t thr;
  bool thr_full;
#if MINIVMM_BUILD == 1
  uint32_t tx_bytes;
  bool flow; /* the host's side: whether there is flow control */
#else
  uint64_t tx_bytes;
  uint8_t flow; /* 0: none, 1: by lines, as build 1 has it, 2: by characters */
  uint32_t interrupted;
#endif
#if MINIVMM_BUILD == 2
  uint16_t fifo_depth;
#elif MINIVMM_BUILD >= 3
  uint8_t fifo_depth;
#endif
#if MINIVMM_BUILD < 3
  uint16_t pace_us; /* what a character takes on the host's line; nothing waits for it, so build 3 is without */
#else
  bool rs485; /* several devices on one line; then the times before and after a character matter */
  uint16_t rs485_before_us;
  uint16_t rs485_after_us;
#endif
};

/* ---- What of it is state, and how that changed from build to build. All three can read what
 * the others write, as long as nothing is in use that the reader doesn't have. doc/guide.md has
 * a chapter about it. */

#if MINIVMM_BUILD >= 3
static const CprField rs485_fields[] = {
  CPR_FIELD (Serial, rs485),
  CPR_FIELD (Serial, rs485_before_us),
  CPR_FIELD (Serial, rs485_after_us),
  CPR_FIELD_END,
};
static const CprStruct rs485_struct = { "Rs485", sizeof (Serial), rs485_fields };

static bool
rs485_is_needed (const void *device)
{
  const Serial *serial = device;
  return serial->rs485;
}
#endif

static const CprField serial_fields[] = {
  CPR_FIELD (Serial, ier),
  CPR_FIELD (Serial, fcr),
#if MINIVMM_BUILD < 3
  CPR_FIELD (Serial, lcr),
#else
  /* Renamed, but not in the state: the older builds go on finding it. */
  CPR_FIELD (Serial, line_control, CPR_WRITTEN_AS ("lcr")),
#endif
  CPR_FIELD (Serial, mcr),
  CPR_FIELD (Serial, scr),
  CPR_FIELD (Serial, dll),
  CPR_FIELD (Serial, dlm),
  CPR_FIELD (Serial, thr),
  CPR_FIELD (Serial, thr_full),
  /* Build 2 made them wider, and a number of a bool: only the C types changed. Build 1 takes
   * what it can hold. */
  CPR_FIELD (Serial, tx_bytes),
  CPR_FIELD (Serial, flow),
#if MINIVMM_BUILD >= 2
  /* Added: what build 1 has is the default. Build 3 made it narrower again, as no more than 255
   * came up. */
  CPR_FIELD_OPTIONAL (Serial, fifo_depth, FIFO_DEPTH),
  /* Added, and nothing that the guest can see: build 1 may drop it whatever it is. */
  CPR_FIELD_IGNORABLE (Serial, interrupted, 0),
#endif
#if MINIVMM_BUILD < 3
  CPR_FIELD (Serial, pace_us),
#else
  /* Removed: the older builds, which can't do without, find what a new machine would have there. */
  CPR_FIELD_RETIRED (pace_us, uint16_t, PACE_US),
  /* Added together, and only in the state while it is used. */
  CPR_FIELD_GROUP (Serial, "rs485", rs485_struct, rs485_is_needed),
#endif
  CPR_FIELD_END,
};

const CprDeviceType serial_type = {
  .size = sizeof (CprDeviceType),
  .name = "serial16550",
  .version = 1, /* in all builds: only fields came and went, none changed its meaning */
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
#if MINIVMM_BUILD >= 2
      serial->interrupted += errno == EINTR;
#endif
      return;
    }
  serial->thr_full = false;
  serial->tx_bytes++;
}

static void
write_register (Serial *serial, unsigned reg, uint8_t value)
{
  bool divisor = serial->line_control & LCR_DLAB;
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
#if MINIVMM_BUILD >= 2
      serial->fifo_depth = value & FCR_LONG ? FIFO_DEPTH_LONG : FIFO_DEPTH;
#endif
      break;
    case REG_LCR:
      serial->line_control = value;
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
  bool divisor = serial->line_control & LCR_DLAB;
  switch (reg)
    {
    case REG_DATA:
      return divisor ? serial->dll : 0;
    case REG_IER:
      return divisor ? serial->dlm : serial->ier;
    case REG_IIR_FCR:
      return IIR_NO_IRQ | (serial->fcr & 1 ? IIR_FIFO : 0);
    case REG_LCR:
      return serial->line_control;
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
                          serial->line_control, serial->mcr, serial->scr, serial->dlm << 8 | serial->dll,
                          serial->thr_full ? "full" : "empty");
  g_string_append_printf (text, "tx bytes: %" PRIu64 "\nflow: %u\n", (uint64_t) serial->tx_bytes, serial->flow);
#if MINIVMM_BUILD >= 2
  g_string_append_printf (text, "fifo depth: %u\ninterrupted: %u\n", serial->fifo_depth, serial->interrupted);
#endif
#if MINIVMM_BUILD < 3
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
#if MINIVMM_BUILD >= 2
    SETTABLE (fifo_depth),
    SETTABLE (interrupted),
#endif
#if MINIVMM_BUILD < 3
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
#if MINIVMM_BUILD >= 2
  serial->fifo_depth = FIFO_DEPTH;
#endif
#if MINIVMM_BUILD < 3
  serial->pace_us = PACE_US;
#else
  serial->rs485_before_us = serial->rs485_after_us = 10;
#endif
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
  pthread_mutex_destroy (&serial->turn);
  g_free (serial);
}
