/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_CHARDEV_END_H
#define CPR_CHARDEV_END_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* One direction of a character device: an fd that is read or written, and nobody waits for it. */
typedef struct
{
  int fd;         /* -1: none */
  bool is_shared; /* other processes have the same open file, so its flags stay as they are */
  mode_t type;    /* S_IFMT of the file; 0: not known yet */
  int own;        /* of a shared one: a second open file of the same pipe or terminal, or -1 */
} CprEnd;

#define CPR_END_NONE ((CprEnd){ -1, false, 0, -1 })

/* As read() and write(), but EAGAIN where they would wait. */
ssize_t cpr_end_read (CprEnd *end, void *data, size_t size);
ssize_t cpr_end_write (CprEnd *end, const void *data, size_t size);

/* Closes the second open file. The fd stays the caller's. */
void cpr_end_forget (CprEnd *end);

#endif
