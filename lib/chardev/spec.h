/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_CHARDEV_SPEC_H
#define CPR_CHARDEV_SPEC_H

#include <stdbool.h>
#include <sys/socket.h>

#include <libcpr/libcpr.h>

/* The numbers are in states. */
typedef enum
{
  CPR_CHARDEV_NULL = 1,
  CPR_CHARDEV_STDIO = 2,
  CPR_CHARDEV_PTY = 3,
  CPR_CHARDEV_FILE = 4,
  CPR_CHARDEV_PIPE = 5,
  CPR_CHARDEV_SERVER = 6,
  CPR_CHARDEV_CLIENT = 7,
  CPR_CHARDEV_ACCEPTED = 8 /* a server's client, where it has several */
} CprChardevKind;

/* The other end, as the operator wrote it. */
typedef struct
{
  CprChardevKind kind;
  char *where; /* the text without its options */
  char *path;  /* of a file, a pipe, a Unix socket; else NULL */
  struct sockaddr_storage address;
  socklen_t address_len;
  unsigned reconnect_ms; /* 0: a lost connection stays lost */
  bool signals;          /* of stdio: ^C is a signal */
  bool append;           /* of a file */
  bool nodelay;          /* of TCP */
} CprChardevSpec;

/* @name is the character device's, for messages. To be cleared on failure, too. */
bool cpr_chardev_spec_parse (CprChardevSpec *spec, const char *name, const char *text, GError **error);
void cpr_chardev_spec_clear (CprChardevSpec *spec);

/* Whether its end is a connection, which can be lost. */
bool cpr_chardev_kind_is_socket (CprChardevKind kind);
const char *cpr_chardev_kind_get_name (CprChardevKind kind);

#endif
