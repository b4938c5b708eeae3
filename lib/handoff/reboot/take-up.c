/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reboot mode in the new program: takes a state from its file or a pipe, once. Called through
 * the carrier's table by handoff/incoming.c. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/signals.h"
#include "base/sys.h"
#include "handoff/reboot/reboot.h"
#include "stream/spool.h"

/* The carrier's own part of a CprIncoming, from the take-up to the commit. */
typedef struct
{
  char *path; /* NULL: the state comes through a pipe */
  char *taken, *spent;
  bool is_taken; /* this process has PATH.taken */
  int file;      /* locked if it is a regular file */
} Taking;

/* ---- The file. */

static bool
throw_busy (const Taking *taking, GError **error)
{
  return cpr_throw (error, CPR_ERROR_NOT_OWNER, "state '%s': another process is taking it up", taking->path);
}

/* Opens and claims the file under PATH, or under PATH.taken, where a process left it that ended
 * before its commit. */
static bool
open_file (Taking *taking, struct stat *st, GError **error)
{
  GError *reason = NULL;

  taking->file = cpr_reboot_open_file (taking->path, taking->path, &reason);
  if (taking->file >= 0)
    return cpr_reboot_claim_file (taking->file, taking->path, taking->path, st, error);
  if (cpr_error_get_errno (reason) == ENOENT)
    taking->file = cpr_reboot_open_file (taking->path, taking->taken, NULL);
  if (taking->file < 0)
    {
      g_propagate_error (error, reason);
      return false;
    }
  g_error_free (reason);
  taking->is_taken = cpr_reboot_claim_file (taking->file, taking->path, taking->taken, st, error);
  return taking->is_taken;
}

/* ---- The contents of the file. */

static bool
make_baton (CprIncoming *incoming, GError **error)
{
  const CprBatonWord mine = { CPR_BATON_OWNED, 0, getpid () }, offered = { CPR_BATON_OFFERED, 1, getpid () };

  if (!cpr_baton_new (&incoming->baton, error))
    return false;
  incoming->attempt = 1;
  return cpr_baton_move (incoming->baton.page, mine, offered) ||
         cpr_throw (error, CPR_ERROR_STATE, "baton: it should be this process's, and is process %d's",
                    cpr_baton_get (incoming->baton.page).pid);
}

/* Empties the tables of fds and of assigned devices: the old program's fds and the kernel's
 * objects behind them ended with it. */
static void
drop_fds (CprManifest *manifest)
{
  cpr_vfio_table_clear (&manifest->vfio);
  cpr_vfio_table_init (&manifest->vfio);
  for (guint i = 0; i < manifest->ram.blocks->len; i++)
    ((CprRamBlock *) manifest->ram.blocks->pdata[i])->n_dma = 0;
  cpr_fd_table_clear (&manifest->fds);
  cpr_fd_table_init (&manifest->fds);
}

/* Copies the stream before it is verified, so that nobody can change it afterwards. */
static bool
read_state (CprIncoming *incoming, int from, const char *vm_name, GError **error)
{
  CprManifest *manifest = &incoming->manifest;

  incoming->state_fd = cpr_memfd_new ("libcpr-state", 0);
  if (incoming->state_fd < 0)
    return cpr_throw_errno (error, errno, "state: memfd_create");
  if (!cpr_stream_spool (from, incoming->state_fd, error) || !cpr_incoming_read_state (incoming, error) ||
      !cpr_incoming_check_identity (manifest, vm_name, CPR_BOOT_ANY, error))
    return false;
  if (manifest->store == NULL)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: it should be one of reboot mode, and isn't");
  /* This process keeps its own mask: no signal was blocked for an execve. */
  manifest->signal_mask = cpr_signals_get_mask ();
  drop_fds (manifest);
  return cpr_manifest_read_sums (manifest, &incoming->reader, error) && make_baton (incoming, error);
}

/* Finds the RAM area behind the stream, and checks that the file ends with it. */
static bool
find_area (CprIncoming *incoming, const Taking *taking, uint64_t size, GError **error)
{
  CprRamStore *store = incoming->manifest.store;
  uint64_t expected = incoming->reader.len;

  store->file = taking->file;
  store->base = cpr_reboot_get_base (incoming->reader.len);
  if (store->area > 0)
    expected = store->base + store->area;
  return size == expected ||
         cpr_throw (error, CPR_ERROR_CORRUPT,
                    "state '%s': %" G_GUINT64_FORMAT " bytes expected, there are %" G_GUINT64_FORMAT, taking->path,
                    expected, size);
}

static bool
receive_ram (CprIncoming *incoming, int from, GError **error)
{
  uint8_t byte;
  size_t got;

  if (!cpr_ram_store_receive (incoming->manifest.store, from, error))
    return false;
  if (!cpr_fd_read_all (from, &byte, 1, &got))
    return cpr_throw_errno (error, errno, "state: reading its end");
  return got == 0 || cpr_throw (error, CPR_ERROR_CORRUPT, "state: bytes follow its end");
}

static bool
take (Taking *taking, GError **error)
{
  if (!taking->is_taken && !cpr_reboot_rename (taking->path, taking->taken))
    return errno == ENOENT
               ? throw_busy (taking, error)
               : cpr_throw_errno (error, errno, "state '%s': renaming it to '%s'", taking->path, taking->taken);
  taking->is_taken = true;
  return true;
}

static bool
take_up_file (CprIncoming *incoming, Taking *taking, const CprSessionConfig *config, GError **error)
{
  struct stat st;

  if (!open_file (taking, &st, error) || !read_state (incoming, taking->file, config->name, error))
    return false;
  if (incoming->manifest.store->layout == CPR_RAM_LAYOUT_AREA
          ? !find_area (incoming, taking, (uint64_t) st.st_size, error)
          : !receive_ram (incoming, taking->file, error))
    return false;
  incoming->manifest.store->map = (config->incoming_flags & CPR_INCOMING_MAP_RAM) != 0;
  return take (taking, error);
}

static bool
open_pipe (Taking *taking, const CprSessionConfig *config, const char *address, GError **error)
{
  GError *reason = NULL;

  if (config->open_incoming == NULL)
    return cpr_throw (error, CPR_ERROR_INVALID, "incoming 'pipe:%s': open_incoming is missing", address);
  taking->file = config->open_incoming (address, config->user_data, &reason);
  if (taking->file >= 0)
    return true;
  return cpr_throw_callback (error, reason, "incoming 'pipe:%s': open_incoming failed", address);
}

static bool
take_up_pipe (
    CprIncoming *incoming, Taking *taking, const CprSessionConfig *config, const char *address, GError **error)
{
  if (!open_pipe (taking, config, address, error) || !read_state (incoming, taking->file, config->name, error))
    return false;
  if (incoming->manifest.store->area > 0)
    return cpr_throw (error, CPR_ERROR_MISMATCH, "state: its RAM is laid out in a file; take that up itself");
  return incoming->manifest.store->layout == CPR_RAM_LAYOUT_AREA || receive_ram (incoming, taking->file, error);
}

bool
cpr_reboot_take_up (CprIncoming *incoming, const CprSessionConfig *config, const char *address, GError **error)
{
  Taking *taking = g_new0 (Taking, 1);

  incoming->transport = taking;
  taking->file = -1;
  if (g_str_has_prefix (config->incoming, CPR_REBOOT_SCHEME_PIPE ":"))
    return take_up_pipe (incoming, taking, config, address, error);
  taking->path = g_strdup (address);
  taking->taken = cpr_reboot_name_taken (address);
  taking->spent = cpr_reboot_name_spent (address);
  return take_up_file (incoming, taking, config, error);
}

/* ---- The end. */

/* Gives the file its name back for the next take-up. Where that fails, the error says where the
 * guest is. */
static bool
throw_uncommitted (const Taking *taking, const char *name, const char *what, GError **error)
{
  int errnum = errno;

  if (cpr_reboot_rename (name, taking->path))
    return cpr_throw_errno (error, errnum, "state '%s': %s", taking->path, what);
  return cpr_throw_errno (error, errnum, "state '%s': it stays '%s', %s; because of: %s", taking->path, name,
                          g_strerror (errno), what);
}

/* Renames the file, after which no process finds the state any more, not even after a crash of
 * the host. Only then may the guest run. */
bool
cpr_reboot_commit (CprIncoming *incoming, GError **error)
{
  Taking *taking = incoming->transport;
  g_autofree char *renaming = NULL;

  if (taking->path != NULL)
    {
      renaming = g_strdup_printf ("renaming it to '%s'", taking->spent);
      cpr_sys->unlink (taking->spent); /* left by a program that ended between its commit and its finish */
      if (!cpr_reboot_rename (taking->taken, taking->spent))
        return throw_uncommitted (taking, taking->taken, renaming, error);
      if (!cpr_reboot_sync_folder (taking->path))
        return throw_uncommitted (taking, taking->spent, "fsync of its folder", error);
    }
  /* The RAM files that stay in place mustn't fit a copy of the state any more. A failure doesn't
   * matter: the state itself is gone. */
  cpr_ram_store_spend (incoming->manifest.store, NULL);
  return true;
}

/* There is no old program: the file gets its name back for the next take-up. */
bool
cpr_reboot_give_back (CprIncoming *incoming, GArray *held, GError *reason, GError **error)
{
  Taking *taking = incoming->transport;

  if (taking->is_taken && !cpr_reboot_rename (taking->taken, taking->path))
    g_propagate_prefixed_error (error, reason, "state '%s': it stays '%s', %s; because of: ", taking->path,
                                taking->taken, g_strerror (errno));
  else
    g_propagate_error (error, reason);
  taking->is_taken = false;
  return false;
}

void
cpr_reboot_finish (CprIncoming *incoming)
{
  const Taking *taking = incoming->transport;

  if (taking->path != NULL)
    cpr_sys->unlink (taking->spent);
}

void
cpr_reboot_clear (CprIncoming *incoming)
{
  Taking *taking = incoming->transport;

  if (taking == NULL)
    return;
  cpr_fd_clear (&taking->file);
  g_free (taking->path);
  g_free (taking->taken);
  g_free (taking->spent);
  g_free (taking);
}
