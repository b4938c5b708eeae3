/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_QMP_CLIENT_H
#define MINIVMM_QMP_CLIENT_H

#include <jansson.h>
#include <libcpr/libcpr.h>

#define QMP_INPUT_MAX  16384 /* the longest message */
#define QMP_OUTPUT_MAX 65536
#define QMP_OUTPUT_LOW 16384 /* with more than that unread, a client's next message has to wait */

/* How far a client's input was searched for the end of a message. */
typedef struct
{
  uint32_t position;
  uint32_t depth; /* of brackets */
  bool in_string;
  bool escaped;
} QmpScan;

/* A client: its connection, and what waits on both ways. */
typedef struct
{
  int fd;           /* -1: a free place */
  bool drop;        /* it is to be closed */
  bool negotiated;  /* it has said qmp_capabilities */
  uint32_t watched; /* what epoll waits for on it */

  uint32_t input_len;
  uint8_t input[QMP_INPUT_MAX];
  uint32_t output_len;
  uint8_t output[QMP_OUTPUT_MAX];
  QmpScan scan; /* begins anew in the new program */
} QmpClient;

/* A message of which only a part has come, messages that weren't executed yet, and what the client
 * hasn't read yet go along with its connection. */
extern const CprField qmp_client_fields[];

void qmp_client_init (QmpClient *client, int fd);

/* Takes in what the client has sent, without waiting for it. False: nothing more will come. */
bool qmp_client_receive (QmpClient *client);

/* The next message, which is taken out, valid JSON or not; NULL: there is no whole one. It is out
 * before it is executed, as the new program goes on with the one after it. */
char *qmp_client_take (QmpClient *client);

/* Appends @message to what waits; qmp_client_flush() sends it. A client that reads nothing must not
 * hold up the VM: it is dropped. */
void qmp_client_put (QmpClient *client, const json_t *message);
void qmp_client_flush (QmpClient *client);

#endif
