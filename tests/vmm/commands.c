/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The monitor's commands that only tests need. */
#include "test-commands.h"

#include <inttypes.h>
#include <string.h>

#include "cards.h"
#include "ram-hash.h"
#include "serial-test.h"
#include "support/error.h"

/* Here or, after a transfer, elsewhere. A guest that was saved stands still. */
static bool
guest_runs (const Machine *machine)
{
  if (cpr_session_get_state (machine->session) == CPR_SESSION_STATE_ACTIVE)
    return cpr_session_get_run_state (machine->session) == CPR_RUN_STATE_RUNNING;
  return cpr_session_get_state (machine->session) == CPR_SESSION_STATE_LOST || update_has_left (machine);
}

static bool
info_ram (const Call *call)
{
  if (guest_runs (call->machine))
    return throw_error (call->error, "the guest must be paused or suspended");
  g_string_append_printf (call->answer, "size: %" PRIu64 "\nhash: %016" PRIx64 "\n", call->machine->ram.size,
                          ram_hash_compute (&call->machine->ram));
  return true;
}

static bool
info_serial (const Call *call)
{
  serial_describe_all (call->machine->serial, call->answer);
  return true;
}

static bool
info_bus (const Call *call)
{
  slots_describe (slots_get (), call->answer);
  return true;
}

static bool
info_card (const Call *call)
{
  return cards_describe (call->arguments, call->answer, call->error);
}

/* The cards belong to the command line of the next program, and to that of this program should it
 * have to come back: else they wouldn't build the cards. */
static bool
note_cards (Machine *machine, GError **error)
{
  g_auto (GStrv) argv = cards_make_argv (cpr_session_get_argv (machine->session));
  return cpr_session_set_argv (machine->session, argv, error);
}

static bool
plug (const Call *call, bool (*change) (const char *name, GError **error))
{
  Machine *machine = call->machine;
  bool ok = cpr_gate_close (machine->gate, VM_STOP_TIMEOUT_MS, call->error) && change (call->arguments, call->error) &&
            note_cards (machine, call->error);
  if (cpr_session_get_run_state (machine->session) == CPR_RUN_STATE_RUNNING)
    cpr_gate_open (machine->gate);
  return ok;
}

static bool
device_add (const Call *call)
{
  return plug (call, cards_add);
}

static bool
device_del (const Call *call)
{
  return plug (call, cards_remove);
}

static bool
device_set (const Call *call)
{
  g_auto (GStrv) words = g_strsplit (call->arguments, " ", 3);
  guint64 value;
  if (g_strv_length (words) != 3)
    return throw_error (call->error, "device_set DEVICE FIELD VALUE");
  if (strcmp (words[0], "serial") != 0)
    return cards_set (words[0], words[1], words[2], call->error);
  return g_ascii_string_to_unsigned (words[2], 10, 0, UINT64_MAX, &value, call->error) &&
         serial_set (call->machine->serial, words[1], value, call->error);
}

/* As the guest does, but without waiting for who reads the serial port. */
static bool
port_in (const Call *call)
{
  guint64 port = g_ascii_strtoull (call->arguments, NULL, 0);
  g_string_append_printf (call->answer, "0x%02x\n", bus_in (call->machine->bus, (uint16_t) port));
  return true;
}

static bool
port_out (const Call *call)
{
  char *value;
  guint64 port = g_ascii_strtoull (call->arguments, &value, 0);
  bus_out (call->machine->bus, (uint16_t) port, (uint8_t) g_ascii_strtoull (value, NULL, 0));
  return true;
}

const Command test_commands[] = {
  { "info ram", "", "size and hash of guest RAM, while it doesn't run", COMMAND_AT_HOME, info_ram },
  { "info serial", "", "the serial port's registers, and what this release has besides", COMMAND_AT_HOME, info_serial },
  { "info bus", "", "what is in the bus's slots", COMMAND_AT_HOME, info_bus },
  { "info card", "CARD", "a card's state", COMMAND_AT_HOME, info_card },
  { "device_add", "CARD", "plug in a card, with the guest running", COMMAND_WITH_GUEST, device_add },
  { "device_del", "CARD", "unplug it", COMMAND_WITH_GUEST, device_del },
  { "device_set", "DEVICE FIELD VALUE", "change what a guest can't", COMMAND_WITH_GUEST, device_set },
  { "in", "PORT", "read a port, as the guest would", COMMAND_WITH_GUEST, port_in },
  { "out", "PORT VALUE", "write a port, as the guest would", COMMAND_WITH_GUEST, port_out },
  { .name = NULL },
};
