/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of the fds that survive, by name and index. It records the identity of each fd, so
 * that the new program can verify it. Called by lib/session, and by the other tables, which keep
 * their fds here. */
#include "registry/fd-table.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "stream/reader.h"
#include "base/sys.h"

static guint
entry_hash (gconstpointer data)
{
  const CprFdEntry *entry = data;

  return g_str_hash (entry->name) * 31 + (guint) entry->index;
}

static gboolean
entry_equal (gconstpointer a, gconstpointer b)
{
  const CprFdEntry *x = a, *y = b;

  return x->index == y->index && strcmp (x->name, y->name) == 0;
}

static void
entry_free (void *data)
{
  CprFdEntry *entry = data;

  g_free (entry->name);
  g_free (entry);
}

void
cpr_fd_table_init (CprFdTable *table)
{
  table->entries = g_ptr_array_new_with_free_func (entry_free);
  table->by_name = g_hash_table_new (entry_hash, entry_equal);
  table->by_fd = g_hash_table_new (NULL, NULL);
}

void
cpr_fd_table_clear (CprFdTable *table)
{
  g_clear_pointer (&table->by_name, g_hash_table_unref);
  g_clear_pointer (&table->by_fd, g_hash_table_unref);
  g_clear_pointer (&table->entries, g_ptr_array_unref);
}

bool
cpr_fd_table_check_name (const char *name, int index, GError **error)
{
  if (!cpr_name_check ("fd", name, error))
    return false;
  if (g_str_has_prefix (name, CPR_FD_INTERNAL))
    return cpr_throw (error, CPR_ERROR_INVALID, "fd '%s': names that begin with '%s' are the library's", name,
                      CPR_FD_INTERNAL);
  if (index < 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "fd '%s': the index should be 0 or more, and is %d", name, index);
  return true;
}

CprFdEntry *
cpr_fd_table_find (const CprFdTable *table, const char *name, int index)
{
  CprFdEntry key = { .name = (char *) name, .index = index };

  return g_hash_table_lookup (table->by_name, &key);
}

bool
cpr_fd_table_has_fd (const CprFdTable *table, int fd)
{
  return g_hash_table_contains (table->by_fd, GINT_TO_POINTER (fd));
}

static void
insert (CprFdTable *table, CprFdEntry *entry)
{
  entry->position = table->entries->len;
  g_ptr_array_add (table->entries, entry);
  g_hash_table_add (table->by_name, entry);
  g_hash_table_insert (table->by_fd, GINT_TO_POINTER (entry->fd), entry);
}

bool
cpr_fd_table_add (CprFdTable *table, const char *name, int index, int fd, GError **error)
{
  const CprFdEntry *other;
  CprFdIdentity identity;
  CprFdEntry *entry;

  if (fd < 0)
    return cpr_throw (error, CPR_ERROR_INVALID, "fd '%s' %d: the fd should be 0 or more, and is %d", name, index, fd);
  if (cpr_fd_table_find (table, name, index) != NULL)
    return cpr_throw (error, CPR_ERROR_EXISTS, "fd '%s' %d: it is in the table already", name, index);
  other = g_hash_table_lookup (table->by_fd, GINT_TO_POINTER (fd));
  if (other != NULL)
    return cpr_throw (error, CPR_ERROR_EXISTS, "fd '%s' %d: fd %d is in the table as '%s' %d", name, index, fd,
                      other->name, other->index);
  if (!cpr_fd_identify (fd, &identity) || !cpr_fd_set_cloexec (fd, true))
    return cpr_throw_errno (error, errno, "fd '%s' %d: fd %d", name, index, fd);

  entry = g_new0 (CprFdEntry, 1);
  entry->name = g_strdup (name);
  entry->index = index;
  entry->fd = fd;
  entry->where = (uint32_t) fd;
  entry->identity = identity;
  entry->claimed = true;
  insert (table, entry);
  return true;
}

void
cpr_fd_table_remove (CprFdTable *table, CprFdEntry *entry)
{
  g_hash_table_remove (table->by_name, entry);
  g_hash_table_remove (table->by_fd, GINT_TO_POINTER (entry->fd));
  ((CprFdEntry *) table->entries->pdata[table->entries->len - 1])->position = entry->position;
  g_ptr_array_remove_index_fast (table->entries, entry->position); /* the last entry takes its place */
}

int
cpr_fd_table_take (CprFdTable *table, const char *name, int index, GError **error)
{
  CprFdEntry *entry = cpr_fd_table_find (table, name, index);

  if (entry == NULL)
    cpr_throw (error, CPR_ERROR_NOT_FOUND, "fd '%s' %d: none of that name was handed over", name, index);
  else if (entry->claimed)
    cpr_throw (error, CPR_ERROR_EXISTS, "fd '%s' %d: it was taken before", name, index);
  else
    {
      entry->claimed = true;
      return entry->fd;
    }
  return -1;
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const CprFdEntry *x = *(CprFdEntry *const *) a, *y = *(CprFdEntry *const *) b;
  int order = strcmp (x->name, y->name);

  return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

GPtrArray *
cpr_fd_table_copy_unclaimed (const CprFdTable *table, const char *prefix)
{
  GPtrArray *found = g_ptr_array_new_with_free_func (entry_free);

  for (guint i = 0; i < table->entries->len; i++)
    {
      const CprFdEntry *entry = table->entries->pdata[i];
      CprFdEntry *copy;

      if (entry->claimed || !g_str_has_prefix (entry->name, prefix) || g_str_has_prefix (entry->name, CPR_FD_INTERNAL))
        continue;
      copy = g_memdup2 (entry, sizeof *entry);
      copy->name = g_strdup (entry->name);
      g_ptr_array_add (found, copy);
    }
  g_ptr_array_sort (found, compare_entries);
  return found;
}

void
cpr_fd_table_write (const CprFdTable *table, CprWriter *writer)
{
  cpr_writer_put_u32 (writer, table->entries->len);
  for (guint i = 0; i < table->entries->len; i++)
    {
      const CprFdEntry *entry = table->entries->pdata[i];

      cpr_writer_put_string (writer, entry->name);
      cpr_writer_put_u32 (writer, (uint32_t) entry->index);
      cpr_writer_put_u32 (writer, entry->where);
      cpr_writer_put_u32 (writer, entry->identity.type);
      cpr_writer_put_u32 (writer, entry->identity.access);
      cpr_writer_put_u64 (writer, entry->identity.device);
      cpr_writer_put_u64 (writer, entry->identity.inode);
      cpr_writer_put_u32 (writer, entry->identity.socket_domain);
      cpr_writer_put_u32 (writer, entry->identity.socket_type);
    }
}

/* One of the library's own names is a prefix and a name of the VMM's, so it may be longer. */
static bool
name_is_sane (const char *name)
{
  size_t most = g_str_has_prefix (name, CPR_FD_INTERNAL) ? 2 * CPR_NAME_MAX : CPR_NAME_MAX;

  return name[0] != '\0' && strlen (name) <= most;
}

static bool
read_entry (CprFdTable *table, CprCursor *cursor, GError **error)
{
  CprFdEntry read = { .name = (char *) cpr_cursor_get_string (cursor) };
  uint32_t index = cpr_cursor_get_u32 (cursor);
  uint32_t fd = cpr_cursor_get_u32 (cursor);
  CprFdEntry *entry;

  read.identity.type = cpr_cursor_get_u32 (cursor);
  read.identity.access = cpr_cursor_get_u32 (cursor);
  read.identity.device = cpr_cursor_get_u64 (cursor);
  read.identity.inode = cpr_cursor_get_u64 (cursor);
  read.identity.socket_domain = cpr_cursor_get_u32 (cursor);
  read.identity.socket_type = cpr_cursor_get_u32 (cursor);
  read.index = (int) index;
  read.fd = (int) fd;
  read.where = fd;

  if (cursor->failed)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "fd table: entry %u is cut off", table->entries->len);
  if (!name_is_sane (read.name))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "fd table: entry %u has a name of %zu bytes, 1 to %d expected",
                      table->entries->len, strlen (read.name), CPR_NAME_MAX);
  if (index > G_MAXINT || fd > G_MAXINT)
    return cpr_throw (error, CPR_ERROR_CORRUPT, "fd table: entry %u, '%s', has index %u and fd %u, at most %d expected",
                      table->entries->len, read.name, index, fd, G_MAXINT);
  if (cpr_fd_table_find (table, read.name, read.index) != NULL || cpr_fd_table_has_fd (table, read.fd))
    return cpr_throw (error, CPR_ERROR_CORRUPT, "fd table: '%s' %d, fd %d, is there twice", read.name, read.index,
                      read.fd);
  entry = g_memdup2 (&read, sizeof read);
  entry->name = g_strdup (read.name);
  insert (table, entry);
  return true;
}

bool
cpr_fd_table_read (CprFdTable *table, CprCursor *cursor, GError **error)
{
  uint32_t n = cpr_cursor_get_u32 (cursor);

  for (uint32_t i = 0; i < n; i++)
    if (!read_entry (table, cursor, error))
      return false;
  return cpr_cursor_check_end (cursor, "fd table", error);
}

bool
cpr_fd_table_place (CprFdTable *table, CprFdFinder find, void *data, GError **error)
{
  g_hash_table_remove_all (table->by_fd);
  for (guint i = 0; i < table->entries->len; i++)
    {
      CprFdEntry *entry = table->entries->pdata[i];

      entry->fd = find (data, entry->where, error);
      if (entry->fd < 0)
        {
          g_prefix_error (error, "fd '%s' %d: ", entry->name, entry->index);
          return false;
        }
      entry->where = (uint32_t) entry->fd;
      if (!g_hash_table_insert (table->by_fd, GINT_TO_POINTER (entry->fd), entry))
        return cpr_throw (error, CPR_ERROR_CORRUPT, "fd table: '%s' %d, fd %d, is there twice", entry->name,
                          entry->index, entry->fd);
    }
  return true;
}

bool
cpr_fd_entry_verify (const CprFdEntry *entry, pid_t peer, GError **error)
{
  g_autofree char *was = NULL, *is = NULL;
  CprFdIdentity identity;

  if (!cpr_fd_identify (entry->fd, &identity))
    return cpr_throw (error, CPR_ERROR_MISMATCH, "fd '%s' %d: fd %d isn't open", entry->name, entry->index, entry->fd);
  if (!cpr_fd_identity_equal (&identity, &entry->identity))
    {
      was = cpr_fd_identity_describe (&entry->identity);
      is = cpr_fd_identity_describe (&identity);
      return cpr_throw (error, CPR_ERROR_MISMATCH, "fd '%s' %d: fd %d was %s, is %s", entry->name, entry->index,
                        entry->fd, was, is);
    }
  /* -1: the kernel denies kcmp(), and nothing but the type can be compared */
  if (peer != 0 && cpr_fd_identity_is_anonymous (&identity) &&
      cpr_sys->kcmp_file (getpid (), peer, entry->fd, entry->fd) > 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "fd '%s' %d: fd %d is another anonymous inode than it was",
                      entry->name, entry->index, entry->fd);
  return true;
}

bool
cpr_fd_table_verify (const CprFdTable *table, pid_t peer, GError **error)
{
  for (guint i = 0; i < table->entries->len; i++)
    if (!cpr_fd_entry_verify (table->entries->pdata[i], peer, error))
      return false;
  return true;
}

static bool
find_name (void *fds, int fd, const char **name, int *index)
{
  const CprFdEntry *entry = g_hash_table_lookup (((CprFdTable *) fds)->by_fd, GINT_TO_POINTER (fd));

  if (entry == NULL)
    return false;
  *name = entry->name;
  *index = entry->index;
  return true;
}

static int
find_fd (void *fds, const char *name, int index)
{
  CprFdEntry *entry = cpr_fd_table_find (fds, name, index);

  if (entry == NULL)
    return -1;
  entry->claimed = true;
  return entry->fd;
}

CprCodec
cpr_fd_table_get_codec (CprFdTable *table)
{
  return (CprCodec){ .find_name = find_name, .find_fd = find_fd, .fds = table };
}

char *
cpr_fd_table_describe_unclaimed (const CprFdTable *table)
{
  GString *names = NULL;

  for (guint i = 0; i < table->entries->len; i++)
    {
      const CprFdEntry *entry = table->entries->pdata[i];

      if (entry->claimed || g_str_has_prefix (entry->name, CPR_FD_INTERNAL))
        continue;
      if (names == NULL)
        names = g_string_new (NULL);
      g_string_append_printf (names, "%s'%s' %d", names->len > 0 ? ", " : "", entry->name, entry->index);
    }
  return names != NULL ? g_string_free (names, FALSE) : NULL;
}
