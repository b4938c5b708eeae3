/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_VFIO_OPEN_H
#define CPR_VFIO_OPEN_H

/* Opens @path, or duplicates @fd where it isn't 0. -1 with errno. */
int cpr_vfio_open (const char *path, int fd);

#endif
