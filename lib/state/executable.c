/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which program a process is: its build ID, or else its file. The preflight and the take-up
 * compare it. */
#include "state/executable.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/proc.h"
#include "base/sys.h"

#define PATH "/proc/self/exe"

/* The notes of one segment: each is a header, a name and a description, both padded to the
 * segment's alignment. */
static void
read_notes (GString *id, const uint8_t *at, size_t size, size_t alignment)
{
  while (size >= sizeof (ElfW (Nhdr)))
    {
      ElfW (Nhdr) note;
      size_t name_size, size_of_all;

      memcpy (&note, at, sizeof note);
      name_size = (note.n_namesz + alignment - 1) / alignment * alignment;
      size_of_all = sizeof note + name_size + (note.n_descsz + alignment - 1) / alignment * alignment;
      if (size_of_all > size)
        return;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
          memcmp (at + sizeof note, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0)
        for (size_t i = 0; i < note.n_descsz; i++)
          g_string_append_printf (id, "%02x", at[sizeof note + name_size + i]);
      at += size_of_all;
      size -= size_of_all;
    }
}

/* The first object is the program. */
static int
find_build_id (struct dl_phdr_info *info, size_t size, void *data)
{
  for (int i = 0; i < info->dlpi_phnum; i++)
    if (info->dlpi_phdr[i].p_type == PT_NOTE)
      read_notes (data, (const uint8_t *) (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), info->dlpi_phdr[i].p_memsz,
                  info->dlpi_phdr[i].p_align == 8 ? 8 : 4);
  return 1;
}

static char *
read_path (void)
{
  g_autofree char *target = g_malloc (PATH_MAX);
  ssize_t len = cpr_sys->readlink (PATH, target, PATH_MAX);

  return len > 0 ? g_strndup (target, (size_t) len) : NULL;
}

bool
cpr_executable_get (CprSuccessor *executable, char **path, GError **error)
{
  GString *id;
  struct stat st;

  if (cpr_sys->stat (PATH, &st) < 0)
    return cpr_proc_throw (error, errno, PATH);
  id = g_string_new (NULL);
  dl_iterate_phdr (find_build_id, id);
  *executable = (CprSuccessor){ st.st_dev, st.st_ino, g_string_free (id, FALSE) };
  *path = read_path ();
  return true;
}

void
cpr_executable_clear (CprSuccessor *executable)
{
  g_clear_pointer (&executable->build_id, g_free);
}

bool
cpr_executable_equal (const CprSuccessor *a, const CprSuccessor *b)
{
  return a->device == b->device && a->inode == b->inode && g_strcmp0 (a->build_id, b->build_id) == 0;
}

char *
cpr_executable_describe (const CprSuccessor *executable)
{
  return g_strdup_printf ("device %" G_GUINT64_FORMAT ", inode %" G_GUINT64_FORMAT ", build id %s", executable->device,
                          executable->inode, executable->build_id[0] != '\0' ? executable->build_id : "none");
}
