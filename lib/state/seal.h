/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STATE_SEAL_H
#define CPR_STATE_SEAL_H

#include "stream/writer.h"

/* The seals of a state that is handed over: nobody can change it any more, since nobody has mapped
 * it. F_SEAL_WRITE would say the same, but it waits for references that the kernel itself has on
 * the pages for a while: up to 150 ms, on the pause (Linux 6.18, memfd_wait_for_pins()). */
#define CPR_STATE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* Whether a state or a message in @fd can't be changed by anybody; EINVAL for everything but a
 * memfd, so it is quick. */
bool cpr_stream_is_sealed (int fd);
/* A memfd with these bytes, sealed; -1 with errno. */
int cpr_memfd_seal (const char *name, const void *data, size_t len);

/* Finishes a stream that @writer writes into a memfd, and seals that. */
bool cpr_stream_seal (int fd, CprWriter *writer, GError **error);

#endif
