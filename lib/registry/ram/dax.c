/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Recognises a DAX device and says which one it is, since its memory stays in place over a
 * kexec. Called by ram.c and file.c. */
#include "registry/ram/dax.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <glib.h>

#include "base/fd.h"
#include "base/sys.h"

#define TEXT_MAX 64

static bool
read_text (const char *folder, const char *name, char text[TEXT_MAX])
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  int fd = cpr_fd_above_std (cpr_sys->open (path, O_RDONLY | O_CLOEXEC, 0));
  ssize_t len = fd >= 0 ? cpr_sys->read (fd, text, TEXT_MAX - 1) : -1;

  cpr_fd_clear (&fd);
  text[MAX (len, 0)] = '\0';
  return len > 0;
}

/* 0: the file is missing or has no number. */
static uint64_t
read_number (const char *folder, const char *name)
{
  char text[TEXT_MAX];

  return read_text (folder, name, text) ? g_ascii_strtoull (text, NULL, 0) : 0;
}

static void
read_uuid (const char *folder, uint8_t uuid[CPR_DAX_UUID_SIZE])
{
  char text[TEXT_MAX];
  unsigned n = 0;

  memset (uuid, 0, CPR_DAX_UUID_SIZE);
  if (!read_text (folder, "../uuid", text)) /* the UUID of the namespace that the device was made from */
    return;
  for (const char *at = text; g_ascii_isxdigit (at[0]) && g_ascii_isxdigit (at[1]) && n < CPR_DAX_UUID_SIZE; n++)
    {
      uuid[n] = (uint8_t) (g_ascii_xdigit_value (at[0]) << 4 | g_ascii_xdigit_value (at[1]));
      at += at[2] == '-' ? 3 : 2;
    }
  if (n < CPR_DAX_UUID_SIZE)
    memset (uuid, 0, CPR_DAX_UUID_SIZE);
}

static bool
is_of_dax (const char *folder)
{
  g_autofree char *link = g_build_filename (folder, "subsystem", NULL);
  char target[1024];
  ssize_t len = cpr_sys->readlink (link, target, sizeof target - 1);

  target[MAX (len, 0)] = '\0';
  return g_str_has_suffix (target, "/dax");
}

bool
cpr_dax_describe (dev_t number, CprDax *dax)
{
  g_autofree char *folder = g_strdup_printf ("/sys/dev/char/%u:%u", major (number), minor (number));

  if (!is_of_dax (folder))
    return false;
  dax->size = read_number (folder, "size");
  dax->align = read_number (folder, "align");
  dax->address = read_number (folder, "resource");
  read_uuid (folder, dax->uuid);
  return dax->size > 0;
}
