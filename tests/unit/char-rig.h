/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_CHAR_RIG_H
#define TESTS_UNIT_CHAR_RIG_H

#include "guest.h"

#include "chardev/device.h"

/* A session with one character device, "com1", and a folder for what is at its other end. */
typedef struct
{
  Guest guest;
  CprSession *session;
  CprChardev *chardev; /* NULL: none; ended at the end */
  GError *error;
  char *folder;
} CharRig;

extern CharRig rig;

void rig_setup (void);
void rig_teardown (void);

/* The backend is @before and @after, with the folder between them where @after begins with '/'. */
void rig_make (const char *before, const char *after);
/* No such device can be made, and nothing is left of the attempt. */
void rig_refuse (const char *backend, CprError code, const char *text);
/* Files in the folder; sockets to talk to the device. */
char *rig_path_of (const char *name);
void rig_remove_file (const char *name);
int rig_connect_to (const char *name);
int rig_listen_at (const char *name);
/* As a main loop does, until nothing happens for a while. */
void rig_serve (void);
/* The guest reads and writes; the other end gets. */
void rig_assert_reads (const char *expected);
void rig_assert_gets (int fd, const char *expected);
void rig_writes (const char *text);
void rig_end_now (void);
/* Which of its fds a main loop would wait for: "in", "out", "in out", "". */
void rig_assert_waits_for (const char *expected);
/* Until nothing more is taken. */
size_t rig_fill (void);

#endif
