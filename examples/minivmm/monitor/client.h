/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MINIVMM_CLIENT_H
#define MINIVMM_CLIENT_H

#include <libcpr/libcpr.h>

#define CLIENT_INPUT_MAX  8192
#define CLIENT_OUTPUT_MAX 16384

/* A client of the monitor: its connection, and what waits on both ways. */
typedef struct
{
  int fd;    /* -1: a free place */
  bool drop; /* it is to be closed */

  uint32_t input_len;
  uint8_t input[CLIENT_INPUT_MAX];
  uint32_t output_len;
  uint8_t output[CLIENT_OUTPUT_MAX];
} Client;

/* Lines that weren't executed yet, and answers that the client hasn't read yet, go along with
 * its connection. */
extern const CprField client_fields[];

/* Takes in what the client has sent, up to the end of a line, without waiting for it. Later lines
 * stay in the socket: if this program gives the guest back, the old one finds them there. False:
 * nothing more will come. */
bool client_receive (Client *client);

/* The first line of the input, which is taken out; NULL: there is no whole line. The line is out
 * before it is executed: a command that updates the program doesn't come back, and the new
 * program goes on with the next line. */
char *client_take_line (Client *client);

/* Text that can't be sent now waits in the buffer. A client that reads nothing must not hold up the
 * VM: it is dropped. */
void client_say (Client *client, const char *text);

/* As client_say(), with a prompt after it. */
void client_answer (Client *client, const char *text);

/* Sends as much as it can of the text in the buffer. */
void client_flush (Client *client);

#endif
