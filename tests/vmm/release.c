/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of the example's file of this name: what release RELEASE of the VMM consists of, 1 to
 * 3, with what tests need besides. Release 4 is the wrong one: it changes what must not change. */
#include "release.h"

#include "aids.h"
#include "cards.h"
#include "declare.h"
#include "fail.h"
#include "ram-hash.h"
#include "soft.h"
#include "support/error.h"
#include "test-commands.h"

Aids aids;

static bool
parse_card (const Option *option, const char *value, Options *options, GError **error)
{
  if (aids.n_cards == CARDS_MAX)
    return throw_error (error, "--device: more than %d", CARDS_MAX);
  aids.cards[aids.n_cards++] = value;
  return true;
}

static bool
parse_accel (const Option *option, const char *value, Options *options, GError **error)
{
  return option_choose (option, value, &aids.accel, error);
}

static bool
parse_verify_ram (const Option *option, const char *value, Options *options, GError **error)
{
  aids.verify_ram = true;
  return true;
}

static bool
parse_fail_at (const Option *option, const char *value, Options *options, GError **error)
{
  return option_choose (option, value, &aids.fail_at, error);
}

static bool
parse_fail_by (const Option *option, const char *value, Options *options, GError **error)
{
  return option_choose (option, value, &aids.fail_by, error);
}

static bool
parse_rehearse (const Option *option, const char *value, Options *options, GError **error)
{
  aids.rehearse = true;
  return true;
}

static bool
parse_protect (const Option *option, const char *value, Options *options, GError **error)
{
  aids.protect = true;
  return true;
}

static const char *const accels[] = { "auto", "kvm", "soft", NULL };
static const char *const steps[] = { "new", "ram", "fds", "devices", "load", "start", "decided", "running", NULL };
static const char *const ways[] = { "error", "segv", "abort", "exit", "call-exit", "thread-exit", "kill", "stop",
                                    "halt",  "hang", "child", "slow", "write",     "rewrite",     NULL };

static const Option test_options[] = {
  { "accel", "ACCEL", "auto (default), kvm or soft", parse_accel, .choices = accels },
  { "device", "CARD", "a card, watchdog or crashlog, if this build has it; may be repeated", .parse = parse_card },
  { "verify-ram", NULL, "hash all of RAM before and after an update; makes the pause long", .parse = parse_verify_ram },
  { "fail-at", "STEP", "fail when taking over a guest, at new, ram, fds, devices, load, start, decided or running",
    parse_fail_at, .choices = steps },
  { "fail-by", "HOW",
    "in which way: error (default), segv, abort, exit (at once), call-exit, thread-exit, kill, stop, halt, hang, "
    "child, slow, write, rewrite",
    parse_fail_by, .choices = ways },
  { "rehearse", NULL, "when asked before an update, run the start-up without effects, as the example does",
    .parse = parse_rehearse },
  { "incoming-protect", NULL, "crash if this program writes to the guest's RAM while it isn't its own",
    .parse = parse_protect },
  { .name = NULL },
};

const Card *const known_cards[] = {
#if RELEASE >= 2
  &watchdog_card,
#endif
#if RELEASE >= 3
  &crashlog_card,
#endif
  NULL,
};

static const Part cards_part = { .build = cards_build, .clear = cards_clear };

/* clang-format off */
static const Part *const parts[] = {
  &fail_first_part,
  &ram_part, &fail_ram_part,
  &bus_part, &slots_part, &serial_part, &disk_part, &monitor_part, &qmp_part, &fail_fds_part,
  &cards_part, &vfio_part, &vm_part, &update_part, &ram_hash_part, &fail_last_part,
  NULL,
};
/* clang-format on */

static const Accel *
get_accel (void)
{
  if (!g_strcmp0 (aids.accel, "soft"))
    return &accel_soft;
  return !g_strcmp0 (aids.accel, "kvm") || accel_kvm_is_there () ? &accel_kvm : &accel_soft;
}

static void
configure (CprSessionConfig *config)
{
  if (aids.protect)
    config->incoming_flags |= CPR_INCOMING_PROTECT_RAM;
  if (!aids.rehearse)
    declare_instead (config);
}

const Release release = {
  .number = RELEASE,
  .parts = parts,
  .get_accel = get_accel,
  .configure = configure,
  .options = test_options,
  .commands = test_commands,
};
