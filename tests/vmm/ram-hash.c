/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hash of guest RAM, as a device of an update and for the monitor. */
#include "ram-hash.h"

#include <inttypes.h>
#include <pthread.h>
#include <xxhash.h>

#include "aids.h"
#include "release.h"
#include "support/error.h"

typedef struct
{
  const GuestRam *ram; /* NULL: there is no such device */
  uint64_t value;
} RamHash;

static RamHash ram_hash;

#define SEED 0x6d696e69766d6dULL

typedef struct
{
  const uint8_t *start;
  size_t size;
  uint64_t value;
} Piece;

static void *
hash_piece (void *data)
{
  Piece *one = data;
  one->value = XXH3_64bits_withSeed (one->start, one->size, SEED);
  return NULL;
}

uint64_t
ram_hash_compute (const GuestRam *ram)
{
  const GuestKind *kind = release.get_accel ()->get_guests ();
  size_t half = ram->size / 2;
  Piece pieces[] = {
    { ram->vaddr, kind->irqchip_start, 0 },
    { ram->vaddr + kind->irqchip_end, half - kind->irqchip_end, 0 },
    { ram->vaddr + half, ram->size - half, 0 },
  };

  pthread_t helper;
  bool helped = pthread_create (&helper, NULL, hash_piece, &pieces[2]) == 0;
  hash_piece (&pieces[0]);
  hash_piece (&pieces[1]);
  if (helped)
    pthread_join (helper, NULL);
  else
    hash_piece (&pieces[2]);

  uint64_t values[] = { pieces[0].value, pieces[1].value, pieces[2].value };
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

static bool
build (Machine *machine, GError **error)
{
  if (!aids.verify_ram)
    return true;
  ram_hash.ram = &machine->ram;
  return cpr_device_add (machine->session, "ram-hash", &ram_hash_type, &ram_hash, error);
}

static void
clear (Machine *machine)
{
  if (ram_hash.ram)
    cpr_device_remove (machine->session, "ram-hash", NULL);
}

const Part ram_hash_part = { .build = build, .clear = clear };
