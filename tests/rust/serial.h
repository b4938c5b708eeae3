/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_RUST_SERIAL_H
#define TESTS_RUST_SERIAL_H

#include <libcpr/libcpr.h>

/* What the Rust program and the table in C share. bindgen reads this file. */

typedef struct
{
  uint8_t ier, fifo_depth;
  uint32_t divisor;
  uint8_t fifo[16];
  uint64_t deadline_ns;
} Serial;

extern const CprDeviceType serial_type;

/* Rust has it: it gets the Serial. */
bool serial_post_load (void *serial, uint32_t version, GError **error);

#endif
