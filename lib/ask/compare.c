/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compares a manifest with the inventory of the program that was asked, and reports each
 * difference as a finding. Called in the asked program, by ask/exchange.c. */
#include "ask/compare.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "kvm/needs/lacks.h"

#define REFUSE(subject, name, ...) \
  cpr_findings_add (findings, CPR_SEVERITY_REFUSAL, CPR_SUBJECT_##subject, name, __VA_ARGS__)
#define LOSE(subject, name, ...) \
  cpr_findings_add (findings, CPR_SEVERITY_LOSS, CPR_SUBJECT_##subject, name, __VA_ARGS__)

static const CprDeviceType *
find_type (const GPtrArray *types, const char *name)
{
  for (guint i = 0; i < types->len; i++)
    if (strcmp (((const CprDeviceType *) types->pdata[i])->name, name) == 0)
      return types->pdata[i];
  return NULL;
}

static void
collect_type (GPtrArray *types, const CprDeviceType *type, GPtrArray *findings)
{
  g_autoptr (GError) error = NULL;

  if (g_ptr_array_find (types, type, NULL))
    return;
  if (!cpr_device_type_check (type, &error))
    REFUSE (PROGRAM, "", "%s", error->message);
  else if (find_type (types, type->name) != NULL)
    REFUSE (PROGRAM, "", "type '%s': this program has two of that name", type->name);
  else
    g_ptr_array_add (types, (void *) type);
}

GPtrArray *
cpr_candidate_collect_types (const CprCandidate *candidate, GPtrArray *findings)
{
  const CprDeviceType *const *listed = candidate->config->device_types;
  GPtrArray *types = g_ptr_array_new ();

  for (; listed != NULL && *listed != NULL; listed++)
    collect_type (types, *listed, findings);
  for (guint i = 0; candidate->inventory != NULL && i < candidate->inventory->devices->len; i++)
    {
      const CprDeviceType *type = g_array_index (candidate->inventory->devices, CprDeclaredDevice, i).type;

      if (type != NULL)
        collect_type (types, type, findings);
    }
  return types;
}

/* A state of another boot may be asked about, too: its times would be converted. */
static void
compare_clocks (const CprManifest *manifest, GPtrArray *findings)
{
  char here[CPR_BOOT_ID_SIZE + 1];
  g_autoptr (GError) error = NULL;

  if (!cpr_boot_id_get (here, &error))
    {
      if (cpr_error_get_errno (error) != EMFILE) /* the limit on open files is a finding of its own */
        REFUSE (PROGRAM, "", "%s", error->message);
    }
  else if (strcmp (manifest->boot_id, here) != 0 && cpr_boot_id_is_of_same_boot (manifest->boot_id, here))
    REFUSE (PROGRAM, "",
            "process %d: it is in another time namespace, its CLOCK_MONOTONIC or CLOCK_BOOTTIME isn't the guest's",
            getpid ());
}

static void
compare_vm (const CprManifest *manifest, const char *name, pid_t asker, GPtrArray *findings)
{
  if (strcmp (manifest->vm_name, name) != 0)
    REFUSE (VM, manifest->vm_name, "VM '%s': this program is for VM '%s'", manifest->vm_name, name);
  compare_clocks (manifest, findings);
  if (manifest->uid != geteuid ())
    REFUSE (VM, manifest->vm_name, "VM '%s': it is user %u's, this program runs as user %u", manifest->vm_name,
            manifest->uid, geteuid ());
  if (manifest->pid != (uint32_t) asker)
    REFUSE (PROGRAM, "",
            "process %d: it isn't the one that was started but a child of it, and would never get the guest: "
            "a wrapper must exec, not fork",
            getpid ());
}

/* ---- The declared parts. */

static bool
matches (const char *declared, bool is_prefix, const char *name)
{
  return is_prefix ? g_str_has_prefix (name, declared) : strcmp (name, declared) == 0;
}

static void
claim_fds (CprFdTable *fds, const CprDeclaredFd *declared, GPtrArray *findings)
{
  if (declared->index == CPR_INVENTORY_ANY_INDEX)
    {
      for (guint i = 0; i < fds->entries->len; i++)
        {
          CprFdEntry *entry = fds->entries->pdata[i];

          entry->claimed |= matches (declared->name, declared->is_prefix, entry->name);
        }
      return;
    }
  CprFdEntry *entry = cpr_fd_table_find (fds, declared->name, declared->index);
  if (entry != NULL)
    entry->claimed = true;
  else
    LOSE (FD, declared->name, "fd '%s' %d: it isn't in the state, this program would open a new one", declared->name,
          declared->index);
}

static void
compare_fds (CprFdTable *fds, const CprCandidate *candidate, GPtrArray *findings)
{
  const GArray *declared = candidate->inventory->fds;

  for (guint i = 0; i < declared->len; i++)
    claim_fds (fds, &g_array_index (declared, CprDeclaredFd, i), findings);
  for (guint i = 0; i < fds->entries->len; i++)
    {
      const CprFdEntry *entry = fds->entries->pdata[i];

      if (entry->claimed || g_str_has_prefix (entry->name, CPR_FD_INTERNAL))
        continue;
      if (candidate->config->unclaimed_fds == CPR_UNCLAIMED_CLOSE)
        LOSE (FD, entry->name, "fd '%s' %d: it is in the state, this program would close it", entry->name,
              entry->index);
      else
        REFUSE (FD, entry->name, "fd '%s' %d: it is in the state, and nobody would take it", entry->name, entry->index);
    }
}

/* A name counts before a prefix. */
static const CprDeclaredRam *
find_declared_ram (const GArray *all_declared, const char *name)
{
  const CprDeclaredRam *found = NULL;

  for (guint i = 0; i < all_declared->len && (found == NULL || found->is_prefix); i++)
    {
      const CprDeclaredRam *declared = &g_array_index (all_declared, CprDeclaredRam, i);

      if (matches (declared->name, declared->is_prefix, name))
        found = declared;
    }
  return found;
}

static bool
has_block (const CprRamTable *ram, const char *name)
{
  for (guint i = 0; i < ram->blocks->len; i++)
    if (strcmp (((const CprRamBlock *) ram->blocks->pdata[i])->name, name) == 0)
      return true;
  return false;
}

static void
compare_ram (const CprRamTable *ram, const GArray *all_declared, GPtrArray *findings)
{
  for (guint i = 0; i < ram->blocks->len; i++)
    {
      const CprRamBlock *block = ram->blocks->pdata[i];
      const CprDeclaredRam *declared = find_declared_ram (all_declared, block->name);

      if (declared == NULL)
        REFUSE (RAM, block->name, "RAM block '%s': it is in the state, and nobody would take it", block->name);
      else if (declared->max_size > 0 && declared->max_size < block->size)
        REFUSE (RAM, block->name, "RAM block '%s': size is %zu in the state, at most %" G_GUINT64_FORMAT " here",
                block->name, block->size, declared->max_size);
      else if (declared->max_size == 0 && !declared->is_prefix && declared->size != block->size)
        REFUSE (RAM, block->name, "RAM block '%s': size is %zu in the state, %" G_GUINT64_FORMAT " here", block->name,
                block->size, declared->size);
    }
  for (guint i = 0; i < all_declared->len; i++)
    {
      const CprDeclaredRam *declared = &g_array_index (all_declared, CprDeclaredRam, i);

      if (!declared->is_prefix && !has_block (ram, declared->name))
        REFUSE (RAM, declared->name, "RAM block '%s': it isn't in the state", declared->name);
    }
}

/* A declared device declares its container, too. @device NULL: only the container is looked for. */
static bool
is_declared (const GArray *all_declared, const char *container, const char *device)
{
  for (guint i = 0; i < all_declared->len; i++)
    {
      const CprDeclaredVfio *declared = &g_array_index (all_declared, CprDeclaredVfio, i);

      if (strcmp (declared->name, container) == 0 &&
          (device == NULL || (declared->device != NULL && matches (declared->device, declared->is_prefix, device))))
        return true;
    }
  return false;
}

static void
find_missing_vfio (const CprVfioTable *vfio, const CprDeclaredVfio *declared, GPtrArray *findings)
{
  const CprVfioContainer *container = cpr_vfio_table_find (vfio, declared->name);
  const CprVfioDevice *device = declared->device != NULL ? cpr_vfio_table_find_device (vfio, declared->device) : NULL;

  if (container == NULL)
    REFUSE (DEVICE, declared->name, "VFIO container '%s': it isn't in the state", declared->name);
  else if (declared->device != NULL && (device == NULL || device->container != container))
    REFUSE (DEVICE, declared->device, "VFIO device '%s' in container '%s': it isn't in the state", declared->device,
            declared->name);
}

static void
compare_vfio (const CprVfioTable *vfio, const GArray *all_declared, GPtrArray *findings)
{
  for (guint i = 0; i < vfio->containers->len; i++)
    {
      const CprVfioContainer *container = vfio->containers->pdata[i];

      if (!is_declared (all_declared, container->name, NULL))
        REFUSE (DEVICE, container->name, "VFIO container '%s': it is in the state, and nobody would take it",
                container->name);
      for (guint k = 0; k < container->devices->len; k++)
        {
          const CprVfioDevice *device = container->devices->pdata[k];

          if (!is_declared (all_declared, container->name, device->name))
            REFUSE (DEVICE, device->name,
                    "VFIO device '%s' in container '%s': it is in the state, and nobody would take it", device->name,
                    container->name);
        }
    }
  for (guint i = 0; i < all_declared->len; i++)
    if (!g_array_index (all_declared, CprDeclaredVfio, i).is_prefix)
      find_missing_vfio (vfio, &g_array_index (all_declared, CprDeclaredVfio, i), findings);
}

/* The declared devices: those with a name by that name. */
typedef struct
{
  const GArray *all; /* CprDeclaredDevice */
  GHashTable *by_name;
} DeclaredDevices;

/* A name counts before a prefix, and a prefix for the type before any other. */
static const CprDeclaredDevice *
find_declared_device (const DeclaredDevices *devices, const char *name, const char *type)
{
  const CprDeclaredDevice *found = g_hash_table_lookup (devices->by_name, name);

  for (guint i = 0; i < devices->all->len && (found == NULL || found->is_prefix); i++)
    {
      const CprDeclaredDevice *declared = &g_array_index (devices->all, CprDeclaredDevice, i);

      if (!declared->is_prefix || !g_str_has_prefix (name, declared->name))
        continue;
      if (declared->type == NULL || strcmp (declared->type->name, type) == 0)
        return declared;
      found = declared;
    }
  return found;
}

/* Whether the candidate has the device, and of the same type; if not, that is a finding. */
static bool
compare_declared (const CprAskedDevice *device,
                  const char *type,
                  const CprDeclaredDevice *declared,
                  GPtrArray *findings)
{
  if (declared == NULL)
    REFUSE (DEVICE, device->name, "device '%s' of type '%s' is in the state and not here", device->name, type);
  else if (declared->type != NULL && strcmp (declared->type->name, type) != 0)
    REFUSE (DEVICE, device->name, "device '%s': type is '%s' in the state, '%s' here", device->name, type,
            declared->type->name);
  else
    return true;
  return false;
}

/* ---- Device types. */

/* The fields that would be dropped of each device of a type. */
typedef struct
{
  const char *type;
  GPtrArray *devices; /* borrowed */
  GPtrArray *fields;
} Dropped;

#define NAMES_MAX 8

static void
dropped_free (void *data)
{
  Dropped *dropped = data;

  g_ptr_array_unref (dropped->devices);
  g_ptr_array_unref (dropped->fields);
  g_free (dropped);
}

static void
note_field (const char *field, void *user_data)
{
  g_ptr_array_add (user_data, g_strdup (field));
}

static void
note_dropped (GPtrArray *all, const CprPlan *plan, const char *type, const char *device)
{
  Dropped *dropped = NULL;

  for (guint i = 0; i < all->len && dropped == NULL; i++)
    if (strcmp (((Dropped *) all->pdata[i])->type, type) == 0)
      dropped = all->pdata[i];
  if (dropped == NULL)
    {
      dropped = g_new0 (Dropped, 1);
      *dropped = (Dropped){ type, g_ptr_array_new (), g_ptr_array_new_with_free_func (g_free) };
      cpr_plan_foreach_dropped (plan, note_field, dropped->fields);
      g_ptr_array_add (all, dropped);
    }
  g_ptr_array_add (dropped->devices, (void *) device);
}

/* "'a', 'b' and 3 more". */
static char *
list_names (const GPtrArray *names)
{
  GString *list = g_string_new (NULL);
  guint n = names->len <= NAMES_MAX + 1 ? names->len : NAMES_MAX; /* one more is as short as its name */

  for (guint i = 0; i < n; i++)
    g_string_append_printf (list, "%s'%s'", i > 0 ? ", " : "", (const char *) names->pdata[i]);
  if (n < names->len)
    g_string_append_printf (list, " and %u more", names->len - n);
  return g_string_free (list, FALSE);
}

static void
tell_dropped (const Dropped *dropped, GPtrArray *findings)
{
  g_autofree char *devices = list_names (dropped->devices), *fields = list_names (dropped->fields);
  bool one = dropped->devices->len == 1, one_field = dropped->fields->len == 1;
  g_autofree char *owner =
      one ? g_strdup_printf ("device %s", devices) : g_strdup_printf ("type '%s' (devices %s)", dropped->type, devices);

  if (dropped->fields->len == 0)
    return;
  LOSE (DEVICE, one ? dropped->devices->pdata[0] : "", "%s: %s %s %s unknown here, %s would be dropped", owner,
        one_field ? "field" : "fields", fields, one_field ? "is" : "are", one_field ? "its value" : "their values");
}

static void
tell_lack (const GPtrArray *devices, const char *lack, void *user_data)
{
  g_autofree char *names = list_names (devices);
  GPtrArray *findings = user_data;
  bool one = devices->len == 1;

  REFUSE (DEVICE, one ? devices->pdata[0] : "", "device%s %s: %s", one ? "" : "s", names, lack);
}

static void
compare_devices (CprQuestion *question, const DeclaredDevices *declared, const GPtrArray *types, GPtrArray *findings)
{
  const CprSchema *schema = &question->manifest.schema;
  const CprCodec codec = cpr_fd_table_get_codec (&question->manifest.fds); /* claims the fds that devices hold */
  g_autoptr (CprPlans) plans = cpr_plans_new (schema);
  g_autoptr (GPtrArray) dropped = g_ptr_array_new_with_free_func (dropped_free);
  g_autoptr (CprKvmLacks) lacks = cpr_kvm_lacks_new ();

  for (guint i = 0; i < question->devices->len; i++)
    {
      const CprAskedDevice *device = &g_array_index (question->devices, CprAskedDevice, i);
      const CprSchemaType *from = &g_array_index (schema->types, CprSchemaType, device->type);
      const CprDeviceType *to = find_type (types, from->name);
      g_autoptr (GError) error = NULL;
      const CprDeclaredDevice *own =
          declared->all != NULL ? find_declared_device (declared, device->name, from->name) : NULL;
      const CprPlan *plan;

      if (declared->all != NULL && !compare_declared (device, from->name, own, findings))
        continue;
      if (to == NULL)
        REFUSE (DEVICE, device->name, "device '%s': its type '%s' is unknown here", device->name, from->name);
      else if (!cpr_device_type_accepts (to, from, plans, device->has_section ? &device->fields : NULL, &codec, &plan,
                                         &error))
        REFUSE (DEVICE, device->name, "device '%s': %s", device->name, error->message);
      else
        {
          note_dropped (dropped, plan, from->name, device->name);
          if (device->has_section)
            cpr_kvm_lacks_check (lacks, to, device->name, own != NULL ? own->here : NULL, plan, &device->fields,
                                 &codec);
        }
    }
  for (guint i = 0; i < dropped->len; i++)
    tell_dropped (dropped->pdata[i], findings);
  cpr_kvm_lacks_foreach (lacks, tell_lack, findings);
}

static GHashTable *
index_declared (const CprQuestion *question, const GArray *all_declared, GPtrArray *findings)
{
  GHashTable *table = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < all_declared->len; i++)
    {
      CprDeclaredDevice *declared = &g_array_index (all_declared, CprDeclaredDevice, i);

      if (declared->is_prefix)
        continue;
      g_hash_table_insert (table, declared->name, declared);
      if (cpr_question_find_device (question, declared->name) == NULL)
        REFUSE (DEVICE, declared->name, "device '%s': it isn't in the state", declared->name);
    }
  return table;
}

void
cpr_compare (CprQuestion *question, const CprCandidate *candidate, const GPtrArray *types, GPtrArray *findings)
{
  const CprInventory *inventory = candidate->inventory;
  g_autoptr (GHashTable) by_name = NULL;
  DeclaredDevices declared = { .all = NULL };

  compare_vm (&question->manifest, candidate->config->name, candidate->asker, findings);
  for (guint i = 0; inventory != NULL && i < inventory->refusals->len; i++)
    REFUSE (PROGRAM, "", "%s", (const char *) inventory->refusals->pdata[i]);
  if (inventory != NULL)
    {
      by_name = index_declared (question, inventory->devices, findings);
      declared = (DeclaredDevices){ inventory->devices, by_name };
    }
  if (inventory == NULL && (candidate->config->incoming_flags & CPR_INCOMING_REHEARSE) != 0)
    return; /* its start-up is yet to come and will say */
  if (inventory != NULL || candidate->config->device_types != NULL)
    compare_devices (question, &declared, types, findings);
  else if (question->devices->len > 0)
    LOSE (PROGRAM, "", "this program doesn't say which device types it has: devices weren't checked");
  if (inventory != NULL)
    {
      compare_fds (&question->manifest.fds, candidate, findings);
      compare_ram (&question->manifest.ram, inventory->ram, findings);
      compare_vfio (&question->manifest.vfio, inventory->vfio, findings);
    }
}
