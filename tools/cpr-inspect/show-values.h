/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_SHOW_VALUES_H
#define CPR_INSPECT_SHOW_VALUES_H

#include "state.h"

/* Prints a device and the tree of its values. */
void inspect_show_device (const InspectState *state, const InspectDevice *device);

#endif
