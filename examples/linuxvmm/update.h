/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LINUXVMM_UPDATE_H
#define LINUXVMM_UPDATE_H

#include <libcpr/libcpr.h>

/* Gives the guest to @program, with the same arguments: in the same process, or in transfer mode in
 * one of its own. True: that is the guest's VMM, and this process has nothing more to do. False: it
 * failed, and @client was told why. */
bool update_run (CprSession *session, CprMode mode, const char *program, int client);

#endif
