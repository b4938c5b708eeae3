/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUX_GUEST_NET_H
#define LINUX_GUEST_NET_H

#include <stdbool.h>

/* Brings the network card up, if there is one, and starts the processes that serve a TCP
 * connection. */
void net_begin (void);

/* Prints what came over the connection. */
void net_tell (void);

#endif
