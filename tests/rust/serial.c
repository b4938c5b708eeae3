/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of a device whose code is in Rust. */
#include "serial.h"

static const CprField fields[] = {
  CPR_FIELD (Serial, ier),        CPR_FIELD_OPTIONAL (Serial, fifo_depth, 16), CPR_FIELD (Serial, divisor),
  CPR_FIELD_ARRAY (Serial, fifo), CPR_FIELD_TIME (Serial, deadline_ns),        CPR_FIELD_END,
};

const CprDeviceType serial_type = {
  .size = sizeof (CprDeviceType),
  .name = "serial",
  .state = { "Serial", sizeof (Serial), fields },
  .post_load = serial_post_load,
};
