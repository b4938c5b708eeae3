/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_INSPECT_DIFF_PARTS_H
#define CPR_INSPECT_DIFF_PARTS_H

#include "difference.h"

/* The parts of two states; each says what differs in it. */
void diff_manifests (Diff *diff);
void diff_types (Diff *diff);
void diff_devices (Diff *diff);
/* False with an error where bulk data can't be read again. */
bool diff_bulk (Diff *diff, GError **error);

#endif
