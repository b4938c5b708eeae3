/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_SERIAL_STATE_H
#define MINIVMM_SERIAL_STATE_H

#include <pthread.h>

#include "devices/serial.h"

/* The serial port of serial.c, and which of its members are state. tests/vmm has another file of
 * this name, in which the state changes from one release to the next. */

#define FIFO_DEPTH      16
#define FIFO_DEPTH_LONG 64

struct _Serial
{
  CprSession *session;
  Bus *bus;
  pthread_mutex_t turn;  /* of the vCPUs: one has it all through its access, also while its byte waits for a reader */
  pthread_mutex_t mutex; /* of what follows; nobody waits with it */
  pthread_t owner;       /* the monitor's thread, which doesn't wait for readers */
  bool sending;          /* a vCPU is about to write `thr` */
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
  uint8_t fifo_depth;
  uint64_t tx_bytes;
  uint32_t interrupted; /* how often the guest was stopped while a byte waited for the reader */
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
  CPR_FIELD (Serial, fifo_depth),
  CPR_FIELD (Serial, tx_bytes),
  CPR_FIELD (Serial, interrupted),
  CPR_FIELD_END,
};

static inline void
serial_reset_state (Serial *serial)
{
  serial->fifo_depth = FIFO_DEPTH;
}

#endif
