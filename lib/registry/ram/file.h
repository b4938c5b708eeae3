/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_FILE_H
#define CPR_REGISTRY_RAM_FILE_H

#include <libcpr/libcpr.h>

/* The identity of a file that holds RAM, as of the save. A DAX device has its UUID in device and
 * inode, and its physical address in special. */
typedef struct
{
  uint32_t type; /* st_mode & S_IFMT */
  uint64_t device, inode, special, size;
  int64_t stamp_ns; /* the modification time of a regular file */
} CprRamFile;

/* Reads the identity of the file behind @fd, which holds the RAM block @name. An error if
 * contents don't stay in such a file. */
bool cpr_ram_file_identify (CprRamFile *file, int fd, const char *name, GError **error);

/* Checks that the file behind @fd is the one that @was describes. A take-up demands this, and so
 * does a save, of the file that it has just stamped. @path is for messages. */
bool cpr_ram_file_check (const CprRamFile *was, int fd, const char *name, const char *path, GError **error);

/* Before the stop, while the guest may write: finds out whether cpr_ram_file_stamp() will work,
 * and whether another program could open the file. */
bool cpr_ram_file_probe (const CprRamFile *file, int fd, const char *name, GError **error);
/* With the guest stopped: brings the file to the disk, gives it its stamp and checks it. */
bool cpr_ram_file_stamp (const CprRamFile *file, int fd, const char *name, GError **error);

#endif
