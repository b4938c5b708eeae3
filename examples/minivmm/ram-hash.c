/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ram-hash.h"

#include <inttypes.h>
#include <pthread.h>
#include <xxhash.h>

#include "support/error.h"

struct _RamHash
{
  CprSession *session;
  const GuestRam *ram;
  uint64_t value;
};

#define SEED 0x6d696e69766d6dULL

typedef struct
{
  const uint8_t *start;
  size_t size;
  uint64_t value;
} Part;

static void *
hash_part (void *data)
{
  Part *part = data;
  part->value = XXH3_64bits_withSeed (part->start, part->size, SEED);
  return NULL;
}

uint64_t
ram_hash_compute (const GuestRam *ram)
{
  size_t half = ram->size / 2;
  Part parts[2] = { { ram->vaddr, half, 0 }, { ram->vaddr + half, ram->size - half, 0 } };

  pthread_t helper;
  bool helped = pthread_create (&helper, NULL, hash_part, &parts[1]) == 0;
  hash_part (&parts[0]);
  if (helped)
    pthread_join (helper, NULL);
  else
    hash_part (&parts[1]);

  uint64_t values[2] = { parts[0].value, parts[1].value };
  return XXH3_64bits_withSeed (values, sizeof values, SEED);
}

static bool
ram_hash_pre_save (void *device, GError **error)
{
  RamHash *hash = device;
  hash->value = ram_hash_compute (hash->ram);
  return true;
}

static bool
ram_hash_post_load (void *device, uint32_t version, GError **error)
{
  RamHash *hash = device;
  uint64_t found = ram_hash_compute (hash->ram);
  if (found != hash->value)
    return throw_error (error, "guest RAM: its hash is %016" PRIx64 " in the state, %016" PRIx64 " here", hash->value,
                        found);
  return true;
}

static const CprField ram_hash_fields[] = {
  CPR_FIELD (RamHash, value),
  CPR_FIELD_END,
};

const CprDeviceType ram_hash_type = {
  .size = sizeof (CprDeviceType),
  .name = "ram-hash",
  .version = 1,
  .minimum_version = 1,
  .state = { "RamHash", sizeof (RamHash), ram_hash_fields },
  .pre_save = ram_hash_pre_save,
  .post_load = ram_hash_post_load,
};

RamHash *
ram_hash_new (CprSession *session, const GuestRam *ram, GError **error)
{
  g_autoptr (RamHash) hash = g_new0 (RamHash, 1);
  hash->session = session;
  hash->ram = ram;
  if (!cpr_device_add (session, "ram-hash", &ram_hash_type, hash, error))
    return NULL;
  return g_steal_pointer (&hash);
}

void
ram_hash_declare (CprInventory *inventory)
{
  cpr_inventory_add_device (inventory, "ram-hash", &ram_hash_type);
}

void
ram_hash_free (RamHash *hash)
{
  if (!hash)
    return;
  cpr_device_remove (hash->session, "ram-hash", NULL);
  g_free (hash);
}
