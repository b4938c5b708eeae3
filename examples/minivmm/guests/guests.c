/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The built-in guests and what they report, for vm.c and the monitor's commands. */
#include "guests/guests.h"

#include <string.h>

#include "support/error.h"

#define SLEEP_PATIENCE_MS 30000

G_STATIC_ASSERT (GUEST_REPORTS + (MINIVMM_VCPUS_MAX << REPORT_SHIFT) <= GUEST_IDT);
G_STATIC_ASSERT (GUEST_DMA_REPORT + 4096 <= GUEST_STACKS_TOP - MINIVMM_VCPUS_MAX * GUEST_STACK_SIZE);
G_STATIC_ASSERT (GUEST_CODE + GUEST_CODE_MAX <= GUEST_TABLES);

static void
build_boot_info (const GuestRam *ram, uint64_t start)
{
  uint8_t *info = guest_ram_at (ram, GUEST_BOOT_INFO, 4096);
  const struct
  {
    unsigned offset;
    uint64_t value;
  } fields[] = {
    { BOOT_INFO_LOW_START, start },
    { BOOT_INFO_LOW_END, ram->low_size },
    { BOOT_INFO_HIGH_START, GUEST_RAM_HIGH },
    { BOOT_INFO_HIGH_END, GUEST_RAM_HIGH + ram->high_size },
  };
  memset (info, 0, 4096); /* a file that was another guest's RAM has that one's owners */
  for (size_t i = 0; i < G_N_ELEMENTS (fields); i++)
    memcpy (info + fields[i].offset, &fields[i].value, sizeof fields[i].value);

  memset (guest_ram_at (ram, GUEST_REPORTS, MINIVMM_VCPUS_MAX << REPORT_SHIFT), 0, MINIVMM_VCPUS_MAX << REPORT_SHIFT);
  memset (guest_ram_at (ram, GUEST_DMA_REPORT, 4096), 0, 4096);
}

static bool
load_code (const GuestRam *ram, const BuiltInGuest *built_in, const char *name, GError **error)
{
  uint8_t *code = guest_ram_at (ram, GUEST_CODE, GUEST_CODE_MAX);
  for (; built_in->name; built_in++)
    if (!strcmp (name, built_in->name))
      {
        memcpy (code, built_in->start, built_in->end - built_in->start);
        return true;
      }

  g_autofree char *file = NULL;
  gsize size;
  if (!g_file_get_contents (name, &file, &size, error))
    {
      g_prefix_error (error, "guest: ");
      return false;
    }
  if (size > GUEST_CODE_MAX)
    return throw_error (error, "guest '%s': is %zu bytes, at most %d fit", name, size, GUEST_CODE_MAX);
  memcpy (code, file, size);
  return true;
}

bool
guest_load (const GuestRam *ram, const GuestKind *kind, const char *name, GError **error)
{
  build_boot_info (ram, kind->build_tables (ram));
  return load_code (ram, kind->built_in, name, error);
}

GuestEntry
guest_get_entry (unsigned vcpu, unsigned n_vcpus)
{
  return (GuestEntry){
    .pc = GUEST_CODE,
    .sp = GUEST_STACKS_TOP - vcpu * GUEST_STACK_SIZE,
    .vcpu = vcpu,
    .n_vcpus = n_vcpus,
    .boot_info = GUEST_BOOT_INFO,
  };
}

static uint64_t *
info_word (const GuestRam *ram, unsigned offset)
{
  return guest_ram_at (ram, GUEST_BOOT_INFO + offset, sizeof (uint64_t));
}

void
guest_tell_ram (const GuestRam *ram)
{
  __atomic_store_n (info_word (ram, BOOT_INFO_LOW_END), ram->low_size, __ATOMIC_SEQ_CST);
  __atomic_store_n (info_word (ram, BOOT_INFO_HIGH_END), GUEST_RAM_HIGH + ram->high_size, __ATOMIC_SEQ_CST);
}

void
guest_claim (const GuestRam *ram)
{
  if (__atomic_fetch_add (info_word (ram, BOOT_INFO_OWNERS), 1, __ATOMIC_SEQ_CST))
    __atomic_fetch_add (info_word (ram, BOOT_INFO_DOUBLED), 1, __ATOMIC_SEQ_CST);
}

void
guest_release (const GuestRam *ram)
{
  __atomic_fetch_sub (info_word (ram, BOOT_INFO_OWNERS), 1, __ATOMIC_SEQ_CST);
}

static bool
is_set (const GuestRam *ram, unsigned offset)
{
  return __atomic_load_n (info_word (ram, offset), __ATOMIC_SEQ_CST);
}

static bool
wait_until (const GuestRam *ram, unsigned offset, bool set)
{
  for (unsigned ms = 0; ms < SLEEP_PATIENCE_MS; ms++)
    {
      if (is_set (ram, offset) == set)
        return true;
      g_usleep (1000);
    }
  return false;
}

bool
guest_put_to_sleep (const GuestRam *ram, bool runs, GError **error)
{
  if (!is_set (ram, BOOT_INFO_KNOWS_SLEEP))
    return true;
  if (!runs)
    return throw_error (error, "a paused guest doesn't go to sleep");
  /* A guest that was woken just now may not know it yet. */
  bool ok = wait_until (ram, BOOT_INFO_ASLEEP, false);
  __atomic_store_n (info_word (ram, BOOT_INFO_SLEEP), 1, __ATOMIC_SEQ_CST);
  if (ok && wait_until (ram, BOOT_INFO_ASLEEP, true))
    return true;
  guest_wake (ram);
  return throw_error (error, "the guest doesn't go to sleep");
}

void
guest_wake (const GuestRam *ram)
{
  __atomic_store_n (info_word (ram, BOOT_INFO_SLEEP), 0, __ATOMIC_SEQ_CST);
}

static uint64_t *
report_word (const GuestRam *ram, unsigned vcpu, unsigned offset)
{
  return guest_ram_at (ram, GUEST_REPORTS + ((uint64_t) vcpu << REPORT_SHIFT) + offset, sizeof (uint64_t));
}

static uint64_t
read_report (const GuestRam *ram, unsigned vcpu, unsigned offset)
{
  return __atomic_load_n (report_word (ram, vcpu, offset), __ATOMIC_RELAXED);
}

void
guest_get_report (const GuestRam *ram, unsigned n_vcpus, GuestReport *report)
{
  memset (report, 0, sizeof *report);
  report->doubled = __atomic_load_n (info_word (ram, BOOT_INFO_DOUBLED), __ATOMIC_RELAXED);
  for (unsigned i = 0; i < n_vcpus; i++)
    {
      if (read_report (ram, i, REPORT_MAGIC) != REPORT_MAGIC_VALUE)
        continue;
      report->n_reports++;
      report->ticks += read_report (ram, i, REPORT_TICKS);
      report->passes += read_report (ram, i, REPORT_PASSES);
      report->progress += read_report (ram, i, REPORT_PROGRESS);
      report->errors += read_report (ram, i, REPORT_ERRORS);
      if (!report->first_bad)
        report->first_bad = read_report (ram, i, REPORT_FIRST_BAD);
      report->longest_gap = MAX (report->longest_gap, read_report (ram, i, REPORT_GAP));
    }
}

static uint64_t
read_dma_report (const GuestRam *ram, unsigned offset)
{
  const uint64_t *word = guest_ram_at (ram, GUEST_DMA_REPORT + offset, sizeof *word);
  return __atomic_load_n (word, __ATOMIC_RELAXED);
}

void
guest_get_dma_report (const GuestRam *ram, GuestDmaReport *report)
{
  report->begun = read_dma_report (ram, DMA_REPORT_BEGUN);
  report->msis = read_dma_report (ram, DMA_REPORT_MSIS);
  report->unexplained = read_dma_report (ram, DMA_REPORT_UNEXPLAINED);
}

void
guest_reset_gaps (const GuestRam *ram, unsigned n_vcpus)
{
  for (unsigned i = 0; i < n_vcpus; i++)
    __atomic_store_n (report_word (ram, i, REPORT_GAP), 0, __ATOMIC_RELAXED);
}
