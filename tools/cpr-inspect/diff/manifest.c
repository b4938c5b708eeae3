/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The differences in the manifests. Called by diff.c. */
#include <inttypes.h>

#include "parts.h"
#include "../text.h"

static char *
number (uint64_t value)
{
  return g_strdup_printf ("%" PRIu64, value);
}

static void
diff_vm (Diff *diff, const CprManifest *a, const CprManifest *b)
{
  diff_value (diff, "VM", "name", inspect_text_quote (a->vm_name), inspect_text_quote (b->vm_name));
  diff_value (diff, "VM", "run state", g_strdup (inspect_run_state_name (a->run_state)),
              g_strdup (inspect_run_state_name (b->run_state)));
  diff_value (diff, "VM", "generation", number (a->generation), number (b->generation));
  diff_value (diff, "VM", "saved, monotonic ns", number (a->saved_ns), number (b->saved_ns));
  diff_value (diff, "VM", "saved, real ns", number (a->saved_real_ns), number (b->saved_real_ns));
  diff_value (diff, "VM", "boot id", inspect_text_quote (a->boot_id), inspect_text_quote (b->boot_id));
  diff_value (diff, "VM", "user id", number (a->uid), number (b->uid));
  diff_value (diff, "VM", "process id", number (a->pid), number (b->pid));
  diff_value (diff, "VM", "blocked signals", inspect_text_signals (a->signal_mask),
              inspect_text_signals (b->signal_mask));
}

static void
diff_arguments (Diff *diff, char **a, char **b)
{
  guint n_a = g_strv_length (a), n_b = g_strv_length (b);

  for (guint i = 0; i < MAX (n_a, n_b); i++)
    {
      g_autofree char *what = g_strdup_printf ("argument %u", i);

      diff_value (diff, "program", what, i < n_a ? inspect_text_quote (a[i]) : g_strdup ("none"),
                  i < n_b ? inspect_text_quote (b[i]) : g_strdup ("none"));
    }
}

/* In whatever order. */
static void
find_missing (Diff *diff, char **list, char **other, const char *where)
{
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);

  for (; *other != NULL; other++)
    g_hash_table_add (known, *other);
  for (; *list != NULL; list++)
    {
      g_autofree char *text = inspect_text_quote (*list);

      if (!g_hash_table_contains (known, *list))
        diff_put (diff, "program", "environment: %s only in %s", text, where);
    }
}

static char *
describe_limit (const CprProgram *program, unsigned i)
{
  g_autofree char *soft = NULL, *hard = NULL;

  if (i >= program->n_limits)
    return g_strdup ("none");
  soft = inspect_text_limit (program->limits[i].rlim_cur);
  hard = inspect_text_limit (program->limits[i].rlim_max);
  return g_strdup_printf ("%s, %s", soft, hard);
}

static void
diff_program (Diff *diff, const CprProgram *a, const CprProgram *b)
{
  diff_arguments (diff, a->argv, b->argv);
  find_missing (diff, a->envp, b->envp, "A");
  find_missing (diff, b->envp, a->envp, "B");
  diff_value (diff, "program", "working directory", inspect_text_quote (a->cwd), inspect_text_quote (b->cwd));
  diff_value (diff, "program", "process name", inspect_text_quote (a->comm), inspect_text_quote (b->comm));
  diff_value (diff, "program", "umask", g_strdup_printf ("%04o", (unsigned) a->umask),
              g_strdup_printf ("%04o", (unsigned) b->umask));
  diff_value (diff, "program", "ignored signals", inspect_text_signals (a->ignored_signals),
              inspect_text_signals (b->ignored_signals));
  for (unsigned i = 0; i < MAX (a->n_limits, b->n_limits); i++)
    {
      const char *name = inspect_limit_name (i);
      g_autofree char *what = name != NULL ? g_strdup_printf ("limit %s", name) : g_strdup_printf ("limit %u", i);

      diff_value (diff, "program", what, describe_limit (a, i), describe_limit (b, i));
    }
}

static char *
describe_successor (const CprSuccessor *successor)
{
  return successor->build_id == NULL ? g_strdup ("none")
                                     : g_strdup_printf ("%" PRIu64 ":%" PRIu64 " '%s'", successor->device,
                                                        successor->inode, successor->build_id);
}

/* ---- fds and RAM. */

static char *
fd_title (const CprFdEntry *entry)
{
  g_autofree char *name = inspect_text_quote (entry->name);

  return g_strdup_printf ("fd %s %d", name, entry->index);
}

static void
diff_fds (Diff *diff, const CprFdTable *a, const CprFdTable *b)
{
  for (guint i = 0; i < a->entries->len; i++)
    {
      const CprFdEntry *entry = a->entries->pdata[i], *other = cpr_fd_table_find (b, entry->name, entry->index);
      g_autofree char *title = fd_title (entry);

      if (other == NULL)
        {
          diff_put (diff, title, "only in A");
          continue;
        }
      diff_value (diff, title, "number", number ((uint64_t) entry->fd), number ((uint64_t) other->fd));
      diff_value (diff, title, "file", inspect_text_identity (&entry->identity),
                  inspect_text_identity (&other->identity));
    }
  for (guint i = 0; i < b->entries->len; i++)
    {
      const CprFdEntry *entry = b->entries->pdata[i];
      g_autofree char *title = fd_title (entry);

      if (cpr_fd_table_find (a, entry->name, entry->index) == NULL)
        diff_put (diff, title, "only in B");
    }
}

static const CprRamBlock *
find_block (const CprRamTable *table, const char *name)
{
  for (guint i = 0; i < table->blocks->len; i++)
    {
      const CprRamBlock *block = table->blocks->pdata[i];

      if (strcmp (block->name, name) == 0)
        return block;
    }
  return NULL;
}

static char *
block_title (const CprRamBlock *block)
{
  g_autofree char *name = inspect_text_quote (block->name);

  return g_strdup_printf ("RAM block %s", name);
}

static char *
describe_block (const CprRamBlock *block)
{
  g_autofree char *flags = inspect_text_ram_flags (block->flags);

  return g_strdup_printf ("%s%s", inspect_backing_name (block->backend), flags);
}

static void
diff_ram (Diff *diff, const CprRamTable *a, const CprRamTable *b)
{
  for (guint i = 0; i < a->blocks->len; i++)
    {
      const CprRamBlock *block = a->blocks->pdata[i], *other = find_block (b, block->name);
      g_autofree char *title = block_title (block);

      if (other == NULL)
        {
          diff_put (diff, title, "only in A");
          continue;
        }
      diff_value (diff, title, "size", number (block->size), number (other->size));
      diff_value (diff, title, "backing", describe_block (block), describe_block (other));
    }
  for (guint i = 0; i < b->blocks->len; i++)
    {
      const CprRamBlock *block = b->blocks->pdata[i];
      g_autofree char *title = block_title (block);

      if (find_block (a, block->name) == NULL)
        diff_put (diff, title, "only in B");
    }
}

/* ---- Assigned devices. */

static char *
describe_container (const CprVfioContainer *container)
{
  g_autoptr (GString) text = g_string_new (NULL);

  g_string_append_printf (text, "%s, IOAS %" PRIu32 ", devices", cpr_vfio_backend_get_name (container->backend),
                          container->ioas);
  for (guint i = 0; i < container->devices->len; i++)
    {
      const CprVfioDevice *device = container->devices->pdata[i];
      g_autofree char *name = inspect_text_quote (device->name), *address = inspect_text_quote (device->address);

      g_string_append_printf (text, " %s (%s, group %" PRIu32 ", interrupts", name, address, device->group);
      for (guint k = 0; k < device->irqs->len; k++)
        {
          const CprVfioIrq *irq = &g_array_index (device->irqs, CprVfioIrq, k);

          g_string_append_printf (text, " %d:%d%s%s", irq->key >> 16, irq->key & CPR_VFIO_IRQ_VECTOR_MAX,
                                  irq->role == CPR_VFIO_IRQ_UNMASK ? "u" : "", irq->enabled ? "+" : "");
        }
      g_string_append_c (text, ')');
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static char *
describe_mapping (const CprDmaMapping *mapping)
{
  g_autofree char *name = NULL;

  if (mapping == NULL)
    return g_strdup ("none");
  name = inspect_text_quote (mapping->block->name);
  return g_strdup_printf ("%" PRIu64 " bytes of %s from %" PRIu64 ", flags %u", mapping->size, name, mapping->offset,
                          mapping->flags);
}

static void
diff_mapping (Diff *diff, const char *title, uint64_t iova, const CprDmaMapping *a, const CprDmaMapping *b)
{
  g_autofree char *what = g_strdup_printf ("mapping at 0x%" PRIx64, iova);

  diff_value (diff, title, what, describe_mapping (a), describe_mapping (b));
}

static void
diff_containers (Diff *diff, CprVfioTable *a, CprVfioTable *b)
{
  for (guint i = 0; i < a->containers->len; i++)
    {
      CprVfioContainer *container = a->containers->pdata[i], *other = cpr_vfio_table_find (b, container->name);
      g_autofree char *name = inspect_text_quote (container->name);
      g_autofree char *title = g_strdup_printf ("VFIO container %s", name);

      if (other == NULL)
        {
          diff_put (diff, title, "only in A");
          continue;
        }
      diff_value (diff, title, "what", describe_container (container), describe_container (other));
      for (guint k = 0; k < container->dma.mappings->len; k++)
        {
          const CprDmaMapping *mapping = cpr_dma_mappings_get (&container->dma, k);

          diff_mapping (diff, title, mapping->iova, mapping, cpr_dma_mappings_find (&other->dma, mapping->iova));
        }
      for (guint k = 0; k < other->dma.mappings->len; k++)
        {
          const CprDmaMapping *mapping = cpr_dma_mappings_get (&other->dma, k);

          if (cpr_dma_mappings_find (&container->dma, mapping->iova) == NULL)
            diff_mapping (diff, title, mapping->iova, NULL, mapping);
        }
    }
  for (guint i = 0; i < b->containers->len; i++)
    {
      const CprVfioContainer *container = b->containers->pdata[i];
      g_autofree char *name = inspect_text_quote (container->name);
      g_autofree char *title = g_strdup_printf ("VFIO container %s", name);

      if (cpr_vfio_table_find (a, container->name) == NULL)
        diff_put (diff, title, "only in B");
    }
}

void
diff_manifests (Diff *diff)
{
  const CprManifest *a = &diff->a.manifest, *b = &diff->b.manifest;

  diff_vm (diff, a, b);
  diff_program (diff, &a->program, &b->program);
  diff_value (diff, "successor", "program", describe_successor (&a->successor), describe_successor (&b->successor));
  diff_fds (diff, &a->fds, &b->fds);
  diff_ram (diff, &a->ram, &b->ram);
  diff_containers (diff, &diff->a.manifest.vfio, &diff->b.manifest.vfio);
}
