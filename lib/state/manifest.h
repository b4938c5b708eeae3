/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_STATE_MANIFEST_H
#define CPR_STATE_MANIFEST_H

#include "process/program.h"
#include "registry/device/device.h"
#include "registry/fd-table.h"
#include "registry/ram/ram.h"
#include "registry/ram/store.h"
#include "registry/vfio/table.h"

/* A UUID as text, of /proc/sys/kernel/random/boot_id; in a time namespace with clocks of its own
 * with other last digits. */
#define CPR_BOOT_ID_SIZE 36

/* The program that was asked whether it would take the state up, and said yes. */
typedef struct
{
  uint64_t device;
  uint64_t inode;
  char *build_id; /* hexadecimal, or empty */
} CprSuccessor;

/* Whether a build id is hexadecimal, or empty; @what names its place in the error. */
bool cpr_build_id_check (const char *what, const char *build_id, GError **error);

/* The early part of the stream: everything that must be known before a device exists. */
typedef struct
{
  char *vm_name;
  char boot_id[CPR_BOOT_ID_SIZE + 1];
  uint32_t uid;
  uint32_t pid; /* who wrote it */
  uint64_t generation;
  uint32_t run_state;     /* CprRunState */
  uint64_t saved_ns;      /* CLOCK_MONOTONIC */
  uint64_t saved_real_ns; /* CLOCK_REALTIME */
  uint64_t signal_mask;   /* of the thread that asked for the update; bit n-1: signal n */
  CprProgram program;     /* argv NULL in a question */
  CprSuccessor successor; /* build_id NULL: nobody was asked */
  CprFdTable fds;
  CprRamTable ram;
  CprRamStore *store; /* of reboot mode; else NULL */
  CprVfioTable vfio;
  CprSchema schema;

  CprFdFinder find_fd; /* while it is read: which fd is meant; NULL: the one of that number */
  void *find_fd_data;
} CprManifest;

/* The chunks one by one; SUCCESSOR only where there is one. */
void cpr_manifest_write_vm (const CprManifest *head, CprWriter *writer);
void cpr_manifest_write_program (const CprProgram *program, const CprSuccessor *successor, CprWriter *writer);
void cpr_manifest_write_tables (const CprFdTable *fds, const CprRamTable *ram, CprWriter *writer);
/* After the other tables; nothing where there is no container. */
void cpr_manifest_write_vfio (const CprVfioTable *vfio, const CprRamTable *ram, CprWriter *writer);

/* Reads and checks the manifest of a verified stream, a state or a question. On failure
 * @manifest can be cleared. */
bool cpr_manifest_read (CprManifest *manifest, CprReader *reader, GError **error);
/* After that, where it has a store: the sums. */
bool cpr_manifest_read_sums (CprManifest *manifest, CprReader *reader, GError **error);
void cpr_manifest_init (CprManifest *manifest);
void cpr_manifest_clear (CprManifest *manifest);

/* The offset that turns a time on CLOCK_MONOTONIC of the manifest's boot into one of this boot: 0
 * where it is the same boot, and the same clock. */
bool cpr_manifest_get_time_offset (const CprManifest *manifest, int64_t *offset_ns, GError **error);

/* Says which clocks this process has: CLOCK_MONOTONIC and CLOCK_BOOTTIME of two processes of the
 * same id are the same. */
bool cpr_boot_id_get (char boot_id[CPR_BOOT_ID_SIZE + 1], GError **error);
/* Whether two boot ids that differ do so only by the time namespace. */
bool cpr_boot_id_is_of_same_boot (const char *a, const char *b);

#endif
