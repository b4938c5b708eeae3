/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_SEND_H
#define MINIVMM_SEND_H

#include <stdbool.h>
#include <stdint.h>

/* Sends as much of the *@len bytes as the peer of @fd takes now, and keeps the rest at the
 * beginning of @bytes. False: the peer takes nothing any more. */
bool send_some (int fd, uint8_t *bytes, uint32_t *len);

#endif
