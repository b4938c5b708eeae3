/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CPR_HANDOFF_EXEC_IMAGE_H
#define CPR_HANDOFF_EXEC_IMAGE_H

#include <libcpr/libcpr.h>

#include "registry/fd-table.h"

/* The library's own entries of the fd table while an update is under way. */
#define CPR_FD_BATON      CPR_FD_INTERNAL "baton"
#define CPR_FD_RELEASE    CPR_FD_INTERNAL "release"
#define CPR_FD_EXECUTABLE CPR_FD_INTERNAL "executable"
#define CPR_FD_LATE       CPR_FD_INTERNAL "late"
#define CPR_FD_ASK        CPR_FD_INTERNAL "ask"

/* Exchanges the process image, for the way there and the way back. The fds in @carried lose
 * close-on-exec, and all others get it. Then @path is executed, or @exe_fd if @path is NULL.
 * Returns only on failure. The caller has blocked all signals. */
bool cpr_image_exchange (
    GArray *carried, const char *path, int exe_fd, char *const *argv, char *const *envp, GError **error);

/* Makes the fds close-on-exec again, in the new image or after an execve that failed. @carried:
 * ascending. False with errno. */
bool cpr_image_set_cloexec (GArray *carried);

/* Every fd of @fds, @more, and those of @held if that isn't NULL, ascending. */
GArray *cpr_image_collect_fds (const CprFdTable *fds, int more, GArray *held);

#endif
