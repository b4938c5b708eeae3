/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_FILE_H
#define CPR_REGISTRY_RAM_FILE_H

#include <libcpr/libcpr.h>

/* The identity of a file that holds RAM, when the state was saved. A DAX device has its UUID in
 * device and inode, and its physical address in special. */
typedef struct
{
  uint32_t type; /* st_mode & S_IFMT */
  uint64_t device, inode, special, size;
  int64_t stamp_ns; /* its time of modification; of a regular file */
} CprRamFile;

/* Identifies the file behind @fd, which has the contents of the RAM block @name. An error where
 * contents wouldn't stay there. */
bool cpr_ram_file_identify (CprRamFile *file, int fd, const char *name, GError **error);

/* Checks that the file behind @fd is the one that it was. A take-up does, and so does a save of the
 * very file. @path is for messages. */
bool cpr_ram_file_check (const CprRamFile *was, int fd, const char *name, const char *path, GError **error);

/* Before the stop, while the guest may write: whether cpr_ram_file_stamp() will work, and
 * another program could find the file. */
bool cpr_ram_file_probe (const CprRamFile *file, int fd, const char *name, GError **error);
/* With the guest stopped: the file is on the disk, has its stamp, and passes the check. */
bool cpr_ram_file_stamp (const CprRamFile *file, int fd, const char *name, GError **error);

#endif
