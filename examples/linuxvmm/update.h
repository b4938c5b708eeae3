/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_UPDATE_H
#define LINUXVMM_UPDATE_H

#include <libcpr/libcpr.h>

/* Puts @program in the place of this one, with the same arguments, in the same process. Returns
 * only if that failed; @client was told why. */
void update_exec (CprSession *session, const char *program, int client);

/* Starts @program in a process of its own and gives the guest to it. True: it is the guest's
 * VMM, and this process has nothing more to do. */
bool update_transfer (CprSession *session, const char *program, int client);

#endif
