/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VMM_SERIAL_STATE_H
#define VMM_SERIAL_STATE_H

#include <pthread.h>

#include "devices/serial.h"

/* In place of the example's file of this name: the serial port's state in three releases. All
 * three can read what the others write, as long as nothing is in use that the reader doesn't
 * have. doc/devices.md is about that. */

#define FIFO_DEPTH      16
#define FIFO_DEPTH_LONG 64
#define PACE_US         100

struct _Serial
{
  CprSession *session;
  Bus *bus;
  pthread_mutex_t turn;
  pthread_mutex_t mutex;
  pthread_t owner;
  bool sending;
  int fd;
  bool owns_fd;

  uint8_t ier;
  uint8_t fcr;
  union
  {
    uint8_t lcr;
    uint8_t line_control; /* as release 3 calls it */
  };
  uint8_t mcr;
  uint8_t scr;
  uint8_t dll;
  uint8_t dlm;
  uint8_t thr;
  bool thr_full;
#if RELEASE == 1
  uint32_t tx_bytes;
  bool flow; /* the host's side: whether there is flow control */
#else
  uint64_t tx_bytes;
  uint8_t flow; /* 0: none, 1: by lines, as release 1 has it, 2: by characters */
#endif
  uint32_t interrupted; /* state since release 2, as is the next one */
#if RELEASE == 2
  uint16_t fifo_depth;
#else
  uint8_t fifo_depth;
#endif
#if RELEASE < 3
  uint16_t pace_us; /* what a character takes on the host's line; nothing waits for it, so release 3 is without */
#else
  bool rs485; /* several devices on one line; then the times before and after a character matter */
  uint16_t rs485_before_us;
  uint16_t rs485_after_us;
#endif
};

#if RELEASE >= 3
static const CprField rs485_fields[] = {
  CPR_FIELD (Serial, rs485),
  CPR_FIELD (Serial, rs485_before_us),
  CPR_FIELD (Serial, rs485_after_us),
  CPR_FIELD_END,
};
static const CprStruct rs485_struct = { "Rs485", sizeof (Serial), rs485_fields };

static inline bool
rs485_is_needed (const void *device)
{
  const Serial *serial = device;
  return serial->rs485;
}
#endif

/* The type's version is 1 in all of them: only fields came and went, none changed its meaning. */
static const CprField serial_fields[] = {
  CPR_FIELD (Serial, ier),
  CPR_FIELD (Serial, fcr),
#if RELEASE < 3
  CPR_FIELD (Serial, lcr),
#else
  /* Renamed, but not in the state: the older releases go on finding it. */
  CPR_FIELD (Serial, line_control, CPR_WRITTEN_AS ("lcr")),
#endif
  CPR_FIELD (Serial, mcr),
  CPR_FIELD (Serial, scr),
  CPR_FIELD (Serial, dll),
  CPR_FIELD (Serial, dlm),
  CPR_FIELD (Serial, thr),
  CPR_FIELD (Serial, thr_full),
  /* Release 2 made them wider, and a number of a bool: only the C types changed. Release 1 takes
   * what it can hold. */
  CPR_FIELD (Serial, tx_bytes),
  CPR_FIELD (Serial, flow),
#if RELEASE >= 2
  /* Added: what release 1 has is the default. Release 3 made it narrower again, as no more than
   * 255 came up. */
  CPR_FIELD_OPTIONAL (Serial, fifo_depth, FIFO_DEPTH),
  /* Added, and nothing that the guest can see: release 1 may drop it whatever it is. */
  CPR_FIELD_IGNORABLE (Serial, interrupted, 0),
#endif
#if RELEASE < 3
  CPR_FIELD (Serial, pace_us),
#else
  /* Removed: the older releases, which can't do without, find what a new machine would have
   * there. */
  CPR_FIELD_RETIRED (pace_us, uint16_t, PACE_US),
  /* Added together, and only in the state while it is used. */
  CPR_FIELD_GROUP (Serial, "rs485", rs485_struct, rs485_is_needed),
#endif
  CPR_FIELD_END,
};

static inline void
serial_reset_state (Serial *serial)
{
  serial->fifo_depth = FIFO_DEPTH;
#if RELEASE < 3
  serial->pace_us = PACE_US;
#else
  serial->rs485_before_us = serial->rs485_after_us = 10;
#endif
}

#endif
