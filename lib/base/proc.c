/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Says what is missing when a file below /proc can't be read. Called where the library can't do
 * without such a file. */
#include "base/proc.h"

#include <errno.h>

#include "base/error.h"
#include "base/sys.h"

static bool
means_absence (int errnum)
{
  return errnum == ENOENT || errnum == ENOTDIR;
}

static bool
is_missing (const char *path)
{
  struct stat st;

  return cpr_sys->stat (path, &st) < 0 && means_absence (errno);
}

const char *
cpr_proc_describe_absence (const char *path)
{
  if (is_missing ("/proc/self"))
    return "/proc isn't mounted in this root directory, and libcpr needs it";
  if (g_str_has_prefix (path, "/proc/sys/") && is_missing ("/proc/sys"))
    return "/proc is mounted without /proc/sys (subset=pid), and libcpr needs that";
  return NULL;
}

bool
cpr_proc_throw (GError **error, int errnum, const char *path)
{
  const char *absence = means_absence (errnum) ? cpr_proc_describe_absence (path) : NULL;

  if (absence != NULL)
    return cpr_throw_errno (error, errnum, "%s: %s", absence, path);
  return cpr_throw_errno (error, errnum, "%s", path);
}
