/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_REGISTRY_RAM_FILE_H
#define CPR_REGISTRY_RAM_FILE_H

#include <libcpr/libcpr.h>

/* What a file that holds RAM was when the state was saved. Of a DAX device: its UUID in device
 * and inode, its physical address in special. */
typedef struct
{
  uint32_t type; /* st_mode & S_IFMT */
  uint64_t device, inode, special, size;
  int64_t stamp_ns; /* its time of modification; of a regular file */
} CprRamFile;

/* What is behind @fd, which has the contents of the RAM block @name. An error where that can't
 * be a place for contents to stay. */
bool cpr_ram_file_identify (CprRamFile *file, int fd, const char *name, GError **error);

/* What a take-up demands, and a save of the very file: what is behind @fd is what it was. @path
 * is for messages. */
bool cpr_ram_file_check (const CprRamFile *was, int fd, const char *name, const char *path, GError **error);

/* Before the stop, while the guest may write: whether cpr_ram_file_stamp() will work, and
 * another program could find the file. */
bool cpr_ram_file_probe (const CprRamFile *file, int fd, const char *name, GError **error);
/* With the guest stopped: the file is on the disk, has its stamp, and passes the check. */
bool cpr_ram_file_stamp (const CprRamFile *file, int fd, const char *name, GError **error);

#endif
