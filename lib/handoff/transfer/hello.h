/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_TRANSFER_HELLO_H
#define CPR_HANDOFF_TRANSFER_HELLO_H

#include "handoff/transfer/channel.h"

/* The readings of a process's clocks at one instant. */
typedef struct
{
  uint64_t monotonic_ns, boottime_ns;
} CprClocks;

CprClocks cpr_clocks_get (void);

/* A HELLO: a program says who it is. */
typedef struct
{
  uint32_t version; /* the newest version of the conversation that this program knows */
  uint32_t oldest;  /* the oldest one */
  uint32_t pid;     /* its own, in its PID namespace */
  char *vm_name;
  bool has_clocks; /* false: an older program, which doesn't send them */
  CprClocks clocks;
} CprHello;

#define CPR_HELLO_VERSION 1
#define CPR_HELLO_OLDEST  1

/* Sends this process's HELLO. */
bool cpr_channel_send_hello (CprChannel *channel, const char *vm_name, GError **error);
/* Receives a HELLO and checks the other end: the same version, user, VM and PID namespace.
 * @asked: this process's clocks before it sent the HELLO that this one answers, or NULL. If not
 * NULL, the other clocks must have been read between @asked and now. */
bool cpr_channel_receive_hello (CprChannel *channel, const char *vm_name, const CprClocks *asked, GError **error);
/* Whether @fd is a connected socket with another process's HELLO that nobody has read yet. It stays
 * there. */
bool cpr_hello_is_waiting (int fd);
/* Parses the bytes of a HELLO; the caller frees vm_name, which is NULL after a failure. */
bool cpr_hello_parse (CprHello *hello, const void *data, size_t len, GError **error);

#endif
