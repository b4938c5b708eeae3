/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_ASK_QUESTION_H
#define CPR_ASK_QUESTION_H

#include "registry/device/device.h"
#include "state/manifest.h"
#include "stream/reader.h"

/* The QUESTION chunk. */
typedef struct
{
  bool schema_only;
  uint32_t answer_fd; /* in the program asked */
  uint64_t pipe_device, pipe_inode;
} CprQuestionHead;

/* A device in a question. */
typedef struct
{
  const char *name;
  uint32_t type;    /* index in the schema */
  bool has_section; /* saved for trial */
  CprCursor fields; /* of that */
} CprAskedDevice;

/* A question as read. */
typedef struct
{
  void *data;
  uint64_t checksum;
  CprReader reader;
  CprQuestionHead head;
  CprManifest manifest; /* VM, FDS, RAM and SCHEMA; empty where only the schema is asked for */
  GArray *devices;      /* CprAskedDevice */
  GHashTable *by_name;  /* name → index in devices + 1 */
} CprQuestion;

/* The VM that a question is about. */
typedef struct
{
  CprManifest head; /* only its VM chunk is written */
  CprFdTable *fds;
  const CprRamTable *ram;
  const CprVfioTable *vfio;
  CprDeviceTable *devices;
} CprAskedVm;

typedef enum
{
  CPR_QUESTION_TABLES = 1u << 0, /* VM, FDS, RAM, DMA, SCHEMA and DEVICES */
  CPR_QUESTION_VALUES = 1u << 1  /* SECTIONs of the devices that may be saved for trial */
} CprQuestionParts;

/* Whether a sealed stream is a question; it may still be damaged. */
bool cpr_question_is_one (int fd);

/* Writes a whole question to @writer, which has nothing in it yet. */
bool cpr_question_write (const CprQuestionHead *head, const CprAskedVm *vm, CprWriter *writer, GError **error);
/* The same piece by piece: the QUESTION chunk alone, which is all of it where only the schema is
 * asked for; and what follows it. */
void cpr_question_write_head (const CprQuestionHead *head, CprWriter *writer);
bool cpr_question_write_parts (const CprAskedVm *vm, unsigned parts, CprWriter *writer, GError **error);

/* Takes @data; verifies all of it. On failure too @question can be cleared. */
bool cpr_question_read (CprQuestion *question, void *data, size_t len, GError **error);
/* Leaves nothing; one that holds nothing may be cleared again. */
void cpr_question_clear (CprQuestion *question);

CprAskedDevice *cpr_question_find_device (const CprQuestion *question, const char *name);

#endif
