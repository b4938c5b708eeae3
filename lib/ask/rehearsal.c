/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A rehearsal: the question that it answers, the fds that stand in for those of the state, and the
 * list of what the start-up took. Called by answer.c and by the public functions. */
#include "ask/rehearsal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sys.h"

CprRehearsal *
cpr_rehearsal_new (pid_t asker)
{
  CprRehearsal *rehearsal = g_new0 (CprRehearsal, 1);

  rehearsal->asker = asker;
  return rehearsal;
}

void
cpr_rehearsal_free (CprRehearsal *rehearsal)
{
  if (rehearsal == NULL)
    return;
  cpr_question_clear (&rehearsal->question);
  g_free (rehearsal);
}

/* ---- The fds. */

/* Those of the library stand for objects that are listed by themselves. */
static bool
is_internal (const CprFdEntry *entry)
{
  return g_str_has_prefix (entry->name, CPR_FD_INTERNAL);
}

int
cpr_rehearsal_open_fd (void)
{
  return cpr_fd_above_std (cpr_sys->eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* An fd of the same kind, as far as that is recorded and has no effect: a socket without an
 * address, an empty file. */
static int
open_alike (const CprFdIdentity *identity)
{
  int fd = -1;

  if (identity->type == S_IFREG)
    fd = cpr_memfd_new ("libcpr-rehearsal", 0);
  else if (identity->type == S_IFSOCK)
    fd = cpr_fd_above_std (
        cpr_sys->socket ((int) identity->socket_domain, (int) identity->socket_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return fd >= 0 ? fd : cpr_rehearsal_open_fd ();
}

static bool
add_stand_in (const CprFdEntry *entry, CprFdTable *fds, GError **error)
{
  int fd = open_alike (&entry->identity);

  if (fd < 0)
    return cpr_throw_errno (error, errno, "fd '%s' %d: a stand-in for the rehearsal", entry->name, entry->index);
  if (!cpr_fd_table_add (fds, entry->name, entry->index, fd, error))
    {
      cpr_fd_clear (&fd);
      return false;
    }
  cpr_fd_table_find (fds, entry->name, entry->index)->claimed = false;
  return true;
}

bool
cpr_rehearsal_fill_fds (const CprRehearsal *rehearsal, CprFdTable *fds, GError **error)
{
  const GPtrArray *entries = rehearsal->question.manifest.fds.entries;

  for (guint i = 0; entries != NULL && i < entries->len; i++)
    {
      const CprFdEntry *entry = entries->pdata[i];

      if (!is_internal (entry) && !add_stand_in (entry, fds, error))
        return false;
    }
  return true;
}

/* ---- The list. */

static void
list_vfio (const CprVfioTable *vfio, CprInventory *inventory)
{
  for (guint i = 0; i < vfio->containers->len; i++)
    {
      const CprVfioContainer *container = vfio->containers->pdata[i];

      if (container->claimed)
        cpr_inventory_add_vfio (inventory, container->name, NULL);
      for (guint k = 0; k < container->devices->len; k++)
        {
          const CprVfioDevice *device = container->devices->pdata[k];

          if (device->claimed)
            cpr_inventory_add_vfio (inventory, container->name, device->name);
        }
    }
}

static void
list_fds (const CprFdTable *state, const CprFdTable *fds, CprInventory *inventory)
{
  for (guint i = 0; state->entries != NULL && i < state->entries->len; i++)
    {
      const CprFdEntry *entry = state->entries->pdata[i], *own = cpr_fd_table_find (fds, entry->name, entry->index);

      if (!is_internal (entry) && (own == NULL || own->claimed))
        cpr_inventory_add_fd (inventory, entry->name, entry->index);
    }
  for (guint i = 0; i < fds->entries->len; i++)
    {
      const CprFdEntry *entry = fds->entries->pdata[i];
      bool is_new = state->entries == NULL || cpr_fd_table_find (state, entry->name, entry->index) == NULL;

      if (is_new && !is_internal (entry))
        cpr_inventory_add_fd (inventory, entry->name, entry->index);
    }
}

CprInventory *
cpr_rehearsal_list (const CprQuestion *question,
                    const CprFdTable *fds,
                    const CprRamTable *ram,
                    const CprDeviceTable *devices,
                    const CprVfioTable *vfio)
{
  CprInventory *inventory = cpr_inventory_new ();

  list_fds (&question->manifest.fds, fds, inventory);
  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[i];

      if (block->vaddr != NULL && block->max_size > 0)
        cpr_inventory_add_ram_up_to (inventory, block->name, block->max_size);
      else if (block->vaddr != NULL)
        cpr_inventory_add_ram (inventory, block->name, block->size);
    }
  for (guint i = 0; i < devices->devices->len; i++)
    {
      const CprDevice *device = devices->devices->pdata[i];
      const CprRegisteredType *registered = g_hash_table_lookup (devices->types, device->type->name);

      cpr_inventory_add_device (inventory, device->name, registered->given); /* as in the config's list */
      g_array_index (inventory->devices, CprDeclaredDevice, inventory->devices->len - 1).here = device->state;
    }
  list_vfio (vfio, inventory);
  return inventory;
}
