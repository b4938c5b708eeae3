/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_RNG_H
#define LINUXVMM_RNG_H

#include "devices/virtio.h"

/* A virtio source of random numbers, which it reads from the file at @path. */
bool rng_new (const VirtioPlace *place, unsigned slot, const char *path, GError **error);

#endif
