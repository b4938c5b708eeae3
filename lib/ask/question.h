/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_ASK_QUESTION_H
#define CPR_ASK_QUESTION_H

#include "state/manifest.h"
#include "stream/reader.h"

/* The QUESTION chunk. */
typedef struct
{
  bool schema_only;
  uint32_t answer_fd; /* in the program asked */
  uint64_t pipe_device, pipe_inode;
} CprQuestionHead;

/* A device as it stands in a question. */
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

/* Whether a sealed stream is a question; it may still be damaged. */
bool cpr_question_is_one (int fd);

/* Begins a question. What follows is VM, FDS, RAM, SCHEMA, DEVICES and SECTIONs, unless it is
 * for the schema only. */
void cpr_question_write_head (const CprQuestionHead *head, CprWriter *writer);

/* Takes @data; verifies all of it. On failure too @question can be cleared. */
bool cpr_question_read (CprQuestion *question, void *data, size_t len, GError **error);
void cpr_question_clear (CprQuestion *question);

CprAskedDevice *cpr_question_find_device (const CprQuestion *question, const char *name);

#endif
