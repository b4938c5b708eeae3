/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command `show`: a state as a tree for people. Called by main.c. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "commands.h"
#include "show-values.h"
#include "text.h"

/* A line of what people read: a name, a value. */
static void put (const char *name, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
put (const char *name, const char *format, ...)
{
  va_list args;

  printf ("  %-18s ", name);
  va_start (args, format);
  vprintf (format, args);
  va_end (args);
  putchar ('\n');
}

/* A value that comes from the state as it is. */
static void
put_text (const char *name, const char *text)
{
  g_autofree char *escaped = inspect_text_escape (text, strlen (text));

  put (name, "%s", escaped);
}

static char *
describe_instant (uint64_t real_ns)
{
  g_autoptr (GDateTime) time =
      real_ns / 1000000000 <= G_MAXINT64 ? g_date_time_new_from_unix_utc ((gint64) (real_ns / 1000000000)) : NULL;
  g_autofree char *seconds = time != NULL ? g_date_time_format (time, "%Y-%m-%d %H:%M:%S") : NULL;

  return g_strdup_printf ("%s.%09u UTC", seconds != NULL ? seconds : "?", (unsigned) (real_ns % 1000000000));
}

static void
show_vm (const CprManifest *manifest)
{
  g_autofree char *time = describe_instant (manifest->saved_real_ns);
  g_autofree char *signals = inspect_text_signals (manifest->signal_mask);

  puts ("VM");
  put_text ("name", manifest->vm_name);
  put ("run state", "%s", inspect_run_state_name (manifest->run_state));
  put ("generation", "%" PRIu64, manifest->generation);
  put ("saved", "%s (monotonic %" PRIu64 " ns)", time, manifest->saved_ns);
  put ("saved by", "process %" PRIu32 " of user %" PRIu32, manifest->pid, manifest->uid);
  put_text ("boot id", manifest->boot_id);
  put ("blocked signals", "%s", signals);
}

static void
show_list (const char *name, char **list)
{
  put (name, "%u", g_strv_length (list));
  for (; *list != NULL; list++)
    {
      g_autofree char *escaped = inspect_text_escape (*list, strlen (*list));

      printf ("    %s\n", escaped);
    }
}

static void
show_program (const CprProgram *program)
{
  g_autofree char *signals = inspect_text_signals (program->ignored_signals);

  puts ("program");
  show_list ("arguments", program->argv);
  show_list ("environment", program->envp);
  put_text ("working directory", program->cwd);
  put_text ("process name", program->comm);
  put ("umask", "%04o", (unsigned) program->umask);
  put ("ignored signals", "%s", signals);
  put ("limits", "%u, soft and hard", program->n_limits);
  for (unsigned i = 0; i < program->n_limits; i++)
    {
      g_autofree char *number = g_strdup_printf ("%u", i);
      g_autofree char *soft = inspect_text_limit (program->limits[i].rlim_cur);
      g_autofree char *hard = inspect_text_limit (program->limits[i].rlim_max);

      printf ("    %-16s %s, %s\n", inspect_limit_name (i) != NULL ? inspect_limit_name (i) : number, soft, hard);
    }
}

static void
show_successor (const CprSuccessor *successor)
{
  if (successor->build_id == NULL)
    {
      puts ("successor            nobody was asked");
      return;
    }
  puts ("successor");
  put ("file", "device %u:%u, inode %" PRIu64, major (successor->device), minor (successor->device), successor->inode);
  put ("build id", "%s", successor->build_id[0] != '\0' ? successor->build_id : "none");
}

static void
show_fds (const CprFdTable *fds)
{
  printf ("fds: %u\n", fds->entries->len);
  for (guint i = 0; i < fds->entries->len; i++)
    {
      const CprFdEntry *entry = fds->entries->pdata[i];
      g_autofree char *name = inspect_text_escape (entry->name, strlen (entry->name));
      g_autofree char *what = inspect_text_identity (&entry->identity);

      printf ("  %s %d: fd %d, %s\n", name, entry->index, entry->fd, what);
    }
}

static void
show_ram (const CprRamTable *ram)
{
  printf ("RAM blocks: %u\n", ram->blocks->len);
  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[i];
      g_autofree char *name = inspect_text_escape (block->name, strlen (block->name));
      g_autofree char *size = inspect_text_size (block->size);
      g_autofree char *flags = inspect_text_ram_flags (block->flags);

      printf ("  %s: %s, %s%s\n", name, size, inspect_backing_name (block->backend), flags);
    }
}

static void
show_place (const CprRamFile *file)
{
  uint8_t uuid[16];

  if (!S_ISCHR (file->type))
    {
      printf ("in inode %" PRIu64 " of device %u:%u\n", file->inode, major (file->device), minor (file->device));
      return;
    }
  memcpy (uuid, &file->device, 8);
  memcpy (uuid + 8, &file->inode, 8);
  printf ("on the DAX device ");
  for (unsigned i = 0; i < sizeof uuid; i++)
    printf ("%s%02x", i >= 4 && i <= 10 && i % 2 == 0 ? "-" : "", uuid[i]);
  printf (" at 0x%" PRIx64 ", %" PRIu64 " bytes\n", file->special, file->size);
}

static void
show_store (const CprRamStore *store)
{
  if (store == NULL)
    return;
  printf ("contents of RAM: %s\n",
          store->layout == CPR_RAM_LAYOUT_AREA ? "laid out behind the state" : "a stream behind the state");
  for (guint i = 0; i < store->blocks->len; i++)
    {
      const CprRamStored *stored = store->blocks->pdata[i];
      g_autofree char *name = inspect_text_escape (stored->name, strlen (stored->name));

      printf ("  %s: %s", name, stored->in_place ? "in place, " : "copied\n");
      if (stored->in_place)
        show_place (&stored->file);
    }
}

static void
show_assigned (const CprVfioDevice *device)
{
  g_autofree char *name = inspect_text_escape (device->name, strlen (device->name));
  g_autofree char *address = inspect_text_escape (device->address, strlen (device->address));
  guint enabled = 0;

  for (guint i = 0; i < device->irqs->len; i++)
    enabled += g_array_index (device->irqs, CprVfioIrq, i).enabled;
  printf ("    device %s: %s, %u interrupts, %u enabled\n", name, address, device->irqs->len, enabled);
}

static void
show_mapping (const CprDmaMapping *mapping)
{
  g_autofree char *name = inspect_text_escape (mapping->block->name, strlen (mapping->block->name));
  g_autofree char *size = inspect_text_size (mapping->size);

  printf ("    0x%" PRIx64 ": %s of %s from 0x%" PRIx64 ", %s%s\n", mapping->iova, size, name, mapping->offset,
          (mapping->flags & CPR_DMA_READ) != 0 ? "read" : "",
          mapping->flags == (CPR_DMA_READ | CPR_DMA_WRITE) ? " and write"
          : mapping->flags == CPR_DMA_WRITE                ? "write"
                                                           : "");
}

/* Only where there are any: most VMs have none. */
static void
show_containers (const CprVfioTable *vfio)
{
  if (vfio->containers->len > 0)
    printf ("VFIO containers: %u\n", vfio->containers->len);
  for (guint i = 0; i < vfio->containers->len; i++)
    {
      const CprVfioContainer *container = vfio->containers->pdata[i];
      g_autofree char *name = inspect_text_escape (container->name, strlen (container->name));
      g_autofree char *size = inspect_text_size (container->dma.total);

      printf ("  %s: %s, %u mappings of %s\n", name, cpr_vfio_backend_get_name (container->backend),
              container->dma.mappings->len, size);
      for (guint k = 0; k < container->devices->len; k++)
        show_assigned (container->devices->pdata[k]);
      for (guint k = 0; k < container->dma.mappings->len; k++)
        show_mapping (cpr_dma_mappings_get (&container->dma, k));
    }
}

static void
show_bulk (const GPtrArray *bulk)
{
  printf ("bulk data: %u\n", bulk->len);
  for (guint i = 0; i < bulk->len; i++)
    {
      const CprBulkData *data = bulk->pdata[i];
      g_autofree char *name = inspect_text_escape (data->device, strlen (data->device));
      g_autofree char *size = inspect_text_size (data->size);

      printf ("  %s: %s in %u piece%s\n", name, size, data->n, data->n == 1 ? "" : "s");
    }
}

void
inspect_show_tree (const InspectState *state)
{
  const CprManifest *manifest = &state->manifest;

  printf ("format %d.%u, %" PRIu64 " bytes, %u chunks\n", CPR_FORMAT_MAJOR, state->reader.minor, state->reader.len,
          state->reader.chunks->len);
  show_vm (manifest);
  show_program (&manifest->program);
  show_successor (&manifest->successor);
  show_fds (&manifest->fds);
  show_ram (&manifest->ram);
  show_store (manifest->store);
  show_containers (&manifest->vfio);
  inspect_show_schema (&manifest->schema);
  printf ("devices: %u\n", state->devices->len);
  for (guint i = 0; i < state->devices->len; i++)
    inspect_show_device (state, &g_array_index (state->devices, InspectDevice, i));
  show_bulk (state->reader.bulk);
}

InspectStatus
inspect_show (char **files, bool json)
{
  InspectState state;
  InspectStatus status = inspect_state_open (&state, files[0], "cpr-inspect: ");

  if (status == INSPECT_YES && json)
    inspect_show_json (&state);
  else if (status == INSPECT_YES)
    inspect_show_tree (&state);
  inspect_state_close (&state);
  return status;
}
