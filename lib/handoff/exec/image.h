/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_IMAGE_H
#define CPR_HANDOFF_EXEC_IMAGE_H

#include <libcpr/libcpr.h>

#include "registry/fd-table.h"

/* The library's own entries of the fd table while an update is under way. */
#define CPR_FD_BATON      CPR_FD_INTERNAL "baton"
#define CPR_FD_RELEASE    CPR_FD_INTERNAL "release"
#define CPR_FD_EXECUTABLE CPR_FD_INTERNAL "executable"

/* The exchange of the process image itself, for the way there and the way back: the carried fds
 * lose close-on-exec, all others get it, then @path or else @exe_fd is executed. Returns only on
 * failure. The caller has blocked all signals. */
bool cpr_image_exchange (
    GArray *carried, const char *path, int exe_fd, char *const *argv, char *const *envp, GError **error);

/* The other way round, once the image was exchanged or couldn't be. @carried: ascending. False
 * with errno. */
bool cpr_image_set_cloexec (GArray *carried);

/* Every fd of @fds, and @more and @held if not NULL, ascending. */
GArray *cpr_image_collect_fds (const CprFdTable *fds, int more, GArray *held);

#endif
